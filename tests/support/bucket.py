"""A rate limit as services have it, and calls that meet it, in a time of their own."""

from __future__ import annotations

import heapq
import itertools
import random
from collections.abc import Generator
from dataclasses import dataclass

from seedream_cli.errors import RateLimited
from seedream_cli.jobs.gate import Gate

#: Seconds between a call and its answer, and by how much each is late.
_TRIP, _LATE = 0.005, 0.002
_RETRY_AFTER = 1.0
_POLL_INTERVAL = 2.0

Steps = Generator[float, None, bool]


@dataclass
class Bucket:
    """``rate`` tokens a second, of which it holds ``burst`` at most; one is for one call."""

    rate: float
    burst: float

    def __post_init__(self) -> None:
        self.tokens, self.seen = self.burst, 0.0
        self.refused = 0

    def takes(self, now: float) -> bool:
        self.tokens = min(self.burst, self.tokens + (now - self.seen) * self.rate)
        self.seen = now
        if self.tokens < 1:
            return False
        self.tokens -= 1
        return True


class Rush:
    """``workers`` that want ``tasks``, each a create and, a second later, a poll.

    ``rival``: another program takes every second call of the limit.
    """

    def __init__(self, bucket: Bucket, *, tasks: int, workers: int = 64, rival: bool = False) -> None:
        self.now = 0.0
        self.refused = 0
        self.longest_wait = 0.0
        self._bucket = bucket
        self._gate = Gate(lambda: self.now)
        self._left = self._undone = tasks
        chance = random.Random(1)
        steps = [self._work() for _ in range(workers)] + ([self._rival()] if rival else [])
        order = itertools.count()
        due = [(0.0, next(order), one) for one in steps]
        while self._undone and due:
            self.now, _, one = heapq.heappop(due)
            for seconds in itertools.islice(one, 1):
                heapq.heappush(due, (self.now + seconds + chance.uniform(0, _LATE), next(order), one))

    def _work(self) -> Steps:
        while self._left:
            self._left -= 1
            while not (yield from self._call()):
                yield _RETRY_AFTER
            yield 1.0
            while not (yield from self._call()):
                yield _POLL_INTERVAL
            self._undone -= 1
        return True

    def _call(self) -> Steps:
        began = self.now
        place = yield from self._gate.waits(1e9)
        self.longest_wait = max(self.longest_wait, self.now - began)
        yield _TRIP / 2
        passes = self._bucket.takes(self.now)
        yield _TRIP / 2
        if passes:
            self._gate.let_through()
        else:
            self.refused += 1
            self._gate.refused(place, RateLimited("too many", retry_after=_RETRY_AFTER))
        return passes

    def _rival(self) -> Steps:
        while True:
            yield 2 / self._bucket.rate
            self._bucket.takes(self.now)
