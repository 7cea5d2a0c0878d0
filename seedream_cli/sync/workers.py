"""The threads that make the images of a run, side by side over one client.

They get no signals. Whatever they have to say goes to the one thread that listens, which can break
their connections.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from queue import Empty, SimpleQueue

from ..errors import (
    AuthenticationProblem,
    HistoryUnusable,
    QuotaExceeded,
    SeedreamError,
    Stopped,
    Unavailable,
)
from ..events import Exchange, OfImage
from .items import Action, Item
from .life import COPIED, Given, Means, fetched, generated

#: Seconds that workers get to come to an end in, once their connections are broken.
_PATIENCE = 0.6
#: Seconds after which the thread that waits for workers looks up: on Windows no signal wakes it.
_LOOK_UP = 0.5
#: After so many images in a row that the service was out of reach for, the others are not begun.
_MOST_OUT_OF_REACH = 3


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
class Came:
    """An image that is in its place, and not in the lock yet."""

    item: Item
    given: Given


@dataclass(frozen=True, slots=True)
class Fell:
    """An image that is not to be had."""

    item: Item
    error: SeedreamError


@dataclass(frozen=True, slots=True)
class Over:
    """A worker has ended, in most cases without a bug."""

    bug: BaseException | None = None


Word = OfImage | Exchange | Came | Fell | Over


class Workers:
    """At most ``jobs`` threads for these items. ``break_off`` ends every call that they wait for."""

    def __init__(
        self, means: Means, items: Iterable[Item], *, brake: Brake, break_off: Callable[[], None], jobs: int
    ) -> None:
        self._means = means
        self._brake = brake
        self._break_off = break_off
        self._jobs = jobs
        #: What nobody has begun; fetching comes first, which no quota is in the way of.
        self._groups = deque(sorted(_grouped(items), key=lambda group: group[0].pays))
        #: What was said and not heard, and a bell that rings for each word.
        self._words: deque[Word] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._verdict: SeedreamError | None = None
        self._out_of_reach = 0
        self._threads = [
            threading.Thread(target=self._work, name=f"sync-{number}", daemon=True)
            for number in range(min(jobs, len(self._groups)))
        ]

    @property
    def not_begun(self) -> int:
        """How many images were left alone, because of what others met with."""
        return sum(map(len, self._groups))

    def start(self) -> int:
        """Start the threads; how many there are. Each ends with the word Over."""
        for thread in self._threads:
            thread.start()
        return len(self._threads)

    def say(self, word: Word) -> None:
        self._words.append(word)
        self._bell.put(None)

    def wait(self) -> None:
        """Until something is said. Nothing is taken yet: a signal would take it away."""
        with suppress(Empty):
            self._bell.get(timeout=_LOOK_UP)
            while True:
                self._bell.get_nowait()

    def said(self) -> list[Word]:
        """What was said since the last time."""
        return [self._words.popleft() for _ in range(len(self._words))]

    def end(self) -> None:
        """Stop the threads; no temporary file is left."""
        self._brake.pull()
        self._break_off()
        deadline = time.monotonic() + _PATIENCE
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        for part in list(self._means.parts):
            part.close()

    def _work(self) -> None:
        try:
            while not self._brake.pulled and (group := self._next_group()):
                self._serve(group)
        except Stopped:
            pass
        except BaseException as bug:
            self.say(Over(bug))
            return
        self.say(Over())

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
                self._means.project.prepare(item)
                path, file = self._means.project.copy(given.file, item, given.operation.id)
                self.say(Came(item, Given(path, file, given.operation, COPIED)))
            except SeedreamError as error:
                self.say(Fell(item, error))

    def _given(self, item: Item) -> Given:
        make = fetched if item.action == Action.FETCH else generated
        with closing(make(self._means, item)) as life:
            while True:
                try:
                    event = next(life)
                except StopIteration as end:
                    given: Given = end.value
                    return given
                self.say(OfImage(item.label, event))

    def _judge(self, error: SeedreamError) -> None:
        """Whether what one image met with is what all others would meet with."""
        if isinstance(error, AuthenticationProblem | QuotaExceeded | HistoryUnusable):
            self._verdict = self._verdict or error
        elif isinstance(error, Unavailable):
            self._out_of_reach += 1
            if self._out_of_reach >= max(_MOST_OUT_OF_REACH, self._jobs):
                self._verdict = self._verdict or error


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
