"""Interactive shells at a terminal: type a line, press Tab, and read the line or the screen."""

from __future__ import annotations

import os
import select
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from .program import Program
from .terminal import Terminal

TAB = b"\t"
#: Alt-*, which start-up files bind to the insertion of all matches.
INSERT_ALL = b"\x1b*"
#: Ctrl-G, which start-up files bind to a function that reports the line.
REPORT = b"\x07"
#: Ctrl-A and Ctrl-K, which delete the line.
CLEAR = b"\x01\x0b"


class Shell:
    """A shell at a terminal, whose start-up file must bind Ctrl-G to a function that reports the line.

    The function writes the line and a NUL to `$REPORT`, and a NUL to the terminal. Each prompt writes a NUL
    to `$REPORT`. After a report, all keys before it have been handled and their effect is on the screen.
    """

    def __init__(
        self,
        program: Program,
        command: Sequence[str],
        *,
        columns: int = 120,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._pipe = Path(program.environment["TMPDIR"], f"report-{id(self)}")
        os.mkfifo(self._pipe)
        # Open for writing too, so that there is no end of file between two writers.
        self._reports = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK)
        variables = {**(env or {}), "REPORT": str(self._pipe)}
        self._terminal = Terminal(program, command=command, columns=columns, lines=60, env=variables)
        self._next_report()

    def tab(self, typed: str, *, times: int = 1) -> str:
        """Return the line after Tab."""
        return self._line_after(typed.encode() + times * TAB)

    def all(self, typed: str) -> list[str]:
        """Return all words that are offered at the cursor."""
        line = self._line_after(typed.encode() + INSERT_ALL)
        before = typed[: typed.rindex(" ") + 1]
        assert line.startswith(before), line
        return line.removeprefix(before).split()

    def shown(self, typed: str, *, times: int = 2) -> str:
        """Return the output of the shell after Tab was pressed ``times``."""
        before = len(self._terminal.raw)
        self._line_after(typed.encode() + times * TAB)
        return self._terminal.raw[before:].decode("utf-8", "replace")

    def run(self, command: str) -> None:
        """Run a command in the shell, and wait until it asks for the next one."""
        self._terminal.send(command.encode() + b"\r")
        self._next_report()

    def _line_after(self, keys: bytes) -> str:
        """Send keys, return the line that they result in, and clear it."""
        shown = self._terminal.raw.count(b"\0")
        self._terminal.send(keys + REPORT)
        line = self._next_report()
        deadline = time.monotonic() + 20
        while self._terminal.raw.count(b"\0") == shown:
            assert time.monotonic() < deadline, self._terminal.screen
            time.sleep(0.005)
        self._terminal.send(CLEAR)
        return line

    def _next_report(self) -> str:
        deadline = time.monotonic() + 20
        read = b""
        while not read.endswith(b"\0"):
            ready, _, _ = select.select([self._reports], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"the shell is silent; its screen is:\n{self._terminal.screen}"
            read += os.read(self._reports, 65536)
        return read[:-1].decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._terminal.close()
        os.close(self._reports)
        self._pipe.unlink()
