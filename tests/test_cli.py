from __future__ import annotations

import re
import sys
from pathlib import Path

import pytest
from support.program import Program

HELP = [["--help"], ["generate", "-h"], ["--version"], []]


@pytest.mark.parametrize("arguments", HELP)
def test_help_and_version_go_to_stdout_and_exit_0(seedream: Program, arguments: list[str]) -> None:
    done = seedream(*arguments)
    assert (done.exit_code, done.stderr) == (0, "")
    assert "seedream" in done.stdout


@pytest.mark.parametrize("arguments", HELP)
def test_help_whose_reader_leaves_early_is_no_failure(seedream: Program, arguments: list[str]) -> None:
    done = seedream.shell(f"seedream {' '.join(arguments)} | true; echo ${{PIPESTATUS[0]}}")
    assert (done.stdout, done.stderr) == ("0\n", "")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
@pytest.mark.parametrize("arguments", HELP)
def test_help_on_a_full_disk_is_one_line(seedream: Program, arguments: list[str]) -> None:
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
def test_a_typo_gets_a_suggestion(seedream: Program, arguments: list[str], suggestion: str) -> None:
    done = seedream(*arguments)
    assert done.exit_code == 2
    assert suggestion in done.stderr


@pytest.mark.parametrize("variables", [{"GITHUB_ACTIONS": "true"}, {"FORCE_COLOR": "0"}, {"NO_COLOR": "1"}])
def test_help_in_a_pipe_has_no_colours(seedream: Program, variables: dict[str, str]) -> None:
    assert "\x1b" not in seedream("generate", "--help", env=variables).stdout


def test_help_fits_80_columns(seedream: Program) -> None:
    for command in ([], ["generate"], ["status"], ["download"], ["sandbox"], ["config"], ["config", "set"]):
        assert all(len(line) <= 80 for line in seedream(*command, "--help").stdout.splitlines())


def test_help_shows_the_variables_and_defaults_of_settings(seedream: Program) -> None:
    shown = re.sub(r"[\s│]+", " ", seedream("generate", "--help").stdout)
    assert "env SEEDREAM_ASPECT_RATIO; default 1:1" in shown


def test_the_distributions_own_name_starts_the_same_program(seedream: Program) -> None:
    for name in ("seedream", "apipod-seedream"):
        done = seedream.shell(f'"{Path(sys.executable).parent / name}" --version')
        assert done.stdout == seedream("--version").stdout
