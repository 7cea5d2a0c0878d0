"""What the calls of one run share: the rate limit that one of them meets is everyone's.

Nobody tells what the limit is, so that it is found by being met, as a sender finds what a network takes.
After every refusal the rate rises at once to a little below the one that was refused, stays about there,
and tries for more later and later (the curve is that of CUBIC, RFC 9438).
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator
from contextlib import closing

from ..errors import RateLimited
from ..retry import FIRST_BACKOFF

#: Calls a second after the first refusal, where nothing is known of the limit. They double every second.
FIRST_RATE = 20.0
#: What is gone back to of the rate at a refusal; and to begin with, of what was let through on average: a
#: limit may be above that, but only for as long as what it had saved up lasts.
BELOW, BEGINNING = 0.97, 0.95
#: No guess halves more than twice.
_LEAST = 0.25
#: Seconds from the one to the other, and then until the rate would be twice what was refused.
_RISE, _TRIAL = 4.0, 60.0
#: The last calls that tell at what rate calls really leave: there may be none to leave any faster.
_LAST = 16
#: Whoever has long to wait looks up halfway: the others may have become faster.
_LONG = 0.2


class Gate:
    """Lets calls pass one behind the other as long as a rate limit wants it. Shared between threads.

    Once a call is refused (429), none leaves before the time that the answer asks for, and those that
    wait leave in the order in which they came. ``clock`` is monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: Who waits, the first in front.
        self._line: list[object] = []
        self._next = self._closed_until = 0.0
        #: How many refusals there were: a call that left before one says nothing new with its own.
        self._refusals = 0
        self._refused_at = 0.0
        #: Calls a second with which the gate opens again, and to which they rise; 0: that is a guess yet.
        self._low = self._high = 0.0
        #: Calls that were let through since the last refusal, and when the last of them were.
        self._passed = 0
        self._times: deque[float] = deque(maxlen=_LAST + 1)

    def turn(self, pause: Callable[[float], None], patience: float) -> tuple[int, float]:
        """Wait for a place, with ``pause``; the place, and the seconds that were waited.

        Raises RateLimited at once where no call may leave for more than ``patience`` seconds.
        """
        began = self._clock()
        with closing(self.waits(patience)) as waits:
            while True:
                try:
                    seconds = next(waits)
                except StopIteration as left:
                    return left.value, self._clock() - began
                pause(seconds)

    def waits(self, patience: float) -> Generator[float, None, int]:
        """What ``turn`` waits, in seconds, one pause after the other; returns the place."""
        me = object()
        with self._lock:
            self._line.append(me)
        try:
            while True:
                with self._lock:
                    if (seconds := self._left(me, patience)) <= 0:
                        return self._refusals
                yield seconds
        finally:
            with self._lock:
                self._line.remove(me)

    def let_through(self) -> None:
        """The call was no call too many."""
        with self._lock:
            self._passed += 1
            self._times.append(self._clock())

    def refused(self, place: int, error: RateLimited) -> None:
        """The call of this place was one too many."""
        asked_for = error.retry_after or FIRST_BACKOFF
        with self._lock:
            now = self._clock()
            # Calls that left together are refused together: that is one refusal.
            if place == self._refusals:
                if self._refusals:
                    self._learn(now, least=1 / asked_for)
                self._refusals += 1
                self._refused_at = now
                self._passed = 0
                self._times.clear()
            self._closed_until = max(self._closed_until, now + asked_for)

    def _left(self, me: object, patience: float) -> float:
        """Seconds until it is worth looking up again; 0 for whoever leaves now."""
        now = self._clock()
        if (closed := self._closed_until - now) > patience:
            raise RateLimited("the rate limit lets no call through", retry_after=closed)
        spacing = 1 / self._rate(now) if self._refusals else 0.0
        due = max(self._closed_until, self._next)
        seconds = due + self._line.index(me) * spacing - now
        if seconds <= 0:
            # Who leaves a little late takes nothing away from the next.
            self._next = max(due, now - spacing) + spacing
            return 0.0
        return seconds if seconds < _LONG else max(closed, seconds / 2)

    def _rate(self, now: float) -> float:
        """Calls a second."""
        elapsed = max(now - self._closed_until, 0.0)
        if not self._high:
            return float(FIRST_RATE * 2 ** min(elapsed, 10.0))
        if elapsed < _RISE:
            return float(self._high - (self._high - self._low) * (1 - elapsed / _RISE) ** 3)
        return float(self._high * (1 + ((elapsed - _RISE) / _TRIAL) ** 3))

    def _learn(self, now: float, *, least: float) -> None:
        """Take a refusal for what it says of the limit; ``least`` calls a second are asked for by itself."""
        rate = self._rate(now)
        if len(self._times) > _LAST:
            rate = min(rate, _LAST / max(now - self._times[0], 1e-6))
        average = self._passed / max(now - self._refused_at, 1e-6)
        self._high = max(BELOW * rate, least)
        self._low = min(max(BEGINNING * average, _LEAST * self._high), self._high)
