"""The terminal behind stderr: how it shows pictures, how large it is, and what it answers."""

from __future__ import annotations

import os
import re
import select
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Literal

from msgspec import Struct

try:
    import fcntl
    import struct
    import termios
except ImportError:
    # Windows: nothing can be asked, and pixels are not known.
    termios = None  # type: ignore[assignment]

#: kitty's graphics, iTerm2's inline images, DEC's sixels, or half blocks, which are text.
Protocol = Literal["kitty", "iterm2", "sixel", "blocks"]

#: Seconds. What is at hand answers in some milliseconds, and what is at the end of a bad line within this:
#: an answer that nobody waits for any more would be read by the shell, as if it had been typed.
PATIENCE = 2.0

_OF_TERM: Mapping[str, Protocol] = {"xterm-kitty": "kitty", "xterm-ghostty": "kitty"}
_OF_PROGRAM: Mapping[str, Protocol] = {
    "ghostty": "kitty",
    "iTerm.app": "iterm2",
    "WezTerm": "iterm2",
    "mintty": "iterm2",
    "rio": "iterm2",
}
_MULTIPLEXERS = ("TMUX", "STY", "ZELLIJ")

#: Primary Device Attributes, as the answer has them; 4 among them is sixel.
#: https://vt100.net/docs/vt510-rm/DA1.html
_ASK = b"\x1b[c"
_ANSWER = re.compile(rb"\x1b\[\?([0-9;]*)c")
_SIXEL = b"4"


def protocol(environment: Mapping[str, str], answer: Callable[[], bytes]) -> Protocol:
    """How this terminal shows pictures.

    What is named by the environment is believed; any other is asked: ``answer`` gives its Primary Device
    Attributes, or nothing.
    """
    if (named := _named(environment)) is not None:
        return named
    found = _ANSWER.search(answer())
    return "sixel" if found and _SIXEL in found[1].split(b";")[1:] else "blocks"


def _named(environment: Mapping[str, str]) -> Protocol | None:
    term = environment.get("TERM", "")
    if any(map(environment.get, _MULTIPLEXERS)) or term.startswith(("tmux", "screen")):
        # What is around a multiplexer is of no use: it lets nothing through that it does not know.
        return None
    if term in _OF_TERM:
        return _OF_TERM[term]
    if program := environment.get("TERM_PROGRAM"):
        # Each one that sets it is the innermost; the variables below may be left from one around it.
        return _OF_PROGRAM.get(program)
    if environment.get("LC_TERMINAL") == "iTerm2" or environment.get("WEZTERM_PANE"):
        return "iterm2"
    if environment.get("KONSOLE_VERSION"):
        # It knows a part of each of the three, and sixel whole; old ones do not, and say so.
        return None
    return "kitty" if environment.get("KITTY_WINDOW_ID") else None


def true_colours(environment: Mapping[str, str]) -> bool:
    """Whether it takes colours of 24 bits; 256 of them are taken for granted."""
    return (
        environment.get("COLORTERM") in ("truecolor", "24bit")
        or environment.get("TERM", "").endswith("-direct")
        or bool(environment.get("WT_SESSION"))
    )


class Size(Struct, frozen=True):
    """Of a terminal, in cells, and of a cell, in pixels."""

    columns: int
    lines: int
    #: Where the terminal does not tell: only the proportion matters then.
    cell_width: int = 10
    cell_height: int = 20


class Screen:
    """The terminal behind the descriptor ``drawn``; what is typed at it comes from ``typed``.

    ``shield`` gives a block that no signal interrupts.
    """

    def __init__(
        self,
        drawn: int,
        *,
        typed: int = 0,
        shield: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._drawn = drawn
        self._typed = typed
        self.shield = shield

    def size(self) -> Size:
        columns, lines = os.get_terminal_size(self._drawn)
        # A terminal that does not know is 0 by 0.
        columns, lines = columns or 80, lines or 24
        if termios is not None:
            packed = fcntl.ioctl(self._drawn, termios.TIOCGWINSZ, bytes(8))
            _, _, width, height = struct.unpack("HHHH", packed)
            if width >= columns and height >= lines:
                return Size(columns, lines, width // columns, height // lines)
        return Size(columns, lines)

    def write(self, data: bytes) -> None:
        """All of the data, past Python's buffers: what a signal interrupts is not written later."""
        rest = memoryview(data)
        while rest:
            try:
                rest = rest[os.write(self._drawn, rest[:16384]) :]
            except BlockingIOError:
                # Another program left the terminal in this mode.
                select.select([], [self._drawn], [])

    def attributes(self) -> bytes:
        """What the terminal answers to the question for its Primary Device Attributes, if it does."""
        if termios is None or not self._is_in_front():
            return b""
        # A signal waits for the answer: the terminal has to be given back as it was.
        with self.shield():
            before = termios.tcgetattr(self._typed)
            try:
                modes = termios.tcgetattr(self._typed)
                modes[3] &= ~(termios.ICANON | termios.ECHO)
                modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
                termios.tcsetattr(self._typed, termios.TCSANOW, modes)
                if self._comes_within(0):
                    # What is typed already is the next program's to read.
                    return b""
                self.write(_ASK)
                return self._answer()
            finally:
                termios.tcsetattr(self._typed, termios.TCSANOW, before)

    def _answer(self) -> bytes:
        answer = b""
        deadline = time.monotonic() + PATIENCE
        while not _ANSWER.search(answer) and self._comes_within(deadline - time.monotonic()):
            # Byte by byte: what follows the answer is not ours.
            if not (byte := os.read(self._typed, 1)):
                break
            answer += byte
        return answer

    def _comes_within(self, seconds: float) -> bool:
        return bool(select.select([self._typed], [], [], max(seconds, 0))[0])

    def _is_in_front(self) -> bool:
        """Whether the terminal's answer would come to this program, which may change its modes."""
        try:
            same = os.fstat(self._typed).st_rdev == os.fstat(self._drawn).st_rdev
            # Fails for what is not the controlling terminal.
            return same and os.isatty(self._typed) and os.tcgetpgrp(self._typed) == os.getpgrp()
        except OSError:
            return False
