"""Interactive shells on a terminal, to test completion with the Tab key."""

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
#: Esc *: insert all completions.
ALL = b"\x1b*"
#: Ctrl-G: report the line.
REPORT = b"\x07"
#: Ctrl-A Ctrl-K: clear the line.
CLEAR = b"\x01\x0b"


class Shell:
    """A shell that reports its edited line.

    Its start-up file must bind Ctrl-G to a function that writes the line and a NUL to the pipe `$TOLD`, and a
    NUL to the terminal. At each prompt it must write to the pipe too. A reported line has been typed,
    completed and displayed.
    """

    def __init__(
        self,
        program: Program,
        command: Sequence[str],
        *,
        columns: int = 120,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._pipe = Path(program.environment["TMPDIR"], f"line-{id(self)}")
        os.mkfifo(self._pipe)
        # Opened for writing as well, so that reading does not end between two writers.
        self._told = os.open(self._pipe, os.O_RDWR | os.O_NONBLOCK)
        variables = {**(env or {}), "TOLD": str(self._pipe)}
        self._terminal = Terminal(program, command=command, columns=columns, lines=60, env=variables)
        self._next()

    def tab(self, typed: str, *, times: int = 1) -> str:
        """Return the line after pressing Tab."""
        return self._line_after(typed.encode() + times * TAB)

    def all(self, typed: str) -> list[str]:
        """Return all completions of the word at the cursor."""
        line = self._line_after(typed.encode() + ALL)
        before = typed[: typed.rindex(" ") + 1]
        assert line.startswith(before), line
        return line.removeprefix(before).split()

    def shown(self, typed: str, *, times: int = 2) -> str:
        """Return the output of the terminal when Tab is pressed ``times`` times."""
        before = len(self._terminal.raw)
        self._line_after(typed.encode() + times * TAB)
        return self._terminal.raw[before:].decode("utf-8", "replace")

    def run(self, command: str) -> None:
        """Run a command in the shell, and wait for the next prompt."""
        self._terminal.send(command.encode() + b"\r")
        self._next()

    def _line_after(self, keys: bytes) -> str:
        shown = self._terminal.raw.count(b"\0")
        self._terminal.send(keys + REPORT)
        line = self._next()
        deadline = time.monotonic() + 20
        while self._terminal.raw.count(b"\0") == shown:
            assert time.monotonic() < deadline, self._terminal.screen
            time.sleep(0.005)
        self._terminal.send(CLEAR)
        return line

    def _next(self) -> str:
        deadline = time.monotonic() + 20
        read = b""
        while not read.endswith(b"\0"):
            ready, _, _ = select.select([self._told], [], [], max(0, deadline - time.monotonic()))
            assert ready, f"the shell reported nothing; its screen is:\n{self._terminal.screen}"
            read += os.read(self._told, 65536)
        return read[:-1].decode()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._terminal.close()
        os.close(self._told)
        self._pipe.unlink()
