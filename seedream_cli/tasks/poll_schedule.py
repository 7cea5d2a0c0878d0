"""When to ask for a task, from how long earlier tasks of its kind took."""

from __future__ import annotations

from collections.abc import Sequence

from .retry import Jitter

#: Every 1 to 1.02 intervals in the first 30 seconds, and so on: seconds, shortest and longest pause. API
#: reference: every 2-3 s until 30 s, every 5-10 s until 2 minutes, every 15-30 s after that.
DOCUMENTED = ((30.0, 1.0, 1.02), (120.0, 2.5, 5.0), (float("inf"), 7.5, 15.0))
#: How many durations are used, the newest first, and how many are too few to rely on.
NEWEST = 40
FEWEST = 3
#: One in this many tasks may end before its first poll. More would make images late for fewer requests.
EARLY_SHARE = 20


class PollSchedule:
    """The polls of one task. Times are in seconds since the wait began, when the task was ``age`` old."""

    def __init__(
        self, durations: Sequence[float], interval: float, jitter: Jitter, *, age: float = 0.0
    ) -> None:
        self._interval = interval
        self._spread = jitter
        #: When the task may be finished; 0 if that is not known.
        self._first = 0.0
        if len(durations) >= FEWEST:
            newest = sorted(durations[:NEWEST])
            self._first = max(newest[len(newest) // EARLY_SHARE] - age, 0.0)

    def first_pause(self) -> float:
        """Return the seconds until the first poll of a task that was submitted just now."""
        return self._first or self._documented(0.0)

    def next_pause(self, waited: float) -> float:
        """Return the seconds between a poll that was answered after ``waited`` seconds and the next.

        The documented schedule begins at the learned moment, so that it still slows down.
        """
        return max(self._first - waited, self._documented(waited - self._first))

    def _documented(self, waited: float) -> float:
        shortest, longest = next((low, high) for until, low, high in DOCUMENTED if waited < until)
        return self._spread(shortest * self._interval, longest * self._interval)


def estimate_duration(
    reported: float | None,
    *,
    unfinished_at: float | None,
    polled_at: float,
    answered_at: float,
    interval: float,
) -> float | None:
    """Return how long a task took, or None if that is not known. All in seconds since its acceptance.

    ``reported`` comes from ``completed_at``, which is rounded down to whole seconds. It is used if the polls
    agree with it, as the service's clock may differ from ours, and rounded up: a poll that comes a moment too
    early makes an image late by an interval. ``polled_at`` is when the poll that found the
    task finished was due; ``unfinished_at`` is when the poll before was (0: there was none since the
    acceptance; None: there was none, and the task may have ended long ago).
    """
    earliest = unfinished_at or 0.0
    if reported is not None and earliest - 1.0 < reported <= answered_at:
        return min(reported + 1.0, answered_at)
    if unfinished_at is None:
        return None
    # Half an interval is how late a poll is on average. Without it, a task that was found late would make the
    # schedule ask for the next one even later.
    return max(polled_at - interval / 2, earliest)
