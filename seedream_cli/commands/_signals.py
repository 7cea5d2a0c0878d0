"""SIGINT, SIGTERM and SIGHUP end any wait at once, and nothing is left half-done."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..errors import ExitCode, Stopped


class Stop:
    """Whether the program was asked to end, and a pause that such a request cuts short."""

    def __init__(self) -> None:
        self._asked = threading.Event()
        self.exit_code = ExitCode.INTERRUPTED

    def ask(self, exit_code: ExitCode) -> None:
        self.exit_code = exit_code
        self._asked.set()

    @property
    def asked(self) -> bool:
        return self._asked.is_set()

    def pause(self, seconds: float) -> None:
        """Wait ``seconds``; raises Stopped when asked to end, also if that was earlier."""
        if self._asked.wait(seconds):
            raise Stopped(self.exit_code)


@contextmanager
def obeyed(stop: Stop) -> Iterator[None]:
    """Turn signals into Stopped where the program is, once; signals that the caller had ignored stay so."""

    def obey(number: int, frame: FrameType | None) -> None:
        # While the first one is being obeyed, another must not interrupt the tidying up.
        if not stop.asked:
            stop.ask(ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED)
            raise Stopped(stop.exit_code)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    ours = [number for number in numbers if before[number] is not signal.SIG_IGN]
    for number in ours:
        signal.signal(number, obey)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
