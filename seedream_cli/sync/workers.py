"""What the workers of a run do, side by side: each image that the service is needed for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec import Struct
from msgspec.structs import replace

from ..errors import (
    AuthenticationProblem,
    HistoryUnusable,
    QuotaExceeded,
    SeedreamError,
    Stopped,
    Unavailable,
)
from ..events import OfImage
from ..tasks.worker_pool import Brake, Crew
from .image_task import COPIED, Given, Means, fetched, generated
from .plan_items import Action, Item

#: After so many images in a row that the service was out of reach for, the others are not begun.
_MOST_OUT_OF_REACH = 3


class Came(Struct, frozen=True):
    """An image that is in its place, and not in the lock yet."""

    item: Item
    given: Given


class Fell(Struct, frozen=True):
    """An image that is not to be had."""

    item: Item
    error: SeedreamError


Word = OfImage | Came | Fell
#: Images that one request asks for.
Group = Sequence[Item]


class Workers(Crew[Group, Word]):
    """At most ``jobs`` threads for these items."""

    def __init__(self, means: Means, items: Iterable[Item], *, brake: Brake, jobs: int) -> None:
        self._means = means
        self._out_of_reach = 0
        self._most_out_of_reach = max(_MOST_OUT_OF_REACH, jobs)
        super().__init__(
            _grouped(items),
            self._make,
            pays=lambda group: group[0].pays,
            brake=brake,
            parts=means.parts,
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
                self.say(Fell(item, error))
            return
        self._out_of_reach = 0
        self.say(Came(first, given))
        for item in others:
            # The same request is the same task: its image is here.
            try:
                self._brake.pause(0.0)
                self._means.project.prepare(item)
                self.say(Came(item, self._copied(given, item)))
            except Stopped:
                raise
            except SeedreamError as error:
                self.say(Fell(item, error))

    def _copied(self, given: Given, item: Item) -> Given:
        project, parts = self._means.project, self._means.parts
        part = project.part(item, given.operation.id, self._brake.shield)
        parts.add(part)
        try:
            path, file = project.copy(given.file, item, part)
        finally:
            parts.discard(part)
        return Given(path, file, given.operation, COPIED)

    def _given(self, item: Item) -> Given:
        means = replace(self._means, on_event=lambda event: self.say(OfImage(item.label, event)))
        return fetched(means, item) if item.action == Action.FETCH else generated(means, item)

    def _judge(self, error: SeedreamError) -> None:
        """Whether what one image met with is what all others would meet with."""
        if isinstance(error, AuthenticationProblem | QuotaExceeded | HistoryUnusable):
            self.spare_others(error)
        elif isinstance(error, Unavailable):
            self._out_of_reach += 1
            if self._out_of_reach >= self._most_out_of_reach:
                self.spare_others(error)


def _grouped(items: Iterable[Item]) -> Iterable[Group]:
    """Images that the same request asks for go together: to the service they are one.

    So do those that one task is to give again, and whoever is new and asks for the same.
    """
    groups: dict[tuple[str, str | None], list[Item]] = {}
    for item in sorted(items, key=lambda item: item.pays):
        request = item.image.idempotency_key() if item.image else item.label
        task = item.entry.task_id if item.entry and not item.pays else None
        group = groups.setdefault((request, task), [])
        groups.setdefault((request, None), group)
        group.append(item)
    return {id(group): group for group in groups.values()}.values()
