"""Zsh at a terminal, with compsys."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from completion.lines import IN_SHELLS, LOCAL, RATIOS, STATIC
from completion.logged_program import COMPLETIONS, LoggedProgram, readme_line
from support import needs
from support.shells import Shell

pytestmark = [pytest.mark.once, pytest.mark.slow]

START = r"""
autoload -U compinit
compinit -D -u
bindkey -e
report_line() { print -rn -- "$BUFFER"$'\0' >"$TOLD"; print -n '\0' }
zle -N report_line
bindkey '^G' report_line
# Insert all matches into the line.
zle -C all-matches complete-word _generic
bindkey '\e*' all-matches
zstyle ':completion:all-matches:*' completer _all_matches _complete
zstyle ':completion:all-matches:*' insert true
setopt no_beep
precmd() { print -n '\0' >"$TOLD" }
PS1='%% '
"""
THROUGH_FPATH = f"fpath=('{COMPLETIONS}' $fpath)"
SOURCED = f"source '{COMPLETIONS / '_seedream'}'"


def start(program: LoggedProgram, *, first: str = "", last: str = "") -> Shell:
    file = program.cwd.parent / ".zshrc"
    file.write_text("\n".join([first, START, last, ""]))
    program.environment["ZDOTDIR"] = str(file.parent)
    return Shell(program, [needs.program("zsh"), "-d", "-i"])


@pytest.fixture(scope="module")
def zsh(program: LoggedProgram) -> Iterator[Shell]:
    with start(program, first=THROUGH_FPATH) as shell:
        yield shell


@pytest.mark.parametrize("typed", IN_SHELLS)
def test_zsh_calls_the_program_once(program: LoggedProgram, zsh: Shell, typed: str) -> None:
    words, last = STATIC[typed], typed.rpartition(" ")[2]
    assert zsh.all(typed) == (words or [last] * bool(last))
    assert len(program.calls()) == 1


@pytest.mark.parametrize("typed", LOCAL)
def test_zsh_passes_the_words_to_the_program(program: LoggedProgram, zsh: Shell, typed: str) -> None:
    words, call = LOCAL[typed]
    assert zsh.all(typed) == words
    assert program.calls() == [f"completion {call}"]


@pytest.mark.parametrize(
    ("typed", "line"),
    [
        ("seedream gen", "seedream generate "),
        ("seedream generate -a 16:", "seedream generate -a 16:9 "),
        ("seedream generate --aspect-ratio=16:", "seedream generate --aspect-ratio=16:9 "),
        ("seedream generate -a '16:", "seedream generate -a '16:9' "),
        ('seedream generate --aspect-ratio="16:', "seedream generate --aspect-ratio=16:9 "),
        ("seedream generate -o fol", "seedream generate -o folder/"),
        ("seedream generate --output=fol", "seedream generate --output=folder/"),
        ("seedream generate --prompt-file a", "seedream generate --prompt-file a\\ prompt.md "),
        ("seedream generate --prompt-file=a\\ p", "seedream generate --prompt-file=a\\ prompt.md "),
        ("seedream generate fox > fol", "seedream generate fox > folder/"),
        ("SEEDREAM_MODEL=x seedream gen", "SEEDREAM_MODEL=x seedream generate "),
        ("seedream config set output fol", "seedream config set output folder/"),
        ("seedream generate fol", "seedream generate fol"),
        ("seedream generate --timeout fol", "seedream generate --timeout fol"),
        ("seedream status --profile my", "seedream status --profile my\\ work "),
        ("seedream status --profile=my\\ w", "seedream status --profile=my\\ work "),
        ("seedream status --profile it", "seedream status --profile it\\'s:so "),
    ],
)
def test_zsh_tab_completes_the_line(zsh: Shell, typed: str, line: str) -> None:
    assert zsh.tab(typed) == line


def test_zsh_lists_descriptions(zsh: Shell) -> None:
    shown = " ".join(zsh.shown("seedream generate -a ").split())
    for ratio, use in RATIOS:
        assert f"{ratio} -- {use}" in shown
    assert "--aspect-ratio -a -- The aspect ratio (default 1:1)" in " ".join(
        zsh.shown("seedream generate -").split()
    )
    assert "pending: a fox: 16:9 [b] 100% $(touch done)" in zsh.shown("seedream download img_")


def test_zsh_script_can_be_sourced(program: LoggedProgram) -> None:
    with start(program, last=SOURCED) as shell:
        assert shell.tab("apipod-seedream generate -a 16:") == "apipod-seedream generate -a 16:9 "
        assert shell.all("seedream status img_") == ["img_new", "img_old"]


def test_zsh_ignores_a_missing_program(program: LoggedProgram) -> None:
    with start(program, first=THROUGH_FPATH, last="PATH=/usr/bin:/bin") as shell:
        assert "found" not in shell.shown("seedream status ")
        assert shell.tab("seedream status ") == "seedream status "


def test_zsh_completes_with_the_line_of_the_readme(program: LoggedProgram) -> None:
    (program.cwd / "functions").mkdir()
    with start(program, first=f"fpath=('{program.cwd}/functions' $fpath); {readme_line('zsh')}") as shell:
        assert shell.tab("apipod-seedream generate -a 16:") == "apipod-seedream generate -a 16:9 "
