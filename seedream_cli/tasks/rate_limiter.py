"""Client-side rate limiter, shared by all threads of one run.

The API does not publish its limit. Calls are unlimited until one is answered with 429. From then on they are
spaced out: at half the rate after every 429, and a little faster after every successful call (AIMD).
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from ..errors import RateLimited
from .retry import FIRST_BACKOFF, requested_wait

#: Calls per second after the first 429, when nothing else is known about the limit.
FIRST_RATE = 10.0
#: Lowest number of calls per second, so that the rate can recover from a long series of 429.
LOWEST_RATE = 0.1
#: Calls per second that every successful call adds: the rate doubles in about 14 seconds.
INCREASE = 0.05


class RateLimiter:
    """Spaces out the calls of several threads. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: Calls per second.
        self._rate = math.inf
        #: When the next call may leave.
        self._next_slot = -math.inf
        #: No call may leave before this time, which is that of the longest ``Retry-After``.
        self._blocked_until = -math.inf
        #: When the rate was last reduced.
        self._limited_at = -math.inf

    def acquire(self, pause: Callable[[float], None], max_wait: float) -> float:
        """Wait with ``pause`` until the call may leave. Return that time, for :meth:`on_rate_limited`.

        Raises RateLimited at once if the server asked for a longer wait than ``max_wait`` seconds.
        """
        slot = 0.0
        limited_at: float | None = None
        while True:
            with self._lock:
                now = self._clock()
                if (blocked := self._blocked_until - now) > 0:
                    requested_wait(
                        RateLimited("the rate limit lets no call through", retry_after=blocked), max_wait
                    )
                if limited_at != self._limited_at or slot < self._blocked_until:
                    # No slot yet, or a later 429 has invalidated it.
                    limited_at = self._limited_at
                    slot = max(now, self._next_slot, self._blocked_until)
                    self._next_slot = slot + 1 / self._rate
                if slot <= now:
                    return now
            pause(slot - now)

    def on_success(self) -> None:
        """Record a call that was not rate limited."""
        with self._lock:
            self._rate += INCREASE

    def on_rate_limited(self, error: RateLimited, left_at: float) -> None:
        """Record a 429 for the call that ``acquire`` let leave at ``left_at``."""
        with self._lock:
            now = self._clock()
            # Calls that were in flight together are refused together. Only the first one reduces the rate.
            if left_at > self._limited_at:
                self._rate = FIRST_RATE if math.isinf(self._rate) else max(self._rate / 2, LOWEST_RATE)
                self._limited_at = self._next_slot = now
            # After "Retry-After: 0" all threads would call again at once.
            wait = max(requested_wait(error, math.inf), FIRST_BACKOFF)
            self._blocked_until = max(self._blocked_until, now + wait)
