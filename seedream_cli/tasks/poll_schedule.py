"""Poll schedule: when to ask for a task, learned from the durations of earlier tasks of the same kind."""

from __future__ import annotations

from collections.abc import Sequence

from .retry import Jitter

#: The documented schedule: until how many seconds, shortest and longest pause in poll intervals. API
#: reference: every 2-3 s until 30 s, every 5-10 s until 2 minutes, every 15-30 s after that.
DOCUMENTED = ((30.0, 1.0, 1.02), (120.0, 2.5, 5.0), (float("inf"), 7.5, 15.0))
#: Number of durations that are used, newest first.
NEWEST = 40
#: With fewer durations than this, the documented schedule is used.
FEWEST = 3
#: One task in this many may end before its first poll. Allowing more would save requests, but delay images.
EARLY_SHARE = 20


class PollSchedule:
    """The polls of one task.

    Times are in seconds since the wait began, when the task was ``age`` seconds old. ``durations`` are those
    of earlier tasks, newest first. ``interval`` is the shortest time between two polls.
    """

    def __init__(
        self, durations: Sequence[float], interval: float, jitter: Jitter, *, age: float = 0.0
    ) -> None:
        self._interval = interval
        self._spread = jitter
        #: When the task is expected to finish; 0 if that is not known.
        self._first = 0.0
        if len(durations) >= FEWEST:
            newest = sorted(durations[:NEWEST])
            self._first = max(newest[len(newest) // EARLY_SHARE] - age, 0.0)

    def first_pause(self) -> float:
        """Return the seconds until the first poll of a task that was submitted just now."""
        return self._first or self._documented(0.0)

    def next_pause(self, waited: float) -> float:
        """Return the seconds between a poll that was answered after ``waited`` seconds and the next one.

        The documented schedule begins when the task is expected to finish, so that polls still become rarer.
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

    ``reported`` is derived from ``completed_at``, which the service rounds down to whole seconds. It is used
    if the polls agree with it, as the service's clock may differ from ours. It is then rounded up: a poll
    that comes a moment too early delays an image by an interval. ``polled_at`` is when the poll that found
    the task finished was due. ``unfinished_at`` is when the poll before that was due: 0 if there was none
    since the acceptance, None if the task may have ended long ago.
    """
    earliest = unfinished_at or 0.0
    if reported is not None and earliest - 1.0 < reported <= answered_at:
        return min(reported + 1.0, answered_at)
    if unfinished_at is None:
        return None
    # On average a poll is half an interval late. Without this correction, a late poll would make the schedule
    # poll the next task even later.
    return max(polled_at - interval / 2, earliest)
