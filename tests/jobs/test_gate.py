"""One rate limit for all calls of a run: whoever meets it makes the others wait too."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.bucket import Bucket, Rush
from support.clock import Clock
from support.raw import RawServer, accepted, answer
from support.tasks import operation, played

from seedream_cli import jobs
from seedream_cli.errors import RateLimited, Stopped
from seedream_cli.jobs.gate import BELOW, FIRST_RATE, Gate
from seedream_cli.retry import FIRST_BACKOFF

PATIENCE = 60.0
#: Seconds between two calls after the first refusal; they become less at once.
SPACING = pytest.approx(1 / FIRST_RATE, rel=0.15)


@pytest.fixture
def gate(clock: Clock) -> Gate:
    return Gate(clock)


def limit(seconds: float | None) -> RateLimited:
    return RateLimited("too many", retry_after=seconds)


def turns(gate: Gate, clock: Clock, count: int) -> list[float]:
    """When each of so many calls left, that wait one behind the other; in seconds from now."""
    began = clock.time
    left = []
    for _ in range(count):
        gate.turn(clock.pause, PATIENCE)
        left.append(clock.time - began)
    return left


def test_as_long_as_nothing_is_refused_nobody_waits(gate: Gate, clock: Clock) -> None:
    assert turns(gate, clock, 3) == [0.0, 0.0, 0.0]
    assert clock.pauses == []


def test_once_a_call_is_refused_nobody_leaves_before_the_time_that_the_answer_asks_for(
    gate: Gate, clock: Clock
) -> None:
    place, _ = gate.turn(clock.pause, PATIENCE)
    gate.refused(place, limit(7.0))
    first, second, third = turns(gate, clock, 3)
    assert [first, second - first, third - second] == [pytest.approx(7.0), SPACING, SPACING]


def test_the_time_that_was_waited_is_told(gate: Gate, clock: Clock) -> None:
    gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(7.0))
    assert gate.turn(clock.pause, PATIENCE)[1] == pytest.approx(7.0)


@pytest.mark.parametrize("seconds", [None, 0.0])
def test_an_answer_that_asks_for_no_time_is_given_a_moment(
    gate: Gate, clock: Clock, seconds: float | None
) -> None:
    gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(seconds))
    assert turns(gate, clock, 1) == pytest.approx([FIRST_BACKOFF])


def test_a_shorter_time_does_not_cut_a_longer_one(gate: Gate, clock: Clock) -> None:
    first, second = gate.turn(clock.pause, PATIENCE)[0], gate.turn(clock.pause, PATIENCE)[0]
    gate.refused(first, limit(9.0))
    gate.refused(second, limit(2.0))
    assert turns(gate, clock, 1) == pytest.approx([9.0])


def spacing(gate: Gate, clock: Clock) -> float:
    """Seconds between two calls that follow on each other; one before may make up for what was not used."""
    _, first, second = turns(gate, clock, 3)
    return second - first


def passed(gate: Gate, clock: Clock, count: int) -> None:
    for _ in range(count):
        gate.turn(clock.pause, PATIENCE)
        gate.let_through()


def test_as_long_as_the_limit_is_a_guess_the_calls_become_twice_as_many_every_second(
    gate: Gate, clock: Clock
) -> None:
    gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(1.0))
    clock.time += 3.0
    assert spacing(gate, clock) == pytest.approx(1 / (4 * FIRST_RATE), rel=0.1)


def test_a_further_refusal_tells_the_limit_which_is_kept_to_for_long(gate: Gate, clock: Clock) -> None:
    gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(1.0))
    passed(gate, clock, 100)
    refused = 1 / spacing(gate, clock)
    gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(1.0))
    clock.time += 1.0
    begun_again = 1 / spacing(gate, clock)
    clock.time += 5.0
    kept_to = 1 / spacing(gate, clock)
    assert begun_again < kept_to < BELOW * refused
    clock.time += 10.0
    assert 1 / spacing(gate, clock) == pytest.approx(kept_to, rel=0.02)
    # Whoever took a part of the limit may have left.
    clock.time += 60.0
    assert 1 / spacing(gate, clock) > 2 * kept_to


def test_calls_that_left_together_and_are_refused_together_are_one_refusal(gate: Gate, clock: Clock) -> None:
    places = [gate.turn(clock.pause, PATIENCE)[0] for _ in range(16)]
    for place in places:
        gate.refused(place, limit(1.0))
    assert spacing(gate, clock) == SPACING


@pytest.mark.parametrize("left", ["together with the first", "later"])
def test_whoever_waits_behind_a_limit_that_is_made_longer_waits_on(
    gate: Gate, clock: Clock, left: str
) -> None:
    first, second = gate.turn(clock.pause, PATIENCE)[0], gate.turn(clock.pause, PATIENCE)[0]
    gate.refused(first, limit(1.0))
    if left == "later":
        second = gate.turn(clock.pause, PATIENCE)[0]

    def refused_meanwhile(seconds: float) -> None:
        clock.pause(seconds)
        if not asked_until:
            gate.refused(second, limit(5.0))
            asked_until.append(clock.time + 5.0)

    asked_until: list[float] = []
    gate.turn(refused_meanwhile, PATIENCE)
    assert clock.time >= asked_until[0]


def test_a_limit_that_outlasts_the_patience_is_told_at_once(gate: Gate, clock: Clock) -> None:
    gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(61.0))
    with pytest.raises(RateLimited) as caught:
        gate.turn(clock.pause, PATIENCE)
    assert caught.value.retry_after == pytest.approx(61.0)
    assert caught.value.transient
    assert clock.pauses == []


def test_a_stop_ends_the_wait(gate: Gate, clock: Clock) -> None:
    gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(5.0))

    def stop(seconds: float) -> None:
        raise Stopped

    with pytest.raises(Stopped):
        gate.turn(stop, PATIENCE)


def test_whoever_came_first_leaves_first(gate: Gate, clock: Clock) -> None:
    gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(1.0))
    first, *others = waiting = [gate.waits(PATIENCE) for _ in range(4)]
    assert [next(one) for one in waiting] == pytest.approx([1.0] * 4)
    clock.time += 1.0
    pauses = [next(one) for one in others]
    assert pauses == pytest.approx([number / FIRST_RATE for number in (1, 2, 3)])
    with pytest.raises(StopIteration):
        next(first)


def test_who_is_stopped_is_waited_for_by_nobody(gate: Gate, clock: Clock) -> None:
    gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(1.0))
    first, second = gate.waits(PATIENCE), gate.waits(PATIENCE)
    next(first), next(second)
    first.close()
    assert next(second) == pytest.approx(1.0)


def test_threads_that_wait_together_all_leave(gate: Gate, clock: Clock) -> None:
    gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(1.0))
    left: list[tuple[int, float]] = []
    workers = [
        threading.Thread(target=lambda: left.append(gate.turn(clock.pause, PATIENCE))) for _ in range(8)
    ]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(left) == 8


class TestALimit:
    """As a token bucket, met by 64 workers; what it has saved up at the beginning is not counted as its."""

    @pytest.mark.parametrize(
        ("rate", "tasks", "least"),
        [(1.0, 60, 0.83), (5.0, 150, 0.83), (20.0, 600, 0.83), (100.0, 1500, 0.75)],
    )
    @pytest.mark.parametrize("burst", [5.0, 20.0, 40.0])
    @pytest.mark.parametrize("rival", [False, True], ids=["alone", "shared with another program"])
    def test_is_used_nearly_whole_and_seldom_met(
        self, rate: float, tasks: int, least: float, burst: float, rival: bool
    ) -> None:
        """At the highest rate, the second that each refusal costs is more than a bucket saves up."""
        bucket = Bucket(rate, burst)
        rush = Rush(bucket, tasks=tasks, rival=rival)
        ideal = (2 * tasks - burst) / (rate / 2 if rival else rate)
        assert ideal / rush.now >= least
        # The first of all leave together. Then there is one every few seconds, whatever the rate.
        assert rush.refused <= 64 - burst + rush.now / 4 + 4

    def test_without_anything_to_save_up_is_used_for_more_than_half(self) -> None:
        """Each refusal, for a call that is late by a moment, keeps all out for as long as 20 calls take."""
        rush = Rush(Bucket(20.0, 1.0), tasks=600)
        assert 1200 / 20.0 / rush.now >= 0.55

    def test_keeps_nobody_waiting_for_longer_than_the_others(self) -> None:
        rush = Rush(Bucket(20.0, 40.0), tasks=600)
        assert rush.longest_wait <= 2 * 64 / 20.0


class TestACreate:
    """Its budget is for its own tries: waiting behind the others' limit uses up none of it."""

    def test_that_waits_behind_others_has_its_whole_budget_left(
        self,
        start_raw: Callable[..., RawServer],
        work_on: Callable[..., jobs.Work],
        gate: Gate,
        clock: Clock,
        tmp_path: Path,
    ) -> None:
        gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(50.0))
        server = start_raw(answer(429, headers={"Retry-After": "30"}), accepted())
        work = work_on(server.base_url, gate=gate)
        _, end = played(jobs.generate(work, operation(tmp_path), wait=False))
        assert end.error is None
        assert sum(clock.pauses) >= 80.0

    def test_gives_up_where_the_limit_outlasts_the_budget(
        self,
        start_raw: Callable[..., RawServer],
        work_on: Callable[..., jobs.Work],
        gate: Gate,
        clock: Clock,
        tmp_path: Path,
    ) -> None:
        gate.refused(gate.turn(clock.pause, PATIENCE)[0], limit(3600.0))
        server = start_raw(accepted())
        _, end = played(jobs.generate(work_on(server.base_url, gate=gate), operation(tmp_path), wait=False))
        assert isinstance(end.error, RateLimited)
        assert "asks to come back in 3600 s" in end.error.message
        assert server.connections == 0

    def test_that_is_refused_closes_the_gate_for_the_others(
        self,
        start_raw: Callable[..., RawServer],
        work_on: Callable[..., jobs.Work],
        gate: Gate,
        clock: Clock,
        tmp_path: Path,
    ) -> None:
        server = start_raw(answer(429, headers={"Retry-After": "3600"}))
        work = work_on(server.base_url, gate=gate)
        played(jobs.generate(work, operation(tmp_path), wait=False))
        _, end = played(jobs.generate(work, operation(tmp_path, id="op_other", idempotency_key="key-2")))
        assert isinstance(end.error, RateLimited)
        assert server.connections == 1


def test_without_a_gate_a_call_waits_for_nobody(
    start_raw: Callable[..., RawServer], work_on: Callable[..., jobs.Work], clock: Clock, tmp_path: Path
) -> None:
    work = work_on(start_raw(accepted()).base_url)
    played(jobs.generate(work, operation(tmp_path), wait=False))
    assert clock.pauses == []
