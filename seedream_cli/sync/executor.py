"""The executor: carries out a plan with parallel workers, and writes each lockfile entry as soon as possible.

The calling thread writes the lockfile and passes events on. It is the only one that receives signals. On a
signal it stops the workers, and still writes the entries of the images that they have finished.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from contextlib import nullcontext

from msgspec.structs import replace

from ..errors import SeedreamError
from ..events import ImageDone, ImageEvent, ImageFailed
from ..files.partial_file import Shield
from ..models import Operation
from ..tasks.worker_pool import CancelToken
from .image_task import SyncContext, remove_leftover_part
from .lockfile import Entry, Key, timestamp
from .lockfile_writer import LockfileWriter
from .plan import Plan
from .plan_items import Action, PlanItem
from .workers import ImageWorkers, WorkerFailed, WorkerSucceeded

#: Values of ImageDone.done for the actions that need no service.
_DONE = {
    Action.MOVE: "moved",
    Action.RECORD: "recorded",
    Action.ADOPT: "adopted",
    Action.FORGET: "forgotten",
    Action.REMOVE: "removed",
}
#: Actions that need the service.
REMOTE = (Action.GENERATE, Action.FETCH)
#: Wait this many times the duration of the last lockfile write before the next one. Every write rewrites the
#: whole file; without the wait, a run over thousands of images would spend most of its time on it.
_WRITE_INTERVAL_FACTOR = 8

SyncEvent = ImageEvent | ImageDone | ImageFailed


class SyncExecutor:
    """One run of ``plan``. ``on_event`` is called in the thread that calls ``execute``.

    ``shield`` returns a context manager in which no signal interrupts. ``sandbox`` marks the lockfile's
    entries as placeholders made by the sandbox.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        context: SyncContext,
        lockfile_writer: LockfileWriter,
        cancel_token: CancelToken,
        jobs: int,
        on_event: Callable[[SyncEvent], None],
        shield: Shield = nullcontext,
        sandbox: bool = False,
    ) -> None:
        self.plan = plan
        self.context = context
        self.lockfile_writer = lockfile_writer
        self.cancel_token = cancel_token
        self.jobs = jobs
        self.on_event = on_event
        self.shield = shield
        self.sandbox = sandbox
        #: The latest known operation of each image in progress, by label.
        self.in_progress: dict[str, Operation] = {}
        self._unreported: deque[SyncEvent] = deque()
        self._workers = ImageWorkers(
            self.context, self.plan.with_action(*REMOTE), cancel_token=self.cancel_token, jobs=self.jobs
        )

    @property
    def not_begun(self) -> int:
        """Return how many images were not started, because of a signal or of an error that hits all."""
        return sum(map(len, self._workers.not_begun))

    def execute(self) -> None:
        """Carry out the plan. Raises an error that ends the run; reports that of one image as ImageFailed."""
        self.lockfile_writer.tidy()
        self._apply_local_actions()
        self._report()
        try:
            self._workers.start(self.jobs)
            write_seconds = 0.0
            while self._workers.is_busy:
                self._workers.wait(rest=_WRITE_INTERVAL_FACTOR * write_seconds)
                start = time.perf_counter()
                self._drain_messages()
                write_seconds = time.perf_counter() - start
                self._report()
        except BaseException:
            # A signal, a bug, or a lockfile that cannot be written.
            try:
                with self.shield():
                    self._workers.end()
                    self._drain_messages()
            finally:
                self._report()
            raise

    def _report(self) -> None:
        while self._unreported:
            self.on_event(self._unreported.popleft())

    def _apply_local_actions(self) -> None:
        """Carry out the actions that need no service, with a single write of the lockfile."""
        put: dict[Key, Entry] = {}
        drop: list[Key] = []
        done: list[PlanItem] = []
        with self.shield():
            for item in self.plan.items:
                if item.action == Action.NOTHING or item.action in REMOTE:
                    continue
                try:
                    entry = self._apply_local_action(item)
                except SeedreamError as error:
                    self._unreported.append(ImageFailed(item.label, error))
                    continue
                if entry is None:
                    drop.append(item.key)
                else:
                    put[item.key] = entry
                    drop += item.supersedes
                done.append(item)
            if done:
                self.lockfile_writer.update(put, drop)
            for item in done:
                path = item.path or ""
                entry = put.get(item.key)
                self._unreported.append(
                    ImageDone(
                        item.label,
                        item.state,
                        _DONE[item.action],
                        path,
                        task_id=entry.task_id if entry else None,
                        sha256=entry.sha256 if entry else None,
                        note=self._remove_old_file(item, path),
                    )
                )

    def _apply_local_action(self, item: PlanItem) -> Entry | None:
        """Carry out the item's action on the files. Return its new entry, or None if the entry is dropped."""
        if item.action == Action.MOVE:
            self.context.project.move(item)
            return item.moved_entry()
        if item.action == Action.RECORD:
            remove_leftover_part(self.context, item)
            return item.entry
        if item.action == Action.ADOPT:
            return item.adopted_entry(timestamp(self.context.now()))
        if item.action == Action.REMOVE and item.entry is not None:
            self.context.project.remove(item.entry)
        return None

    def _remove_old_file(self, item: PlanItem, path: str) -> str | None:
        """Remove the image's old file. Return an error message if it cannot be removed."""
        before = self.plan.entries.get(item.key) if item.action == Action.RECORD else item.entry
        if item.old_path is None or item.old_path == path or before is None:
            return None
        if self.lockfile_writer.has_path(item.old_path):
            return None
        try:
            self.context.project.remove(replace(before, path=item.old_path), unless_same_as=path)
        except SeedreamError as error:
            return error.message
        return None

    def _drain_messages(self) -> None:
        """Process the workers' messages, with a single write of the lockfile for all saved images."""
        with self.shield():
            succeeded: list[WorkerSucceeded] = []
            for message in self._workers.drain():
                if isinstance(message, WorkerSucceeded):
                    succeeded.append(message)
                elif isinstance(message, WorkerFailed):
                    operation = self.in_progress.pop(message.item.label, None)
                    self._unreported.append(ImageFailed(message.item.label, message.error, operation))
                else:
                    self.in_progress[message.label] = message.event.operation
                    self._unreported.append(message)
            # Last: a lockfile that cannot be written must not hide the failures of images.
            if succeeded:
                self._record_results(succeeded)

    def _record_results(self, succeeded: list[WorkerSucceeded]) -> None:
        now = timestamp(self.context.now())
        put: dict[Key, Entry] = {}
        drop: list[Key] = []
        for message in succeeded:
            put[message.item.key] = message.item.saved_entry(
                path=message.result.path,
                sha256=message.result.file.sha256,
                task_id=message.result.operation.task_id,
                time=now,
                sandbox=self.sandbox,
            )
            drop += message.item.supersedes
        self.lockfile_writer.update(put, drop)
        for message in succeeded:
            item, result = message.item, message.result
            self.in_progress.pop(item.label, None)
            self._unreported.append(
                ImageDone(
                    item.label,
                    item.state,
                    result.how,
                    result.path,
                    task_id=result.operation.task_id,
                    sha256=result.file.sha256,
                    bytes=result.file.bytes,
                    cost=result.cost,
                    seconds=result.operation.seconds,
                    note=self._remove_old_file(item, result.path),
                )
            )
