"""How a terminal shows pictures, by its environment and by its answer."""

from __future__ import annotations

import fcntl
import os
import pty
import runpy
import select
import struct
import sys
import termios
from collections.abc import Mapping

import pytest

from seedream_cli.output import terminals
from seedream_cli.output.terminals import Screen, Size, protocol, true_colours

SIXEL, NO_SIXEL, NOTHING = b"\x1b[?62;4;22c", b"\x1b[?62;22c", b""


def never() -> bytes:
    raise AssertionError("it was asked")


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"TERM": "xterm-kitty"}, "kitty"),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, "kitty"),
        ({"TERM": "xterm-ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "ghostty"}, "kitty"),
        ({"TERM_PROGRAM": "iTerm.app"}, "iterm2"),
        ({"LC_TERMINAL": "iTerm2"}, "iterm2"),
        ({"TERM_PROGRAM": "WezTerm"}, "iterm2"),
        ({"WEZTERM_PANE": "0"}, "iterm2"),
        ({"TERM_PROGRAM": "mintty"}, "iterm2"),
        ({"TERM_PROGRAM": "rio"}, "iterm2"),
    ],
)
def test_a_terminal_that_names_itself_is_not_asked(environment: Mapping[str, str], expected: str) -> None:
    assert protocol(environment, never) == expected


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"TERM": "xterm-256color"},
        {"TERM": "foot"},
        {"TERM_PROGRAM": "vscode"},
        {"KONSOLE_VERSION": "230804"},
        pytest.param({"TERM_PROGRAM": "vscode", "KITTY_WINDOW_ID": "1"}, id="started from kitty"),
        pytest.param({"KONSOLE_VERSION": "230804", "KITTY_WINDOW_ID": "1"}, id="Konsole from kitty"),
        pytest.param({"TERM": "tmux-256color", "TERM_PROGRAM": "tmux"}, id="tmux"),
        pytest.param({"TMUX": "/tmp/s,1,0", "TERM": "xterm-kitty"}, id="tmux in kitty"),  # noqa: S108
        pytest.param({"TMUX": "/tmp/s,1,0", "LC_TERMINAL": "iTerm2"}, id="tmux in iTerm2"),  # noqa: S108
        pytest.param({"TERM": "screen", "KITTY_WINDOW_ID": "1"}, id="screen in kitty"),
        pytest.param({"ZELLIJ": "0", "TERM": "xterm-kitty"}, id="zellij in kitty"),
    ],
)
def test_any_other_is_asked_and_gets_half_blocks_unless_it_has_sixel(environment: Mapping[str, str]) -> None:
    assert protocol(environment, lambda: SIXEL) == "sixel"
    assert protocol(environment, lambda: NO_SIXEL) == "blocks"
    assert protocol(environment, lambda: NOTHING) == "blocks"


@pytest.mark.parametrize(
    "answer", [b"\x1b[?4c", b"\x1b[?4;22c", b"\x1b[?64;14c", b"\x1b[?62;4", b"4c", b";4c"]
)
def test_the_class_of_a_terminal_and_what_only_looks_like_it_are_no_sixel(answer: bytes) -> None:
    assert protocol({}, lambda: answer) == "blocks"


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"COLORTERM": "truecolor"}, True),
        ({"COLORTERM": "24bit"}, True),
        ({"TERM": "xterm-direct"}, True),
        ({"WT_SESSION": "1"}, True),
        ({"COLORTERM": "yes", "TERM": "xterm-256color"}, False),
        ({}, False),
    ],
)
def test_24_bits_of_colour_are_announced(environment: Mapping[str, str], expected: bool) -> None:
    assert true_colours(environment) is expected


@pytest.mark.parametrize(
    ("packed", "size"),
    [
        ((30, 100, 1000, 600), Size(100, 30, 10, 20)),
        ((30, 100, 900, 480), Size(100, 30, 9, 16)),
        pytest.param((30, 100, 0, 0), Size(100, 30), id="no pixels"),
        pytest.param((30, 100, 99, 10), Size(100, 30), id="impossible pixels"),
        pytest.param((0, 0, 0, 0), Size(80, 24), id="nothing"),
    ],
)
def test_a_cell_has_the_pixels_that_the_terminal_tells(packed: tuple[int, ...], size: Size) -> None:
    master, slave = pty.openpty()
    try:
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *packed))
        assert Screen(slave).size() == size
    finally:
        os.close(master)
        os.close(slave)


def test_a_terminal_whose_answer_would_go_elsewhere_is_not_asked() -> None:
    """It is not the controlling one: another program in front of it would read the answer."""
    master, slave = pty.openpty()
    try:
        before = termios.tcgetattr(slave)
        assert Screen(slave, typed=slave).attributes() == b""
        assert not select.select([master], [], [], 0)[0]
        assert termios.tcgetattr(slave) == before
    finally:
        os.close(master)
        os.close(slave)


def test_where_there_is_no_termios_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, whose terminals have half blocks."""
    for name in ("fcntl", "termios"):
        monkeypatch.setitem(sys.modules, name, None)
    # Imported anew, instead of the module that all others have.
    monkeypatch.delitem(sys.modules, terminals.__name__)
    there = runpy.run_module(terminals.__name__)
    master, slave = pty.openpty()
    try:
        screen = there["Screen"](slave, typed=slave)
        assert screen.attributes() == b""
        assert (screen.size().columns, screen.size().lines) == (80, 24)
        assert not select.select([master], [], [], 0)[0]
    finally:
        os.close(master)
        os.close(slave)
