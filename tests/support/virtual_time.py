"""Discrete-event simulation of threads that sleep: time advances to the next wake-up."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable


class VirtualTime:
    """Scheduler that runs one thread at a time, so that every run has the same order of events."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, threading.Event]] = []
        self._number = itertools.count()
        self._handed_back = threading.Event()
        self._failure: BaseException | None = None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Suspend this thread for ``seconds`` of virtual time."""
        turn = self._wait_for_turn(self.now + seconds)
        self._handed_back.set()
        turn.wait()

    def run(self, functions: Iterable[Callable[[], None]], *, until: float) -> None:
        """Run each function in its own thread, and raise the exception of any of them."""
        for function in functions:
            turn = self._wait_for_turn(self.now)
            threading.Thread(target=self._run, args=(function, turn), daemon=True).start()
        while self._due and self._failure is None:
            self.now, _, turn = heapq.heappop(self._due)
            assert self.now < until, "the simulation did not end in time"
            self._handed_back.clear()
            turn.set()
            assert self._handed_back.wait(20), "a thread waits for something other than this clock"
        if self._failure is not None:
            raise self._failure

    def _wait_for_turn(self, at: float) -> threading.Event:
        turn = threading.Event()
        heapq.heappush(self._due, (at, next(self._number), turn))
        return turn

    def _run(self, function: Callable[[], None], turn: threading.Event) -> None:
        turn.wait()
        try:
            function()
        except BaseException as failure:
            self._failure = failure
        finally:
            self._handed_back.set()
