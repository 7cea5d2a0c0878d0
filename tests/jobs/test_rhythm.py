"""When polls are best, from how long earlier tasks took: the real plans, on tasks by seeded draws."""

from __future__ import annotations

import math
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from itertools import pairwise
from statistics import mean

import pytest

from seedream_cli.jobs.pace import Pace, remembered, telling
from seedream_cli.jobs.rhythm import Estimate, Span, best_moments, estimate, following, rhythm_of

INTERVAL = 2.0


@dataclass
class Service:
    """Tasks that take ``seconds``, one after the other or side by side; nothing but the clock is made up."""

    seconds: Callable[[random.Random, int], float]
    draws: random.Random = field(default_factory=lambda: random.Random(1))
    spans: list[Span] = field(default_factory=list)
    #: Of each task, in the order of their ends: how late its end was found out, and by how many polls.
    late: list[float] = field(default_factory=list)
    polls: list[int] = field(default_factory=list)
    #: Polls of the documented loop: every 2 s.
    of_loop: list[int] = field(default_factory=list)

    def run(self, tasks: int, *, side_by_side: int = 1) -> Service:
        pace = Pace(self.spans, INTERVAL)
        queue: list[tuple[float, int]] = []
        #: When each task that is under way is asked for next: what the queue has besides is outdated.
        due: dict[int, float] = {}
        begun, length, least, asked = [0.0] * tasks, [0.0] * tasks, [0.0] * tasks, [0] * tasks
        moments: list[tuple[float, ...]] = [()] * tasks
        waiting = list(range(tasks))[::-1]

        def ask(task: int, at: float) -> None:
            due[task] = at
            heappush(queue, (at, task))

        def begin(now: float) -> None:
            if waiting:
                task = waiting.pop()
                begun[task], length[task] = now, self.seconds(self.draws, len(self.spans))
                moments[task] = pace.moments(str(task), self.draws.uniform)
                ask(task, now + (moments[task][0] if moments[task] else INTERVAL))

        def look_up(now: float) -> None:
            for task, at in list(due.items()):
                if not asked[task] and (sooner := pace.sooner(at - begun[task])) is not None:
                    earlier = max(begun[task] + sooner, now)
                    if earlier < at:
                        ask(task, earlier)

        for number in range(side_by_side):
            begin(number * 0.005)
        while queue:
            now, task = heappop(queue)
            if due.get(task) != now:
                continue
            del due[task]
            elapsed = now - begun[task]
            asked[task] += 1
            if elapsed < length[task]:
                least[task] = elapsed
                pace.unfinished(str(task), elapsed)
                pause = following(moments[task], elapsed, elapsed, INTERVAL)
                ask(task, now + (INTERVAL if pause is None else pause))
                continue
            pace.ended(str(task), (least[task], elapsed))
            self.spans.insert(0, (least[task], elapsed))
            self.late.append(elapsed - length[task])
            self.polls.append(asked[task])
            self.of_loop.append(math.ceil(length[task] / INTERVAL))
            begin(now)
            look_up(now)
        return self

    def requests(self, since: int = 0) -> float:
        """All requests, with create and download, against the loop's."""
        return sum(polls + 2 for polls in self.polls[since:]) / sum(n + 2 for n in self.of_loop[since:])


def evenly(low: float, high: float) -> Callable[[random.Random, int], float]:
    return lambda draws, number: draws.uniform(low, high)


def always(seconds: float) -> Callable[[random.Random, int], float]:
    return lambda draws, number: seconds


@pytest.mark.parametrize(("low", "high"), [(6, 12), (10, 30)])
def test_tasks_of_many_lengths_are_asked_for_less_often_and_hardly_later(low: float, high: float) -> None:
    service = Service(evenly(low, high)).run(250)
    # No moments 2 s apart can be less than 1 s late on average here.
    assert mean(service.late[30:]) < 1.2
    assert service.requests(30) < 0.7


def test_tasks_that_always_take_the_same_are_asked_for_when_they_end() -> None:
    service = Service(always(18.3)).run(80)
    assert mean(service.late[30:]) < 0.5
    assert mean(service.polls[30:]) < 1.6


def test_tasks_side_by_side_find_out_at_once_how_quick_they_are() -> None:
    """Without a hint, all of them would be asked for at 2 s."""
    service = Service(always(1.0)).run(1000, side_by_side=64)
    assert mean(service.late[:64]) < 0.6
    assert mean(service.late) < 0.15
    assert mean(service.polls) + 2 < 3.2


def scouts_of(pace: Pace, tasks: int) -> dict[str, tuple[float, ...]]:
    """Those of so many tasks that are asked for before the others, and when. Any of the first eight might."""
    draws = random.Random(1)
    moments = {str(number): pace.moments(str(number), draws.uniform) for number in range(tasks)}
    return {name: at for name, at in list(moments.items())[8:] if at != pace.rhythm.moments}


def test_one_of_eight_looks_where_nothing_is_known_and_what_it_tells_is_used_at_once() -> None:
    pace = Pace([], INTERVAL)
    scouts = scouts_of(pace, 64)
    places = sorted(at for (at,) in scouts.values())
    assert len(places) == 8
    # Evenly, whatever is drawn.
    assert max(after - before for before, after in pairwise([0.0, *places, INTERVAL])) < INTERVAL / 3
    assert pace.sooner(INTERVAL) == INTERVAL
    quickest = min(scouts, key=lambda name: scouts[name])
    pace.ended(quickest, (0.0, scouts[quickest][0]))
    assert pace.sooner(INTERVAL) == pytest.approx(scouts[quickest][0], abs=0.03)


def test_who_is_waited_for_no_more_makes_room_for_another_scout() -> None:
    pace = Pace([], INTERVAL)
    for name in scouts_of(pace, 64):
        pace.ended(name, None)
    assert pace.moments("another", lambda low, high: low)
    # And so does one that has told what it can.
    pace = Pace([], INTERVAL)
    for name in scouts_of(pace, 64):
        pace.unfinished(name, 1.0)
    assert pace.moments("another", lambda low, high: low)


def test_what_one_of_many_scouts_tells_is_used_at_once() -> None:
    pace = Pace([(18.5, 20.5)] * 10 + [(0.0, 19.5)] * 38, INTERVAL)
    scout, (at, *_) = next(iter(scouts_of(pace, 64).items()))
    # One of 64 tells too little for a new plan, but for a scout.
    pace.unfinished("0", 0.1)
    before = pace.rhythm.doubt
    pace.unfinished("1", 19.0)
    assert pace.rhythm.doubt == before
    pace.unfinished(scout, at)
    assert pace.rhythm.doubt != before


@pytest.mark.parametrize("seconds", [45.0, 60.0])
def test_tasks_that_take_longer_than_is_usual_are_not_asked_for_earlier_for_that(seconds: float) -> None:
    """The reference says 30 s."""
    assert rhythm_of([(seconds, seconds + 2)] * 48, INTERVAL).moments[0] > seconds
    assert mean(Service(always(seconds)).run(60).polls[20:]) < 2.6


def test_one_of_sixteen_looks_where_others_may_end_earlier() -> None:
    pace = Pace([(18.5, 20.5)] * 10 + [(0.0, 19.5)] * 30, INTERVAL)
    assert len(scouts_of(pace, 64)) == 4


def test_hardly_one_of_many_is_asked_for_long_before_the_others() -> None:
    known = [(0.0, 20.0)] * 4 + [(19.98, 21.98)] * 20
    pace = Pace(known, INTERVAL)
    assert len(scouts_of(pace, 64)) == 2
    # What these tell, the others listen for.
    assert pace.sooner(20.0) == 20.0


@pytest.mark.parametrize("side_by_side", [12, 64])
def test_a_few_of_many_look_where_the_others_end(side_by_side: int) -> None:
    """If each looked for itself, half of them would be asked for too early, each an interval late."""
    service = Service(always(20.0)).run(10 * side_by_side, side_by_side=side_by_side)
    assert mean(service.late[side_by_side:]) < 0.25
    assert mean(polls > 1 for polls in service.polls[side_by_side:]) < 0.3


def test_the_longest_of_tasks_side_by_side_are_no_other_service() -> None:
    """They end as the last, and are the newest: forgetting all others would ask for the next at 28 s."""
    others = [(float(low), low + 2.0) for low in range(8, 28, 2) for _ in range(4)]
    first, *_ = rhythm_of([(28.3, 30.3), (28.1, 30.1), *others], INTERVAL).moments
    assert first < 16


def test_polls_behind_the_last_end_are_an_interval_apart_in_the_plan_too() -> None:
    """If the one after 9 s counted as one at 10 s, an early one would look better than it is."""
    assert best_moments(Estimate((0.0, 8.0, 10.0), (0.05, 0.95)), INTERVAL) == [10.0]


def test_two_kinds_of_lengths_are_asked_for_at_both() -> None:
    service = Service(lambda draws, number: draws.choice((5.2, 20.3))).run(100)
    assert mean(service.late[30:]) < 1.1
    assert service.requests(30) < 0.65


@pytest.mark.parametrize(("before", "after"), [(20.0, 5.0), (5.0, 20.0)])
def test_a_service_that_has_changed_is_known_again_after_some_tasks(before: float, after: float) -> None:
    service = Service(lambda draws, number: before if number < 40 else after).run(80)
    assert mean(service.late[55:]) < 1.5
    assert mean(service.polls[55:]) < 4.5


def test_the_first_observations_are_believed_the_more_the_more_there_are() -> None:
    few = rhythm_of([(8.0, 10.0)], INTERVAL).moments
    assert 4.0 <= few[0] <= 10.0
    assert few[-1] <= 12.0
    assert rhythm_of([(8.0, 10.0)] * 3, INTERVAL).moments == (10.0,)


def test_one_slow_task_does_not_put_off_the_next() -> None:
    first, *_ = rhythm_of([(58.0, 60.0)], INTERVAL).moments
    assert first < 30


def test_nothing_is_planned_where_nothing_is_known() -> None:
    unfinished = [(8.0, math.inf)]
    at_once = [(0.0, 0.0)]
    assert [rhythm_of(spans, INTERVAL).moments for spans in ([], unfinished, at_once)] == [(), (), ()]


def test_a_task_that_was_found_completed_at_once_tells_what_others_know_of_it() -> None:
    """Whatever the first poll finds completed ended some time before: where others were seen to end."""
    known = estimate([(0.0, 8.0)] * 10 + [(6.0, 8.0)] * 3)
    assert known.within(6.0, 8.0) > 0.9


def test_a_few_that_took_longer_do_not_tell_that_all_ended_then() -> None:
    """Believed whole, they would be asked for at 10.3 s for ever, though they may end from 6 s on."""
    known = estimate([(10.0, 12.0)] * 3 + [(0.0, 10.3)] * 40)
    assert 0.5 < known.within(10.0, 10.3) < 0.92


def test_tasks_that_run_still_are_known_to_take_longer() -> None:
    assert estimate([(0.0, 2.0), *[(1.5, math.inf)] * 4]).within(1.5, 2.0) > 0.5


def test_after_some_tasks_that_nobody_challenged_one_is_asked_for_early() -> None:
    found_at_once = [(0.0, 20.0)] * 4 + [(19.9, 21.9)] * 8
    rhythm = rhythm_of(found_at_once, INTERVAL)
    assert rhythm.challenge is not None
    early, *others = rhythm.drawn(lambda low, high: low)
    # Not so late that the next poll would have to wait for it.
    assert early <= rhythm.moments[0] - INTERVAL
    assert tuple(others) == rhythm.moments
    assert rhythm_of([(8.0, 20.0), *found_at_once], INTERVAL).challenge is None


def test_moments_are_an_interval_apart() -> None:
    draws = random.Random(1)
    for _ in range(30):
        interval = draws.choice((0.5, 2.0, 7.0))
        spans = [
            (max(end - draws.uniform(0, 9), 0.0), end)
            for end in (draws.expovariate(1 / 20) + 0.1 for _ in range(draws.randrange(1, 20)))
        ]
        moments = rhythm_of(spans, interval).moments
        assert moments
        assert all(after - before >= interval - 1e-6 for before, after in pairwise(moments))


def test_a_moment_that_is_too_close_is_made_up_for_as_soon_as_may_be() -> None:
    assert following((8.0, 10.0), 8.9, 8.7, INTERVAL) == INTERVAL
    assert following((8.0, 12.0), 8.2, 8.1, INTERVAL) == pytest.approx(3.8)
    assert following((8.0, 12.0), 12.1, 12.0, INTERVAL) is None


def test_old_tasks_that_tell_more_than_the_newest_are_not_forgotten() -> None:
    found_at_once, early, in_vain = [(0.0, 1.2)] * 100, [(0.0, 1.01)], [(0.9, 2.9)] * 3
    told = telling(remembered([*found_at_once, *early, *in_vain]))
    assert {*early, *in_vain} <= {*told}
    assert len(told) < 60


def test_old_tasks_count_no_more_where_the_newest_tell_it_all() -> None:
    assert {*telling(remembered([(6.0, 8.0)] * 100 + [(0.0, 2.0)]))} == {(6.0, 8.0)}
