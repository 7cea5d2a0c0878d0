"""One transaction for what many threads want to have on disk.

A disk takes as long for many writings as for one: in a run of many, one thread writes what all others wait
to have written.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, suppress

from .models import Operation

#: Seconds for which a thread leaves its writing to another one, which a signal may have ended meanwhile.
_TRUST = 1.0


class Writing:
    """An operation that a thread waits to have recorded; ``kept`` is what is on disk of it then."""

    def __init__(self, operation: Operation) -> None:
        self.operation = operation
        self.kept: Operation | None = None
        #: What kept it, and all that were written along, from being written.
        self.error: Exception | None = None
        #: Set once it is written, or its thread is to write it itself.
        self.tried = threading.Event()


class GroupCommit:
    """``write`` writes in one transaction, while ``held`` keeps all other threads out.

    ``is_general`` tells of what it raises whether each writing would meet with it, or it is the fault of one.
    """

    def __init__(
        self,
        held: Callable[[], AbstractContextManager[None]],
        write: Callable[[Sequence[Operation]], Sequence[Operation]],
        is_general: Callable[[Exception], bool],
    ) -> None:
        self._held = held
        self._write = write
        self._is_general = is_general
        self.waiting: deque[Writing] = deque()

    def record(self, operation: Operation) -> Operation:
        """The operation as it is kept; raises what ``write`` raises."""
        mine = Writing(operation)
        try:
            self.waiting.append(mine)
            # Whoever came before it writes it along. If all were to hold the lock in turn just to see that,
            # each of them would wait for all others to be woken.
            if not self._is_next(mine):
                mine.tried.wait(_TRUST)
            if mine.kept is None:
                with self._held():
                    # A thread that trusted no longer may have written it by now.
                    if mine.kept is None:
                        self._write_with_others(mine)
        except BaseException:
            with suppress(ValueError, IndexError):
                self.waiting.remove(mine)
                # Whoever relied on this one.
                self.waiting[0].tried.set()
            raise
        assert mine.kept is not None, "what could not be written was raised"  # noqa: S101
        return mine.kept

    def _is_next(self, mine: Writing) -> bool:
        try:
            return self.waiting[0] is mine
        except IndexError:
            return False

    def _write_with_others(self, mine: Writing) -> None:
        if mine.error is not None:
            raise mine.error
        together = self._taken()
        if mine not in together:
            together.append(mine)
        try:
            self._commit(together)
        except Exception as error:
            if self._is_general(error):
                for one in together:
                    one.error = error
                raise
            # What is wrong with one falls on no other: each writes its own when it is its turn.
            self._commit([mine])
        finally:
            for one in together:
                one.tried.set()

    def _taken(self) -> list[Writing]:
        """In the order in which they came: a signal may have left one behind that a later one outdates."""
        taken: list[Writing] = []
        with suppress(IndexError):
            while True:
                taken.append(self.waiting.popleft())
        return taken

    def _commit(self, together: Sequence[Writing]) -> None:
        # None is kept before all of it is on disk.
        for one, kept in zip(together, self._write([one.operation for one in together]), strict=True):
            one.kept = kept
