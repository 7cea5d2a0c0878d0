"""Retries: attempts, seconds, backoff, and the wait that a server asks for."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.clock import Clock, longest, shortest

import seedream_cli
from seedream_cli.errors import KeyRefused, RateLimited, ServiceFailing, Stopped
from seedream_cli.tasks.retry import FIRST_BACKOFF, MAX_BACKOFF, Retries, backoff, requested_wait


def retries(clock: Clock, *, attempts: int = 5, seconds: float = 60.0) -> Retries:
    return Retries(attempts=attempts, seconds=seconds, clock=clock, jitter=longest)


def test_pause_after_doubles_until_the_attempts_are_used_up() -> None:
    budget = retries(Clock())
    assert [budget.pause_after(ServiceFailing("no")) for _ in range(4)] == [0.5, 1.0, 2.0, 4.0]
    last = ServiceFailing("still no")
    with pytest.raises(ServiceFailing) as caught:
        budget.pause_after(last)
    assert caught.value is last
    with pytest.raises(ServiceFailing):
        retries(Clock(), attempts=1).pause_after(last)


@pytest.mark.parametrize("error", [KeyRefused("no"), Stopped()])
def test_pause_after_an_error_that_is_not_transient_raises_it(error: KeyRefused | Stopped) -> None:
    with pytest.raises(type(error)) as caught:
        retries(Clock()).pause_after(error)
    assert caught.value is error


def test_pause_after_raises_when_the_seconds_are_used_up() -> None:
    clock = Clock()
    budget = retries(clock, attempts=100, seconds=10)
    for _ in range(4):
        clock.pause(budget.pause_after(ServiceFailing("no")))
    assert clock.pauses == [0.5, 1.0, 2.0, 4.0]
    assert budget.remaining == 2.5
    # Another 8 s would be too long. The time that calls took counts as well.
    with pytest.raises(ServiceFailing):
        budget.pause_after(ServiceFailing("no"))
    budget = retries(clock, seconds=10)
    clock.time += 9.6
    with pytest.raises(ServiceFailing):
        budget.pause_after(ServiceFailing("slow"))


def test_retry_after_within_the_budget_is_waited_for_exactly() -> None:
    for seconds in (0.6, 1.0, 59.9):
        assert retries(Clock()).pause_after(RateLimited("slow down", retry_after=seconds)) == seconds
    # A shorter backoff does not replace it.
    budget = Retries(attempts=5, seconds=60.0, clock=Clock(), jitter=shortest)
    assert budget.pause_after(RateLimited("slow down", retry_after=0.3)) == 0.3
    # Without a Retry-After, the backoff has grown meanwhile.
    budget = retries(Clock())
    assert budget.pause_after(RateLimited("slow down", retry_after=3)) == 3
    assert budget.pause_after(RateLimited("slow down")) == 1.0


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.3])
def test_retry_after_of_nearly_nothing_is_replaced_by_a_backoff(seconds: float) -> None:
    budget = retries(Clock())
    pauses = [budget.pause_after(RateLimited("slow down", retry_after=seconds)) for _ in range(4)]
    assert pauses == [0.5, 1.0, 2.0, 4.0]


@pytest.mark.parametrize(("seconds", "wait"), [(None, 0.0), (0.0, 0.0), (0.3, 0.3), (59.9, 59.9)])
@pytest.mark.parametrize("budget", [60.0, 1e9])
def test_requested_wait_within_the_budget_is_returned(
    seconds: float | None, wait: float, budget: float
) -> None:
    error = RateLimited("slow down", retry_after=seconds)
    assert requested_wait(error, budget) == wait
    assert (error.message, error.transient) == ("slow down", True)


@pytest.mark.parametrize("seconds", [60.0, 3600.0, 10 * 365 * 86400.0])
def test_requested_wait_beyond_the_budget_raises_and_says_when_to_try_again(seconds: float) -> None:
    before = time.time()
    with pytest.raises(RateLimited) as caught:
        requested_wait(RateLimited("slow down", retry_after=seconds), 60.0)
    message = re.fullmatch(
        r"slow down; it asks to come back in (\d+) s, at ([-\d]+ [:\d]+)", caught.value.message
    )
    assert message
    assert message[1] == f"{seconds:.0f}"
    retry_at = time.mktime(time.strptime(message[2], "%Y-%m-%d %H:%M:%S"))
    # Seconds, and an hour where the clocks change.
    assert 0 <= retry_at - int(before + seconds) < 120 or abs(abs(retry_at - before - seconds) - 3600) < 120


def test_rate_limited_for_too_long_is_decided_once() -> None:
    """Repeat the call or extend the message nowhere else, whatever the budget there."""
    error = RateLimited("slow down", retry_after=3600.0)
    with pytest.raises(RateLimited):
        requested_wait(error, 60.0)
    message = error.message
    with pytest.raises(RateLimited):
        retries(Clock(), seconds=1e6).pause_after(error)
    assert error.message == message


def test_retry_after_is_compared_with_a_budget_in_one_place() -> None:
    package = Path(seedream_cli.__file__).parent
    readers = [
        path.relative_to(package).as_posix()
        for folder in ("tasks", "sync", "commands", "output")
        for path in (package / folder).rglob("*.py")
        if ".retry_after" in path.read_text("utf-8")
    ]
    assert readers == ["tasks/retry.py"]


def test_requested_wait_with_a_spent_budget_is_zero_if_none_was_requested() -> None:
    assert requested_wait(ServiceFailing("no"), -1.0) == 0.0


@given(failures=st.integers(0, 10**6), share=st.floats(0, 1))
def test_backoff_is_drawn_from_zero_to_its_exponential_bound(failures: int, share: float) -> None:
    bounds: list[tuple[float, float]] = []

    def jitter(low: float, high: float) -> float:
        bounds.append((low, high))
        return low + (high - low) * share

    pause = backoff(failures, jitter)
    assert bounds == [(0.0, min(MAX_BACKOFF, FIRST_BACKOFF * 2.0 ** min(failures, 60)))]
    assert 0 <= pause <= MAX_BACKOFF


def test_backoff_has_full_jitter_by_default() -> None:
    """Many clients that failed together must not come back together."""
    drawn = {
        Retries(attempts=5, seconds=60, clock=Clock()).pause_after(ServiceFailing("no")) for _ in range(50)
    }
    assert len(drawn) > 40
    assert 0 <= min(drawn) < 0.25 < max(drawn) <= FIRST_BACKOFF
