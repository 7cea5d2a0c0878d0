"""Several operations side by side, each with a life of its own: one that fails stops no other."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing

from msgspec.structs import replace

from ..download import Shield
from ..events import Ended, Event, Submitted
from ..models import Operation
from .crew import Brake, Crew
from .rate_limiter import RateLimiter
from .work import Work

#: One operation's events.
Life = Callable[[Work, Operation], Generator[Event, None, None]]


class Several:
    """``operations``, each lived as ``live`` says.

    The first goes ahead, and once it has its task the others follow, all at once: they ask for the same,
    so that where it gets no task they would get none. They share what the rate limit allows.
    """

    def __init__(
        self,
        work: Work,
        operations: Sequence[Operation],
        live: Life,
        *,
        shield: Shield,
    ) -> None:
        #: What happened and is not told yet; where they were stopped, what is left to be told.
        self.untold: deque[Event] = deque()
        #: Operations that have begun and not ended, as they stand.
        self.under_way: dict[str, Operation] = {}
        brake = Brake()
        # Signals are the main thread's.
        self._work = replace(work, pause=brake.pause, shield=brake.shield, rate_limiter=RateLimiter())
        self._live = live
        self._shield = shield
        self._crew: Crew[Operation, Event] = Crew(
            operations,
            self._serve,
            pays=lambda _: True,
            brake=brake,
            parts=work.parts,
        )

    @property
    def not_begun(self) -> list[Operation]:
        """Those that were never sent, because of what others met with or of a signal."""
        return self._crew.not_begun

    def events(self) -> Generator[Event, None, None]:
        """All that happens, in the order in which it does."""
        try:
            self._crew.start(1)
            while self._crew.is_busy:
                self._crew.wait()
                self._hear()
                yield from self._tell()
        except BaseException:
            # A signal, or a bug.
            with self._shield():
                self._crew.end()
                self._hear()
            raise

    def _tell(self) -> Iterator[Event]:
        while self.untold:
            yield self.untold.popleft()

    def _hear(self) -> None:
        with self._shield():
            for word in self._crew.said():
                self.untold.append(word)
                if isinstance(word, Ended):
                    self.under_way.pop(word.operation.id, None)
                elif isinstance(word, Event):
                    self.under_way[word.operation.id] = word.operation
                if isinstance(word, Submitted):
                    self._crew.start(len(self.not_begun))

    def _serve(self, operation: Operation) -> None:
        with closing(self._live(self._work, operation)) as events:
            for event in events:
                if isinstance(event, Ended) and event.error is not None and event.operation.task_id is None:
                    self._crew.spare_others(event.error)
                self._crew.say(event)
