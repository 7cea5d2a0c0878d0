"""The man pages are well-formed and complete. completion/test_table.py checks that they are fresh."""

from __future__ import annotations

import os
import re
import subprocess
from functools import cache
from pathlib import Path

import pytest
from support import needs

from scripts.tree import Command, program
from seedream_cli.errors import ExitCode
from seedream_cli.settings.schema import SETTINGS

pytestmark = pytest.mark.once

FOLDER = Path(__file__).parents[1] / "man"
PAGES = sorted(FOLDER.iterdir())
PROGRAM = program()
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "MANWIDTH": "80", "MANPAGER": "cat", "PATH": os.environ["PATH"]}


def warnings_of(*command: str, page: Path) -> str:
    done = subprocess.run(
        [needs.program(command[0]), *command[1:], page],
        env=ENVIRONMENT,
        stdout=subprocess.PIPE if command[0] == "mandoc" else subprocess.DEVNULL,
        stderr=subprocess.STDOUT if command[0] == "mandoc" else subprocess.PIPE,
        text=True,
        check=False,
        timeout=60,
    )
    return (done.stdout or "") + (done.stderr or "") + (f"exit {done.returncode}" if done.returncode else "")


MANDOC = ("mandoc", "-Tlint", "-W", "warning")
MAN = ("man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z")


@cache
def rendered(page: str) -> str:
    """Return the page as a terminal of 80 columns shows it, without bold and italics."""
    done = subprocess.run(
        [needs.program("man"), "-E", "UTF-8", "-l", str(FOLDER / f"{page}.1")],
        env=ENVIRONMENT,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return re.sub(".\b", "", done.stdout)


def section(text: str, name: str) -> str:
    return re.split(r"^(?=\S)", text.partition(f"\n{name}\n")[2], maxsplit=1, flags=re.MULTILINE)[0]


def command_of(page: Path) -> Command:
    words = tuple(page.stem.split("-")[1:])
    return next(command for command in PROGRAM.walk() if command.path == words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.parametrize("checker", [MANDOC, MAN], ids=lambda checker: checker[0])
def test_man_page_has_no_warnings(checker: tuple[str, ...], page: Path) -> None:
    assert warnings_of(*checker, page=page) == ""


@pytest.mark.parametrize(
    ("checker", "mistake"), [(MANDOC, ".RS\n"), (MAN, ".SH \\[nonsense]\n")], ids=["mandoc", "man"]
)
def test_checker_finds_a_mistake(checker: tuple[str, ...], mistake: str, tmp_path: Path) -> None:
    broken = tmp_path / "seedream.1"
    broken.write_text((FOLDER / "seedream.1").read_text() + mistake)
    assert warnings_of(*checker, page=broken) != ""


def test_program_and_each_command_have_a_man_page() -> None:
    assert {page.name for page in PAGES} == {
        "seedream.1",
        *(f"seedream-{command.name}.1" for command in PROGRAM.commands),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_man_page_has_every_option_exit_code_and_example(page: Path) -> None:
    text, command = rendered(page.stem), command_of(page)
    for subcommand in [command] if not command.path else command.walk():
        for option in subcommand.options:
            value = f" {option.metavar}" if option.metavar else ""
            assert f" {', '.join(option.flags)}{value}" in text
    # ASCII hyphens can be searched for and copied; a hyphenated word cannot.
    assert not {"‐", "−"} & set(text)
    codes = section(text, "EXIT STATUS")
    assert re.findall(r"^       (\d+) ", codes, re.MULTILINE) == [str(int(code)) for code in ExitCode]
    for example in command.examples:
        assert f"       {example}" in section(text, "EXAMPLES").splitlines()
    # Examples may be longer: they must stay on one line to be copied.
    assert all(len(line) <= 80 for line in text.splitlines() if line.strip() not in command.examples)


def test_man_page_of_the_program_has_every_variable_and_command() -> None:
    text = rendered("seedream")
    for setting in SETTINGS.values():
        for variable in setting.variables:
            assert variable in section(text, "ENVIRONMENT")
    for command in PROGRAM.commands:
        assert f"seedream {command.name}\n" in section(text, "COMMANDS")
        assert f"seedream-{command.name}(1)" in section(text, "SEE ALSO")
    assert "config.toml" in section(text, "FILES")
