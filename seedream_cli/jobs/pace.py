"""What the waits of one run learn from each other, and from the history, about when to ask."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from ..errors import HistoryUnusable
from ..models import Operation, Task
from ..retry import Spread
from .rhythm import Rhythm, Span, following, rhythm_of
from .work import Work

#: So many of the newest spans are used.
_SPANS = 48
#: Once nearly every first poll comes right, the newest do not tell how much earlier would be too early: so
#: many older ones of tasks that were asked for in vain, and so many of those that were found completed
#: earliest, are remembered and used with them.
_IN_VAIN, _EARLIEST = 8, 4
#: Where more tasks than these run, a few are scouts: they are asked for at moments within what is not known,
#: and all others as soon as these tell something.
_CROWD = 8
#: One scout for so many tasks, as long as nothing at all is known; where the end is known to lie, to find out
#: more: one that comes too early is an interval late; and long before, where tasks may end by now.
_AT_FIRST, _LATER, _NOW_AND_THEN = 8, 16, 32
#: Steps of this share of a stretch, taken round and round it, fall evenly over it however many they are.
_GOLDEN = 0.618034
#: Seconds between two looks at what the others tell; or this share of what is left to wait, if that is more.
LOOK, _ROUGH = 0.05, 0.02


class Pace:
    """How long tasks of one kind take. Shared between the threads that wait for such tasks."""

    def __init__(self, spans: Sequence[Span], interval: float) -> None:
        self._interval = interval
        self._lock = threading.Lock()
        #: The newest first.
        self._spans = remembered(spans)
        #: Operation → when its task was last seen unfinished.
        self._running: dict[str, float] = {}
        self._rhythm: Rhythm | None = None
        #: The operations of scouts that have told nothing yet; and where the last was sent, as a share of the
        #: stretch.
        self._scouts: set[str] = set()
        self._place: float | None = None
        #: How much was learned since the rhythm was made, and how much is to be before the next is.
        self._news = self._enough = 0

    @property
    def rhythm(self) -> Rhythm:
        with self._lock:
            return self._latest()

    def moments(self, operation_id: str, spread: Spread) -> tuple[float, ...]:
        """When to ask for a task that was accepted just now; none where that is not known."""
        with self._lock:
            self._running[operation_id] = 0.0
            rhythm = self._latest()
            if len(self._running) <= _CROWD:
                return rhythm.drawn(spread)
            return self._scout(operation_id, rhythm, spread) or rhythm.moments

    def sooner(self, first: float) -> float | None:
        """The first moment of now, where that is before ``first``; None once there will be no such news."""
        with self._lock:
            if len(self._running) <= _CROWD:
                return None
            rhythm = self._latest()
            if rhythm.moments and self._doubt(rhythm) is None and rhythm.challenge is None:
                return None
        return min((first, *rhythm.moments[:1]))

    def unfinished(self, operation_id: str, elapsed: float) -> None:
        """A task was seen unfinished so many seconds after its acceptance."""
        with self._lock:
            self._running[operation_id] = elapsed
            self._hear(operation_id)

    def ended(self, operation_id: str, span: Span | None) -> None:
        """A task ended, within ``span`` if it was completed; or it is waited for no more."""
        with self._lock:
            if self._running.pop(operation_id, None) is not None and span is not None:
                self._spans = remembered([span, *self._spans])
                self._hear(operation_id)
            self._scouts.discard(operation_id)

    def _scout(self, operation_id: str, rhythm: Rhythm, spread: Spread) -> tuple[float, ...]:
        """When to ask for the task of a scout; none where there are enough of them."""
        running = len(self._running)
        if not rhythm.moments:
            stretch, then, most = (0.0, self._interval), rhythm.moments, running // _AT_FIRST
        elif (doubt := self._doubt(rhythm)) is not None:
            stretch, then, most = doubt, rhythm.moments[1:], max(1, running // _LATER)
        elif rhythm.challenge is not None:
            stretch, then, most = rhythm.challenge, rhythm.moments, max(1, running // _NOW_AND_THEN)
        else:
            return ()
        if len(self._scouts) >= most:
            return ()
        self._scouts.add(operation_id)
        before = spread(0.0, 1.0) if self._place is None else self._place
        self._place = (before + _GOLDEN) % 1.0
        low, high = stretch
        return (low + self._place * (high - low), *then)

    def _doubt(self, rhythm: Rhythm) -> Span | None:
        """Where the end may lie, unless that is known well enough for so many tasks."""
        return rhythm.doubt_wider_than(self._interval / max(len(self._running), 1))

    def _hear(self, operation_id: str) -> None:
        """A task was asked for; what a scout tells is used at once."""
        self._news = self._enough if operation_id in self._scouts else self._news + 1
        self._scouts.discard(operation_id)

    def _latest(self) -> Rhythm:
        """The rhythm, made again where there is much news: each takes some milliseconds."""
        if self._rhythm is None or self._news >= self._enough:
            running = [(least, float("inf")) for least in self._running.values() if least > 0]
            self._rhythm = rhythm_of([*telling(self._spans), *running[-_SPANS:]], self._interval)
            # Where hundreds run, one more tells little; where a look is worth it, the next one is soon to
            # know what this one found.
            crowd = min(len(self._spans), len(self._running), _SPANS)
            self._enough = max(1, crowd // (8 if self._doubt(self._rhythm) else 2))
            self._news = 0
        return self._rhythm


class Turns:
    """When one task is asked for. ``fresh``: it was created just now; another is asked for at once."""

    def __init__(self, work: Work, operation: Operation, *, fresh: bool) -> None:
        self._work = work
        self._operation = operation
        self._fresh = fresh
        #: When the wait began, by the clock.
        self.began = work.clock()
        accepted = operation.accepted
        #: By how much the task is older than the wait, where that is known.
        self._age = 0.0 if fresh or accepted is None else max(work.now() - accepted, 0.0)
        self._pace = pace_of(work, operation) if fresh or accepted is not None else None
        self._moments: Sequence[float] | None = None
        #: How long after its acceptance the task was asked for, and told to be unfinished.
        self._least = 0.0

    def waited(self) -> float:
        """Seconds since the wait began."""
        return self._work.clock() - self.began

    def next_pause(self, waited: float) -> float | None:
        """Seconds until the next poll, after so many; None where nothing is known about when to ask.

        Before the first poll, these may be less than an interval.
        """
        if self._moments is None:
            if not self._fresh:
                self._moments = self._pace.rhythm.moments if self._pace is not None else ()
                return 0.0
            if self._pace is None:
                self._moments = ()
                return None
            self._moments = self._pace.moments(self._operation.id, self._work.spread)
            return max(self._moments[0] - waited, 0.0) if self._moments else None
        return following(self._moments, self._age + waited, self._least, self._work.poll_interval)

    def wait(self, seconds: float) -> None:
        """Wait for the first poll; less, where tasks that run beside it tell that they end sooner."""
        due = self.waited() + seconds
        while (left := due - self.waited()) > 0:
            sooner = self._pace.sooner(due) if self._fresh and self._pace is not None else None
            if sooner is None:
                self._work.pause(left)
                return
            due = sooner
            if (left := due - self.waited()) > 0:
                self._work.pause(min(left, max(LOOK, left * _ROUGH)))

    def answered(self, task: Task, departed: float) -> Span | None:
        """Note what the poll that left at ``departed`` told; between which seconds the task ended.

        None as long as it has not, and where nobody waited from its acceptance on.
        """
        elapsed = self._age + departed - self.began
        if not task.finished:
            self._least = elapsed
            if self._fresh and self._pace is not None:
                self._pace.unfinished(self._operation.id, elapsed)
            return None
        if not self._fresh:
            return None
        span = (self._least, elapsed)
        if self._pace is not None:
            self._pace.ended(self._operation.id, None if task.unsuccessful else span)
        return span

    def end(self) -> None:
        """The task is waited for no more."""
        if self._fresh and self._pace is not None:
            self._pace.ended(self._operation.id, None)


def remembered(spans: Sequence[Span]) -> list[Span]:
    """The newest of the spans, in their order, and behind them the older ones that may tell more."""
    newest, older = spans[:_SPANS], spans[_SPANS:]
    in_vain = [span for span in older if span[0] > 0][:_IN_VAIN]
    return [*newest, *in_vain, *sorted(span for span in older if span[0] == 0)[:_EARLIEST]]


def telling(spans: Sequence[Span]) -> Sequence[Span]:
    """Those of the remembered spans that are used."""
    newest = spans[:_SPANS]
    return newest if sum(low > 0 for low, _ in newest) >= _IN_VAIN else spans


def pace_of(work: Work, operation: Operation) -> Pace | None:
    """What is known of tasks like this one; None for a task of another machine."""
    if operation.request is None:
        return None
    kind = operation.request.kind
    with work.paces_lock:
        pace = work.paces.get(kind)
        if pace is None:
            try:
                spans = work.history.durations(operation.service, kind)
            except HistoryUnusable:
                # Whoever writes to it next will tell.
                spans = []
            pace = work.paces[kind] = Pace(spans, work.poll_interval)
    return pace
