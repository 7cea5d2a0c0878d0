"""Fake clock for one thread, which advances only by pauses."""

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
