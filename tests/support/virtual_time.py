"""A clock for many threads: it moves on to the earliest moment that any of them waits for."""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable, Iterable


class VirtualTime:
    """Runs one thread at a time, so that the same program always takes the same course."""

    def __init__(self) -> None:
        self.now = 0.0
        self._due: list[tuple[float, int, threading.Event]] = []
        self._number = itertools.count()
        self._handed_back = threading.Event()
        self._failure: BaseException | None = None

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        """Let the other threads run for ``seconds``."""
        turn = self._wait_for_turn(self.now + seconds)
        self._handed_back.set()
        turn.wait()

    def run(self, programs: Iterable[Callable[[], None]], *, until: float) -> None:
        """Run each of ``programs`` in its own thread. Raises what one of them raised."""
        for program in programs:
            turn = self._wait_for_turn(self.now)
            threading.Thread(target=self._run, args=(program, turn), daemon=True).start()
        while self._due and self._failure is None:
            self.now, _, turn = heapq.heappop(self._due)
            assert self.now < until, "they take too long"
            self._handed_back.clear()
            turn.set()
            assert self._handed_back.wait(20), "a thread waits for something else than this clock"
        if self._failure is not None:
            raise self._failure

    def _wait_for_turn(self, at: float) -> threading.Event:
        turn = threading.Event()
        heapq.heappush(self._due, (at, next(self._number), turn))
        return turn

    def _run(self, program: Callable[[], None], turn: threading.Event) -> None:
        turn.wait()
        try:
            program()
        except BaseException as failure:
            self._failure = failure
        finally:
            self._handed_back.set()
