"""`seedream completion SHELL` prints the script in completions/."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.program import Program

from seedream_cli.commands.completion import SCRIPTS

FOLDER = Path(__file__).parents[2] / "completions"


@pytest.mark.parametrize("shell", SCRIPTS)
def test_completion_prints_the_script_of_a_shell(seedream: Program, shell: str) -> None:
    done = seedream("completion", shell)
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.raw == FOLDER.joinpath(SCRIPTS[shell]).read_bytes()
    assert seedream("completion", shell, "--json").document == {
        "shell": shell,
        "script": done.stdout,
        "error": None,
    }


def test_completion_of_an_unknown_shell_suggests_a_known_one(seedream: Program) -> None:
    done = seedream("completion", "zhs")
    assert (done.exit_code, done.stdout) == (2, "")
    assert "'zsh'" in done.stderr
    assert seedream("completion", "tcsh", "--json").document["error"]["code"] == "unknown_shell"


def test_completion_ignores_an_invalid_config(seedream: Program) -> None:
    seedream.write_config("[")
    assert seedream("completion", "bash").exit_code == 0


@pytest.mark.parametrize("option", ["--install-completion", "--show-completion"])
def test_completion_of_typer_is_disabled(seedream: Program, option: str) -> None:
    """It edits start-up files, is slow at every Tab, and cannot complete words with a colon (`16:9`)."""
    assert seedream(option).exit_code == 2
