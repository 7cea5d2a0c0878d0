"""Worker pool: threads that process a list of items and post messages to the main thread.

Workers get no signals. Everything they have to report goes through a queue to the one thread that drains it.
They are daemon threads, so that a signal ends the program whatever they are waiting for.
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

#: An item to process.
T = TypeVar("T")
#: A message about an item.
M = TypeVar("M")

#: Seconds that workers get to finish local work before the program ends. Network calls are not waited for.
_GRACE = 0.3
#: Seconds after which ``wait`` returns without a message: on Windows no signal interrupts a blocked queue.
_WAIT_TIMEOUT = 0.5
#: With more workers than this, messages are drained in batches. Handling them one by one would cost more CPU
#: than the work itself.
_FEW = 8
#: Seconds in which such a batch is collected.
_BATCH_INTERVAL = 0.02


class CancelToken:
    """Ends the waits of all workers at once, and then keeps them from creating files."""

    def __init__(self) -> None:
        self._cancelled = threading.Event()
        self._files = threading.RLock()

    @property
    def is_cancelled(self) -> bool:
        return self._cancelled.is_set()

    def cancel(self) -> None:
        self._cancelled.set()

    def pause(self, seconds: float) -> None:
        """Wait for ``seconds``. Raises Stopped as soon as the token is cancelled."""
        if self._cancelled.wait(seconds):
            raise Stopped

    def shield(self) -> AbstractContextManager[Any]:
        """Return the lock that workers hold while they create or remove partial files."""
        return self._files

    def freeze(self, timeout: float) -> bool:
        """Take that lock for good, so that every worker blocks at its next partial file.

        Returns False if a worker still held it after ``timeout`` seconds, as when a file system hangs.
        """
        return self._files.acquire(timeout=timeout)


class _WorkerExited(Struct, frozen=True):
    """The last message of a worker. ``bug`` is an exception that it should not have raised."""

    bug: BaseException | None = None


class WorkerPool(Generic[T, M]):
    """Threads that call ``process`` with each item, one item after the other.

    ``costs_money`` returns True for an item that has to be paid for, and so fails if the quota is used up.
    ``parts`` are the partial files that are open. They are created under the shield of ``cancel_token``.
    """

    def __init__(
        self,
        items: Iterable[T],
        process: Callable[[T], None],
        *,
        costs_money: Callable[[T], bool],
        cancel_token: CancelToken,
        parts: Collection[PartialFile],
    ) -> None:
        #: Items not started yet. Those that are paid for already come first.
        self._items = deque(sorted(items, key=costs_money))
        self._process = process
        self._costs_money = costs_money
        self._cancel_token = cancel_token
        self._parts = parts
        #: Messages posted and not drained yet.
        self._messages: deque[M | _WorkerExited] = deque()
        #: One entry per posted message, to wake the thread in ``wait``.
        self._wakeups: SimpleQueue[None] = SimpleQueue()
        self._stop_reason: SeedreamError | None = None
        self._threads: list[threading.Thread] = []
        self._running = 0
        self._bug: BaseException | None = None

    @property
    def not_begun(self) -> list[T]:
        """Return the items that were not started, because of an error of another item or a signal."""
        return list(self._items)

    @property
    def is_busy(self) -> bool:
        """Return True if more messages can come. Raises the exception that ended a worker by a bug."""
        if self._bug is not None:
            raise self._bug
        return self._running > 0

    def start(self, threads: int) -> None:
        """Start ``threads`` more workers, but no more than there are items left."""
        for _ in range(min(threads, len(self._items))):
            thread = threading.Thread(target=self._work, name=f"worker-{len(self._threads) + 1}", daemon=True)
            self._threads.append(thread)
            try:
                thread.start()
            except RuntimeError as error:
                # The system allows no more threads. Those that run do all the work.
                self._threads.pop()
                if self._running:
                    return
                raise NotSaved(f"system error: {error}", code="system") from None
            self._running += 1

    def post(self, message: M | _WorkerExited) -> None:
        """Send a message to the thread that drains them."""
        self._messages.append(message)
        self._wakeups.put(None)

    def stop_starting(self, error: SeedreamError) -> None:
        """Start no more items, because they would fail with the same error."""
        self._stop_reason = self._stop_reason or error

    def wait(self, rest: float = 0.0) -> None:
        """Wait until a message is posted, and ``rest`` seconds longer to collect more messages.

        Messages are not removed here: a signal that interrupts this method must not lose any.
        """
        with suppress(Empty):
            self._wakeups.get(timeout=_WAIT_TIMEOUT)
            if self._running > _FEW:
                rest = max(rest, _BATCH_INTERVAL)
            if rest > 0:
                time.sleep(rest)
            while True:
                self._wakeups.get_nowait()

    def drain(self) -> list[M]:
        """Return the messages posted since the last call. Must not be interrupted by a signal."""
        drained: list[M] = []
        for _ in range(len(self._messages)):
            message = self._messages.popleft()
            if isinstance(message, _WorkerExited):
                self._running -= 1
                self._bug = self._bug or message.bug
            else:
                drained.append(message)
        return drained

    def end(self) -> None:
        """Cancel all workers and remove their partial files. Does not wait for network calls."""
        self._cancel_token.cancel()
        deadline = time.monotonic() + _GRACE
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, deadline - time.monotonic()))
        # Frozen for good: a worker that wakes up before the process ends can leave no file.
        if self._cancel_token.freeze(_GRACE):
            for part in list(self._parts):
                part.close()

    def _work(self) -> None:
        try:
            while not self._cancel_token.is_cancelled:
                try:
                    item = self._items.popleft()
                except IndexError:
                    break
                if self._would_fail(item):
                    self._items.appendleft(item)
                    break
                self._process(item)
        except Stopped:
            pass
        except BaseException as bug:
            self.post(_WorkerExited(bug))
            return
        self.post(_WorkerExited())

    def _would_fail(self, item: T) -> bool:
        """Return True if the item is bound to fail with the error that an earlier item met."""
        error = self._stop_reason
        return error is not None and (not isinstance(error, QuotaExceeded) or self._costs_money(item))
