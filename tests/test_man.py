"""The man pages: well-formed, and true to the program. completion/test_table.py keeps them fresh."""

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


def complaints(*command: str, page: Path) -> str:
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
def shown(page: str) -> str:
    """The page as a terminal of 80 columns shows it, without emphasis."""
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


def named(page: Path) -> Command:
    words = tuple(page.stem.split("-")[1:])
    return next(command for command in PROGRAM.walk() if command.path == words)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
@pytest.mark.parametrize("checker", [MANDOC, MAN], ids=lambda checker: checker[0])
def test_nothing_complains_of_a_page(checker: tuple[str, ...], page: Path) -> None:
    assert complaints(*checker, page=page) == ""


@pytest.mark.parametrize(
    ("checker", "mistake"), [(MANDOC, ".RS\n"), (MAN, ".SH \\[nonsense]\n")], ids=["mandoc", "man"]
)
def test_a_mistake_would_be_found(checker: tuple[str, ...], mistake: str, tmp_path: Path) -> None:
    broken = tmp_path / "seedream.1"
    broken.write_text((FOLDER / "seedream.1").read_text() + mistake)
    assert complaints(*checker, page=broken) != ""


def test_there_is_one_for_the_program_and_each_command() -> None:
    assert {page.name for page in PAGES} == {
        "seedream.1",
        *(f"seedream-{command.name}.1" for command in PROGRAM.commands),
    }


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_a_page_has_every_option_code_and_example(page: Path) -> None:
    text, command = shown(page.stem), named(page)
    for one in [command] if not command.path else command.walk():
        for option in one.options:
            value = f" {option.metavar}" if option.metavar else ""
            assert f" {', '.join(option.flags)}{value}" in text
    # Hyphens that can be searched for and copied, and no word broken in two.
    assert not {"‐", "−"} & set(text)
    codes = section(text, "EXIT STATUS")
    assert re.findall(r"^       (\d+) ", codes, re.MULTILINE) == [str(int(code)) for code in ExitCode]
    for example in command.examples:
        assert f"       {example}" in section(text, "EXAMPLES").splitlines()
    # An example stays on its line, to be copied.
    assert all(len(line) <= 80 for line in text.splitlines() if line.strip() not in command.examples)


def test_the_programs_page_has_every_variable_and_command() -> None:
    text = shown("seedream")
    for key in SETTINGS.values():
        for variable in key.variables:
            assert variable in section(text, "ENVIRONMENT")
    for command in PROGRAM.commands:
        assert f"seedream {command.name}\n" in section(text, "COMMANDS")
        assert f"seedream-{command.name}(1)" in section(text, "SEE ALSO")
    assert "config.toml" in section(text, "FILES")
