"""RateLimiter: a 429 for one call of a run makes the others wait too."""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise

import pytest
from support.clock import Clock
from support.raw import accepted, answer
from support.scene import Scene
from support.tasks import operation
from support.virtual_time import VirtualTime

from seedream_cli.errors import RateLimited, Stopped
from seedream_cli.sandbox.rate_limit import RateLimit
from seedream_cli.tasks.rate_limiter import FIRST_RATE, INCREASE, LOWEST_RATE, RateLimiter
from seedream_cli.tasks.retry import FIRST_BACKOFF

MAX_WAIT = 60.0


@pytest.fixture
def limiter(clock: Clock) -> RateLimiter:
    return RateLimiter(clock)


def rate_limited(seconds: float | None) -> RateLimited:
    return RateLimited("too many", retry_after=seconds)


def refuse(limiter: RateLimiter, clock: Clock, seconds: float | None = 1.0) -> None:
    """Make one call that is answered with 429."""
    limiter.on_rate_limited(rate_limited(seconds), limiter.acquire(clock.pause, MAX_WAIT))


def departures(limiter: RateLimiter, clock: Clock, count: int) -> list[float]:
    """Make ``count`` calls. Return when each one leaves, in seconds from now."""
    began = clock.time
    return [limiter.acquire(clock.pause, MAX_WAIT) - began for _ in range(count)]


def rate(limiter: RateLimiter, clock: Clock) -> float:
    """Return the calls per second, measured between two calls."""
    before, after = departures(limiter, clock, 2)
    return 1 / (after - before)


def test_acquire_spaces_calls_after_retry_after(limiter: RateLimiter, clock: Clock) -> None:
    assert departures(limiter, clock, 9) == [0.0] * 9
    assert clock.pauses == []
    refuse(limiter, clock, 7.0)
    assert departures(limiter, clock, 3) == pytest.approx([7.0, 7.0 + 1 / FIRST_RATE, 7.0 + 2 / FIRST_RATE])


@pytest.mark.parametrize("seconds", [None, 0.0, 0.001, FIRST_BACKOFF])
def test_rate_limit_with_a_tiny_retry_after_waits_a_moment(
    limiter: RateLimiter, clock: Clock, seconds: float | None
) -> None:
    refuse(limiter, clock, seconds)
    assert departures(limiter, clock, 2) == pytest.approx([FIRST_BACKOFF, FIRST_BACKOFF + 1 / FIRST_RATE])


def test_shorter_retry_after_does_not_shorten_a_longer_one(limiter: RateLimiter, clock: Clock) -> None:
    first, second = (limiter.acquire(clock.pause, MAX_WAIT) for _ in range(2))
    limiter.on_rate_limited(rate_limited(9.0), first)
    limiter.on_rate_limited(rate_limited(2.0), second)
    assert departures(limiter, clock, 1) == pytest.approx([9.0])


def test_rate_is_halved_by_every_429_down_to_the_lowest(limiter: RateLimiter, clock: Clock) -> None:
    rates = []
    for _ in range(9):
        refuse(limiter, clock)
        rates.append(rate(limiter, clock))
    assert rates[:3] == pytest.approx([FIRST_RATE, FIRST_RATE / 2, FIRST_RATE / 4])
    assert rates[-1] == pytest.approx(LOWEST_RATE)


def test_rate_is_halved_once_for_calls_in_flight_together(limiter: RateLimiter, clock: Clock) -> None:
    for left_at in [limiter.acquire(clock.pause, MAX_WAIT) for _ in range(16)]:
        clock.time += 0.01
        limiter.on_rate_limited(rate_limited(1.0), left_at)
    assert rate(limiter, clock) == pytest.approx(FIRST_RATE)


def test_rate_recovers_with_successful_calls(limiter: RateLimiter, clock: Clock) -> None:
    refuse(limiter, clock)
    # Time alone does not raise the rate.
    clock.time += 600.0
    assert departures(limiter, clock, 3) == pytest.approx([0.0, 1 / FIRST_RATE, 2 / FIRST_RATE])
    began = clock.time
    while rate(limiter, clock) < 2 * FIRST_RATE:
        limiter.on_success()
        limiter.on_success()
    assert 10 <= clock.time - began <= 20


def test_acquire_waits_longer_after_a_later_429(limiter: RateLimiter, clock: Clock) -> None:
    first, second = (limiter.acquire(clock.pause, MAX_WAIT) for _ in range(2))
    limiter.on_rate_limited(rate_limited(1.0), first)

    def pause(seconds: float) -> None:
        if not clock.pauses:
            limiter.on_rate_limited(rate_limited(5.0), second)
        clock.pause(seconds)

    began = clock.time
    assert limiter.acquire(pause, MAX_WAIT) - began == pytest.approx(5.0)


def test_acquire_that_was_stopped_leaves_no_slot(limiter: RateLimiter, clock: Clock) -> None:
    def stop(seconds: float) -> None:
        raise Stopped

    refuse(limiter, clock)
    for _ in range(20):
        with pytest.raises(Stopped):
            limiter.acquire(stop, MAX_WAIT)
    clock.time += 1.0
    limiter.on_rate_limited(rate_limited(0.6), clock.time)
    assert departures(limiter, clock, 1) == pytest.approx([0.6])


def test_acquire_raises_at_once_if_the_limit_is_beyond_max_wait(limiter: RateLimiter, clock: Clock) -> None:
    refuse(limiter, clock, 61.0)
    with pytest.raises(RateLimited) as caught:
        limiter.acquire(clock.pause, MAX_WAIT)
    assert caught.value.retry_after == pytest.approx(61.0)
    assert clock.pauses == []
    clock.time += 2.0
    limiter.acquire(clock.pause, MAX_WAIT)
    assert sum(clock.pauses) == pytest.approx(59.0)


# Many threads


class LoadTest:
    """64 threads that run ``tasks`` tasks, each a submit and, a second later, a poll."""

    def __init__(self, service_rate: float, tasks: int, *, retry_after: float, rival: bool = False) -> None:
        """Run the tasks. The service allows ``service_rate`` calls per second, in bursts of twice as many."""
        self.time = VirtualTime()
        self.refused = self.done = self.most_refused = 0
        #: When calls reached the service.
        self.arrivals: list[float] = []
        self._limiter = RateLimiter(self.time)
        self._service = RateLimit(service_rate, self.time)
        self._retry_after = retry_after
        self._rival_pause = 2 / service_rate
        self._tasks, self._left = tasks, tasks
        self._chance = random.Random(1)
        self.time.run([self._work] * 64 + [self._rival] * rival, until=3600.0)

    def _work(self) -> None:
        while self._left:
            self._left -= 1
            for pause in (0.5, 2.0):
                attempts = 0
                while not self._call():
                    attempts += 1
                    self.time.sleep(max(self._retry_after, pause))
                self.most_refused = max(self.most_refused, attempts)
                self.time.sleep(1.0)
            self.done += 1

    def _call(self) -> bool:
        left_at = self._limiter.acquire(self.time.sleep, MAX_WAIT)
        self.time.sleep(self._chance.uniform(0.002, 0.005))
        self.arrivals.append(self.time.now)
        allowed = self._service.allows("")
        self.time.sleep(0.003)
        if allowed:
            self._limiter.on_success()
        else:
            self.refused += 1
            self._limiter.on_rate_limited(rate_limited(self._retry_after), left_at)
        return allowed

    def _rival(self) -> None:
        """Use up half of the limit, as another program would."""
        while self.done < self._tasks:
            self.time.sleep(self._rival_pause)
            self._service.allows("")


@pytest.mark.parametrize("retry_after", [1.0, 0.001, 0.0])
@pytest.mark.parametrize("rival", [False, True], ids=["alone", "shared"])
def test_64_threads_at_20_calls_a_second(retry_after: float, rival: bool) -> None:
    load = LoadTest(20.0, 600, retry_after=retry_after, rival=rival)
    assert load.done == 600
    # A submit is given up after five attempts.
    assert load.most_refused <= 2
    assert load.refused <= 0.1 * 600
    # Before the first 429 every thread may make a call. After that there is no such burst.
    later = [arrived for arrived in load.arrivals if arrived > 1.0]
    assert max(sum(before <= arrived < before + 1 for arrived in later) for before in later) <= 50
    # Two calls for each task, less the first burst.
    ideal = (2 * 600 - 40) / (10.0 if rival else 20.0)
    assert load.time.now <= 1.25 * ideal


@pytest.mark.parametrize(("service_rate", "tasks"), [(1.0, 60), (5.0, 150), (100.0, 1500)])
def test_64_threads_at_other_rates(service_rate: float, tasks: int) -> None:
    load = LoadTest(service_rate, tasks, retry_after=1.0)
    assert load.done == tasks
    assert load.most_refused <= 3


def test_acquire_is_first_come_first_served() -> None:
    time = VirtualTime()
    limiter = RateLimiter(time)
    limiter.on_rate_limited(rate_limited(1.0), limiter.acquire(time.sleep, MAX_WAIT))
    left: list[tuple[int, float]] = []

    def call(number: int) -> Callable[[], None]:
        return lambda: left.append((number, limiter.acquire(time.sleep, MAX_WAIT)))

    time.run([call(number) for number in range(8)], until=60.0)
    assert [number for number, _ in left] == list(range(8))
    assert all(after - before == pytest.approx(1 / FIRST_RATE) for (_, before), (_, after) in pairwise(left))


# Together with the budget of a submit


def test_waiting_for_the_rate_limiter_does_not_use_up_the_budget(
    scene: Scene, limiter: RateLimiter, clock: Clock
) -> None:
    refuse(limiter, clock, 50.0)
    scene.serve(answer(429, headers={"Retry-After": "30"}), accepted())
    _, end = scene.generate(rate_limiter=limiter)
    assert end.error is None
    assert sum(clock.pauses) >= 80.0


def test_rate_limited_for_too_long_stops_other_tasks_too(scene: Scene, limiter: RateLimiter) -> None:
    server = scene.serve(answer(429, headers={"Retry-After": "3600"}))
    scene.generate(rate_limiter=limiter)
    other = operation(scene.folder, id="op_other", idempotency_key="key-2")
    _, end = scene.generate(other, rate_limiter=limiter)
    assert isinstance(end.error, RateLimited)
    assert "asks to come back in 3600 s" in end.error.message
    assert server.connections == 1


def test_successful_submits_raise_the_rate(scene: Scene, limiter: RateLimiter, clock: Clock) -> None:
    refuse(limiter, clock)
    scene.serve(accepted())
    for number in range(4):
        current = operation(scene.folder, id=f"op_{number}", idempotency_key=f"key-{number}")
        scene.generate(current, rate_limiter=limiter)
    assert rate(limiter, clock) == pytest.approx(FIRST_RATE + 4 * INCREASE)
