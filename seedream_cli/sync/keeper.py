"""The lock while a run writes on it. Other runs of the same project may write on it too."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from .lock import Entry, Key, Lock, read, signs_of, text_of
from .whole import write_whole


class Keeper:
    """Writes on the lock that was read, of which ``entries`` are what the plan takes for true.

    What another run wrote in the meantime stays, but for the images of this one.
    """

    def __init__(self, lock: Lock, entries: Mapping[Key, Entry]) -> None:
        self.entries: dict[Key, Entry] = dict(entries)
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
        write_whole(self._path, self._text)
        self._signs = signs_of(self._path)

    def _text(self) -> bytes | None:
        if signs_of(self._path) != self._signs:
            self.entries = {entry.key: entry for entry in read(self._path).entries}
        for key, entry in self._ours.items():
            if entry is None:
                self.entries.pop(key, None)
            else:
                self.entries[key] = entry
        return text_of(self.entries.values())
