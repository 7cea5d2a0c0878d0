"""Bash at a terminal, with and without bash-completion."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from completion.lines import IN_SHELLS, LOCAL, RATIOS, STATIC
from completion.logged_program import COMPLETIONS, LoggedProgram, readme_line
from support import needs
from support.shells import Shell

pytestmark = [pytest.mark.once, pytest.mark.slow]

BASH_COMPLETION = Path("/usr/share/bash-completion/bash_completion")

START = r"""
report_line() { printf '%s\0' "$READLINE_LINE" >"$TOLD"; printf '\0'; }
bind -x '"\C-g": report_line'
bind '"\e*": insert-completions'
bind 'set bell-style none'
bind 'set completion-query-items 0'
bind 'set page-completions off'
bind 'set enable-bracketed-paste off'
PROMPT_COMMAND='printf "\0" >"$TOLD"'
PS1='$ '
"""


def start(program: LoggedProgram, *lines: str) -> Shell:
    file = program.cwd.parent / "bashrc"
    file.write_text("\n".join([START, *lines, ""]))
    return Shell(program, [needs.program("bash"), "--noprofile", "--rcfile", str(file), "-i"])


@pytest.fixture(scope="module", params=["by itself", "with bash-completion"])
def bash(program: LoggedProgram, request: pytest.FixtureRequest) -> Iterator[Shell]:
    lines = [f". '{COMPLETIONS / 'seedream.bash'}'"]
    if request.param == "with bash-completion":
        if not BASH_COMPLETION.exists():
            needs.missing("bash-completion")
        lines.insert(0, f". {BASH_COMPLETION}")
    with start(program, *lines) as shell:
        yield shell


@pytest.mark.parametrize("typed", IN_SHELLS)
def test_bash_calls_the_program_once(program: LoggedProgram, bash: Shell, typed: str) -> None:
    assert bash.all(typed) == bash_words(typed, STATIC[typed])
    assert len(program.calls()) == 1


@pytest.mark.parametrize("typed", LOCAL)
def test_bash_passes_the_words_to_the_program(program: LoggedProgram, bash: Shell, typed: str) -> None:
    words, call = LOCAL[typed]
    assert bash.all(typed) == bash_words(typed, words)
    assert program.calls() == [f"completion {call}"]


def bash_words(typed: str, words: list[str]) -> list[str]:
    """Return the words as bash inserts them: of several, only the first has the part before `=` or `:`."""
    last = typed.rpartition(" ")[2]
    if not words:
        return [last] if last else []
    stem = last[: max(last.rfind("="), last.rfind(":")) + 1]
    return [words[0], *(word.removeprefix(stem) for word in words[1:])]


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("seed", "seedream "),
        ("seedream gen", "seedream generate "),
        ("seedream generate --aspect-ratio=16:", "seedream generate --aspect-ratio=16:9 "),
        # In quotes, readline splits nowhere.
        ("seedream generate -a '16:", "seedream generate -a '16:9' "),
        ('seedream generate --aspect-ratio="16:', 'seedream generate --aspect-ratio="16:9" '),
        # The common beginning of several words.
        ("seedream generate -m seedream-v", "seedream generate -m seedream-v4.5"),
        # Other commands and assignments on the line.
        ("SEEDREAM_MODEL=x seedream gen", "SEEDREAM_MODEL=x seedream generate "),
        ("seedream status; seedream gen", "seedream status; seedream generate "),
        ("seedream   generate    'a  b'   --asp", "seedream   generate    'a  b'   --aspect-ratio "),
        ("seedream generate a=b:c --asp", "seedream generate a=b:c --aspect-ratio "),
        # Paths, completed by readline itself.
        ("seedream generate -o fol", "seedream generate -o folder/"),
        ("seedream generate --output=fol", "seedream generate --output=folder/"),
        ("seedream generate --prompt-file a", "seedream generate --prompt-file a\\ prompt.md "),
        ("seedream generate --prompt-file=a\\ p", "seedream generate --prompt-file=a\\ prompt.md "),
        ("seedream config set output fol", "seedream config set output folder/"),
        # Redirections: their files are completed, and they are not arguments.
        ("seedream generate fox > fol", "seedream generate fox > folder/"),
        ("seedream generate fox 2>>fol", "seedream generate fox 2>>folder/"),
        ("seedream config set > a:b quali", "seedream config set > a:b quality "),
        ("seedream config 2> x set quality 4", "seedream config 2> x set quality 4K "),
        # No path is offered for a value that is not one.
        ("seedream generate fol", "seedream generate fol"),
        ("seedream generate --timeout fol", "seedream generate --timeout fol"),
        # Names of profiles can need quotes.
        ("seedream status --profile my", "seedream status --profile my\\ work "),
        ("seedream status --profile 'my", "seedream status --profile 'my work' "),
        ("seedream status --profile=my", "seedream status --profile=my\\ work "),
        ("seedream status --profile it", "seedream status --profile it\\'s:so "),
    ],
)
def test_bash_tab_completes_the_line(bash: Shell, typed: str, line: str) -> None:
    assert bash.tab(typed) == line


def test_bash_lists_descriptions(bash: Shell) -> None:
    lines = [" ".join(line.split()) for line in bash.shown("seedream generate -a ").splitlines()]
    assert [line for line in lines if "(" in line] == [f"{ratio} ({use})" for ratio, use in RATIOS]
    shown = " ".join(bash.shown("seedream generate -m seedream-v4.5").split())
    assert "seedream-v4.5 (text to image)" in shown
    assert "--aspect-ratio" in bash.shown("seedream generate --")
    assert "(pending: a fox: 16:9 [b] 100% $(touch done)" in bash.shown("seedream download img_")


def test_bash_keeps_the_text_after_the_cursor(bash: Shell) -> None:
    back = "\x1b[D" * len(" --json")
    assert bash.tab(f"seedream generate -a 16: --json{back}") == "seedream generate -a 16:9 --json"


def test_bash_completes_under_unusual_shell_options(program: LoggedProgram) -> None:
    settings = "set -u; shopt -s extglob nullglob; IFS=-:; touch -- '-m' 'status'; COLUMNS=40"
    with start(program, f". '{COMPLETIONS / 'seedream.bash'}'", settings) as shell:
        assert shell.all("seedream generate -a 1") == ["1:1", "16:9"]
        assert shell.tab("seedream generate --asp") == "seedream generate --aspect-ratio "
        assert shell.all("seedream status img_") == ["img_new", "img_old"]
        assert shell.tab("seedream generate fo") == "seedream generate fo"


def test_bash_calls_the_program_that_was_typed(program: LoggedProgram) -> None:
    (program.cwd / "bin").mkdir()
    other = program.cwd / "bin" / "seedream"
    other.write_text('#!/bin/sh\nprintf "img_other\\tx\\n"\n')
    other.chmod(0o755)
    lines = [f". '{COMPLETIONS / 'seedream.bash'}'", "alias sd=seedream; complete -F _seedream sd"]
    with start(program, *lines) as shell:
        assert shell.tab("bin/seedream status ") == "bin/seedream status img_other "
        assert shell.tab("sd status img_n") == "sd status img_new "


def test_bash_completion_loads_the_script_for_both_commands(program: LoggedProgram) -> None:
    if not BASH_COMPLETION.exists():
        needs.missing("bash-completion")
    folder = program.cwd.parent / "data" / "bash-completion" / "completions"
    folder.mkdir(parents=True)
    for name in ("seedream", "apipod-seedream"):
        shutil.copy(COMPLETIONS / f"{name}.bash", folder / name)
    for name in ("seedream", "apipod-seedream"):
        with start(program, f"XDG_DATA_HOME='{folder.parents[1]}'", f". {BASH_COMPLETION}") as shell:
            assert shell.tab(f"{name} generate -a 16:") == f"{name} generate -a 16:9 "


def test_bash_ignores_a_missing_program(program: LoggedProgram) -> None:
    with start(program, f". '{COMPLETIONS / 'seedream.bash'}'", "PATH=/usr/bin:/bin") as shell:
        assert "found" not in shell.shown("seedream status ")
        assert shell.tab("seedream status ") == "seedream status "


def test_bash_completes_with_the_line_of_the_readme(program: LoggedProgram) -> None:
    with start(program, readme_line("bash")) as shell:
        assert shell.tab("apipod-seedream generate -a 16:") == "apipod-seedream generate -a 16:9 "
