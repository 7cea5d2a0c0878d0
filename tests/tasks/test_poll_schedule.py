"""PollSchedule: simulations with tasks of seeded random durations, in virtual time."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from statistics import mean

import pytest
from support.clock import shortest

from seedream_cli.tasks.poll_schedule import FEWEST, NEWEST, PollSchedule, estimate_duration

INTERVAL = 2.0
#: Seconds from a poll to its response.
TRIP = 0.01

Draw = Callable[[random.Random, int], float]


@dataclass
class Task:
    seconds: float
    polls: list[float]

    @property
    def late(self) -> float:
        return self.polls[-1] - self.seconds

    @property
    def requests(self) -> int:
        """Return the number of requests, including the submit and the download."""
        return len(self.polls) + 2

    @property
    def documented_requests(self) -> int:
        """Return the number of requests of the documented loop, which polls every 2 seconds."""
        return math.ceil(self.seconds / INTERVAL) + 2


def simulate(draw: Draw, count: int, *, reported: bool, skew: float = 0.0, wave: int = 1) -> list[Task]:
    """Run tasks one after the other, or ``wave`` at a time. They learn from those before them.

    ``reported``: the service reports their completion, by a clock that is ``skew`` seconds slow.
    """
    chance = random.Random(1)
    known: list[float] = []
    tasks: list[Task] = []
    while len(tasks) < count:
        durations = []
        for _ in range(wave):
            seconds = draw(chance, len(tasks)) + chance.uniform(0.0, 0.03)
            accepted = chance.uniform(0.0, 1000.0)
            schedule = PollSchedule(known[-NEWEST:][::-1], INTERVAL, chance.uniform)
            polls, unfinished_at = [schedule.first_pause()], 0.0
            while polls[-1] < seconds:
                unfinished_at = polls[-1]
                polls.append(polls[-1] + TRIP + schedule.next_pause(polls[-1] + TRIP))
            completed = math.floor(accepted + seconds - skew) - accepted if reported else None
            duration = estimate_duration(
                completed,
                unfinished_at=unfinished_at,
                polled_at=polls[-1],
                answered_at=polls[-1] + TRIP,
                interval=INTERVAL,
            )
            assert duration is not None
            durations.append(duration)
            tasks.append(Task(seconds, polls))
        known += durations
    return tasks


def between(low: float, high: float) -> Draw:
    return lambda chance, _: chance.uniform(low, high)


def lateness(tasks: list[Task]) -> float:
    return mean(task.late for task in tasks)


def requests(tasks: list[Task]) -> float:
    """Return the number of requests as a ratio to that of the documented loop."""
    return mean(task.requests for task in tasks) / mean(task.documented_requests for task in tasks)


# Times of polls


def test_schedule_without_durations_is_the_documented_one() -> None:
    schedule = PollSchedule([], INTERVAL, shortest)
    assert schedule.first_pause() == 2.0
    assert [schedule.next_pause(waited) for waited in (29.9, 30.0, 119.9, 120.0, 1e6)] == [2, 5, 5, 15, 15]


@pytest.mark.parametrize(
    ("durations", "pause"),
    [
        pytest.param([18.0] * (FEWEST - 1), INTERVAL, id="too few"),
        pytest.param([18.0] * FEWEST, 18.0, id="enough"),
        pytest.param([float(s) for s in range(11, 51)], 13.0, id="early enough for nearly all"),
        pytest.param([18.0] * NEWEST + [3.0] * 99, 18.0, id="the newest count"),
        pytest.param([0.3] * 3, 0.3, id="less than an interval"),
    ],
)
def test_first_pause_is_learned_from_durations(durations: list[float], pause: float) -> None:
    assert PollSchedule(durations, INTERVAL, shortest).first_pause() == pytest.approx(pause)


def test_next_pause_slows_down_after_the_expected_end() -> None:
    schedule = PollSchedule([10.0] * 3, INTERVAL, shortest)
    assert [schedule.next_pause(10.0 + waited) for waited in (0.0, 29.9, 30.1, 120.1)] == [2, 2, 5, 15]
    # The wait for an older task is shorter.
    older = [PollSchedule([18.0] * 3, INTERVAL, shortest, age=age) for age in (5.0, 17.0, 100.0)]
    assert [schedule.next_pause(0.0) for schedule in older] == [13.0, 2.0, 2.0]


# Durations


@pytest.mark.parametrize(
    ("reported", "unfinished_at", "expected"),
    [
        pytest.param(16.7, 16.0, 17.7, id="between the polls, rounded up"),
        pytest.param(17.9, 16.0, 18.1, id="no later than it was seen"),
        pytest.param(15.2, 16.0, 16.2, id="rounded down to before it was seen unfinished"),
        pytest.param(14.9, 16.0, 17.0, id="by a slow clock"),
        pytest.param(18.2, 16.0, 17.0, id="by a fast clock"),
        pytest.param(None, 16.0, 17.0, id="unknown"),
        pytest.param(None, 17.5, 17.5, id="unknown, but unfinished just before"),
        pytest.param(None, 0.0, 17.0, id="unknown, at the first poll"),
        pytest.param(-0.4, 0.0, 0.6, id="at once"),
        pytest.param(16.7, None, 17.7, id="polled once"),
        pytest.param(18.2, None, None, id="polled once, by a fast clock"),
        pytest.param(-1.0, None, None, id="polled once, by a slow clock"),
        pytest.param(None, None, None, id="unknown, polled once"),
    ],
)
def test_estimate_duration(
    reported: float | None, unfinished_at: float | None, expected: float | None
) -> None:
    duration = estimate_duration(
        reported, unfinished_at=unfinished_at, polled_at=18.0, answered_at=18.1, interval=INTERVAL
    )
    assert duration == (None if expected is None else pytest.approx(expected))


# Simulations


@pytest.mark.parametrize("reported", [True, False])
@pytest.mark.parametrize(
    ("draw", "most_requests", "latest"),
    [
        pytest.param(between(10, 30), 0.65, 1.15, id="10 to 30 s"),
        pytest.param(between(6, 12), 0.7, 1.1, id="6 to 12 s"),
        pytest.param(lambda chance, _: 18 * math.exp(chance.gauss(0, 0.35)), 0.64, 1.3, id="log-normal"),
        pytest.param(between(17, 17), 0.37, 2.0, id="all the same"),
    ],
)
def test_schedule_saves_requests_without_delaying_images(
    draw: Draw, most_requests: float, latest: float, reported: bool
) -> None:
    tasks = simulate(draw, 2050, reported=reported)
    assert requests(tasks[50:]) <= most_requests
    # No drift: a late poll does not make the next one even later.
    assert lateness(tasks[50:1050]) <= latest
    assert lateness(tasks[-1000:]) <= latest


def test_schedule_of_an_empty_history_is_no_worse_than_the_documented_loop() -> None:
    tasks = [simulate(between(seconds, seconds), 1, reported=True)[0] for seconds in range(2, 29)]
    assert requests(tasks) <= 1.0
    assert lateness(tasks) <= 1.05 * mean(2 * math.ceil(task.seconds / 2) - task.seconds for task in tasks)


def test_schedule_polls_tasks_of_equal_duration_once() -> None:
    tasks = simulate(between(1, 1), 1000, reported=True, wave=64)[64:]
    assert mean(len(task.polls) for task in tasks) <= 1.1
    assert lateness(tasks) <= 0.3


@pytest.mark.parametrize("reported", [True, False])
def test_schedule_adapts_to_a_faster_service(reported: bool) -> None:
    tasks = simulate(
        lambda chance, done: chance.uniform(20, 24) if done < 100 else 8.0, 300, reported=reported
    )
    assert lateness(tasks[100:103]) > 5
    assert lateness(tasks[103 if reported else 200 :]) <= 2.0


@pytest.mark.parametrize("skew", [-20.0, -1.0, 0.3, 1.0, 5.0, 20.0])
def test_schedule_tolerates_clock_skew(skew: float) -> None:
    tasks = simulate(between(10, 30), 1000, reported=True, skew=skew)[50:]
    assert requests(tasks) <= 0.7
    assert lateness(tasks) <= 1.25


def test_schedule_slows_down_for_an_unusually_long_task() -> None:
    slow = simulate(lambda chance, done: 12.0 if done < 50 else 600.0, 51, reported=True)[-1]
    assert len(slow.polls) <= 65
    assert all(after - before >= INTERVAL for before, after in pairwise(slow.polls))
    assert min(after - before for before, after in pairwise(slow.polls) if before > 150) >= 7 * INTERVAL
