"""A plan carried out: several images at a time, and each file and its line as soon as they can be.

The thread that calls writes the lock and passes the events on. Only it gets signals: it then ends the
workers, and still writes the lines of what they had finished.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext

from msgspec.structs import replace

from ..errors import SeedreamError
from ..events import ImageDone, ImageEvent, ImageFailed
from ..files.partial_file import Shield
from ..models import Operation
from ..tasks.worker_pool import CancelToken
from .image_task import ImageResult, SyncContext, tidy
from .lockfile import Entry, Key, timestamp
from .lockfile_writer import LockfileWriter
from .plan import Plan
from .plan_items import Action, PlanItem
from .workers import WorkerFailed, Workers, WorkerSucceeded

#: What each action that needs no service is called once it is done.
_DONE = {
    Action.MOVE: "moved",
    Action.RECORD: "recorded",
    Action.ADOPT: "adopted",
    Action.FORGET: "forgotten",
    Action.REMOVE: "removed",
}
REMOTE = (Action.GENERATE, Action.FETCH)
#: How much longer than the last writing of the lock it is left alone. All of it is written for each line, so
#: that a run of thousands would write for most of its time: what lands meanwhile is written at once.
_RESTS = 8

Told = ImageEvent | ImageDone | ImageFailed


class SyncExecutor:
    """One run of ``plan``. ``shield`` keeps signals away; ``on_event`` is called in the executing thread.

    ``sandbox`` marks the lines of the lock as those of pictures that are none.
    """

    def __init__(
        self,
        *,
        plan: Plan,
        context: SyncContext,
        lockfile_writer: LockfileWriter,
        cancel_token: CancelToken,
        jobs: int,
        on_event: Callable[[Told], None],
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
        #: The operation of each image that is under way, as far as it has come.
        self.under_way: dict[str, Operation] = {}
        self._unreported: deque[Told] = deque()
        self._workers = Workers(
            self.context, self.plan.of(*REMOTE), cancel_token=self.cancel_token, jobs=self.jobs
        )

    @property
    def not_begun(self) -> int:
        """How many images were left alone, because of what others met with."""
        return sum(map(len, self._workers.not_begun))

    def execute(self) -> None:
        """Carry the plan out. Raises what ends the whole run; reports what ends one image as FellShort."""
        self.lockfile_writer.tidy()
        self._act_here()
        self._report()
        try:
            self._workers.start(self.jobs)
            took = 0.0
            while self._workers.is_busy:
                self._workers.wait(rest=_RESTS * took)
                began = time.perf_counter()
                self._hear()
                took = time.perf_counter() - began
                self._report()
        except BaseException:
            # A signal, a bug, or a lock that cannot be written.
            try:
                with self.shield():
                    self._workers.end()
                    self._hear()
            finally:
                self._report()
            raise

    def _report(self) -> None:
        while self._unreported:
            self.on_event(self._unreported.popleft())

    # What needs no service

    def _act_here(self) -> None:
        put: dict[Key, Entry] = {}
        drop: list[Key] = []
        done: list[PlanItem] = []
        with self.shield():
            for item in self.plan.items:
                if item.action == Action.NOTHING or item.action in REMOTE:
                    continue
                try:
                    entry = self._acted(item)
                except SeedreamError as error:
                    self._unreported.append(ImageFailed(item.label, error))
                    continue
                if entry is None:
                    drop.append(item.key)
                else:
                    put[item.key] = entry
                    drop += item.leaves
                done.append(item)
            if done:
                self.lockfile_writer.update(put, drop)
            for item in done:
                path, entry = item.path or "", put.get(item.key)
                task, digest = (entry.task_id, entry.sha256) if entry else (None, None)
                note = self._drop_old(item, path)
                self._unreported.append(
                    ImageDone(item.label, item.state, _DONE[item.action], path, task, digest, note=note)
                )

    def _acted(self, item: PlanItem) -> Entry | None:
        """Do what is to be done, and return the lock's line; None where it goes."""
        if item.action == Action.MOVE:
            self.context.project.move(item)
            return item.moved()
        if item.action == Action.RECORD:
            tidy(self.context, item)
            return item.entry
        if item.action == Action.ADOPT:
            return item.adopted(timestamp(self.context.now()))
        if item.action == Action.REMOVE and item.entry is not None:
            self.context.project.remove(item.entry)
        return None

    def _drop_old(self, item: PlanItem, path: str) -> str | None:
        """Remove the file that the image had before; why it is still there, if it is."""
        before = self.plan.entries.get(item.key) if item.action == Action.RECORD else item.entry
        if item.old is None or item.old == path or before is None:
            return None
        if self.lockfile_writer.has(item.old):
            return None
        try:
            self.context.project.remove(replace(before, path=item.old), but=path)
        except SeedreamError as error:
            return error.message
        return None

    # What workers did

    def _hear(self) -> None:
        """Write the lines of all images that came, at once."""
        with self.shield():
            came: list[WorkerSucceeded] = []
            for word in self._workers.drain():
                if isinstance(word, WorkerSucceeded):
                    came.append(word)
                elif isinstance(word, WorkerFailed):
                    operation = self.under_way.pop(word.item.label, None)
                    self._unreported.append(ImageFailed(word.item.label, word.error, operation))
                else:
                    self.under_way[word.label] = word.event.operation
                    self._unreported.append(word)
            # Last: if the lock cannot be written, that hides nothing else.
            if came:
                self._land(came)

    def _land(self, came: Sequence[WorkerSucceeded]) -> None:
        now = timestamp(self.context.now())
        put = {
            one.item.key: one.item.locked(
                path=one.given.path,
                sha256=one.given.file.sha256,
                task_id=one.given.operation.task_id,
                time=now,
                sandbox=self.sandbox,
            )
            for one in came
        }
        self.lockfile_writer.update(put, [key for one in came for key in one.item.leaves])
        for one in came:
            self.under_way.pop(one.item.label, None)
            self._unreported.append(self._landed(one.item, one.given))

    def _landed(self, item: PlanItem, given: ImageResult) -> ImageDone:
        return ImageDone(
            item.label,
            item.state,
            given.how,
            given.path,
            task_id=given.operation.task_id,
            sha256=given.file.sha256,
            bytes=given.file.bytes,
            cost=given.cost,
            seconds=given.operation.seconds,
            note=self._drop_old(item, given.path),
        )
