"""`seedream help COMMAND` is `seedream COMMAND --help`."""

from __future__ import annotations

import re
from typing import ClassVar

import pytest
from support.program import Program, hint

from scripts.tree import Command, program
from seedream_cli.settings.schema import SETTINGS

TREE = list(program().walk())
COMMANDS = [command.path for command in TREE]


def texts(command: Command) -> list[str]:
    """Return the help texts of a command: of its options, its arguments, and its paragraphs."""
    options = [option.what for option in command.options]
    arguments = [argument.what for argument in command.arguments]
    return [*options, *arguments, *command.paragraphs]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_help_prints_help_of_command(seedream: Program, command: tuple[str, ...]) -> None:
    done = seedream("help", *command)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout == seedream(*command, "--help").stdout
    assert " ".join(("Usage: seedream", *command)) in done.stdout


@pytest.mark.parametrize(
    ("words", "suggestion", "next_command"),
    [
        (["genrate"], "'generate'", ["--help"]),
        (["config", "sett"], "'set'", ["config", "--help"]),
        (["generate", "fox"], "'fox'", ["generate", "--help"]),
        (["--", "--version"], "'--version'", ["--help"]),
    ],
)
def test_help_suggests_similar_command(
    seedream: Program, words: list[str], suggestion: str, next_command: list[str]
) -> None:
    done = seedream("help", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert suggestion in done.stderr
    assert hint(done) == next_command


@pytest.mark.parametrize("words", [["--", "status", "--"], ["--", "config", "path", "--json"]])
def test_help_runs_no_command(seedream: Program, words: list[str]) -> None:
    """After a second `--` the words would be arguments of the command."""
    done = seedream("help", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert not seedream.state.exists()


@pytest.mark.parametrize("command", TREE, ids=lambda command: " ".join(command.path))
class TestHelpOfEveryCommand:
    PLAIN: ClassVar[dict[tuple[str, ...], str]] = {}

    def shown(self, seedream: Program, command: Command) -> str:
        if command.path not in self.PLAIN:
            self.PLAIN[command.path] = seedream(*command.path, "-h").stdout
        return self.PLAIN[command.path]

    def before_options(self, seedream: Program, command: Command) -> str:
        return re.split(r"^\w+:$", self.shown(seedream, command), flags=re.MULTILINE)[0]

    def test_is_plain_text_with_80_columns_in_pipe(self, seedream: Program, command: Command) -> None:
        plain = self.shown(seedream, command)
        assert all(len(line) <= 80 for line in plain.splitlines())
        in_a_log = seedream(*command.path, "-h", env={"GITHUB_ACTIONS": "true", "CI": "true"})
        assert in_a_log.stdout == plain
        # FORCE_COLOR changes nothing but the colours.
        coloured = seedream(*command.path, "-h", env={"FORCE_COLOR": "1"}).stdout
        assert "\x1b[" in coloured
        assert "\x1b" not in plain
        assert re.sub(r"\x1b\[[0-9;]*m", "", coloured) == plain
        assert not re.search(r"\[/?(?:bold|dim|italic|red|green|cyan|yellow|link)\b", plain)

    @pytest.mark.parametrize("columns", ["40", "80"])
    def test_keeps_names_whole_if_narrow(self, seedream: Program, command: Command, columns: str) -> None:
        shown = seedream(*command.path, "-h", env={"COLUMNS": columns}).stdout
        assert all(flag in shown for option in command.options for flag in option.flags)
        letters = re.sub(r"\s+", "", shown)
        for text in texts(command):
            assert "".join(text.split()) in letters

    def test_begins_with_examples(self, seedream: Program, command: Command) -> None:
        assert command.examples
        own = " ".join(("seedream", *command.path))
        assert all(own in example for example in command.examples)
        before_options = self.before_options(seedream, command)
        for example in command.examples:
            assert f"\n  {example.strip()}\n" in before_options

    def test_has_named_groups(self, seedream: Program, command: Command) -> None:
        unnamed = {option.flags[-1] for option in command.options if option.group == "Options"}
        assert unnamed <= {"--help", "--version"}
        shown = self.shown(seedream, command)
        for option in command.options:
            assert f"\n{option.group}:\n" in shown
            assert option.flags[-1] in shown

    def test_shows_variables_and_defaults(self, seedream: Program, command: Command) -> None:
        shown = re.sub(r"\s+", " ", self.shown(seedream, command))
        for option in command.options:
            setting = SETTINGS.get(option.flags[-1].removeprefix("--").replace("-", "_"))
            if setting is not None:
                default = f"; default {setting.default}" if setting.default is not None else ""
                facts = f"(env {' or '.join(setting.variables)}{default}"
                assert f"{facts})." in shown or f"{facts}; " in shown
            for variable in option.variables:
                assert f"[env var: {variable}" in shown
            if option.default is not None:
                assert re.search(rf"default: {re.escape(option.default)}[];]", shown), option
