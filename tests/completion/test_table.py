"""The generated files are up to date, and the completion table covers the whole program."""

from __future__ import annotations

import pytest

from scripts.generate import ROOT, generated_files
from scripts.tree import program
from seedream_cli.commands.completion import SCRIPTS
from seedream_cli.completion import local_values
from seedream_cli.completion.answer import FILES
from seedream_cli.completion.table import ARGUMENTS, OPTIONS, VALUES
from seedream_cli.settings.schema import SETTINGS

GENERATED = generated_files()
TREE = {command.path: command for command in program().walk()}


@pytest.mark.parametrize("name", GENERATED)
def test_generated_file_is_fresh(name: str) -> None:
    assert (ROOT / name).read_text(encoding="utf-8") == GENERATED[name], "run: python -m scripts.generate"


def test_every_shell_has_a_script() -> None:
    names = {path.name for path in (ROOT / "completions").iterdir()}
    assert names == {*SCRIPTS.values(), "apipod-seedream.bash", "apipod-seedream.fish"}


def test_table_has_every_option() -> None:
    for path, command in TREE.items():
        flags = [row[0] for row in OPTIONS[" ".join(path)]]
        assert flags == [option.flags for option in command.options]


def test_every_kind_of_value_is_known() -> None:
    used = {kind for rows in OPTIONS.values() for _, kind, _, _ in rows if kind}
    used |= {kind.rstrip("+") for kinds in ARGUMENTS.values() for kind in kinds if kind}
    assert used == {*VALUES, *local_values.KINDS, FILES, "commands", "value_of_setting"}


def test_default_of_a_setting_is_one_of_its_values() -> None:
    for name in ("model", "aspect_ratio", "quality"):
        [kind] = [row[1] for row in OPTIONS["generate"] if f"--{name.replace('_', '-')}" in row[0]]
        assert kind == name
        assert SETTINGS[name].default in VALUES[name]
