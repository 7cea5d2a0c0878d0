"""Signal handling: SIGINT, SIGTERM and SIGHUP end any wait at once and leave no partial work."""

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
#: Length of one sleep of a pause, in seconds: the longest delay before a signal is noticed.
SLICE_SECONDS = 0.25


class Shutdown:
    """The state of a shutdown by signal: whether it was requested, and when Stopped may be raised."""

    def __init__(self) -> None:
        self._requested = False
        self._requested_at = 0.0
        self._deferred = 0
        self._raised = False
        self.exit_code = ExitCode.INTERRUPTED
        #: True once only the result is left to write. A signal then exits at once.
        self.is_finishing = False

    @property
    def is_requested(self) -> bool:
        return self._requested

    def request(self, exit_code: ExitCode) -> None:
        """Handle a signal. Called in the main thread, between any two bytecode instructions."""
        if self._requested:
            # A second signal must not interrupt the clean-up after the first, unless the clean-up hangs.
            if time.monotonic() - self._requested_at > ECHO_SECONDS:
                os._exit(exit_code)
            return
        self.exit_code, self._requested_at = exit_code, time.monotonic()
        self._requested = True
        if self.is_finishing:
            # Do not raise: the tasks are done, and a write to stdout may block for good if nobody reads it.
            os._exit(exit_code)
        self._raise_unless_deferred()

    def pause(self, seconds: float) -> None:
        """Sleep for ``seconds``. Raises Stopped on a signal, even on one that arrived earlier."""
        # Use no lock: the handler runs in this thread and could deadlock. It raises out of sleep().
        # Sleep in slices: a signal that arrives just before sleep() begins does not interrupt it.
        end = time.monotonic() + seconds
        while not self._requested and (seconds_left := end - time.monotonic()) > 0:
            time.sleep(min(seconds_left, SLICE_SECONDS))
        if self._requested:
            raise Stopped(self.exit_code)

    @contextmanager
    def defer_signals(self) -> Iterator[None]:
        """Run a block that no signal interrupts. A signal that arrives during it is handled at its end."""
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
    """Raise Stopped in the main thread on the first signal. Signals ignored by the caller stay ignored."""

    def handle(number: int, frame: FrameType | None) -> None:
        shutdown.request(ExitCode.INTERRUPTED if number == signal.SIGINT else ExitCode.TERMINATED)

    numbers = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in numbers}
    handled = [number for number in numbers if before[number] is not signal.SIG_IGN]
    try:
        for number in handled:
            signal.signal(number, handle)
        yield
    finally:
        for number in handled:
            signal.signal(number, before[number])
