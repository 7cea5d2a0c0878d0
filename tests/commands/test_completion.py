"""`seedream completion SHELL` prints the script that is kept with the sources, and writes nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.program import Program

from seedream_cli.commands.completion import SCRIPTS

FOLDER = Path(__file__).parents[2] / "completions"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_it_prints_the_script(seedream: Program, shell: str) -> None:
    done = seedream("completion", shell)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.raw == FOLDER.joinpath(SCRIPTS[shell]).read_bytes()
    assert seedream("completion", shell, "--json").document == {
        "shell": shell,
        "script": done.stdout,
        "error": None,
    }


def test_a_shell_that_there_is_no_script_for_gets_a_suggestion(seedream: Program) -> None:
    done = seedream("completion", "zhs")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "'zsh'" in done.stderr
    assert seedream("completion", "tcsh", "--json").document["error"]["code"] == "unknown_shell"


def test_a_config_that_cannot_be_read_is_no_obstacle(seedream: Program) -> None:
    seedream.config.parent.mkdir(parents=True)
    seedream.config.write_text("[")
    assert seedream("completion", "bash").exit_code == 0


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_typers_own_completion_is_off(seedream: Program, option: str) -> None:
    """It edits start-up files, loads all of Typer at every Tab, and completes nothing after `16:`."""
    assert seedream(option).exit_code == 2
