"""A clock that advances only in pauses, and jitter without chance."""

from __future__ import annotations


class Clock:
    """Callable that returns the time. ``pauses`` are the lengths of all pauses, in seconds."""

    def __init__(self, start: float = 1_800_000_000.0) -> None:
        self.time = start
        self.pauses: list[float] = []

    def __call__(self) -> float:
        return self.time

    def pause(self, seconds: float) -> None:
        """Advance the clock, in place of `time.sleep`."""
        self.pauses.append(seconds)
        self.time += seconds


def shortest(low: float, high: float) -> float:
    return low


def longest(low: float, high: float) -> float:
    return high
