"""Runner of the program on a pseudo-terminal, with a terminal emulator that reads its screen."""

from __future__ import annotations

import fcntl
import os
import pty
import select
import struct
import subprocess
import sys
import termios
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from types import TracebackType
from typing import Any, Self

import pyte

from .program import COMMAND, Program

#: Script that makes stdin the controlling terminal, as a shell does, and executes the program.
_LAUNCHER = """
import fcntl, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
if sys.argv[1] == "nohup":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
os.execv(sys.argv[2], sys.argv[2:])
"""


@dataclass(frozen=True)
class TerminalResult:
    """Lines on the screen after the end (without blank ones), and all bytes that were received."""

    exit_code: int
    lines: list[str]
    raw: bytes

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Terminal:
    """A run of `seedream` with a terminal as stdin, stdout and stderr.

    ``stdout`` may be a file instead. With ``nohup`` the program survives when the terminal hangs up.
    ``command`` replaces `seedream`. ``reads`` is the number of bytes that are read at once.

    ``screens`` are all screens so far, the latest last. A screen is its lines without trailing blanks.
    """

    def __init__(
        self,
        program: Program,
        *arguments: str,
        columns: int = 80,
        lines: int = 24,
        env: Mapping[str, str] | None = None,
        stdout: Path | None = None,
        nohup: bool = False,
        command: Sequence[str] = COMMAND,
        reads: int = 65536,
    ) -> None:
        self.columns = columns
        self.raw = b""
        self._reads = reads
        self.screens: list[str] = [""]
        self._screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self._screen)
        self._changed = threading.Condition()
        self._master, slave = pty.openpty()
        # A pipe that ends the reader before its descriptor is closed, whose number could be reused.
        self._done, self._end = os.pipe()
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
        file = os.open(stdout, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) if stdout else slave
        try:
            self.process = subprocess.Popen(
                [sys.executable, "-IS", "-c", _LAUNCHER, "nohup" if nohup else "", *command, *arguments],
                stdin=slave,
                stdout=file,
                stderr=slave,
                env={**program.environment, **(env or {})},
                cwd=program.cwd,
                start_new_session=True,
            )
        finally:
            for descriptor in {slave, file}:
                os.close(descriptor)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def screen(self) -> str:
        return self.screens[-1]

    def screen_until(self, predicate: Callable[[str], object], *, timeout: float = 20) -> str:
        """Wait for a screen that fulfils the predicate, and return it. Earlier screens count too."""
        seen = 0
        deadline = monotonic() + timeout
        with self._changed:
            while True:
                for screen in self.screens[seen:]:
                    if predicate(screen):
                        return screen
                seen = len(self.screens)
                left = deadline - monotonic()
                assert left > 0, f"no such screen; the last one is:\n{self.screen}"
                assert self._reader.is_alive(), (
                    f"it ended without such a screen; the last one is:\n{self.screen}"
                )
                self._changed.wait(min(left, 0.2))

    def raw_until(self, expected: bytes, *, timeout: float = 20) -> None:
        """Wait until these bytes were received."""
        deadline = monotonic() + timeout
        with self._changed:
            while expected not in self.raw:
                assert monotonic() < deadline, f"{expected!r} did not come: {self.raw[-200:]!r}"
                assert self._reader.is_alive(), f"it ended without {expected!r}: {self.raw[-200:]!r}"
                self._changed.wait(0.2)

    def cells(self) -> list[list[tuple[str, str, str]]]:
        """Return rows of (character, foreground, background), with colours as in pyte ("ff0000")."""
        rows = [self._screen.buffer[number] for number in range(self._screen.lines)]
        return [[row[number][:3] for number in range(self.columns)] for row in rows]

    def modes(self) -> list[Any]:
        """Return the terminal's modes as termios does."""
        return termios.tcgetattr(self._master)

    def send(self, typed: bytes) -> None:
        """Type these bytes."""
        os.write(self._master, typed)

    def hang_up(self) -> int:
        """Close the terminal, as closing its window does, and return the exit code."""
        self._close_master()
        return self.process.wait(timeout=30)

    def result(self) -> TerminalResult:
        """Wait for the end of the program."""
        exit_code = self.process.wait(timeout=60)
        self._reader.join(timeout=10)
        lines = [line for line in self.screen.split("\n") if line]
        self.close()
        return TerminalResult(exit_code, lines, self.raw)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self._close_master()

    def _close_master(self) -> None:
        if self._master < 0:
            return
        os.close(self._end)
        self._reader.join()
        os.close(self._done)
        os.close(self._master)
        self._master = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        while True:
            ready, _, _ = select.select([self._master, self._done], [], [])
            try:
                data = os.read(self._master, self._reads) if self._master in ready else b""
            except OSError:
                # Linux raises it when no process has the other end open.
                data = b""
            with self._changed:
                if data:
                    self.raw += data
                    self._stream.feed(data)
                    self.screens.append("\n".join(line.rstrip() for line in self._screen.display))
                self._changed.notify_all()
            if not data:
                return
