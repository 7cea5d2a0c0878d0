"""The worker threads of a run: they generate, fetch and copy images in parallel."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..errors import (
    AuthenticationError,
    HistoryUnusable,
    QuotaExceeded,
    SeedreamError,
    Stopped,
    Unavailable,
)
from ..events import ImageEvent
from ..tasks.worker_pool import CancelToken, WorkerPool
from .image_task import COPIED, ImageResult, SyncContext, fetch_image, generate_image
from .plan_items import Action, PlanItem

#: After this many consecutive images for which the service was unreachable, no more are started. With more
#: workers the limit is their number, because all of them fail at the same time.
_MAX_UNREACHABLE = 3


class WorkerSucceeded(Struct, frozen=True):
    """An image that is saved, but not yet in the lockfile."""

    item: PlanItem
    result: ImageResult


class WorkerFailed(Struct, frozen=True):
    """An image that could not be generated, fetched or copied."""

    item: PlanItem
    error: SeedreamError


WorkerMessage = ImageEvent | WorkerSucceeded | WorkerFailed
#: Images with the same request. They share one task.
Group = Sequence[PlanItem]


class ImageWorkers(WorkerPool[Group, WorkerMessage]):
    """A pool of at most ``jobs`` threads that work off the items."""

    def __init__(
        self, context: SyncContext, items: Iterable[PlanItem], *, cancel_token: CancelToken, jobs: int
    ) -> None:
        self._context = context
        self._unreachable = 0
        self._max_unreachable = max(_MAX_UNREACHABLE, jobs)
        super().__init__(
            _group_by_task(items),
            self._process,
            costs_money=lambda group: group[0].costs_money,
            cancel_token=cancel_token,
            parts=context.parts,
        )

    def _process(self, group: Group) -> None:
        """Get the image of the first item, and copy it for the others. Posts a message for each item."""
        first, *others = group
        context = replace(self._context, on_event=lambda event: self.post(ImageEvent(first.label, event)))
        try:
            context.project.prepare(first)
            get_image = fetch_image if first.action == Action.FETCH else generate_image
            result = get_image(context, first)
        except Stopped:
            raise
        except SeedreamError as error:
            self._stop_if_hopeless(error)
            for item in group:
                self.post(WorkerFailed(item, error))
            return
        self._unreachable = 0
        self.post(WorkerSucceeded(first, result))
        for item in others:
            try:
                # Raises Stopped if the run was interrupted.
                self._cancel_token.pause(0.0)
                context.project.prepare(item)
                self.post(WorkerSucceeded(item, self._copy(result, item)))
            except Stopped:
                raise
            except SeedreamError as error:
                self.post(WorkerFailed(item, error))

    def _copy(self, result: ImageResult, item: PlanItem) -> ImageResult:
        project = self._context.project
        part = project.part(item, result.operation.id, self._cancel_token.shield)
        self._context.parts.add(part)
        try:
            path, file = project.copy(result.file, item, part)
        finally:
            self._context.parts.discard(part)
        return ImageResult(path, file, result.operation, COPIED)

    def _stop_if_hopeless(self, error: SeedreamError) -> None:
        """Stop starting images if this error would hit every other image too."""
        if isinstance(error, AuthenticationError | QuotaExceeded | HistoryUnusable):
            self.stop_starting(error)
        elif isinstance(error, Unavailable):
            self._unreachable += 1
            if self._unreachable >= self._max_unreachable:
                self.stop_starting(error)


def _group_by_task(items: Iterable[PlanItem]) -> Iterable[Group]:
    """Group the items that one task can serve, those that cost nothing first.

    Items with the same request share a task. A fetched item is grouped by the task of its entry, and new
    items with the same request join the first such group.
    """
    groups: dict[tuple[str, str | None], list[PlanItem]] = {}
    for item in sorted(items, key=lambda item: item.costs_money):
        request = item.image.idempotency_key() if item.image else item.label
        task = item.entry.task_id if item.entry and not item.costs_money else None
        group = groups.setdefault((request, task), [])
        groups.setdefault((request, None), group)
        group.append(item)
    return {id(group): group for group in groups.values()}.values()
