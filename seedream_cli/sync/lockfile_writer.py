"""Update of the lockfile during a run. Other runs of the same project may update it at the same time."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections import Counter
from collections.abc import Collection, Iterable, Mapping

from ..files.atomic_write import atomic_write
from .lockfile import Entry, Key, Lockfile, StatSignature, format_line, read_lockfile, stat_signature

#: Differs from that of any file, so that the next update reads the file and writes all lines of this run.
_UNKNOWN: StatSignature = (-1, -1, -1, -1)


class LockfileWriter:
    """Updates the lockfile that was read. ``entries`` are the lines that the plan accepts.

    Lines that another run writes meanwhile are kept, except those of images of this run.
    """

    def __init__(self, lockfile: Lockfile, entries: Mapping[Key, Entry]) -> None:
        self._path = lockfile.path
        self._signature = lockfile.signature
        #: The initial lines. A run that writes nothing does not sort and format them.
        self._initial: Iterable[Entry] | None = entries.values()
        self._sorted = _SortedLines(())
        # `entries` is deduplicated; more lines in the file mean that a merge left duplicates.
        self._is_clean = len(lockfile.entries) == len(entries)
        #: The lines that this run wrote; None for a line that it removed.
        self._ours: dict[Key, Entry | None] = {}

    def tidy(self) -> None:
        """Remove duplicate lines that a merge left."""
        if not self._is_clean:
            self.update({})

    def update(self, put: Mapping[Key, Entry], drop: Collection[Key] = ()) -> None:
        """Write the lines of ``put`` and remove those of ``drop``, in one step.

        A key in both is written. Raises NotSaved, and InvalidLockfile if the file has become invalid.
        """
        changes = {**dict.fromkeys(drop), **put}
        # Recorded first: an update that fails writes nothing, and the next one writes these lines too.
        self._ours |= changes
        try:
            # The status of the file written here, not a later stat(): another run may write it in between.
            self._signature = stat_signature(atomic_write(self._path, lambda: self._format(changes)))
        except BaseException:
            self._signature = _UNKNOWN
            raise

    def has_path(self, path: str) -> bool:
        """Return True if the lockfile has an image at ``path``."""
        return self._current_lines().paths[path] > 0

    def _current_lines(self) -> _SortedLines:
        if self._initial is not None:
            self._sorted, self._initial = _SortedLines(self._initial), None
        return self._sorted

    def _format(self, changes: Mapping[Key, Entry | None]) -> bytes:
        """Return the new content of the file. If another run wrote it, its lines are read again."""
        try:
            signature = stat_signature(os.stat(self._path))
        except OSError:
            signature = None
        if signature != self._signature:
            # Duplicate lines of images that are not part of this run are kept for a later plan.
            self._initial, changes = read_lockfile(self._path).entries, self._ours
        lines = self._current_lines()
        for key, entry in changes.items():
            lines.set(key, entry)
        return lines.text


class _SortedLines:
    """Formatted lines, sorted by key. Kept, because every update writes all of them."""

    def __init__(self, entries: Iterable[Entry]) -> None:
        by_key = sorted(entries, key=lambda entry: entry.key)
        self._keys = [entry.key for entry in by_key]
        self._lines = [format_line(entry) for entry in by_key]
        self._paths = [entry.path for entry in by_key]
        #: Number of lines with each path.
        self.paths = Counter(self._paths)

    @property
    def text(self) -> bytes:
        """Return the content of the file."""
        return b"".join(self._lines)

    def set(self, key: Key, entry: Entry | None) -> None:
        """Replace all lines of the key by this one, or remove them."""
        first = end = bisect_left(self._keys, key)
        while end < len(self._keys) and self._keys[end] == key:
            end += 1
        self.paths.subtract(self._paths[first:end])
        new = [] if entry is None else [entry]
        self._keys[first:end] = [key] * len(new)
        self._lines[first:end] = map(format_line, new)
        self._paths[first:end] = [entry.path for entry in new]
        self.paths.update(entry.path for entry in new)
