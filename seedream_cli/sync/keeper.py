"""The lock while a run writes on it. Other runs of the same project may write on it too."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .lock import Entry, Key, Lock, read, signs_in, signs_of, text_of
from .whole import write_whole


class Keeper:
    """Writes on the lock that was read, of which ``entries`` are what the plan takes for true.

    What another run wrote in the meantime stays, but for the images of this one.
    """

    def __init__(self, lock: Lock, entries: Mapping[Key, Entry]) -> None:
        self._lines: list[Entry] = [*entries.values()]
        self._path = lock.path
        self._signs = lock.signs
        self._is_clean = text_of(lock.entries) == text_of(entries.values())
        #: What this run has written, and None for what it took out.
        self._ours: dict[Key, Entry | None] = {}

    def tidy(self) -> None:
        """Take out what a merge left twice."""
        if not self._is_clean:
            self.change({})

    def change(self, put: Mapping[Key, Entry], drop: Collection[Key] = ()) -> None:
        """Put these lines into the lock and take those out of it, at once. Raises NotSaved, InvalidLock."""
        self._ours |= {**dict.fromkeys(drop), **put}
        # Another program may have written on it since.
        self._signs = signs_in(write_whole(self._path, self._text))

    def has(self, path: str) -> bool:
        """Whether any image's file is at ``path``, by the lock's word."""
        return any(line.path == path for line in self._lines)

    def _text(self) -> bytes:
        if signs_of(self._path) != self._signs:
            # Of an image that is none of this run's, a merge may have left two lines: both stay, for a plan.
            self._lines = [*read(self._path).entries]
        theirs = [line for line in self._lines if line.key not in self._ours]
        self._lines = theirs + [line for line in self._ours.values() if line is not None]
        return text_of(self._lines)
