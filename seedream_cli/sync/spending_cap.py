"""How many tasks a run may pay for: no more than was allowed, whatever turns out on the way."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import SeedreamError


class SpendingCap:
    """Hands out ``most`` tasks (None: any number); ``refusal`` makes the error for one more.

    Shared between threads.
    """

    def __init__(self, most: int | None, refusal: Callable[[], SeedreamError]) -> None:
        self._left = most
        self._refusal = refusal
        self._lock = threading.Lock()

    def reserve(self) -> None:
        """One task is about to be paid for. Raises the refusal where none is left."""
        with self._lock:
            if self._left == 0:
                raise self._refusal()
            if self._left is not None:
                self._left -= 1

    def release(self) -> None:
        """The task was one that had been paid for before."""
        with self._lock:
            if self._left is not None:
                self._left += 1
