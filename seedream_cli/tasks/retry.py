"""How often, how long and after what pause one call is repeated.

No library that was looked at honours ``Retry-After``, jitter, a total budget and a sleep that
Ctrl-C ends, with a clock that can be handed in: hence this small file. It never sleeps itself.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable

from ..errors import SeedreamError

#: Backoff grows from FIRST to LONGEST seconds, doubling; each pause is drawn evenly from 0 to that.
FIRST_BACKOFF = 0.5
LONGEST_BACKOFF = 16.0

Spread = Callable[[float, float], float]


class Retries:
    """The budget of one call: at most ``attempts`` tries within ``seconds``."""

    def __init__(
        self,
        *,
        attempts: int,
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
        spread: Spread = random.uniform,
    ) -> None:
        self._left = attempts
        self._failures = 0
        self._clock = clock
        self._spread = spread
        self._deadline = clock() + seconds

    @property
    def remaining(self) -> float:
        """Seconds that are left of the budget."""
        return self._deadline - self._clock()

    def extend(self, seconds: float) -> None:
        """Add to the budget what was no try of this call, such as a wait behind others."""
        self._deadline += seconds

    def pause_after(self, error: SeedreamError) -> float:
        """Seconds to wait before the next try; raises ``error`` when there is to be none.

        A ``Retry-After`` beyond the budget ends the tries at once, and the message then says
        when to come back.
        """
        self._left -= 1
        if not error.transient or self._left <= 0:
            raise error
        pause = error.retry_after or 0.0
        if pause < FIRST_BACKOFF:
            # A Retry-After of (nearly) nothing must not use up all attempts at once.
            pause = max(pause, backoff(self._failures, self._spread))
        self._failures += 1
        if pause >= self.remaining:
            raise come_back_later(error)
        return pause


def backoff(failures: int, spread: Spread) -> float:
    """Exponential with full jitter: seconds to wait after ``failures`` earlier failures."""
    return spread(0.0, min(LONGEST_BACKOFF, FIRST_BACKOFF * 2 ** min(failures, 30)))


def come_back_later(error: SeedreamError) -> SeedreamError:
    """The same error, naming the time from which the server wants to be asked again."""
    if error.retry_after is not None:
        clock_time = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(time.time() + error.retry_after))
        error.message += f"; it asks to come back in {error.retry_after:.0f} s, at {clock_time}"
    return error
