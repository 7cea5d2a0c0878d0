"""Retries: how often a failed call is repeated, after what pause, and when to give up.

No library that was looked at supports ``Retry-After``, jitter, a total budget, a clock that is passed in and
a sleep that Ctrl-C can end. Hence this small module. It never sleeps itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from ..errors import SeedreamError

#: Upper bound of the first backoff, in seconds. It doubles with every failure.
FIRST_BACKOFF = 0.5
#: Upper bound of every backoff, in seconds.
MAX_BACKOFF = 16.0

#: Returns a number between two bounds. Drawing evenly is "full jitter"; tests return one of the bounds.
Jitter = Callable[[float, float], float]


class Retries:
    """The budget of one call: at most ``attempts`` attempts within ``seconds``."""

    def __init__(
        self,
        *,
        attempts: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        jitter: Jitter = random.uniform,
    ) -> None:
        self._attempts_left = attempts
        self._failures = 0
        self._clock = clock
        self._jitter = jitter
        self._deadline = clock() + seconds

    @property
    def remaining(self) -> float:
        """Return the seconds left of the budget."""
        return self._deadline - self._clock()

    def extend(self, seconds: float) -> None:
        """Add to the budget time that was not spent on this call, such as a wait for the rate limiter."""
        self._deadline += seconds

    def pause_after(self, error: SeedreamError) -> float:
        """Return the seconds to wait before the next attempt.

        Raises ``error`` if there is no next attempt: the same call would fail again, or the budget is spent.
        """
        self._attempts_left -= 1
        if not error.transient or self._attempts_left <= 0:
            raise error
        pause = requested_wait(error, self.remaining)
        if pause < FIRST_BACKOFF:
            # "Retry-After: 0" must not use up all attempts at once.
            pause = max(pause, backoff(self._failures, self._jitter))
        self._failures += 1
        if pause >= self.remaining:
            raise error
        return pause


def backoff(failures: int, jitter: Jitter) -> float:
    """Return the seconds to wait after ``failures`` earlier failures: exponential backoff, full jitter."""
    return jitter(0.0, min(MAX_BACKOFF, FIRST_BACKOFF * 2 ** min(failures, 30)))


def requested_wait(error: SeedreamError, budget: float) -> float:
    """Return the seconds that the server asked us to wait (its ``Retry-After``); 0 if it did not ask.

    Every "rate limited for too long" is decided here, and nowhere else. If the wait would use up the budget
    (in seconds), raises ``error``: its message then says when to try again, and it is not transient any more,
    so that no caller repeats the call.
    """
    wait = error.retry_after or 0.0
    if wait > 0.0 and wait >= budget:
        retry_at = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + wait))
        error.message += f"; it asks to come back in {wait:.0f} s, at {retry_at}"
        error.transient = False
        raise error
    return wait
