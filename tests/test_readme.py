"""What README and CHANGELOG say is what the program does."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
from pathlib import Path

import pytest
from faults import table as faults
from faults.test_random_runs import HOMES, TESTS
from support.program import Program

import seedream_cli
from seedream_cli.errors import ExitCode
from seedream_cli.models import ASPECT_RATIOS, MODELS
from seedream_cli.naming import FIELDS
from seedream_cli.settings import KEYS

ROOT = Path(seedream_cli.__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose first heading is this, without backquotes."""
    block = README[README.index(f"| {heading} |") :].split("\n\n")[0]
    return [
        [cell.strip().strip("`") for cell in line.strip("| ").split(" |")] for line in block.splitlines()[2:]
    ]


def test_its_exit_codes_are_the_programs() -> None:
    table = [[cell.replace("`", "") for cell in row] for row in rows("code")]
    assert table == [[str(int(code)), code.label, code.when.replace("`", "")] for code in ExitCode]


def test_the_helps_exit_codes_are_the_programs(seedream: Program) -> None:
    shown = " ".join(seedream("--help").stdout.split())
    for code in ExitCode:
        assert f"{int(code)} {code.label}" in shown


def test_its_settings_are_the_programs() -> None:
    expected = [
        [key.name, "` or `".join(key.variables), key.default or "", key.what] for key in KEYS.values()
    ]
    assert [[cell.strip("`") for cell in row] for row in rows("setting")] == expected


def test_its_table_of_faults_is_the_one_that_is_tested() -> None:
    table = list(faults.rows())
    often = re.compile(" (once|for ever)$")
    kinds, stages = {often.sub("", row.fault) for row in table}, {row.stage for row in table}
    assert f"a table of {len(table)} rows, {len(kinds)} faults" in README
    assert f"at {len(stages)} stages" in README
    assert f"{TESTS * HOMES} homes" in README


def test_its_models_and_ratios_are_the_programs() -> None:
    assert rows("aspect ratio") == [list(pair) for pair in ASPECT_RATIOS.items()]
    assert rows("model") == [
        [model.name, model.what, str(model.prompt_limit), ", ".join(model.qualities)]
        for model in MODELS.values()
    ]


def test_its_fields_of_names_are_the_programs() -> None:
    section = README[README.index("### Where images go") :]
    section = section[: section.index("\n## ")]
    assert set(re.findall(r"\{([a-z]+)\}", section)) == set(FIELDS) - {"name"}


def test_its_json_example_has_the_fields_that_the_program_prints(
    seedream: Program,
) -> None:
    example = json.loads(README.split("```json\n")[1].split("```")[0])
    document = seedream("generate", "fox", "--sandbox", "--json").document
    assert list(example) == list(document)
    assert list(example["tasks"][0]) == list(document["tasks"][0])
    assert list(example["tasks"][0]["files"][0]) == list(document["tasks"][0]["files"][0])


def test_its_two_commands_are_marked_for_ci() -> None:
    for name in ("install", "test"):
        [command] = re.findall(rf"<!-- command: {name} -->\n```sh\n(.+)\n```", README)
        assert command.startswith("python3 -m venv .venv && ")


def commands() -> list[list[str]]:
    """Every call of the program in README's shell blocks, as its words."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            for call in re.findall(r"(?:^|[(&|]\s*|\$\()(seedream [^|&#;)]*)", line):
                found.append(shlex.split(call)[1:])
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_its_examples_are_commands_and_options_that_exist(seedream: Program, words: list[str]) -> None:
    """Asked for help behind its other words, a call is parsed as far as an unknown option would be met."""
    done = seedream(*words[: 2 if words[0] == "config" else 1], "--help")
    assert done.exit_code == 0
    for option in (word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", done.stdout), option


@pytest.mark.parametrize(
    "command", [[], ["generate"], ["status"], ["download"], ["sandbox"], ["completion"], ["help"]]
)
def test_help_begins_with_examples(seedream: Program, command: list[str]) -> None:
    shown = seedream(*command, "-h").stdout
    assert shown == seedream(*command, "--help").stdout
    assert " ".join(["seedream", *command]) in shown.split("╭")[0].split("Usage:")[1].partition("\n")[2]


def test_the_changelogs_newest_heading_is_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    [newest, *_] = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)
    assert newest == seedream_cli.__version__ == importlib.metadata.version("apipod-seedream")


def test_the_version_is_printed(seedream: Program) -> None:
    assert seedream("--version").stdout == seedream("-V").stdout == f"seedream {seedream_cli.__version__}\n"
