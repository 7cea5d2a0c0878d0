"""The generated files are those that the generator writes, and leave nothing of the program out."""

from __future__ import annotations

from pathlib import Path

import pytest

from scripts.generate import ROOT, generated
from scripts.levels import kinds, levels
from scripts.tree import program
from scripts.values import Asked
from seedream_cli import candidates
from seedream_cli.commands.completion import SCRIPTS
from seedream_cli.settings import KEYS

GENERATED = generated()
TREE = {command.path: command for command in program().walk()}


@pytest.mark.parametrize("name", GENERATED)
def test_the_file_is_fresh(name: str) -> None:
    told = "write it anew: python -m scripts.generate"
    assert (ROOT / name).read_text(encoding="utf-8") == GENERATED[name], told


def test_nothing_else_lies_beside_them() -> None:
    for folder in {Path(name).parent for name in GENERATED}:
        names = {f"{folder}/{path.name}" for path in (ROOT / folder).iterdir()}
        assert names == {name for name in GENERATED if name.startswith(f"{folder}/")}


def test_every_shell_has_its_script() -> None:
    assert {f"completions/{file}" for file in SCRIPTS.values()} <= set(GENERATED)


@pytest.mark.parametrize("script", SCRIPTS.values())
def test_every_command_and_every_option_is_in_every_script(script: str) -> None:
    text = GENERATED[f"completions/{script}"]
    for command in TREE.values():
        assert command.name in text
        for option in command.options:
            for flag in option.flags:
                # fish has options without their dashes.
                shown = (
                    flag
                    if not script.endswith(".fish")
                    else f" -{'l' if flag[1] == '-' else 's'} {flag.lstrip('-')}"
                )
                assert shown in text, flag


def test_the_program_knows_what_it_is_asked_for() -> None:
    asked = {kind.name for kind in kinds(levels(program())) if isinstance(kind, Asked)}
    assert asked <= set(candidates.KINDS)
    assert {"tasks", "resumable", "profiles"} <= asked


def test_a_setting_that_has_values_has_them_in_its_option_too() -> None:
    options = {flag: option for option in TREE["generate",].options for flag in option.flags}
    for name in ("model", "aspect_ratio", "quality"):
        kind = options[f"--{name.replace('_', '-')}"].kind
        assert kind is not None
        assert (kind.name, KEYS[name].default in dict(kind.rows)) == (name, True)  # type: ignore[union-attr]


def test_help_is_told_whole() -> None:
    command = TREE["config", "set"]
    assert command.what.startswith("Store a setting.")
    [profile] = [option for option in command.options if "--profile" in option.flags]
    assert profile.brief == "The profile of the config to use"
    assert profile.group == "Service"
    generate = TREE["generate",]
    assert generate.examples[0] == 'seedream generate "a red fox in snow" -a 16:9'
    [model] = [option for option in generate.options if "-m" in option.flags]
    assert (model.flags, model.metavar) == (("-m", "--model"), "NAME")
    assert model.brief == "The model (default seedream-v4.5)"
    [limit] = [option for option in TREE["status",].options if "--limit" in option.flags]
    assert limit.default == "20"
