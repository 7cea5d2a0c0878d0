"""What the workers of a run do, side by side: each image that the service is needed for."""

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

#: After so many images in a row that the service was out of reach for, the others are not begun.
_MOST_OUT_OF_REACH = 3


class WorkerSucceeded(Struct, frozen=True):
    """An image that is in its place, and not in the lock yet."""

    item: PlanItem
    given: ImageResult


class WorkerFailed(Struct, frozen=True):
    """An image that is not to be had."""

    item: PlanItem
    error: SeedreamError


Word = ImageEvent | WorkerSucceeded | WorkerFailed
#: Images that one request asks for.
Group = Sequence[PlanItem]


class Workers(WorkerPool[Group, Word]):
    """At most ``jobs`` threads for these items."""

    def __init__(
        self, context: SyncContext, items: Iterable[PlanItem], *, cancel_token: CancelToken, jobs: int
    ) -> None:
        self._means = context
        self._out_of_reach = 0
        self._most_out_of_reach = max(_MOST_OUT_OF_REACH, jobs)
        super().__init__(
            _grouped(items),
            self._make,
            costs_money=lambda group: group[0].costs_money,
            cancel_token=cancel_token,
            parts=context.parts,
        )

    def _make(self, group: Group) -> None:
        first, *others = group
        try:
            self._means.project.prepare(first)
            given = self._given(first)
        except Stopped:
            raise
        except SeedreamError as error:
            self._judge(error)
            for item in group:
                self.post(WorkerFailed(item, error))
            return
        self._out_of_reach = 0
        self.post(WorkerSucceeded(first, given))
        for item in others:
            # The same request is the same task: its image is here.
            try:
                self._cancel_token.pause(0.0)
                self._means.project.prepare(item)
                self.post(WorkerSucceeded(item, self._copied(given, item)))
            except Stopped:
                raise
            except SeedreamError as error:
                self.post(WorkerFailed(item, error))

    def _copied(self, given: ImageResult, item: PlanItem) -> ImageResult:
        project, parts = self._means.project, self._means.parts
        part = project.part(item, given.operation.id, self._cancel_token.shield)
        parts.add(part)
        try:
            path, file = project.copy(given.file, item, part)
        finally:
            parts.discard(part)
        return ImageResult(path, file, given.operation, COPIED)

    def _given(self, item: PlanItem) -> ImageResult:
        context = replace(self._means, on_event=lambda event: self.post(ImageEvent(item.label, event)))
        return fetch_image(context, item) if item.action == Action.FETCH else generate_image(context, item)

    def _judge(self, error: SeedreamError) -> None:
        """Whether what one image met with is what all others would meet with."""
        if isinstance(error, AuthenticationError | QuotaExceeded | HistoryUnusable):
            self.stop_starting(error)
        elif isinstance(error, Unavailable):
            self._out_of_reach += 1
            if self._out_of_reach >= self._most_out_of_reach:
                self.stop_starting(error)


def _grouped(items: Iterable[PlanItem]) -> Iterable[Group]:
    """Images that the same request asks for go together: to the service they are one.

    So do those that one task is to give again, and whoever is new and asks for the same.
    """
    groups: dict[tuple[str, str | None], list[PlanItem]] = {}
    for item in sorted(items, key=lambda item: item.costs_money):
        request = item.image.idempotency_key() if item.image else item.label
        task = item.entry.task_id if item.entry and not item.costs_money else None
        group = groups.setdefault((request, task), [])
        groups.setdefault((request, None), group)
        group.append(item)
    return {id(group): group for group in groups.values()}.values()
