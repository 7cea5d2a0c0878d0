"""Threads that work off a list side by side, over one client.

They get no signals. Whatever they have to say goes to the one thread that listens. They are daemon threads,
so that a signal ends the program whatever they wait for.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Collection, Iterable
from contextlib import AbstractContextManager, suppress
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

from msgspec import Struct

from ..errors import NotSaved, QuotaExceeded, SeedreamError, Stopped
from ..files.partial_file import PartialFile

#: What is to be done.
T = TypeVar("T")
#: What is said about it.
W = TypeVar("W")

#: Seconds in which workers can finish what they do on this machine before the program ends. Those that wait
#: for the network are not waited for.
_PATIENCE = 0.3
#: Seconds after which the thread that waits for workers looks up: on Windows no signal wakes it.
_LOOK_UP = 0.5
#: With more threads than so many at work, each word that is heard by itself would cost more than what it
#: tells: what is said within so many seconds is heard at once.
_FEW = 8
_REST = 0.02


class CancelToken:
    """Ends the waits of all workers at once, and keeps them from making files from then on."""

    def __init__(self) -> None:
        self._pulled = threading.Event()
        self._files = threading.RLock()

    @property
    def is_cancelled(self) -> bool:
        return self._pulled.is_set()

    def cancel(self) -> None:
        self._pulled.set()

    def pause(self, seconds: float) -> None:
        """Wait some seconds; raises Stopped where that is over."""
        if self._pulled.wait(seconds):
            raise Stopped

    def shield(self) -> AbstractContextManager[Any]:
        """Return the lock under which workers make and remove temporary files."""
        return self._files

    def freeze(self, seconds: float) -> bool:
        """Stop every worker at the next temporary file that it would make or remove.

        The lock is never released. It is not waited for longer than ``seconds``, should a file system hang:
        returns False.
        """
        return self._files.acquire(timeout=seconds)


class _Over(Struct, frozen=True):
    """A worker has ended, in most cases without a bug."""

    bug: BaseException | None = None


class WorkerPool(Generic[T, W]):
    """Threads that ``serve`` what is ``todo``, one after the other.

    ``pays`` tells of one whether a task is paid for, which a quota is in the way of. ``parts`` are the
    temporary files that are open, made under the brake's shield.
    """

    def __init__(
        self,
        todo: Iterable[T],
        serve: Callable[[T], None],
        *,
        costs_money: Callable[[T], bool],
        cancel_token: CancelToken,
        parts: Collection[PartialFile],
    ) -> None:
        #: What nobody has begun; what is paid for already comes first.
        self._todo = deque(sorted(todo, key=costs_money))
        self._serve = serve
        self._pays = costs_money
        self._brake = cancel_token
        self._parts = parts
        #: What was said and not heard, and a bell that rings for each word.
        self._words: deque[W | _Over] = deque()
        self._bell: SimpleQueue[None] = SimpleQueue()
        self._verdict: SeedreamError | None = None
        self._threads: list[threading.Thread] = []
        self._at_work = 0
        self._bug: BaseException | None = None

    @property
    def not_begun(self) -> list[T]:
        """What was left alone, because of what others met with or of a signal."""
        return list(self._todo)

    @property
    def is_busy(self) -> bool:
        """Whether there is more to hear. Raises what a worker's bug raised, once that was heard."""
        if self._bug is not None:
            raise self._bug
        return self._at_work > 0

    def start(self, threads: int) -> None:
        """Start so many threads more, or as many as there is something to do for."""
        for _ in range(min(threads, len(self._todo))):
            thread = threading.Thread(target=self._work, name=f"worker-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            try:
                thread.start()
            except RuntimeError as error:
                # The system has no more threads: those that run do all the work.
                self._threads.pop()
                if self._at_work:
                    return
                raise NotSaved(f"system error: {error}", code="system") from None
            self._at_work += 1

    def post(self, word: W | _Over) -> None:
        self._words.append(word)
        self._bell.put(None)

    def stop_starting(self, verdict: SeedreamError) -> None:
        """Begin no other: it would meet with the same."""
        self._verdict = self._verdict or verdict

    def wait(self, rest: float = 0.0) -> None:
        """Until something is said, and at least ``rest`` seconds longer.

        Nothing is taken yet: a signal would take it away.
        """
        with suppress(Empty):
            self._bell.get(timeout=_LOOK_UP)
            if self._at_work > _FEW:
                rest = max(rest, _REST)
            if rest > 0:
                time.sleep(rest)
            while True:
                self._bell.get_nowait()

    def drain(self) -> list[W]:
        """What was said since the last time; to be called where no signal interrupts."""
        drain: list[W] = []
        for _ in range(len(self._words)):
            word = self._words.popleft()
            if isinstance(word, _Over):
                self._at_work -= 1
                self._bug = self._bug or word.bug
            else:
                drain.append(word)
        return drain

    def end(self) -> None:
        """Stop the threads that do not wait for the network; no temporary file is left."""
        self._brake.cancel()
        deadline = time.monotonic() + _PATIENCE
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        # A thread that wakes up between here and the end of the process leaves nothing behind.
        if self._brake.freeze(_PATIENCE):
            for part in list(self._parts):
                part.close()

    def _work(self) -> None:
        try:
            while not self._brake.is_cancelled:
                try:
                    one = self._todo.popleft()
                except IndexError:
                    break
                if self._is_hopeless(one):
                    self._todo.appendleft(one)
                    break
                self._serve(one)
        except Stopped:
            pass
        except BaseException as bug:
            self.post(_Over(bug))
            return
        self.post(_Over())

    def _is_hopeless(self, one: T) -> bool:
        """Whether it could not succeed, after what others met with."""
        verdict = self._verdict
        return verdict is not None and (not isinstance(verdict, QuotaExceeded) or self._pays(one))
