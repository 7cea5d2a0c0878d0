"""Several operations in parallel: one that fails does not stop the others."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence

from msgspec.structs import replace

from ..events import Event, Submitted, TaskFinished
from ..files.partial_file import Shield
from ..models import Operation
from .context import TaskContext
from .rate_limiter import RateLimiter
from .worker_pool import CancelToken, WorkerPool


class TaskBatch:
    """Runs ``act`` for each of ``operations`` in a thread of its own.

    The first goes ahead. The others start, all at once, when it has its task: they ask for the same, so if it
    gets no task, they would get none. They share one rate limiter. ``on_event`` is called in the thread that
    calls :meth:`run`.
    """

    def __init__(
        self,
        context: TaskContext,
        operations: Sequence[Operation],
        act: Callable[[TaskContext, Operation], TaskFinished],
        *,
        on_event: Callable[[Event], None],
        shield: Shield,
    ) -> None:
        self._brake = cancel_token = CancelToken()
        self._act = act
        self._on_event = on_event
        self._shield = shield
        self._unreported: deque[Event] = deque()
        self._crew: WorkerPool[Operation, Event] = WorkerPool(
            operations,
            self._serve,
            costs_money=lambda _: True,
            cancel_token=cancel_token,
            parts=context.parts,
        )
        # Signals are handled in the main thread.
        self._work = replace(
            context,
            pause=cancel_token.pause,
            shield=cancel_token.shield,
            rate_limiter=RateLimiter(),
            on_event=self._crew.post,
        )

    @property
    def not_begun(self) -> list[Operation]:
        """Operations that were never sent, because of the others' errors or of a signal."""
        return self._crew.not_begun

    def run(self) -> None:
        """Run all operations to their end, and report their events as they happen."""
        try:
            self._crew.start(1)
            while self._crew.is_busy:
                self._crew.wait()
                self._report()
        except BaseException:
            # A signal, or a bug.
            with self._shield():
                self._crew.end()
            self._report()
            raise

    def _report(self) -> None:
        with self._shield():
            self._unreported.extend(self._crew.drain())
        while self._unreported:
            event = self._unreported.popleft()
            self._on_event(event)
            # Not in the last report, behind a signal.
            if isinstance(event, Submitted) and not self._brake.is_cancelled:
                self._crew.start(len(self.not_begun))

    def _serve(self, operation: Operation) -> None:
        ended = self._act(self._work, operation)
        if ended.error is not None and ended.operation.task_id is None:
            self._crew.stop_starting(ended.error)
