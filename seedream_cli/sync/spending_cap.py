"""The spending cap: limits how many tasks a run may pay for."""

from __future__ import annotations

import threading
from collections.abc import Callable

from ..errors import SeedreamError


class SpendingCap:
    """Allows at most ``limit`` paid tasks (None: any number). Thread-safe.

    ``refusal`` creates the error for one task more.
    """

    def __init__(self, limit: int | None, refusal: Callable[[], SeedreamError]) -> None:
        self._left = limit
        self._refusal = refusal
        self._lock = threading.Lock()

    def reserve(self) -> None:
        """Reserve one task before it is paid for. Raises the refusal if none is left."""
        with self._lock:
            if self._left == 0:
                raise self._refusal()
            if self._left is not None:
                self._left -= 1

    def release(self) -> None:
        """Return a reservation: the task turned out to be paid for already."""
        with self._lock:
            if self._left is not None:
                self._left += 1
