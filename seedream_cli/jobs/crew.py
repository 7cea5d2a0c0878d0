"""Threads that work side by side, and tell all that they do through one queue to the thread that listens.

Only the main thread gets signals: when one comes it breaks the workers' connections, so that whatever
they wait for ends at once, and still hears what they had finished.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

from ..download import Shield
from ..errors import Stopped

T = TypeVar("T")

#: Seconds that workers get to come to an end in, once their connections are broken.
_PATIENCE = 0.6
#: Seconds after which the thread that waits for workers looks up: on Windows no signal wakes it.
_LOOK_UP = 0.5


class Brake:
    """Ends the waits of all workers at once."""

    def __init__(self) -> None:
        self._pulled = threading.Event()

    @property
    def pulled(self) -> bool:
        return self._pulled.is_set()

    def pull(self) -> None:
        self._pulled.set()

    def pause(self, seconds: float) -> None:
        """Wait some seconds; raises Stopped where that is over."""
        if self._pulled.wait(seconds):
            raise Stopped


@dataclass(frozen=True, slots=True)
class _Over:
    """A worker has ended, in most cases without a bug."""

    bug: BaseException | None = None


class Crew(Generic[T]):
    """Workers with one ``brake``. ``break_off`` ends the calls of all; ``shield`` keeps signals away."""

    def __init__(self, brake: Brake, break_off: Callable[[], None], shield: Shield) -> None:
        self.brake = brake
        self._break_off = break_off
        self._shield = shield
        self._told: SimpleQueue[T | _Over] = SimpleQueue()
        self._workers: list[threading.Thread] = []

    def tell(self, what: T) -> None:
        """Pass something on to the thread that listens."""
        self._told.put(what)

    def batches(self, works: Sequence[Callable[[], None]]) -> Generator[list[T], None, None]:
        """Begin every work in a thread of its own; what they tell, until all have ended.

        Raises a worker's bug. Whoever stops listening calls :meth:`end`.
        """
        self._workers = [threading.Thread(target=self._run, args=(work,), daemon=True) for work in works]
        for worker in self._workers:
            worker.start()
        at_work = len(self._workers)
        while at_work:
            try:
                batch = [self._told.get(timeout=_LOOK_UP)]
            except Empty:
                continue
            batch += self._rest()
            over = [one for one in batch if isinstance(one, _Over)]
            yield [one for one in batch if not isinstance(one, _Over)]
            for one in over:
                if one.bug is not None:
                    raise one.bug
            at_work -= len(over)

    def end(self) -> list[T]:
        """Stop the workers; what they told and nobody has heard yet."""
        self.brake.pull()
        self._break_off()
        with self._shield():
            deadline = time.monotonic() + _PATIENCE
            for worker in self._workers:
                if worker.ident is not None:
                    worker.join(max(0.0, deadline - time.monotonic()))
            return [one for one in self._rest() if not isinstance(one, _Over)]

    def _run(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Stopped:
            pass
        except BaseException as bug:
            self._told.put(_Over(bug))
            return
        self._told.put(_Over())

    def _rest(self) -> list[T | _Over]:
        rest: list[T | _Over] = []
        while True:
            try:
                rest.append(self._told.get_nowait())
            except Empty:
                return rest
