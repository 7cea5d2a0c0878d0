"""Several operations side by side, each with a life of its own: one that fails stops no other."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import nullcontext
from dataclasses import replace

from ..download import Shield
from ..events import Event, Exchange
from ..models import Operation
from .crew import Brake, Crew
from .gate import Gate
from .work import Work

#: One operation's events.
Life = Callable[[Work, Operation], Generator[Event, None, None]]


class Several:
    """``operations``, each lived as ``live`` says. ``break_off`` ends the calls of all.

    They share what the rate limit allows. ``late`` is what came to its end while they were stopped.
    """

    def __init__(
        self,
        work: Work,
        operations: Sequence[Operation],
        live: Life,
        *,
        break_off: Callable[[], None],
        shield: Shield,
    ) -> None:
        self.late: list[Event | Exchange] = []
        brake = Brake()
        # Signals are the main thread's.
        self._work = replace(work, pause=brake.pause, shield=nullcontext, gate=Gate())
        self._operations = operations
        self._live = live
        self._crew: Crew[Event | Exchange] = Crew(brake, break_off, shield)

    def observe(self, exchange: Exchange) -> None:
        """Pass a call of a worker's on to whoever listens."""
        self._crew.tell(exchange)

    def events(self) -> Generator[Event | Exchange, None, None]:
        """All that happens, in the order in which it does."""
        try:
            for batch in self._crew.batches([self._worker(operation) for operation in self._operations]):
                yield from batch
        except BaseException:
            # A signal, or a bug.
            self.late += self._crew.end()
            for part in list(self._work.parts):
                part.close()
            raise

    def _worker(self, operation: Operation) -> Callable[[], None]:
        def work() -> None:
            for event in self._live(self._work, operation):
                self._crew.tell(event)

        return work
