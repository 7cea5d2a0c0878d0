"""The life of one image of a set: asked for with its own key, watched, and put into its place.

Its idempotency key is the same in every run, so that a run after a crash comes to the task that was
paid for. A task from before this run that gives no image any more is left behind: the history says
why, and the next key asks for another.
"""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path

from msgspec import Struct, field
from msgspec.structs import replace

from ..errors import HistoryUnusable, ImageRefused, NotFound, SeedreamError, TaskFailed, UsageError
from ..events import Event, Notice
from ..files.output_path import external_operation_id, new_operation_id
from ..files.partial_file import PartialFile
from ..history.store import History
from ..images.inspect import ImageInfo
from ..models import Operation, SavedFile, TaskStatus
from ..tasks.context import TaskContext, record_or_warn
from ..tasks.download import download_verified, saved_file
from ..tasks.poll import RESULT_LIFETIME, get_status, poll
from ..tasks.submit import check_can_resubmit, submit
from .assets import Image
from .lockfile import Entry, timestamp
from .plan_items import Action, PlanItem, State
from .project_files import Project
from .spending_cap import SpendingCap

#: HTTP statuses with which a host says that there is nothing, whoever asks.
_NOTHING_THERE = (404, 410)

#: How an image came to its place: by a task of this run; by one that an earlier run had paid for; by the
#: lock's; as the copy of another image that the same request gave.
GENERATED, RESUMED, FETCHED, COPIED = "generated", "resumed", "fetched", "copied"


class SyncContext(Struct, frozen=True):
    """What images are made with. ``work_of`` has the work for a quality; ``key_id`` is the API key's.

    ``force``: a create whose fate cannot be known any more may be paid for again. ``parts`` are the
    temporary files that are open.
    """

    work_of: Callable[[str], TaskContext]
    history: History
    service: str
    key_id: str
    project: Project
    spending_cap: SpendingCap
    force: bool = False
    now: Callable[[], float] = time.time
    on_event: Callable[[Event], None] = lambda event: None
    parts: set[PartialFile] = field(default_factory=set)

    def work(self, quality: str) -> TaskContext:
        return replace(self.work_of(quality), on_event=self.on_event)


class ImageResult(Struct, frozen=True):
    """An image in its place. ``path`` is relative to the project; ``how`` it came there is one word."""

    path: str
    file: SavedFile
    operation: Operation
    how: str

    @property
    def cost(self) -> str | None:
        """What this run paid for it, as the API wrote it."""
        return self.operation.cost if self.how == GENERATED else None


def remembered(
    history: History, service: str, folder: Path, *, sandbox: bool
) -> Callable[[Image], Entry | None]:
    """Tells the lock's line of an image that a run on this machine saved and was stopped before writing."""

    def line_of(image: Image) -> Entry | None:
        line = None
        for attempt in itertools.count():
            found = history.find_by_idempotency_key(service, image.idempotency_key(attempt))
            if not found:
                return line
            lines = [_line(image, operation, folder, sandbox=sandbox) for operation in found]
            line = next((one for one in lines if one is not None), line)
        raise AssertionError("unreachable")

    return line_of


def _line(image: Image, operation: Operation, folder: Path, *, sandbox: bool) -> Entry | None:
    item = PlanItem(image.name, image.number, State.NEW, Action.RECORD, image)
    when = timestamp(operation.accepted or operation.created)
    for file in operation.files:
        path = None
        with suppress(ValueError):
            path = Path(file.path).relative_to(folder).as_posix()
        if path not in image.wanted.paths:
            # What the same request gave another image was copied to this one.
            path = image.wanted.path(os.path.splitext(file.path)[1].removeprefix("."))
        return item.locked(
            path=path, sha256=file.sha256, task_id=operation.task_id, time=when, sandbox=sandbox
        )
    return None


def tidy(context: SyncContext, item: PlanItem) -> None:
    """Remove what a run left beside an image that was in its place when it was killed."""
    known = context.history.find(context.service, item.entry.task_id or "") if item.entry else None
    if known is not None:
        context.project.remove_part(item, known.id)


def fetch_image(context: SyncContext, item: PlanItem) -> ImageResult:
    """The image of the lock's task; one that the service has no longer is generated anew."""
    assert item.entry is not None and item.entry.task_id is not None, "only for FETCH"  # noqa: S101, PT018
    task_id = item.entry.task_id
    operation = context.history.find(context.service, task_id) or _external_task(context, item, task_id)
    try:
        return _collected(context, item, operation, just_submitted=False)
    except SeedreamError as error:
        if not _is_dead(context, item, operation, error, accepted=operation.accepted):
            raise
        _given_up(context, item, operation, error)
        dead = error
    return generate_image(context, item, {task_id: dead})


def generate_image(
    context: SyncContext, item: PlanItem, dead: Mapping[str, SeedreamError] | None = None
) -> ImageResult:
    """The image of a task of its own. ``dead`` are tasks that are known to give none, and why."""
    dead = dead or {}
    image = _image_of(item)
    for attempt in itertools.count():
        operation = _at(context, image, attempt)
        if operation is None or operation.is_final:
            continue
        paid = before = False
        if operation.task_id is None:
            operation, paid = _submitted(context, image, operation)
        else:
            before = True
        if (reason := dead.get(operation.task_id or "")) is not None:
            _left_behind(context, item, operation, reason)
            continue
        try:
            given = _collected(context, item, operation, just_submitted=paid)
        except SeedreamError as error:
            # A create that was replayed was accepted at another time than now.
            accepted = operation.accepted if before else None
            if paid or not _is_dead(context, item, operation, error, accepted=accepted):
                raise
            _given_up(context, item, operation, error)
        else:
            return replace(given, how=GENERATED if paid else RESUMED)
    raise AssertionError("unreachable")


def _at(context: SyncContext, image: Image, attempt: int) -> Operation | None:
    """The operation with the key of this attempt; None where it is not to be sent again.

    Raises UsageProblem for an unanswered one that could be paid for a second time.
    """
    key = image.idempotency_key(attempt)
    output = image.wanted.template(str(context.project.folder))
    found = [
        one
        for one in context.history.find_by_idempotency_key(context.service, key)
        if one.status != TaskStatus.REFUSED
    ]
    # An answer outweighs whatever else was tried with the key.
    found.sort(key=lambda one: one.task_id is None)
    if not found:
        return Operation(
            id=new_operation_id(),
            service=context.service,
            created=context.now(),
            output=output,
            request=image.request,
            idempotency_key=key,
            key_id=context.key_id,
        )
    operation = replace(found[0], output=output)
    if operation.task_id is None:
        try:
            check_can_resubmit(operation, now=context.now(), key_id=context.key_id)
        except UsageError:
            if not context.force:
                raise
            return None
    return operation


def _external_task(context: SyncContext, item: PlanItem, task_id: str) -> Operation:
    """The task of another machine."""
    return Operation(
        id=external_operation_id(task_id),
        service=context.service,
        created=context.now(),
        output=_image_of(item).wanted.template(str(context.project.folder)),
        task_id=task_id,
        status=TaskStatus.UNKNOWN,
    )


def _submitted(context: SyncContext, image: Image, operation: Operation) -> tuple[Operation, bool]:
    """The operation with its task, and whether that is one which had not been paid for before."""
    context.spending_cap.reserve()
    submitted = submit(context.work(image.request.quality), operation)
    if submitted.replayed:
        context.spending_cap.release()
    return submitted.operation, not submitted.replayed


def _collected(
    context: SyncContext, item: PlanItem, operation: Operation, *, just_submitted: bool
) -> ImageResult:
    """Wait for the task's end, and put its image into its place."""
    work = context.work(_image_of(item).request.quality)
    operation = poll(work, operation, just_submitted=just_submitted)
    path, noted = "", None

    def place(part: PartialFile, image: ImageInfo) -> Path:
        nonlocal path, noted
        path = context.project.path_of(item, image.extension)
        context.project.refuse_unknown(item, path, part.sha256)
        target = context.project.absolute(path)
        # Before the file is there: a run that is killed in between leaves bytes that the next one knows.
        # The image matters more than its entry.
        with suppress(HistoryUnusable):
            noted = context.history.record(replace(operation, files=(saved_file(part, image, target, 1),)))
        context.project.put(item, part, image)
        return target

    part = context.project.part(item, operation.id, work.shield)
    context.parts.add(part)
    try:
        operation, image, target = download_verified(work, operation, 1, part, place)
    finally:
        context.parts.discard(part)
    if len(operation.results) > 1:
        context.on_event(
            Notice(operation, f"{operation.task_id} has {len(operation.results)} images: one is taken")
        )
    file = saved_file(part, image, target, 1)
    operation = replace(operation, files=(file,))
    if operation != noted:
        record_or_warn(work, operation)
    return ImageResult(path, file, operation, FETCHED)


def _is_dead(
    context: SyncContext,
    item: PlanItem,
    operation: Operation,
    error: SeedreamError,
    *,
    accepted: float | None,
) -> bool:
    """Whether a task of an earlier run gives no image any more.

    ``accepted`` is when it was, in Unix seconds, as far as this machine knows. Where a URL of today is
    refused (403), something stands between this machine and the image: paying again would not help.
    """
    if isinstance(error, TaskFailed | NotFound) or error.code == "no_result":
        return True
    if not isinstance(error, ImageRefused) or not error.stale:
        return False
    if error.http_status in _NOTHING_THERE:
        return True
    since = accepted
    if since is None:
        task = get_status(context.work(_image_of(item).request.quality), operation)
        since = task.completed_at
    return since is None or context.now() - since >= RESULT_LIFETIME


def _given_up(context: SyncContext, item: PlanItem, operation: Operation, error: SeedreamError) -> None:
    """Leave a task behind that gives no image, and tell why."""
    _left_behind(context, item, operation, error)
    context.on_event(
        Notice(operation, f"{error.message}: only a task with the next idempotency key can give the image")
    )


def _left_behind(context: SyncContext, item: PlanItem, operation: Operation, error: SeedreamError) -> None:
    """Note for good that the task gives no image, and why."""
    operation = context.history.find(context.service, operation.id) or operation
    if not operation.is_final:
        operation = replace(
            operation, status=TaskStatus.GONE, error_code=error.code, error_message=error.message
        )
        record_or_warn(context.work(_image_of(item).request.quality), operation)


def _image_of(item: PlanItem) -> Image:
    assert item.image is not None, "an orphan is not made"  # noqa: S101
    return item.image
