"""Client-side rate limiter, shared by all threads of one run.

The API does not publish its limit. Calls are unlimited until one is answered with 429; from then on they
are spaced out, at half the rate after every 429 and a little faster after every call that was let through.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable

from ..errors import RateLimited
from .retry import FIRST_BACKOFF

#: Calls a second after the first 429, when nothing else is known about the limit.
FIRST_RATE = 10.0
#: Calls a second that are always tried, so that the rate can recover from a long series of 429.
LOWEST_RATE = 0.1
#: Calls a second that every successful call adds: the rate doubles in about 14 seconds.
INCREASE = 0.05


class RateLimiter:
    """Spaces out the calls of several threads. ``clock`` is monotonic, in seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        #: Calls a second.
        self._rate = math.inf
        #: When the next call may leave, and before which moment none may.
        self._next_slot = self._blocked_until = -math.inf
        self._limited_at = -math.inf

    def acquire(self, pause: Callable[[float], None], patience: float) -> float:
        """Wait with ``pause`` until the call may leave. Return that time, for :meth:`on_rate_limited`.

        Raises RateLimited at once if the server lets no call through for more than ``patience`` seconds.
        """
        slot = 0.0
        limited_at: float | None = None
        while True:
            with self._lock:
                now = self._clock()
                if (blocked := self._blocked_until - now) > patience:
                    raise RateLimited("the rate limit lets no call through", retry_after=blocked)
                if limited_at != self._limited_at or slot < self._blocked_until:
                    # The first slot, or one that a later 429 has made void.
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
            # Calls that were on their way together are refused together: that is one refusal.
            if left_at > self._limited_at:
                self._rate = FIRST_RATE if math.isinf(self._rate) else max(self._rate / 2, LOWEST_RATE)
                self._limited_at = self._next_slot = now
            # A Retry-After of (nearly) nothing would have all threads call again at once.
            wait = max(error.retry_after or 0.0, FIRST_BACKOFF)
            self._blocked_until = max(self._blocked_until, now + wait)
