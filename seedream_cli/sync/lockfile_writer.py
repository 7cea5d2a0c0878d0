"""The lock while a run writes on it. Other runs of the same project may write on it too."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from ..files.atomic_write import atomic_write
from .lockfile import Entry, Key, Lock, line_of, read, signs_in, signs_of


class LockfileWriter:
    """Writes on the lock that was read, of which ``entries`` are what the plan takes for true.

    What another run wrote in the meantime stays, but for the images of this one.
    """

    def __init__(self, lock: Lock, entries: Mapping[Key, Entry]) -> None:
        self._path = lock.path
        self._signs = lock.signs
        #: The lines to begin with; they are made into text once there is something to write.
        self._found: Iterable[Entry] | None = entries.values()
        self._sheet = _SortedLines(())
        # One line an image is what `entries` have chosen of them.
        self._is_clean = len(lock.entries) == len(entries)
        #: What this run has written, and None for what it took out.
        self._ours: dict[Key, Entry | None] = {}

    def tidy(self) -> None:
        """Take out what a merge left twice."""
        if not self._is_clean:
            self.change({})

    def change(self, put: Mapping[Key, Entry], drop: Collection[Key] = ()) -> None:
        """Put these lines into the lock and take those out of it, at once. Raises NotSaved, InvalidLock."""
        change = {**dict.fromkeys(drop), **put}
        self._ours |= change
        # Another program may have written on it since.
        self._signs = signs_in(atomic_write(self._path, lambda: self._text(change)))

    def has(self, path: str) -> bool:
        """Whether any image's file is at ``path``, by the lock's word."""
        return self._present().paths[path] > 0

    def _present(self) -> _SortedLines:
        if self._found is not None:
            self._sheet, self._found = _SortedLines(self._found), None
        return self._sheet

    def _text(self, change: Mapping[Key, Entry | None]) -> bytes:
        if signs_of(self._path) != self._signs:
            # Of an image that is none of this run's, a merge may have left two lines: both stay, for a plan.
            self._found, change = read(self._path).entries, self._ours
        sheet = self._present()
        for key, entry in change.items():
            sheet.set(key, entry)
        return sheet.text


class _SortedLines:
    """Lines in the order of their keys, as they are written: a run writes them all for each that is new."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        in_order = sorted(entries, key=lambda entry: entry.key)
        self._keys = [entry.key for entry in in_order]
        self._lines = [line_of(entry) for entry in in_order]
        self._paths = [entry.path for entry in in_order]
        #: How many lines have each path.
        self.paths = Counter(self._paths)

    @property
    def text(self) -> bytes:
        return b"".join(self._lines)

    def set(self, key: Key, entry: Entry | None) -> None:
        """Have this line for the key and no other, or none at all."""
        first = end = bisect_left(self._keys, key)
        while end < len(self._keys) and self._keys[end] == key:
            end += 1
        self.paths.subtract(self._paths[first:end])
        put = [] if entry is None else [entry]
        self._keys[first:end] = [key for _ in put]
        self._lines[first:end] = map(line_of, put)
        self._paths[first:end] = [one.path for one in put]
        self.paths.update(self._paths[first : first + len(put)])
