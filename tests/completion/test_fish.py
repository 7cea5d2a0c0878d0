"""Fish, asked with its own `complete -C`, and at a terminal."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from completion.lines import IN_SHELLS, LOCAL, RATIOS, STATIC
from completion.logged_program import COMPLETIONS, LoggedProgram, readme_line
from support import needs
from support.shells import Shell

pytestmark = [pytest.mark.once, pytest.mark.slow]

PROMPT = r"""
function report_line; printf '%s\0' (commandline) >$TOLD; printf '\0'; end
function fish_prompt; printf '\0' >$TOLD; printf '> '; end
function fish_greeting; end
bind \cg report_line
bind \t complete
set -g fish_autosuggestion_enabled 0
"""

Complete = Callable[[str], list[list[str]]]

SOURCED = f"source '{COMPLETIONS / 'seedream.fish'}'"


def completed(
    program: LoggedProgram, typed: str, script: str, *options: str, **variables: str
) -> list[list[str]]:
    """Return the rows of `complete -C` in a new fish: word and description."""
    done = subprocess.run(
        [needs.program("fish"), *options, "-c", f"{script}; complete -C $TYPED"],
        env=program.environment | {"TYPED": typed} | variables,
        cwd=program.cwd,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""
    return [line.split("\t") for line in done.stdout.splitlines()]


@pytest.fixture
def fish(program: LoggedProgram) -> Complete:
    return lambda typed: completed(program, typed, SOURCED, "--no-config")


@pytest.mark.parametrize("typed", IN_SHELLS)
def test_fish_calls_the_program_once(program: LoggedProgram, fish: Complete, typed: str) -> None:
    assert [word for word, *_ in fish(typed)] == STATIC[typed]
    assert len(program.calls()) == 1


@pytest.mark.parametrize("typed", LOCAL)
def test_fish_passes_the_words_to_the_program(program: LoggedProgram, fish: Complete, typed: str) -> None:
    words, call = LOCAL[typed]
    assert [word for word, *_ in fish(typed)] == words
    assert program.calls() == [f"completion {call}"]


def test_fish_lists_descriptions(fish: Complete) -> None:
    assert fish("seedream generate -a ") == [list(row) for row in RATIOS]
    assert fish("seedream generate --asp") == [["--aspect-ratio", "The aspect ratio (default 1:1)"]]
    assert fish("seedream gen")[0][1].startswith("Generate an image")
    [[_, shown]] = fish("seedream status img_n")
    assert shown.startswith("pending: a fox: 16:9 [b] 100% $(touch done)")


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("seedream generate -o fol", ["folder/"]),
        ("seedream generate --output=fol", ["--output=folder/"]),
        ("seedream generate -o ~/wor", ["~/work/"]),
        ("seedream generate --prompt-file a", ["a prompt.md"]),
        ("seedream generate --prompt-file=a\\ p", ["--prompt-file=a prompt.md"]),
        ("seedream generate fox > fol", ["folder/"]),
        ("SEEDREAM_MODEL=x seedream config get qual", ["quality"]),
        ("seedream config set output fol", ["folder/"]),
        ("seedream sync fol", ["folder/"]),
        ("seedream generate fol", []),
        ("seedream generate --timeout fol", []),
        ("seedream config set base_url fol", []),
        ("seedream status --profile ", ["default", "my work", "it's:so"]),
    ],
)
def test_fish_completes_paths_and_profiles(fish: Complete, typed: str, words: list[str]) -> None:
    assert [word for word, *_ in fish(typed)] == words


def test_fish_ignores_a_missing_program(program: LoggedProgram) -> None:
    assert completed(program, "seedream status ", SOURCED, "--no-config", PATH="/usr/bin:/bin") == []


@pytest.mark.parametrize("name", ["seedream", "apipod-seedream"])
def test_fish_finds_the_scripts_of_both_commands(program: LoggedProgram, name: str) -> None:
    folder = program.cwd.parent / "data" / "fish" / "vendor_completions.d"
    folder.mkdir(parents=True, exist_ok=True)
    for file in ("seedream.fish", "apipod-seedream.fish"):
        shutil.copy(COMPLETIONS / file, folder)
    found = completed(program, f"{name} generate -a 16:", "true", XDG_DATA_DIRS=str(folder.parents[1]))
    assert found == [["16:9", "thumbnails, banners"]]


def test_fish_completes_with_the_line_of_the_readme(program: LoggedProgram, tmp_path: Path) -> None:
    home = {"HOME": str(tmp_path), "XDG_CONFIG_HOME": str(tmp_path / ".config")}
    # The first start of fish creates its folders.
    with Shell(program, [needs.program("fish"), "-i", "-C", PROMPT], env=home) as shell:
        shell.run(readme_line("fish"))
    found = completed(program, "seedream generate -a 16:", "true", **home)
    assert found == [["16:9", "thumbnails, banners"]]


@pytest.fixture(scope="module")
def terminal(program: LoggedProgram) -> Iterator[Shell]:
    with Shell(program, [needs.program("fish"), "--no-config", "-i", "-C", f"{SOURCED}; {PROMPT}"]) as shell:
        yield shell


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("seedream gen", "seedream generate "),
        ("seedream generate -a 16:", "seedream generate -a 16:9 "),
        ("seedream generate --aspect-ratio=16:", "seedream generate --aspect-ratio=16:9 "),
        ("seedream status --profile my", "seedream status --profile my\\ work "),
        ("seedream status --profile it", "seedream status --profile it\\'s:so "),
        ("seedream generate --prompt-file a", "seedream generate --prompt-file a\\ prompt.md "),
    ],
)
def test_fish_tab_completes_the_line(terminal: Shell, typed: str, line: str) -> None:
    assert terminal.tab(typed) == line
