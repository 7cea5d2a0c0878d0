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

from ..errors import HistoryUnusable, ImageRefused, NotFound, SeedreamError, TaskFailed, UsageProblem
from ..events import Event, Noticed
from ..files.output_path import foreign_operation_id, new_operation_id
from ..files.partial_file import Part
from ..history.store import History
from ..images.inspect import ImageInfo
from ..models import Operation, SavedFile, Status
from ..tasks import submit
from ..tasks.run import RESULT_LIFETIME, Work, ask, described, fetch, refuse_repetition, remember
from .assets import Image
from .lockfile import Entry, timestamp
from .plan_items import Action, Item, State
from .project_files import Project
from .spending_cap import Purse

#: HTTP statuses with which a host says that there is nothing, whoever asks.
_NOTHING_THERE = (404, 410)

#: How an image came to its place: by a task of this run; by one that an earlier run had paid for; by the
#: lock's; as the copy of another image that the same request gave.
GENERATED, RESUMED, FETCHED, COPIED = "generated", "resumed", "fetched", "copied"


class Means(Struct, frozen=True):
    """What images are made with. ``work_of`` has the work for a quality; ``key_id`` is the API key's.

    ``force``: a create whose fate cannot be known any more may be paid for again. ``parts`` are the
    temporary files that are open.
    """

    work_of: Callable[[str], Work]
    history: History
    service: str
    key_id: str
    project: Project
    purse: Purse
    force: bool = False
    now: Callable[[], float] = time.time
    on_event: Callable[[Event], None] = lambda event: None
    parts: set[Part] = field(default_factory=set)

    def work(self, quality: str) -> Work:
        return replace(self.work_of(quality), on_event=self.on_event)


class Given(Struct, frozen=True):
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
            found = history.with_key(service, image.idempotency_key(attempt))
            if not found:
                return line
            lines = [_line(image, operation, folder, sandbox=sandbox) for operation in found]
            line = next((one for one in lines if one is not None), line)
        raise AssertionError("unreachable")

    return line_of


def _line(image: Image, operation: Operation, folder: Path, *, sandbox: bool) -> Entry | None:
    item = Item(image.name, image.number, State.NEW, Action.RECORD, image)
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


def tidy(means: Means, item: Item) -> None:
    """Remove what a run left beside an image that was in its place when it was killed."""
    known = means.history.find(means.service, item.entry.task_id or "") if item.entry else None
    if known is not None:
        means.project.remove_part(item, known.id)


def fetched(means: Means, item: Item) -> Given:
    """The image of the lock's task; one that the service has no longer is generated anew."""
    assert item.entry is not None and item.entry.task_id is not None, "only for FETCH"  # noqa: S101, PT018
    task_id = item.entry.task_id
    operation = means.history.find(means.service, task_id) or _foreign(means, item, task_id)
    try:
        return _collected(means, item, operation, fresh=False)
    except SeedreamError as error:
        if not _is_dead(means, item, operation, error, accepted=operation.accepted):
            raise
        _given_up(means, item, operation, error)
        dead = error
    return generated(means, item, {task_id: dead})


def generated(means: Means, item: Item, dead: Mapping[str, SeedreamError] | None = None) -> Given:
    """The image of a task of its own. ``dead`` are tasks that are known to give none, and why."""
    dead = dead or {}
    image = _image_of(item)
    for attempt in itertools.count():
        operation = _at(means, image, attempt)
        if operation is None or operation.over:
            continue
        paid = before = False
        if operation.task_id is None:
            operation, paid = _submitted(means, image, operation)
        else:
            before = True
        if (reason := dead.get(operation.task_id or "")) is not None:
            _left_behind(means, item, operation, reason)
            continue
        try:
            given = _collected(means, item, operation, fresh=paid)
        except SeedreamError as error:
            # A create that was replayed was accepted at another time than now.
            accepted = operation.accepted if before else None
            if paid or not _is_dead(means, item, operation, error, accepted=accepted):
                raise
            _given_up(means, item, operation, error)
        else:
            return replace(given, how=GENERATED if paid else RESUMED)
    raise AssertionError("unreachable")


def _at(means: Means, image: Image, attempt: int) -> Operation | None:
    """The operation with the key of this attempt; None where it is not to be sent again.

    Raises UsageProblem for an unanswered one that could be paid for a second time.
    """
    key = image.idempotency_key(attempt)
    output = image.wanted.template(str(means.project.folder))
    found = [one for one in means.history.with_key(means.service, key) if one.status != Status.REFUSED]
    # An answer outweighs whatever else was tried with the key.
    found.sort(key=lambda one: one.task_id is None)
    if not found:
        return Operation(
            id=new_operation_id(),
            service=means.service,
            created=means.now(),
            output=output,
            request=image.request,
            idempotency_key=key,
            key_id=means.key_id,
        )
    operation = replace(found[0], output=output)
    if operation.task_id is None:
        try:
            refuse_repetition(operation, now=means.now(), key_id=means.key_id)
        except UsageProblem:
            if not means.force:
                raise
            return None
    return operation


def _foreign(means: Means, item: Item, task_id: str) -> Operation:
    """The task of another machine."""
    return Operation(
        id=foreign_operation_id(task_id),
        service=means.service,
        created=means.now(),
        output=_image_of(item).wanted.template(str(means.project.folder)),
        task_id=task_id,
        status=Status.UNKNOWN,
    )


def _submitted(means: Means, image: Image, operation: Operation) -> tuple[Operation, bool]:
    """The operation with its task, and whether that is one which had not been paid for before."""
    means.purse.take()
    submitted = submit(means.work(image.request.quality), operation)
    if submitted.replayed:
        means.purse.give_back()
    return submitted.operation, not submitted.replayed


def _collected(means: Means, item: Item, operation: Operation, *, fresh: bool) -> Given:
    """Wait for the task's end, and put its image into its place."""
    work = means.work(_image_of(item).request.quality)
    operation = watch(work, operation, fresh=fresh)
    path, noted = "", None

    def place(part: Part, image: ImageInfo) -> Path:
        nonlocal path, noted
        path = means.project.path_of(item, image.extension)
        means.project.refuse_unknown(item, path, part.sha256)
        target = means.project.absolute(path)
        # Before the file is there: a run that is killed in between leaves bytes that the next one knows.
        # The image matters more than its entry.
        with suppress(HistoryUnusable):
            noted = means.history.record(replace(operation, files=(described(part, image, target, 1),)))
        means.project.put(item, part, image)
        return target

    part = means.project.part(item, operation.id, work.shield)
    means.parts.add(part)
    try:
        operation, image, target = fetch(work, operation, 1, part, place)
    finally:
        means.parts.discard(part)
    if len(operation.results) > 1:
        means.on_event(
            Noticed(operation, f"{operation.task_id} has {len(operation.results)} images: one is taken")
        )
    file = described(part, image, target, 1)
    operation = replace(operation, files=(file,))
    if operation != noted:
        remember(work, operation)
    return Given(path, file, operation, FETCHED)


def _is_dead(
    means: Means, item: Item, operation: Operation, error: SeedreamError, *, accepted: float | None
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
        task = ask(means.work(_image_of(item).request.quality), operation)
        since = task.completed_at
    return since is None or means.now() - since >= RESULT_LIFETIME


def _given_up(means: Means, item: Item, operation: Operation, error: SeedreamError) -> None:
    """Leave a task behind that gives no image, and tell why."""
    _left_behind(means, item, operation, error)
    means.on_event(
        Noticed(operation, f"{error.message}: only a task with the next idempotency key can give the image")
    )


def _left_behind(means: Means, item: Item, operation: Operation, error: SeedreamError) -> None:
    """Note for good that the task gives no image, and why."""
    operation = means.history.find(means.service, operation.id) or operation
    if not operation.over:
        operation = replace(operation, status=Status.GONE, error_code=error.code, error_message=error.message)
        remember(means.work(_image_of(item).request.quality), operation)


def _image_of(item: Item) -> Image:
    assert item.image is not None, "an orphan is not made"  # noqa: S101
    return item.image
