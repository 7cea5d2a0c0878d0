"""Several operations in parallel. One that fails does not stop the others."""

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
    """Calls ``run_task`` for each operation, each in a thread of its own.

    The first operation starts alone. The others, which ask for the same, start all at once when it has its
    task: if it gets none, they would get none either. They share one rate limiter. ``on_event`` is called in
    the thread that calls :meth:`run`.
    """

    def __init__(
        self,
        context: TaskContext,
        operations: Sequence[Operation],
        run_task: Callable[[TaskContext, Operation], TaskFinished],
        *,
        on_event: Callable[[Event], None],
        shield: Shield,
    ) -> None:
        self._cancel_token = CancelToken()
        self._run_task = run_task
        self._on_event = on_event
        self._shield = shield
        self._pending_events: deque[Event] = deque()
        self._workers: WorkerPool[Operation, Event] = WorkerPool(
            operations,
            self._process,
            costs_money=lambda _: True,
            cancel_token=self._cancel_token,
            parts=context.parts,
        )
        # Signals are handled in the main thread: workers wait, and create files, by the cancel token.
        self._context = replace(
            context,
            pause=self._cancel_token.pause,
            shield=self._cancel_token.shield,
            rate_limiter=RateLimiter(),
            on_event=self._workers.post,
        )

    @property
    def not_begun(self) -> list[Operation]:
        """Return the operations that were never sent, because of another one's error or a signal."""
        return self._workers.not_begun

    def run(self) -> None:
        """Run all operations and report their events as they happen."""
        try:
            self._workers.start(1)
            while self._workers.is_busy:
                self._workers.wait()
                self._report()
        except BaseException:
            # A signal, or a bug.
            with self._shield():
                self._workers.end()
            self._report()
            raise

    def _report(self) -> None:
        with self._shield():
            self._pending_events.extend(self._workers.drain())
        while self._pending_events:
            event = self._pending_events.popleft()
            self._on_event(event)
            # After a signal the rest is only reported: nothing more is submitted.
            if isinstance(event, Submitted) and not self._cancel_token.is_cancelled:
                self._workers.start(len(self.not_begun))

    def _process(self, operation: Operation) -> None:
        finished = self._run_task(self._context, operation)
        if finished.error is not None and finished.operation.task_id is None:
            self._workers.stop_starting(finished.error)
