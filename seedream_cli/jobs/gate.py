"""What the calls of one run share: the rate limit that one of them meets is everyone's."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from ..errors import RateLimited
from ..retry import FIRST_BACKOFF

#: Seconds between two calls after the first refusal, where the limit is not known yet.
FIRST_SPACING = 0.05
#: By what the spacing grows at a refusal, and shrinks at every call that is let through.
GROWTH, RELIEF = 1.5, 0.995


class Gate:
    """Lets calls pass one behind the other as long as a rate limit wants it. Shared between threads.

    Once a call is refused (429), none leaves before the time that the answer asks for, and those that
    wait leave with a distance that grows with every further refusal. ``clock`` is monotonic, in seconds.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._next = self._closed_until = 0.0
        self._spacing = 0.0
        #: How many refusals there were: whoever had a place before one has to look for another.
        self._refusals = 0

    def turn(self, pause: Callable[[float], None], patience: float) -> tuple[int, float]:
        """Wait for a place, with ``pause``; the place, and the seconds that were waited.

        Raises RateLimited at once where no call may leave for more than ``patience`` seconds.
        """
        began = self._clock()
        return self._wait(pause, patience), self._clock() - began

    def let_through(self) -> None:
        """The call was no call too many."""
        with self._lock:
            self._spacing *= RELIEF

    def refused(self, place: int, error: RateLimited) -> None:
        """The call of this place was one too many."""
        with self._lock:
            self._closed_until = max(self._closed_until, self._clock() + (error.retry_after or FIRST_BACKOFF))
            self._next = max(self._next, self._closed_until)
            # Calls that left together are refused together: that is one refusal.
            if place == self._refusals:
                self._refusals += 1
                self._spacing = max(self._spacing * GROWTH, FIRST_SPACING)

    def _wait(self, pause: Callable[[float], None], patience: float) -> int:
        while True:
            with self._lock:
                place, now = self._refusals, self._clock()
                if (left := self._closed_until - now) > patience:
                    raise RateLimited("the rate limit lets no call through", retry_after=left)
                mine = max(now, self._next)
                self._next = mine + self._spacing
            if mine > now:
                pause(mine - now)
            # Meanwhile, a call that left earlier may have been refused, and for longer.
            if place == self._refusals and mine >= self._closed_until:
                return place
