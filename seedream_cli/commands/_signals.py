"""SIGINT, SIGTERM and SIGHUP end any wait at once, and nothing is left half-done."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..errors import ExitCode, Stopped

#: Seconds for which a second signal is taken for an echo of the first; later it ends the program where it is.
PATIENCE = 2.0


class Stop:
    """Whether the program was asked to end, and how it obeys."""

    def __init__(self) -> None:
        self._asked = False
        self._asked_at = 0.0
        self._shields = 0
        self._raised = False
        self.exit_code = ExitCode.INTERRUPTED
        #: All work is done or given up, and only its answer is still to be written.
        self.answering = False

    @property
    def asked(self) -> bool:
        return self._asked

    def ask(self, exit_code: ExitCode) -> None:
        """Obey a signal; runs in the main thread, between any two of its steps."""
        if self._asked:
            # The first one is being obeyed, and another must not interrupt the tidying up, unless that hangs.
            if time.monotonic() - self._asked_at > PATIENCE:
                os._exit(exit_code)
            return
        self.exit_code, self._asked_at = exit_code, time.monotonic()
        self._asked = True
        if self.answering:
            # The work is over, and whoever reads the answer may have stopped reading.
            os._exit(exit_code)
        self._raise_unless_shielded()

    def pause(self, seconds: float) -> None:
        """Wait ``seconds``; raises Stopped when asked to end, also if that was earlier."""
        # No lock is waited for here: the handler, which runs in this thread, could find it taken. It raises
        # out of the sleep.
        if not self._asked:
            time.sleep(seconds)
        if self._asked:
            raise Stopped(self.exit_code)

    @contextmanager
    def shield(self) -> Iterator[None]:
        """A block that no signal interrupts; one that came is obeyed at its end."""
        self._shields += 1
        try:
            yield
        finally:
            self._shields -= 1
        if self._asked:
            self._raise_unless_shielded()

    def _raise_unless_shielded(self) -> None:
        if self._shields == 0 and not self._raised:
            self._raised = True
            raise Stopped(self.exit_code)


@contextmanager
def obeyed(stop: Stop) -> Iterator[None]:
    """Turn signals into Stopped where the program is, once; signals that the caller had ignored stay so."""

    def obey(number: int, frame: FrameType | None) -> None:
        stop.ask(ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    ours = [number for number in numbers if before[number] is not signal.SIG_IGN]
    try:
        for number in ours:
            signal.signal(number, obey)
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
