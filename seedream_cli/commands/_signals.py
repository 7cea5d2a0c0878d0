"""Signal handling: SIGINT, SIGTERM and SIGHUP end any wait at once without leaving anything half-done."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from ..errors import ExitCode, Stopped

#: Seconds in which a second signal is ignored as an echo of the first. A later one exits at once.
ECHO_SECONDS = 2.0
#: The longest that a signal can go unnoticed in a pause, in seconds.
SLICE_SECONDS = 0.25


class Shutdown:
    """Whether a signal asked the program to end, and when it may raise Stopped."""

    def __init__(self) -> None:
        self._requested = False
        self._requested_at = 0.0
        self._deferred = 0
        self._raised = False
        self.exit_code = ExitCode.INTERRUPTED
        #: Only the result is still to be written; a signal then exits at once.
        self.is_finishing = False

    @property
    def is_requested(self) -> bool:
        return self._requested

    def request(self, exit_code: ExitCode) -> None:
        """Handle a signal. Runs in the main thread, between any two of its bytecodes."""
        if self._requested:
            # The first signal is being handled, and a second must not interrupt the clean-up unless it hangs.
            if time.monotonic() - self._requested_at > ECHO_SECONDS:
                os._exit(exit_code)
            return
        self.exit_code, self._requested_at = exit_code, time.monotonic()
        self._requested = True
        if self.is_finishing:
            # The work is done, and the reader of stdout may have stopped reading.
            os._exit(exit_code)
        self._raise_unless_deferred()

    def pause(self, seconds: float) -> None:
        """Wait ``seconds``. Raises Stopped on a signal, also on one that came earlier."""
        # Take no lock here: the handler runs in this thread and could find it taken. It raises out of sleep.
        # Sleep in slices: a signal that arrives just before sleep() begins does not interrupt it.
        end = time.monotonic() + seconds
        while not self._requested and (left := end - time.monotonic()) > 0:
            time.sleep(min(left, SLICE_SECONDS))
        if self._requested:
            raise Stopped(self.exit_code)

    @contextmanager
    def defer_signals(self) -> Iterator[None]:
        """Run a block that no signal interrupts; a signal that came meanwhile is handled at its end."""
        self._deferred += 1
        try:
            yield
        finally:
            self._deferred -= 1
        if self._requested:
            self._raise_unless_deferred()

    def _raise_unless_deferred(self) -> None:
        if self._deferred == 0 and not self._raised:
            self._raised = True
            raise Stopped(self.exit_code)


@contextmanager
def signal_handlers(shutdown: Shutdown) -> Iterator[None]:
    """Turn the first signal into Stopped, raised where the main thread is. Ignored signals stay ignored."""

    def handle(number: int, frame: FrameType | None) -> None:
        shutdown.request(ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    ours = [number for number in numbers if before[number] is not signal.SIG_IGN]
    try:
        for number in ours:
            signal.signal(number, handle)
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])
