"""The rate limit of the fake API: one token bucket for each API key, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable


class RateLimit:
    """Allows ``rate`` requests per second, with bursts of twice as many; 0 means no limit. Thread-safe."""

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        if not rate >= 0:
            raise ValueError(f"rate: expected a number from 0, not {rate}")
        self._rate = rate
        self._burst = max(1.0, 2 * rate)
        self._clock = clock
        self._lock = threading.Lock()
        self._buckets: dict[str, tuple[float, float]] = {}

    def allows(self, key_id: str) -> bool:
        """Return True, and spend a token, if a request may pass now."""
        if self._rate == 0:
            return True
        now = self._clock()
        with self._lock:
            tokens, seen = self._buckets.get(key_id, (self._burst, now))
            # A wall clock may be set back, which must not remove tokens.
            tokens = min(self._burst, tokens + max(0.0, now - seen) * self._rate)
            allowed = tokens >= 1
            self._buckets[key_id] = (tokens - 1 if allowed else tokens, now)
        return allowed
