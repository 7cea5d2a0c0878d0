"""Cache of file digests: a file is hashed again only if its size, times or inode changed.

This works like git's index, with the same precaution ("racy git"): a file that was modified less than two
seconds before it was hashed may change again without a visible change of its times, so its digest is not
trusted later.
"""

from __future__ import annotations

import hashlib
import json
import os
import stat
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import NotSaved
from ..files.atomic_write import atomic_write
from ..files.permissions import make_private_dir
from ..images.inspect import HEAD_BYTES, sniff

#: The digest of something that exists and cannot be read, or is not a regular file.
UNREADABLE = ""

_VERSION = 1
#: Nanoseconds. The timestamps of some file systems have a resolution of two seconds.
_RACY_NS = 2_000_000_000
_EXTENSIONS = {"png": "png", "jpeg": "jpg", "webp": "webp"}

#: Size, mtime, ctime, inode, time of hashing (all times in nanoseconds), SHA-256.
_CacheEntry = tuple[int, int, int, int, int, str]


class HashCache:
    """Digests of the files in a manifest's folder. Paths are relative to it, with ``/``.

    Each ``manifest`` has its own cache file in ``folder``. ``now`` returns Unix nanoseconds. Without
    ``trust``, every file is hashed.
    """

    def __init__(self, manifest: Path, folder: Path, *, now: Callable[[], int], trust: bool = True) -> None:
        absolute = os.path.abspath(manifest)
        self._project = f"{os.path.dirname(absolute)}/"
        name = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:32]
        self._file = folder / f"{name}.json"
        self._now = now
        self._trust = trust
        self._cached = _read_cache(self._file)
        self._requested: set[str] = set()
        self._changed = False

    def exists(self, path: str) -> bool:
        """Return True if anything has this path: a file, a folder, or a dangling symbolic link."""
        return os.path.lexists(self._project + path)

    def sha256(self, path: str) -> str | None:
        """Return the SHA-256 (hex) of a file, None if it does not exist, UNREADABLE if it cannot be read."""
        self._requested.add(path)
        try:
            status = os.stat(self._project + path)
        except (FileNotFoundError, NotADirectoryError):
            # stat() does not find a dangling symbolic link, but no file can be created in its place.
            return UNREADABLE if self.exists(path) else None
        except (OSError, ValueError):
            return UNREADABLE
        entry = self._cached.get(path)
        if self._trust and entry is not None and entry[:4] == _stat_data(status) and not _is_racy(entry):
            return entry[5]
        return self._hash(path)

    def extension(self, path: str) -> str | None:
        """Return the extension (``png``, without a dot) for the bytes of an image; None if it is not one."""
        try:
            with open(self._project + path, "rb") as file:
                return _EXTENSIONS.get(sniff(file.read(HEAD_BYTES)) or "")
        except OSError:
            return None

    def save(self) -> None:
        """Write the cache for the next run. A failure to write it is ignored."""
        gone = [path for path in self._cached if path not in self._requested and not self.exists(path)]
        for path in gone:
            del self._cached[path]
        if not (self._changed or gone):
            return
        document = {"version": _VERSION, "files": self._cached}
        with suppress(OSError, NotSaved, UnicodeEncodeError):
            make_private_dir(self._file.parent)
            atomic_write(self._file, lambda: json.dumps(document, ensure_ascii=False).encode("utf-8"))
            self._changed = False

    def _hash(self, path: str) -> str:
        hashed_at = self._now()
        try:
            # Without O_NONBLOCK, opening a named pipe would wait for a writer.
            with open(self._project + path, "rb", buffering=0, opener=_open_nonblocking) as file:
                before = os.fstat(file.fileno())
                if not stat.S_ISREG(before.st_mode):
                    return UNREADABLE
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                after = os.fstat(file.fileno())
        except OSError:
            self._forget(path)
            return UNREADABLE
        if _stat_data(before) == _stat_data(after):
            self._cached[path] = (*_stat_data(after), hashed_at, digest)
            self._changed = True
        else:
            self._forget(path)
        return digest

    def _forget(self, path: str) -> None:
        self._changed = self._cached.pop(path, None) is not None or self._changed


def _stat_data(status: os.stat_result) -> tuple[int, int, int, int]:
    """Return the first four values of a _CacheEntry."""
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _is_racy(entry: _CacheEntry) -> bool:
    _, modified, changed, _, hashed_at, _ = entry
    return max(modified, changed) + _RACY_NS > hashed_at


def _open_nonblocking(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read_cache(file: Path) -> dict[str, _CacheEntry]:
    """Read a cache file. Return {} if this version did not write it."""
    try:
        document = json.loads(file.read_bytes())
        if document["version"] != _VERSION:
            return {}
        entries = {path: tuple(values) for path, values in document["files"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
    types = (int, int, int, int, int, str)
    return entries if all(tuple(map(type, entry)) == types for entry in entries.values()) else {}
