"""The program as a process: help, version, typos, and a hostile environment."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from support.program import Program

pytestmark = [pytest.mark.started, pytest.mark.slow]

HELP = [["--help"], ["generate", "-h"], ["--version"], []]


@pytest.mark.parametrize("arguments", HELP)
def test_help_and_version_are_printed_on_stdout(seedream: Program, arguments: list[str]) -> None:
    done = seedream(*arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "seedream" in done.stdout
    # A closed pipe is not an error.
    done = seedream.shell(f"seedream {' '.join(arguments)} | true; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", HELP[1:])
def test_help_on_a_full_disk_is_a_one_line_error(seedream: Program, arguments: list[str]) -> None:
    done = seedream.shell(f"seedream {' '.join(arguments)} > /dev/full")
    assert done.exit_code == 9
    assert done.stderr.splitlines() == ["error: stdout cannot be written to: No space left on device"]


@pytest.mark.parametrize(
    ("arguments", "suggestion"),
    [
        (["generate", "x", "--aspct-ratio", "1:1"], "--aspect-ratio"),
        (["genrate", "x"], "generate"),
        (["config", "set", "aspect_ration", "1:1"], "aspect_ratio"),
    ],
)
def test_typo_gets_a_suggestion(seedream: Program, arguments: list[str], suggestion: str) -> None:
    done = seedream(*arguments)
    assert done.exit_code == 2
    assert suggestion in done.stderr


@pytest.mark.parametrize("variables", [{"GITHUB_ACTIONS": "true"}, {"FORCE_COLOR": "0"}, {"NO_COLOR": "1"}])
def test_help_in_a_pipe_has_no_colours(seedream: Program, variables: dict[str, str]) -> None:
    assert "\x1b" not in seedream("generate", "--help", env=variables).stdout


def test_both_installed_commands_start_the_program(seedream: Program) -> None:
    for name in ("seedream", "apipod-seedream"):
        done = seedream.shell(f'"{Path(sys.executable).parent / name}" --version')
        assert done.stdout == seedream("--version").stdout


#: Runs the program with a Typer that takes the system for Windows. Typer expands only arguments that it reads
#: from sys.argv itself, so the arguments are put there.
AS_ON_WINDOWS = """
import os, sys, types
import typer.core

assert callable(typer.core._click.utils._expand_args), "Typer has renamed this function"
typer.core.os = types.SimpleNamespace(**{**vars(os), "name": "nt"})
main = typer.core._main

def main_with_sys_argv(self, *, args=None, **options):
    sys.argv[1:] = args or sys.argv[1:]
    return main(self, args=None, **options)

typer.core._main = main_with_sys_argv
from seedream_cli.__main__ import main as program
program()
"""


def test_arguments_are_not_expanded_on_windows(seedream: Program) -> None:
    """A variable in a prompt could be the key, and `*` would become file names."""
    (seedream.cwd / "fox.png").touch()
    seedream.use("http://127.0.0.1:1/v1", key="sk-canary-4f9d2c7be1")
    prompt = "a $SEEDREAM_API_KEY ${SEEDREAM_API_KEY} %SEEDREAM_API_KEY%"
    for argument in (prompt, "*.png", "~"):
        done = subprocess.run(
            [sys.executable, "-c", AS_ON_WINDOWS, "generate", argument, "--dry-run", "--json"],
            env=seedream.environment,
            cwd=seedream.cwd,
            capture_output=True,
            check=True,
        )
        assert json.loads(done.stdout)["requests"][0]["json"]["prompt"] == argument


@pytest.mark.parametrize("value", ["²", "wide", "9" * 5000], ids=["digit", "word", "too many digits"])
def test_invalid_terminal_size_variables_are_ignored(seedream: Program, value: str) -> None:
    done = seedream("--help", env=dict.fromkeys(("COLUMNS", "LINES", "TERMINAL_WIDTH"), value))
    assert (done.exit_code, done.stderr) == (0, "")
    assert "seedream" in done.stdout
