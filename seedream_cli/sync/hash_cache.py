"""Digests of the project's files, which are not computed again while size and times are the same.

As git's index does, and with its caution: a file that was changed within two seconds of being looked
at may be changed again without a sign of it, so that its digest is not trusted later.
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

#: What stands in a digest's place where something is there whose bytes cannot be told.
UNREADABLE = ""

_VERSION = 1
#: Nanoseconds. File systems' clocks tick in up to two seconds.
_RACY = 2_000_000_000
_KINDS = {"png": "png", "jpeg": "jpg", "webp": "webp"}

#: Size, time of the last change of the bytes and of the inode, inode; when it was looked at (all times
#: in nanoseconds); SHA-256.
_Known = tuple[int, int, int, int, int, str]


class HashCache:
    """Looks at the files of a manifest's folder; paths are relative to it, with ``/``.

    What is known is kept in a file of ``folder`` that is the ``manifest``'s own. ``now`` gives Unix
    nanoseconds. Without ``trust``, every file is read.
    """

    def __init__(self, manifest: Path, folder: Path, *, now: Callable[[], int], trust: bool = True) -> None:
        absolute = os.path.abspath(manifest)
        self._project = f"{os.path.dirname(absolute)}/"
        name = hashlib.sha256(os.fsencode(absolute)).hexdigest()[:32]
        self._file = folder / f"{name}.json"
        self._now = now
        self._trust = trust
        self._known = _read(self._file)
        self._looked_at: set[str] = set()
        self._changed = False

    def exists(self, path: str) -> bool:
        """Whether anything at all has the name."""
        return os.path.lexists(self._project + path)

    def sha256(self, path: str) -> str | None:
        """The file's SHA-256 (hex); None where there is nothing, UNREADABLE for what is no readable file."""
        self._looked_at.add(path)
        try:
            status = os.stat(self._project + path)
        except (FileNotFoundError, NotADirectoryError):
            # A link that leads nowhere has the name all the same.
            return UNREADABLE if self.exists(path) else None
        except (OSError, ValueError):
            return UNREADABLE
        known = self._known.get(path)
        if self._trust and known is not None and known[:4] == _signs(status) and not _is_racy(known):
            return known[5]
        return self._read(path)

    def extension(self, path: str) -> str | None:
        """The ending (``png``, without a dot) that suits an image's bytes; None for what is no image."""
        try:
            with open(self._project + path, "rb") as file:
                return _KINDS.get(sniff(file.read(HEAD_BYTES)) or "")
        except OSError:
            return None

    def save(self) -> None:
        """Keep what is known for the next run. That it cannot be kept is no reason to fail."""
        gone = [path for path in self._known if path not in self._looked_at and not self.exists(path)]
        for path in gone:
            del self._known[path]
        if not (self._changed or gone):
            return
        document = {"version": _VERSION, "files": self._known}
        with suppress(OSError, NotSaved, UnicodeEncodeError):
            make_private_dir(self._file.parent)
            atomic_write(self._file, lambda: json.dumps(document, ensure_ascii=False).encode("utf-8"))
            self._changed = False

    def _read(self, path: str) -> str:
        looked_at = self._now()
        try:
            # A pipe would keep whoever opens it waiting.
            with open(self._project + path, "rb", buffering=0, opener=_without_waiting) as file:
                before = os.fstat(file.fileno())
                if not stat.S_ISREG(before.st_mode):
                    return UNREADABLE
                digest = hashlib.file_digest(file, "sha256").hexdigest()
                after = os.fstat(file.fileno())
        except OSError:
            self._forget(path)
            return UNREADABLE
        if _signs(before) == _signs(after):
            self._known[path] = (*_signs(after), looked_at, digest)
            self._changed = True
        else:
            self._forget(path)
        return digest

    def _forget(self, path: str) -> None:
        self._changed = self._known.pop(path, None) is not None or self._changed


def _signs(status: os.stat_result) -> tuple[int, int, int, int]:
    return (status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino)


def _is_racy(known: _Known) -> bool:
    _, modified, changed, _, looked_at, _ = known
    return max(modified, changed) + _RACY > looked_at


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))


def _read(file: Path) -> dict[str, _Known]:
    """What was kept; nothing where that is not what this version writes."""
    try:
        document = json.loads(file.read_bytes())
        if document["version"] != _VERSION:
            return {}
        files = {path: tuple(known) for path, known in document["files"].items()}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
    return files if all(map(_is_known, files.values())) else {}


def _is_known(values: tuple[object, ...]) -> bool:
    return len(values) == 6 and all(type(value) is int for value in values[:5]) and type(values[5]) is str
