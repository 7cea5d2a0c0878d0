"""A plan carried out: several images at a time, and each file and its line as soon as they can be.

Workers are threads over one client; all that they have to tell goes through one queue to the thread
that called, which writes the lock and passes the events on. Only that thread gets signals: it then
breaks the workers' connections, and still writes the lines of what they had finished.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, nullcontext, suppress
from dataclasses import dataclass, replace
from queue import Empty, SimpleQueue

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
from ..models import Operation
from .items import Action, Item
from .keeper import Keeper
from .life import COPIED, Given, Life, Means, fetched, generated
from .lock import Entry, Key, timestamp
from .plan import Plan

#: Seconds that workers get to come to an end in, once their connections are broken.
_PATIENCE = 0.6
#: Seconds after which the thread that waits for workers looks up: on Windows no signal wakes it.
_LOOK_UP = 0.5
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


class Brake:
    """Ends the waits of all workers at once."""

    def __init__(self) -> None:
        self._pulled = threading.Event()

    @property
    def pulled(self) -> bool:
        return self._pulled.is_set()

    def pull(self) -> None:
        self._pulled.set()

    def pause(self, seconds: float) -> None:
        """Wait some seconds; raises Stopped where that is over."""
        if self._pulled.wait(seconds):
            raise Stopped


@dataclass(frozen=True, slots=True)
class _Came:
    """An image that is in its place, and not in the lock yet."""

    item: Item
    given: Given


@dataclass(frozen=True, slots=True)
class _Fell:
    item: Item
    error: SeedreamError


@dataclass(frozen=True, slots=True)
class _Over:
    """A worker has ended, in most cases without a bug."""

    bug: BaseException | None = None


#: What a worker says.
Word = Told | _Came | _Fell | _Over


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

    def __post_init__(self) -> None:
        #: The operation of each image that is under way, as far as it has come.
        self.under_way: dict[str, Operation] = {}
        #: What is settled and not told yet; where the run was stopped, what is left to be told.
        self.untold: deque[Told] = deque()
        #: What nobody has begun; fetching comes first, which no quota is in the way of.
        self._groups = deque(sorted(_grouped(self.plan.of(*REMOTE)), key=lambda group: group[0].pays))
        #: What workers have said, and a bell that rings for each word.
        self._words: deque[Word] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._verdict: SeedreamError | None = None
        self._out_of_reach = 0

    @property
    def not_begun(self) -> int:
        """How many images were left alone, because of what others met with."""
        return sum(map(len, self._groups))

    def observe(self, exchange: Exchange) -> None:
        """Pass a worker's call on to whoever listens to the run."""
        self._say(exchange)

    def events(self) -> Generator[Told, None, None]:
        """Carry the plan out. Raises what ends the whole run; what ends one image is FellShort."""
        self.keeper.tidy()
        self._act_here()
        yield from self._tell()
        workers = [
            threading.Thread(target=self._work, name=f"sync-{number}", daemon=True)
            for number in range(min(self.jobs, len(self._groups)))
        ]
        try:
            for worker in workers:
                worker.start()
            left = len(workers)
            while left:
                self._wait()
                for over in self._hear():
                    left -= 1
                    if over.bug is not None:
                        raise over.bug
                yield from self._tell()
        except BaseException:
            # A signal, a bug, or a lock that cannot be written.
            self._end(workers)
            raise

    def _tell(self) -> Iterator[Told]:
        while self.untold:
            yield self.untold.popleft()

    # What needs no service

    def _act_here(self) -> None:
        put: dict[Key, Entry] = {}
        drop: list[Key] = []
        done: list[Item] = []
        with self.shield():
            for item in self.plan.items:
                if item.action == Action.NOTHING or item.action in REMOTE:
                    continue
                try:
                    entry = self._acted(item)
                except SeedreamError as error:
                    self.untold.append(FellShort(item.label, error))
                    continue
                if entry is None:
                    drop.append(item.key)
                else:
                    put[item.key] = entry
                    drop += item.leaves
                done.append(item)
            if done:
                self.keeper.change(put, drop)
            for item in done:
                path, entry = item.path or "", put.get(item.key)
                task, digest = (entry.task_id, entry.sha256) if entry else (None, None)
                note = self._drop_old(item, path)
                self.untold.append(
                    Landed(item.label, item.state, _DONE[item.action], path, task, digest, note=note)
                )

    def _acted(self, item: Item) -> Entry | None:
        """Do what is to be done, and return the lock's line; None where it goes."""
        if item.action == Action.MOVE:
            self.means.project.move(item)
            return item.moved()
        if item.action == Action.RECORD:
            return item.entry
        if item.action == Action.ADOPT:
            return item.adopted(timestamp(self.means.now()))
        if item.action == Action.REMOVE and item.entry is not None:
            self.means.project.remove(item.entry)
        return None

    def _drop_old(self, item: Item, path: str) -> str | None:
        """Remove the file that the image had before; why it is still there, if it is."""
        before = self.plan.entries.get(item.key) if item.action == Action.RECORD else item.entry
        if item.old is None or item.old == path or before is None:
            return None
        if self.keeper.has(item.old):
            return None
        try:
            self.means.project.remove(replace(before, path=item.old), but=path)
        except SeedreamError as error:
            return error.message
        return None

    # The workers' side

    def _say(self, word: Word) -> None:
        self._words.append(word)
        self._bell.put(None)

    def _work(self) -> None:
        try:
            while not self.brake.pulled and (group := self._next_group()):
                self._serve(group)
        except Stopped:
            pass
        except BaseException as bug:
            self._say(_Over(bug))
            return
        self._say(_Over())

    def _next_group(self) -> Sequence[Item]:
        """What nobody has begun; empty where there is nothing, or nothing that could succeed."""
        try:
            group = self._groups.popleft()
        except IndexError:
            return ()
        verdict = self._verdict
        if verdict is None or (isinstance(verdict, QuotaExceeded) and not group[0].pays):
            return group
        self._groups.appendleft(group)
        return ()

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
                self._say(_Fell(item, error))
            return
        self._out_of_reach = 0
        self._say(_Came(first, given))
        for item in others:
            # The same request is the same task: its image is here.
            try:
                self.means.project.prepare(item)
                path, file = self.means.project.copy(given.file, item, given.operation.id)
                self._say(_Came(item, Given(path, file, given.operation, COPIED)))
            except SeedreamError as error:
                self._say(_Fell(item, error))

    def _given(self, item: Item) -> Given:
        life: Life = fetched(self.means, item) if item.action == Action.FETCH else generated(self.means, item)
        with closing(life):
            while True:
                try:
                    event = next(life)
                except StopIteration as end:
                    given: Given = end.value
                    return given
                self._say(OfImage(item.label, event))

    def _judge(self, error: SeedreamError) -> None:
        """Whether what one image met with is what all others would meet with."""
        if isinstance(error, AuthenticationProblem | QuotaExceeded | HistoryUnusable):
            self._verdict = self._verdict or error
        elif isinstance(error, Unavailable):
            self._out_of_reach += 1
            if self._out_of_reach >= max(_MOST_OUT_OF_REACH, self.jobs):
                self._verdict = self._verdict or error

    # The listening side

    def _wait(self) -> None:
        """Until a worker has said something. Nothing is taken yet: a signal would take it away."""
        with suppress(Empty):
            self._bell.get(timeout=_LOOK_UP)
            while True:
                self._bell.get_nowait()

    def _hear(self) -> list[_Over]:
        """Write the lines of all images that came, at once; returns which workers have ended."""
        with self.shield():
            heard = [self._words.popleft() for _ in range(len(self._words))]
            landed = self._land([one for one in heard if isinstance(one, _Came)])
            for one in heard:
                if isinstance(one, _Came):
                    self.under_way.pop(one.item.label, None)
                    self.untold.append(landed[one.item.key])
                elif isinstance(one, _Fell):
                    operation = self.under_way.pop(one.item.label, None)
                    self.untold.append(FellShort(one.item.label, one.error, operation))
                elif isinstance(one, OfImage):
                    self.under_way[one.label] = one.event.operation
                    self.untold.append(one)
                elif not isinstance(one, _Over):
                    self.untold.append(one)
        return [one for one in heard if isinstance(one, _Over)]

    def _land(self, came: Sequence[_Came]) -> dict[Key, Landed]:
        if not came:
            return {}
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
        self.keeper.change(put, [key for one in came for key in one.item.leaves])
        return {one.item.key: self._landed(one.item, one.given) for one in came}

    def _landed(self, item: Item, given: Given) -> Landed:
        return Landed(
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

    def _end(self, workers: Sequence[threading.Thread]) -> None:
        """Stop the workers; what they had finished is kept, and no temporary file is left."""
        with self.shield():
            self.brake.pull()
            self.break_off()
            deadline = time.monotonic() + _PATIENCE
            for worker in workers:
                if worker.ident is not None:
                    worker.join(max(0.0, deadline - time.monotonic()))
            for part in list(self.means.parts):
                part.close()
            # A bug that comes of broken connections is none.
            self._hear()


def _grouped(items: Iterable[Item]) -> Iterable[Sequence[Item]]:
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
