"""When to ask for a task, from how long earlier ones took.

A task's duration is never seen, only between which two polls it ended: a :data:`Span`. From spans, the
distribution of durations is estimated (Turnbull's self-consistent estimate for such observations), and
from that the moments whose polls come least late for what they cost. Nothing here waits, reads a clock
or draws but with what is handed in.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import pairwise

from msgspec import Struct

from ..retry import Spread

#: Seconds from the acceptance: asked at the first, the task was unfinished; at the second, completed.
#: The first is 0 where no poll saw it unfinished, the second infinite where none saw it completed.
Span = tuple[float, float]

#: How late an image may come to save a request, in poll intervals. Of durations that are spread evenly
#: over 10 to 30 s, no moments 2 s apart find out the end less than 1.0 s late on average, and those take
#: 5.5 polls. Simulated with 48 spans, these ask 5.2 to 5.5 times and come 1.1 s late; the fixed pause of 2 s
#: asks 10.5 times and comes 1.0 s late.
WORTH_OF_A_REQUEST = 0.1
#: Between two polls that are further apart than an interval, no more than this share of all tasks may end.
IDLE = 0.04
#: Before anything is known, tasks take as long as the API reference says at the most; seconds. That counts
#: as much as this share of one observation, and this much more with each that its first poll found completed:
#: it may have ended at any time before, and an estimate that believes only what it sees would have all of
#: them end where a few were seen to take longer, and would not look again.
USUAL, WEIGHT_OF_THE_USUAL, AND_WITH_EACH = 30.0, 0.25, 0.02
#: Where one cell has this share of all mass, a poll inside it, instead of at its end, may find out that
#: all these tasks take less long. It is not worth it in a cell narrower than this share of an interval.
HEAVY, NARROW = 0.6, 0.06
#: After so many tasks that their first poll found completed, one is asked for earlier: they may all take
#: much less long by now.
UNCHALLENGED = 4
#: What had less than this share of the mass is a surprise, and two of them in a row are another service.
SURPRISE = 0.05
#: Cells are pooled until they are so wide, against the narrowest place where half of all tasks end: plans
#: that follow every bump of an estimate are worse than those that follow none.
POOLING = 1.0

#: Rounds of the estimate, for each of the spans that differ, in all: where nearly all are the same, it comes
#: closer only slowly, and each round is quick.
_EFFORT = 1000
#: Into so many parts of an interval: ends that lie closer are one.
_PARTS = 100
#: Moments that are looked at beside the ends of spans: so many an interval, and so many in all.
_FINENESS, _MOST_MOMENTS = 4, 240


class Estimate(Struct, frozen=True):
    """The share of tasks that end in each cell (``ends[k]``, ``ends[k + 1]``], evenly within it.

    What is missing of 1 takes longer than the last end.
    """

    ends: Sequence[float]
    masses: Sequence[float]

    def within(self, low: float, high: float) -> float:
        """The share of tasks that end in (``low``, ``high``]."""
        share = 0.0
        for (begin, end), mass in zip(pairwise(self.ends), self.masses, strict=True):
            overlap = min(end, high) - max(begin, low)
            if overlap > 0:
                share += mass * overlap / (end - begin)
        return share

    def pooled(self) -> Estimate:
        """The same with wider cells: spans that happen to overlap make peaks where there are none."""
        width = POOLING * self._shortest_half()
        ends, masses = [self.ends[0]], []
        pooled = 0.0
        for k, mass in enumerate(self.masses):
            begin, end = self.ends[k], self.ends[k + 1]
            if end - begin >= width and begin > ends[-1]:
                ends.append(begin)
                masses.append(pooled)
                pooled = 0.0
            pooled += mass
            if end - ends[-1] >= width:
                ends.append(end)
                masses.append(pooled)
                pooled = 0.0
        if self.ends[-1] > ends[-1]:
            ends.append(self.ends[-1])
            masses.append(pooled)
        return Estimate(ends, masses)

    def _shortest_half(self) -> float:
        """How wide the narrowest cells are that half of all tasks end in."""
        widths = [self.ends[-1]]
        first, inside = 0, 0.0
        for k, mass in enumerate(self.masses):
            inside += mass
            while inside - self.masses[first] >= 0.5:
                inside -= self.masses[first]
                first += 1
            if inside >= 0.5:
                widths.append(self.ends[k + 1] - self.ends[first])
        return min(widths)


class Rhythm(Struct, frozen=True):
    """The moments of polls that are best for tasks of one kind, in seconds from their acceptance.

    ``doubt`` is the cell before the first moment that nearly all tasks end in, if there is one.
    ``challenge``: where so far nobody has looked, though tasks may end that early by now, and a look
    puts off no other poll.
    """

    interval: float
    moments: tuple[float, ...]
    doubt: Span | None = None
    challenge: Span | None = None

    def doubt_wider_than(self, width: float) -> Span | None:
        """The doubt, unless there is too little to win by a look inside."""
        return self.doubt if self.doubt is not None and self.doubt[1] - self.doubt[0] > width else None

    def drawn(self, spread: Spread) -> tuple[float, ...]:
        """The moments for one task: those of all, or what finds out more."""
        if not self.moments:
            return ()
        if (doubt := self.doubt_wider_than(NARROW * self.interval)) is not None:
            low, high = doubt
            # The narrower it is, the less there is to win, and the more a poll too early delays.
            if spread(0.0, self.interval) < high - low:
                return (spread(low, high), *self.moments[1:])
        if self.challenge is not None:
            return (spread(*self.challenge), *self.moments)
        return self.moments


def following(moments: Sequence[float], elapsed: float, last: float, interval: float) -> float | None:
    """Seconds until the next poll; None behind the last moment.

    ``last`` is when the poll before left and ``elapsed`` is now. A moment that is too close to be kept
    is made up for as soon as an interval has gone by.
    """
    left = [moment for moment in moments if moment > last]
    return max(left[0] - elapsed, interval) if left else None


def rhythm_of(spans: Sequence[Span], interval: float) -> Rhythm:
    """The best moments after these spans, the newest first, for polls that are ``interval`` apart."""
    part = interval / _PARTS
    spans = _of_now([(low, _up_to(high, low, part)) for low, high in spans if low < high], interval)
    closed = [span for span in spans if _is_closed(span)]
    if not closed:
        return Rhythm(interval, ())
    known = estimate(spans)
    last = max(high for _, high in closed)
    is_unchallenged = len(closed) >= UNCHALLENGED and all(low == 0 for low, _ in closed[:UNCHALLENGED])
    moments = _until(last, best_moments(known.pooled(), interval), interval)
    return Rhythm(
        interval,
        moments,
        doubt=_doubt(known, moments[0]),
        challenge=(0.0, moments[0] - interval) if is_unchallenged and moments[0] > 1.5 * interval else None,
    )


def _up_to(high: float, low: float, part: float) -> float:
    """``high``, not earlier, at one of the moments that are told apart; what was in vain stays as it is."""
    return math.ceil(high / part - 1e-6) * part if _is_closed((low, high)) else high


def _until(last: float, moments: Sequence[float], interval: float) -> tuple[float, ...]:
    """The moments up to the ``last`` that any task is known to have ended by.

    Behind that, nothing is known: what takes longer is to be found out as if nothing were.
    """
    before = [moment for moment in moments if moment < last]
    return (*before, max(last, before[-1] + interval) if before else last)


def _of_now(spans: Sequence[Span], interval: float) -> Sequence[Span]:
    """All spans, or only the newest ones where these belong to a service that has changed.

    Less than an interval from where others ended is no change: the longest of tasks that run side by side
    end together, as the last.
    """
    closed = [span for span in spans if _is_closed(span)]
    newest, others = closed[:2], closed[2:]
    near = [(low - interval, high + interval) for low, high in newest]
    if len(others) < 2 or any(_overlaps_all(span, others) for span in near):
        return spans
    before = estimate(others)
    if all(before.within(*span) < SURPRISE for span in near):
        return newest
    return spans


def _overlaps_all(span: Span, others: Sequence[Span]) -> bool:
    """Whether it cannot be a surprise, which most are not: that spares an estimate."""
    return all(span[0] < high and low < span[1] for low, high in others) and span[1] >= min(
        high for _, high in others
    )


def _is_closed(span: Span) -> bool:
    return span[1] != float("inf")


def estimate(spans: Sequence[Span]) -> Estimate:
    """How tasks' durations are distributed, with a little weight on what is usual."""
    counts: dict[Span, int] = {}
    for span in spans:
        counts[span] = counts.get(span, 0) + 1
    finite = {end for span in spans for end in span if end != float("inf")}
    ends = sorted({0.0, USUAL, *finite})
    widths = [end - begin for begin, end in pairwise(ends)]
    weight = WEIGHT_OF_THE_USUAL + AND_WITH_EACH * sum(low == 0 for low, _ in spans)
    usual = [
        weight * width / USUAL if end <= USUAL else 0.0 for width, end in zip(widths, ends[1:], strict=True)
    ]
    # One cell more, for what takes longer than anything that was seen.
    usual.append(0.0)
    cells = [
        (count, bisect_left(ends, low), bisect_left(ends, high) if high in finite else len(ends))
        for (low, high), count in counts.items()
    ]
    total = len(spans) + weight
    # In the beginning, each is spread evenly over its own span.
    masses = [mass / total for mass in usual]
    for count, begin, end in cells:
        across = ends[min(end, len(ends) - 1)] - ends[begin]
        for k in range(begin, end):
            share = widths[k] / across if k < len(widths) and across > 0 else 1.0
            masses[k] += count * share / total
    for _ in range(_EFFORT // len(cells)):
        # Each span's weight goes to its cells as all spans together fill them.
        weights = [0.0] * (len(masses) + 1)
        for count, begin, end in cells:
            inside = sum(masses[begin:end])
            if inside > 0:
                weights[begin] += count / inside
                weights[end] -= count / inside
        running = 0.0
        for k, weight in enumerate(weights[:-1]):
            running += weight
            masses[k] = (masses[k] * max(running, 0.0) + usual[k]) / total
    return Estimate(ends, masses[:-1])


def best_moments(known: Estimate, interval: float) -> list[float]:
    """Moments at least ``interval`` apart with the least lateness, each request having its worth.

    A dynamic programme from the end: the best that can follow a poll that found the task unfinished.
    """
    moments = _candidates(known, interval)
    done, spent = _integrals(known, moments)
    price = WORTH_OF_A_REQUEST * interval
    last = len(moments) - 1
    costs = [0.0] * (last + 1)
    nexts = [last] * (last + 1)
    for i in range(last - 1, -1, -1):
        # The first poll may come at any moment.
        earliest = moments[i] + interval if i > 0 else 0.0
        soonest = max(bisect_left(moments, earliest - 1e-9), i + 1)
        behind, spent_behind, lowest = done[i], spent[i], float("inf")
        for j in range(min(soonest, last), last + 1):
            if i > 0 and j > soonest and done[j] - behind > IDLE:
                break
            # The lateness of all tasks that end between the two polls, and of all that end after them. Behind
            # the last end there may be no moment far enough away.
            cost = max(moments[j], earliest) * (done[j] - behind) - spent[j] + spent_behind + costs[j]
            if cost < lowest:
                lowest, nexts[i] = cost, j
        costs[i] = lowest + price * (1.0 - behind)
    chosen = [nexts[0]]
    while chosen[-1] != last:
        chosen.append(nexts[chosen[-1]])
    return [moments[k] for k in chosen]


def _candidates(known: Estimate, interval: float) -> list[float]:
    horizon = known.ends[-1]
    step = max(interval / _FINENESS, horizon / _MOST_MOMENTS)
    return sorted({*known.ends, *(k * step for k in range(1, int(horizon / step) + 1) if k * step < horizon)})


def _integrals(known: Estimate, moments: Sequence[float]) -> tuple[list[float], list[float]]:
    """For each moment, the share of tasks that have ended by then, and their durations' sum."""
    done, spent = [0.0], [0.0]
    cell = 0
    for before, moment in pairwise(moments):
        while known.ends[cell + 1] < moment:
            cell += 1
        # Every end of a cell is a moment: two that follow each other lie in one.
        share = known.masses[cell] * (moment - before) / (known.ends[cell + 1] - known.ends[cell])
        done.append(done[-1] + share)
        spent.append(spent[-1] + share * (before + moment) / 2)
    return done, spent


def _doubt(known: Estimate, first: float) -> Span | None:
    """The cell before the first moment, if nearly all tasks end somewhere in it."""
    heaviest = max(range(len(known.masses)), key=known.masses.__getitem__)
    low, high = known.ends[heaviest], min(known.ends[heaviest + 1], first)
    return (low, high) if low < high and known.within(low, high) >= HEAVY else None
