"""Generate or fetch one image of the plan: submit with its own idempotency key, poll, download, save.

The idempotency key is the same in every run. A run after a crash therefore gets the task that was already
paid for. If a task of an earlier run can no longer deliver an image, the history records why, and the image
is generated with the next key.
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

#: HTTP statuses that mean the file does not exist, regardless of who asks.
_NOT_FOUND_STATUSES = (404, 410)

# Values of ImageResult.how.
#: By a task that this run paid for.
GENERATED = "generated"
#: By a task that an earlier run paid for.
RESUMED = "resumed"
#: By the task in the lockfile's entry.
FETCHED = "fetched"
#: Copied from another image of the plan with the same request.
COPIED = "copied"


class SyncContext(Struct, frozen=True):
    """Everything that the images of one run share."""

    #: Returns the context of tasks with this quality.
    task_context_for: Callable[[str], TaskContext]
    history: History
    service: str
    #: Fingerprint of the API key.
    key_id: str
    project: Project
    spending_cap: SpendingCap
    #: Allow a new create request, even if an unanswered one may have been billed.
    force: bool = False
    now: Callable[[], float] = time.time
    on_event: Callable[[Event], None] = lambda event: None
    #: Partial files that are open.
    parts: set[PartialFile] = field(default_factory=set)

    def task_context(self, quality: str) -> TaskContext:
        return replace(self.task_context_for(quality), on_event=self.on_event)


class ImageResult(Struct, frozen=True):
    """A saved image. ``path`` is relative to the project; ``how`` is one of the constants above."""

    path: str
    file: SavedFile
    operation: Operation
    how: str

    @property
    def cost(self) -> str | None:
        """Return what this run paid for the image, as the API wrote it. None if it paid nothing."""
        return self.operation.cost if self.how == GENERATED else None


def history_lookup(
    history: History, service: str, folder: Path, *, sandbox: bool
) -> Callable[[Image], Entry | None]:
    """Return a function that finds an image's entry in the history.

    A run that is interrupted between saving a file and writing the lockfile leaves a file that only the
    history knows. Later attempts override earlier ones.
    """

    def find_entry(image: Image) -> Entry | None:
        entry = None
        for attempt in itertools.count():
            operations = history.find_by_idempotency_key(service, image.idempotency_key(attempt))
            if not operations:
                return entry
            found = (_entry_of(image, operation, folder, sandbox=sandbox) for operation in operations)
            entry = next((candidate for candidate in found if candidate is not None), entry)
        raise AssertionError("unreachable")

    return find_entry


def _entry_of(image: Image, operation: Operation, folder: Path, *, sandbox: bool) -> Entry | None:
    """Return the entry of the image if the operation has saved a file, else None."""
    if not operation.files:
        return None
    file = operation.files[0]
    path = None
    with suppress(ValueError):
        path = Path(file.path).relative_to(folder).as_posix()
    if path not in image.target.paths:
        # The operation belongs to another image with the same request, from which this one was copied.
        path = image.target.path(os.path.splitext(file.path)[1].removeprefix("."))
    item = PlanItem(image.name, image.number, State.NEW, Action.RECORD, image)
    return item.saved_entry(
        path=path,
        sha256=file.sha256,
        task_id=operation.task_id,
        time=timestamp(operation.accepted or operation.created),
        sandbox=sandbox,
    )


def remove_leftover_part(context: SyncContext, item: PlanItem) -> None:
    """Remove the partial file of a run that was killed after it had saved the item's image."""
    operation = context.history.find(context.service, item.entry.task_id or "") if item.entry else None
    if operation is not None:
        context.project.remove_part(item, operation.id)


def fetch_image(context: SyncContext, item: PlanItem) -> ImageResult:
    """Download the image of the entry's task. If that task can no longer deliver it, generate the image."""
    assert item.entry is not None and item.entry.task_id is not None, "only for FETCH"  # noqa: S101, PT018
    task_id = item.entry.task_id
    operation = context.history.find(context.service, task_id)
    if operation is None:
        # The task was created on another machine.
        operation = Operation(
            id=external_operation_id(task_id),
            service=context.service,
            created=context.now(),
            output=_output_template(context, item.required_image()),
            task_id=task_id,
            status=TaskStatus.UNKNOWN,
        )
    try:
        return _poll_and_save(context, item, operation, just_submitted=False)
    except SeedreamError as error:
        if not _is_dead(context, item, operation, error, accepted=operation.accepted):
            raise
        _abandon(context, item, operation, error)
        reason = error
    return generate_image(context, item, {task_id: reason})


def generate_image(
    context: SyncContext, item: PlanItem, dead: Mapping[str, SeedreamError] | None = None
) -> ImageResult:
    """Get the image from its own task, which is created unless an earlier run has paid for it.

    ``dead`` maps the IDs of tasks that can no longer deliver an image to the reason. Raises the error of a
    task that this run paid for: only the next run may pay again.
    """
    dead = dead or {}
    image = item.required_image()
    for attempt in itertools.count():
        operation = _operation_of(context, image, attempt)
        if operation is None or operation.is_final:
            continue
        was_known = operation.task_id is not None
        is_paid_now = False
        if not was_known:
            context.spending_cap.reserve()
            submitted = submit(context.task_context(image.request.quality), operation)
            operation = submitted.operation
            is_paid_now = not submitted.replayed
            if submitted.replayed:
                context.spending_cap.release()
        if (reason := dead.get(operation.task_id or "")) is not None:
            _record_gone(context, item, operation, reason)
            continue
        try:
            result = _poll_and_save(context, item, operation, just_submitted=is_paid_now)
        except SeedreamError as error:
            # A replayed create request was accepted earlier than its operation says.
            accepted = operation.accepted if was_known else None
            if is_paid_now or not _is_dead(context, item, operation, error, accepted=accepted):
                raise
            _abandon(context, item, operation, error)
        else:
            return replace(result, how=GENERATED if is_paid_now else RESUMED)
    raise AssertionError("unreachable")


def _operation_of(context: SyncContext, image: Image, attempt: int) -> Operation | None:
    """Return the operation with the idempotency key of this attempt: the recorded one, or a new one.

    Returns None if it must not be submitted again and ``force`` allows the next attempt. Without ``force``,
    raises UsageError for an unanswered create request that could be billed a second time.
    """
    key = image.idempotency_key(attempt)
    output = _output_template(context, image)
    recorded = [
        operation
        for operation in context.history.find_by_idempotency_key(context.service, key)
        if operation.status != TaskStatus.REFUSED
    ]
    # An operation with a task takes precedence over an unanswered one with the same key.
    recorded.sort(key=lambda operation: operation.task_id is None)
    if not recorded:
        return Operation(
            id=new_operation_id(),
            service=context.service,
            created=context.now(),
            output=output,
            request=image.request,
            idempotency_key=key,
            key_id=context.key_id,
        )
    operation = replace(recorded[0], output=output)
    if operation.task_id is None:
        try:
            check_can_resubmit(operation, now=context.now(), key_id=context.key_id)
        except UsageError:
            if not context.force:
                raise
            return None
    return operation


def _output_template(context: SyncContext, image: Image) -> str:
    return image.target.template(str(context.project.folder))


def _poll_and_save(
    context: SyncContext, item: PlanItem, operation: Operation, *, just_submitted: bool
) -> ImageResult:
    """Wait until the task has finished, download its image and put it in its place."""
    task_context = context.task_context(item.required_image().request.quality)
    operation = poll(task_context, operation, just_submitted=just_submitted)
    path, recorded = "", None

    def place(part: PartialFile, image: ImageInfo) -> Path:
        nonlocal path, recorded
        path = context.project.path_of(item, image.extension)
        context.project.check_replaceable(item, path, part.sha256)
        target = context.project.absolute(path)
        # Record before moving: if the run is killed in between, the next one recognises the file. A history
        # that fails is no reason to lose the image.
        with suppress(HistoryUnusable):
            recorded = context.history.record(replace(operation, files=(saved_file(part, image, target, 1),)))
        context.project.put(item, part, image)
        return target

    part = context.project.part(item, operation.id, task_context.shield)
    context.parts.add(part)
    try:
        operation, image, target = download_verified(task_context, operation, 1, part, place)
    finally:
        context.parts.discard(part)
    if len(operation.results) > 1:
        context.on_event(
            Notice(operation, f"{operation.task_id} has {len(operation.results)} images: one is taken")
        )
    file = saved_file(part, image, target, 1)
    operation = replace(operation, files=(file,))
    if operation != recorded:
        record_or_warn(task_context, operation)
    return ImageResult(path, file, operation, FETCHED)


def _is_dead(
    context: SyncContext,
    item: PlanItem,
    operation: Operation,
    error: SeedreamError,
    *,
    accepted: float | None,
) -> bool:
    """Return True if a task of an earlier run can no longer deliver an image.

    ``accepted`` is when the task was accepted (Unix seconds), if this machine knows. A 403 counts only after
    the result URLs have expired. Before that, a proxy or firewall is the likely cause, and paying again
    would not help.
    """
    if isinstance(error, TaskFailed | NotFound) or error.code == "no_result":
        return True
    if not isinstance(error, ImageRefused) or not error.stale:
        return False
    if error.http_status in _NOT_FOUND_STATUSES:
        return True
    since = accepted
    if since is None:
        task = get_status(context.task_context(item.required_image().request.quality), operation)
        since = task.completed_at
    return since is None or context.now() - since >= RESULT_LIFETIME


def _abandon(context: SyncContext, item: PlanItem, operation: Operation, error: SeedreamError) -> None:
    """Record that the task can no longer deliver an image, and notify the user."""
    _record_gone(context, item, operation, error)
    context.on_event(
        Notice(operation, f"{error.message}: only a task with the next idempotency key can give the image")
    )


def _record_gone(context: SyncContext, item: PlanItem, operation: Operation, error: SeedreamError) -> None:
    """Record the operation as gone, with the error as the reason, unless it is final already."""
    operation = context.history.find(context.service, operation.id) or operation
    if not operation.is_final:
        operation = replace(
            operation, status=TaskStatus.GONE, error_code=error.code, error_message=error.message
        )
        record_or_warn(context.task_context(item.required_image().request.quality), operation)
