"""A plan carried out: several images at a time, and each file and its line as soon as they can be.

Workers are threads over one client; all that they have to tell goes through one queue to the thread
that called, which writes the lock and passes the events on. Only that thread gets signals: it then
breaks the workers' connections, and still writes the lines of what they had finished.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext
from dataclasses import dataclass, field, replace

from ..download import Shield
from ..errors import (
    AuthenticationProblem,
    HistoryUnusable,
    QuotaExceeded,
    SeedreamError,
    Stopped,
    Unavailable,
)
from ..events import Exchange, FellShort, Landed, OfImage
from ..jobs.crew import Brake, Crew
from ..models import Operation
from .items import Action, Item
from .keeper import Keeper
from .life import COPIED, Given, Life, Means, fetched, generated
from .lock import Entry, Key, timestamp
from .plan import Plan

#: After so many images in a row that the service was out of reach for, the others are not begun.
_MOST_OUT_OF_REACH = 3

#: What each action that needs no service is called once it is done.
_DONE = {
    Action.MOVE: "moved",
    Action.RECORD: "recorded",
    Action.ADOPT: "adopted",
    Action.FORGET: "forgotten",
    Action.REMOVE: "removed",
}
REMOTE = (Action.GENERATE, Action.FETCH)

Told = OfImage | Landed | FellShort | Exchange


@dataclass(frozen=True, slots=True)
class _Came:
    """An image that is in its place, and not in the lock yet."""

    item: Item
    given: Given


@dataclass(frozen=True, slots=True)
class _Fell:
    item: Item
    error: SeedreamError


@dataclass
class Run:
    """One run of ``plan``. ``break_off`` ends the calls of all workers; ``shield`` keeps signals away.

    ``sandbox`` marks the lines of the lock as those of pictures that are none.
    """

    plan: Plan
    means: Means
    keeper: Keeper
    brake: Brake
    break_off: Callable[[], None]
    jobs: int
    shield: Shield = nullcontext
    sandbox: bool = False
    #: What came to its end while the run was being stopped.
    late: list[Landed | FellShort] = field(default_factory=list)
    #: The operation of each image that is under way, as far as it has come.
    under_way: dict[str, Operation | None] = field(default_factory=dict)
    _groups: deque[Sequence[Item]] = field(default_factory=deque)
    _verdict: SeedreamError | None = None
    _out_of_reach: int = 0

    def __post_init__(self) -> None:
        self._crew: Crew[Told | _Came | _Fell] = Crew(self.brake, self.break_off, self.shield)

    @property
    def not_begun(self) -> list[Item]:
        """Images that were left alone because of what others met with."""
        return [item for group in self._groups for item in group]

    def observe(self, exchange: Exchange) -> None:
        """Pass a call of a worker's on to whoever listens to the run."""
        self._crew.tell(exchange)

    def events(self) -> Generator[Told, None, None]:
        """Carry the plan out. Raises what ends the whole run; what ends one image is FellShort."""
        self.keeper.tidy()
        yield from self._act_here()
        self._groups.extend(_grouped(self.plan.of(*REMOTE)))
        try:
            for batch in self._crew.batches([self._work] * min(self.jobs, len(self._groups))):
                yield from self._heard(batch)
        except BaseException:
            # A signal, a bug, or a lock that cannot be written.
            self._end()
            raise

    # What needs no service

    def _act_here(self) -> Iterator[Told]:
        put: dict[Key, Entry] = {}
        drop: list[Key] = []
        done: list[Item] = []
        with self.shield():
            for item in self.plan.items:
                if item.action == Action.NOTHING or item.action in REMOTE:
                    continue
                try:
                    if (entry := self._acted(item)) is not None:
                        put[item.key] = entry
                except SeedreamError as error:
                    yield FellShort(item.label, error)
                    continue
                drop += item.leaves if entry is not None else [item.key]
                done.append(item)
            if done:
                self.keeper.change(put, drop)
        for item in done:
            assert item.path is not None, "whatever is done here has a path"  # noqa: S101
            kept = self._drop_old(item, item.path)
            entry = put.get(item.key)
            task, digest = (entry.task_id, entry.sha256) if entry else (None, None)
            yield Landed(item.label, item.state, _DONE[item.action], item.path, task, digest, note=kept)

    def _acted(self, item: Item) -> Entry | None:
        """Do what is to be done, and return the lock's line; None where it goes."""
        if item.action == Action.MOVE:
            self.means.project.move(item)
            return item.moved()
        if item.action == Action.RECORD:
            return item.entry
        if item.action == Action.ADOPT:
            return item.adopted(timestamp(self.means.now()))
        assert item.entry is not None, "an orphan has a line"  # noqa: S101
        if item.action == Action.REMOVE:
            self.means.project.remove(item.entry)
        return None

    def _drop_old(self, item: Item, path: str) -> str | None:
        """Remove the file that the image had before; why it is still there, if it is."""
        before = self.plan.entries.get(item.key) if item.action == Action.RECORD else item.entry
        if item.old is None or item.old == path or before is None:
            return None
        if any(entry.path == item.old for entry in self.keeper.entries.values()):
            return None
        try:
            self.means.project.remove(replace(before, path=item.old), but=path)
        except SeedreamError as error:
            return error.message
        return None

    # The workers' side

    def _work(self) -> None:
        while not self.brake.pulled and (group := self._next_group()):
            self._serve(group)

    def _next_group(self) -> Sequence[Item]:
        """What nobody has begun yet; empty where there is nothing, or nothing that could succeed."""
        try:
            group = self._groups.popleft()
        except IndexError:
            return ()
        verdict = self._verdict
        if verdict is not None and (not isinstance(verdict, QuotaExceeded) or group[0].pays):
            self._groups.appendleft(group)
            return ()
        return group

    def _serve(self, group: Sequence[Item]) -> None:
        first, *others = group
        try:
            self.means.project.prepare(first)
            given = self._given(first)
        except Stopped:
            raise
        except SeedreamError as error:
            self._judge(error)
            for item in group:
                self._crew.tell(_Fell(item, error))
            return
        self._out_of_reach = 0
        self._crew.tell(_Came(first, given))
        for item in others:
            # The same request is the same task: its image is here.
            try:
                self.means.project.prepare(item)
                path, file = self.means.project.copy(given.file, item, given.operation.id)
                self._crew.tell(_Came(item, Given(path, file, given.operation, COPIED)))
            except SeedreamError as error:
                self._crew.tell(_Fell(item, error))

    def _given(self, item: Item) -> Given:
        life: Life = fetched(self.means, item) if item.action == Action.FETCH else generated(self.means, item)
        with closing(life):
            while True:
                try:
                    event = next(life)
                except StopIteration as end:
                    given: Given = end.value
                    return given
                self._crew.tell(OfImage(item.label, event))

    def _judge(self, error: SeedreamError) -> None:
        """Whether what one image met with is what all others would meet with."""
        if isinstance(error, AuthenticationProblem | QuotaExceeded | HistoryUnusable):
            self._verdict = self._verdict or error
        elif isinstance(error, Unavailable):
            self._out_of_reach += 1
            if self._out_of_reach >= max(_MOST_OUT_OF_REACH, self.jobs):
                self._verdict = self._verdict or error

    # The listening side

    def _heard(self, batch: Iterable[Told | _Came | _Fell]) -> Iterator[Told]:
        """What the batch tells; the lines of all images in it are written first, at once."""
        batch = list(batch)
        landed = dict(self._land([one for one in batch if isinstance(one, _Came)]))
        for one in batch:
            if isinstance(one, _Came):
                self.under_way.pop(one.item.label, None)
                yield landed[one.item.key]
            elif isinstance(one, _Fell):
                yield FellShort(one.item.label, one.error, self.under_way.pop(one.item.label, None))
            elif isinstance(one, OfImage):
                self.under_way[one.label] = one.event.operation
                yield one
            elif isinstance(one, Exchange):
                yield one

    def _land(self, came: Sequence[_Came]) -> Iterator[tuple[Key, Landed]]:
        if not came:
            return
        now = timestamp(self.means.now())
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
        with self.shield():
            self.keeper.change(put, [key for one in came for key in one.item.leaves])
        for one in came:
            item, given = one.item, one.given
            operation, kept = given.operation, self._drop_old(item, given.path)
            yield (
                item.key,
                Landed(
                    item.label,
                    item.state,
                    given.how,
                    given.path,
                    operation.task_id,
                    given.file.sha256,
                    given.file.bytes,
                    given.cost,
                    operation.seconds,
                    kept,
                ),
            )

    def _end(self) -> None:
        """Stop the workers; what they had finished is kept, and no temporary file is left."""
        rest = self._crew.end()
        with self.shield():
            for part in list(self.means.parts):
                part.close()
            self.late += [one for one in self._heard(rest) if isinstance(one, Landed | FellShort)]


def _grouped(items: Iterable[Item]) -> Iterable[Sequence[Item]]:
    """Images that the same request asks for go together: to the service they are one."""
    groups: dict[str, list[Item]] = {}
    for item in items:
        key = item.image.idempotency_key() if item.pays and item.image else item.label
        groups.setdefault(key, []).append(item)
    return groups.values()
