"""`seedream help COMMAND` is `seedream COMMAND --help`."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from support.program import Program, Result

from scripts.tree import program

COMMANDS = [command.path for command in program().walk()]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_it_prints_what_the_command_itself_does(
    forked: Callable[..., Result], command: tuple[str, ...]
) -> None:
    told = forked("help", *command)
    assert (told.exit_code, told.stderr) == (0, "")
    assert told.stdout == forked(*command, "--help").stdout
    assert " ".join(("Usage: seedream", *command)) in told.stdout


@pytest.mark.parametrize(
    ("words", "message", "next_command"),
    [
        (["genrate"], "Did you mean 'generate'?", "seedream --help"),
        (["config", "sett"], "Did you mean 'set'", "seedream config --help"),
        (["generate", "fox"], "seedream generate has no command 'fox'", "seedream generate --help"),
        (["--", "--version"], "seedream has no command '--version'", "seedream --help"),
    ],
)
def test_a_command_that_is_none_gets_a_suggestion(
    seedream: Program, words: list[str], message: str, next_command: str
) -> None:
    done = seedream("help", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.splitlines()[-1].strip() == next_command


@pytest.mark.parametrize("words", [["--", "status", "--"], ["--", "config", "path", "--json"]])
def test_it_runs_nothing_but_help(seedream: Program, words: list[str]) -> None:
    """Behind a second `--` the words would be a command's arguments."""
    done = seedream("help", *words)
    assert (done.exit_code, done.stdout) == (2, "")
    assert not seedream.state.exists()
