"""The lockfile, ``seedream.lock``: the request of each image, and the file that resulted.

It has one JSON object on a line and one line for an image, sorted by name and number, so that git can merge
it line by line (``merge=union``). Such a merge can leave two lines for one image; the file on disk decides
between them. Keys of a later version are kept.
"""

from __future__ import annotations

import json
import os
import re
import time as clock
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeGuard

from msgspec import Struct, field

from ..errors import Diagnostic, InvalidLockfile, UsageError
from .path_template import is_safe_name, resolve_path
from .templates import WrongTemplate

Key = tuple[str, int]
"""The name of the asset and the number of the image. Lines are sorted by it."""
DigestOf = Callable[[str], str | None]
"""Returns the SHA-256 (hex) of the file at a path of the project, or None."""
StatSignature = tuple[int, int, int, int]
"""Device, inode, size and modification time (ns) of a file. They change when it is written."""

ENTRY_KEYS = ("name", "number", "digest", "take", "path", "sha256", "task_id", "time")

#: The ``extra`` of an image that was made by the sandbox.
OF_THE_SANDBOX: Mapping[str, Any] = {"sandbox": True}

_ENCODER = json.JSONEncoder(ensure_ascii=False)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
#: The lines that git writes around a conflict.
_CONFLICT_MARKERS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")
#: JSON readers that use doubles are exact up to here.
_MAX_NUMBER = 2**53


class Entry(Struct, frozen=True):
    """One line: an image that was generated.

    ``digest`` is the digest of the request, ``sha256`` that of the file (both hex). ``path`` is relative to
    the manifest's folder, with ``/``. ``task_id`` is None for a file that a person provided. ``time`` is when
    the entry was written, in UTC, as text that sorts. ``extra`` holds keys of a later version.
    """

    name: str
    number: int
    digest: str
    take: int
    path: str
    sha256: str
    task_id: str | None
    time: str
    extra: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return (self.name, self.number)

    @property
    def is_trial(self) -> bool:
        """Return True if the image was made by the sandbox."""
        return self.extra.get("sandbox") is True

    @property
    def line(self) -> str:
        """Return the JSON object, without a line feed."""
        return _ENCODER.encode({**{key: getattr(self, key) for key in ENTRY_KEYS}, **self.extra})


class Lockfile(Struct, frozen=True):
    """The entries of a lockfile, in the order of its lines.

    ``path`` is as given. ``signature`` is None if the file does not exist.
    """

    path: Path
    entries: tuple[Entry, ...] = ()
    signature: StatSignature | None = None

    def resolved(self, digest_of: DigestOf) -> dict[Key, Entry]:
        """Return one entry for each image, sorted by name and number."""
        candidates: dict[Key, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            candidates[entry.key].append(entry)
        return {key: resolve(candidates[key], digest_of) for key in sorted(candidates)}


def resolve(candidates: Sequence[Entry], digest_of: DigestOf) -> Entry:
    """Return the entry whose file is on disk; the newest if there are several, or none.

    The order of the candidates does not matter, because a merge does not keep it.
    """
    if len(candidates) == 1:
        return candidates[0]
    return max(candidates, key=lambda entry: (digest_of(entry.path) == entry.sha256, entry.time, entry.line))


def timestamp(seconds: float) -> str:
    """Format Unix seconds as the ``time`` of an entry."""
    return clock.strftime("%Y-%m-%dT%H:%M:%SZ", clock.gmtime(seconds))


def read_lockfile(path: Path) -> Lockfile:
    """Read a lockfile. One that does not exist is empty.

    Raises InvalidLockfile with all mistakes, and UsageError if the file cannot be read at all.
    """
    try:
        with path.open("rb") as file:
            signature = stat_signature(os.fstat(file.fileno()))
            data = file.read()
    except FileNotFoundError:
        return Lockfile(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", code="invalid_lock") from None
    reader = _LockfileReader(str(path))
    # Split at LF only: JSON strings may contain other line separators unescaped.
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        reader.read_line(number, line)
    if reader.problems:
        raise InvalidLockfile(str(path), reader.problems)
    return Lockfile(path, tuple(reader.entries), signature)


def stat_signature(status: os.stat_result) -> StatSignature:
    """Return the signature of a file with this status."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


def format_line(entry: Entry) -> bytes:
    """Format an entry as a line of the file."""
    return f"{entry.line}\n".encode()


def format_lockfile(entries: Iterable[Entry]) -> bytes:
    """Format a whole lockfile, sorted."""
    return b"".join(map(format_line, sorted(entries, key=lambda entry: entry.key)))


class _LockfileReader:
    """Reads a lockfile line by line, and collects its entries and all mistakes."""

    def __init__(self, file: str) -> None:
        self.entries: list[Entry] = []
        self.problems: list[Diagnostic] = []
        self._file = file
        self._line_number = 0
        self._in_conflict = False

    def read_line(self, number: int, line: bytes) -> None:
        self._line_number = number
        try:
            text = line.decode("utf-8").strip()
            if not text or self._is_conflict_marker(text):
                return
            values = json.loads(text)
            if "\\u" in text:
                # JSON escapes can contain lone surrogates, which could not be written again.
                _ENCODER.encode(values).encode("utf-8")
        except UnicodeError:
            self._add_problem("", "is not valid Unicode text")
        except (ValueError, RecursionError):
            self._add_problem("", "is not JSON")
        else:
            self._add_entry(values)

    def _is_conflict_marker(self, text: str) -> bool:
        if not text.startswith(_CONFLICT_MARKERS):
            return False
        if not self._in_conflict:
            self._add_problem("", "begins a conflict that git could not merge: keep the lines of both sides")
        self._in_conflict = not text.startswith(">>>>>>>")
        return True

    def _add_entry(self, values: object) -> None:
        if not isinstance(values, dict):
            self._add_problem("", "is not a JSON object")
            return
        problems_before = len(self.problems)
        known = {}
        for key, check in _CHECKS:
            value = known[key] = values.pop(key, _MISSING)
            if value is _MISSING:
                self._add_problem(key, "is missing")
            elif (problem := check(value)) is not None:
                self._add_problem(key, problem)
        # What is left in `values` are the keys of a later version.
        if len(self.problems) == problems_before:
            self.entries.append(Entry(**known, extra=values))

    def _add_problem(self, key: str, reason: str) -> None:
        self.problems.append(Diagnostic(self._file, self._line_number, key, reason))


_MISSING = object()


def _check_name(value: object) -> str | None:
    return None if _is_text(value) and is_safe_name(value) else "is not the name of an asset"


def _check_number(value: object) -> str | None:
    # Not isinstance(): a Python bool is also an int.
    is_valid = type(value) is int and 1 <= value <= _MAX_NUMBER
    return None if is_valid else "is not a whole number above 0"


def _check_digest(value: object) -> str | None:
    is_valid = isinstance(value, str) and _SHA256.fullmatch(value) is not None
    return None if is_valid else "is not a SHA-256 in hexadecimal"


def _check_path(value: object) -> str | None:
    if not _is_text(value):
        return "is not text"
    try:
        return None if resolve_path(value) == value else "is not as this program writes it"
    except WrongTemplate as error:
        return str(error.args[0])


def _check_task(value: object) -> str | None:
    return None if value is None or _is_text(value) else "is neither null nor text"


def _check_time(value: object) -> str | None:
    is_valid = isinstance(value, str) and _TIME.fullmatch(value) is not None
    return None if is_valid else "is not a time such as 2026-11-22T17:45:01Z"


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)


#: The check of each key. It returns the mistake, or None.
_CHECKS = (
    ("name", _check_name),
    ("number", _check_number),
    ("digest", _check_digest),
    ("take", _check_number),
    ("path", _check_path),
    ("sha256", _check_digest),
    ("task_id", _check_task),
    ("time", _check_time),
)
