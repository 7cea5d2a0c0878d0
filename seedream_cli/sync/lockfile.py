"""The lock, ``seedream.lock``: what each image was asked for with, and what came.

One JSON object a line, one line an image, sorted by name and number: git merges it line by line
(``merge=union``). Such a merge can leave two lines for one image; what is on disk decides between
them. A later version's keys are kept.
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

from ..errors import UsageError
from .diagnostics import Diagnostic, InvalidLockfile
from .path_template import is_safe_name, path_of
from .templates import WrongTemplate

#: An asset's name and an image's number: what the lines are sorted by.
Key = tuple[str, int]
#: The SHA-256 (hex) of the file at a path of the project, None where there is none.
DigestOf = Callable[[str], str | None]

SETTINGS = ("name", "number", "digest", "take", "path", "sha256", "task_id", "time")

#: What marks the line of a picture that the sandbox made.
OF_THE_SANDBOX: Mapping[str, Any] = {"sandbox": True}

_ENCODER = json.JSONEncoder(ensure_ascii=False)
_SHA256 = re.compile(r"[0-9a-f]{64}")
_TIME = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z")
_MARKERS = ("<<<<<<<", "|||||||", "=======", ">>>>>>>")
_LARGEST_NUMBER = 2**53


class Entry(Struct, frozen=True):
    """One line: an image as it was generated.

    ``digest`` is that of the request, ``sha256`` that of the file (both hex). ``path`` is relative to
    the manifest's folder, with ``/``. ``task_id`` is None for a file that no task gave, but a person.
    ``time`` is that of the entry, in UTC, as text that sorts. ``more`` are keys of a later version.
    """

    name: str
    number: int
    digest: str
    take: int
    path: str
    sha256: str
    task_id: str | None
    time: str
    more: Mapping[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> Key:
        return (self.name, self.number)

    @property
    def is_trial(self) -> bool:
        """Whether the picture is only the sandbox's."""
        return self.more.get("sandbox") is True

    @property
    def line(self) -> str:
        return _ENCODER.encode({**{key: getattr(self, key) for key in SETTINGS}, **self.more})


#: Device, inode, size and time of change (nanoseconds) of a file: another one was written anew.
StatSignature = tuple[int, int, int, int]


class Lock(Struct, frozen=True):
    """What a lock's file says, in its order. ``path`` is as it was named; ``signs`` are of what was read."""

    path: Path
    entries: tuple[Entry, ...] = ()
    signs: StatSignature | None = None

    def resolved(self, digest_of: DigestOf) -> dict[Key, Entry]:
        """One entry an image, sorted by name and number."""
        candidates: dict[Key, list[Entry]] = defaultdict(list)
        for entry in self.entries:
            candidates[entry.key].append(entry)
        return {key: resolve(candidates[key], digest_of) for key in sorted(candidates)}


def resolve(candidates: Sequence[Entry], digest_of: DigestOf) -> Entry:
    """The entry whose file is on disk; of several such, or of none, the newest.

    The order of the candidates, which a merge does not keep, makes no difference.
    """
    if len(candidates) == 1:
        return candidates[0]
    return max(candidates, key=lambda entry: (digest_of(entry.path) == entry.sha256, entry.time, entry.line))


def timestamp(seconds: float) -> str:
    """Unix seconds as an entry's ``time``."""
    return clock.strftime("%Y-%m-%dT%H:%M:%SZ", clock.gmtime(seconds))


def read(path: Path) -> Lock:
    """Read a lock; one that is not there is empty.

    Raises InvalidLock with everything that is wrong with it, and UsageProblem where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            signs = signs_in(os.fstat(file.fileno()))
            data = file.read()
    except FileNotFoundError:
        return Lock(path)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", code="invalid_lock") from None
    reader = _LockfileReader(str(path))
    # Only this byte ends a line: JSON's strings may have other line ends as they are.
    for number, line in enumerate(data.removeprefix(b"\xef\xbb\xbf").split(b"\n"), 1):
        reader.read(number, line)
    if reader.problems:
        raise InvalidLockfile(str(path), reader.problems)
    return Lock(path, tuple(reader.entries), signs)


def line_of(entry: Entry) -> bytes:
    """An entry as it stands in the file."""
    return f"{entry.line}\n".encode()


def text_of(entries: Iterable[Entry]) -> bytes:
    """The whole lock's file, sorted."""
    return b"".join(map(line_of, sorted(entries, key=lambda entry: entry.key)))


def signs_of(path: Path) -> StatSignature | None:
    """Signs of the file as it is now; None where there is none."""
    try:
        return signs_in(os.stat(path))
    except OSError:
        return None


def signs_in(status: os.stat_result) -> StatSignature:
    """Signs of a file, from its status."""
    return (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns)


class _LockfileReader:
    def __init__(self, file: str) -> None:
        self.entries: list[Entry] = []
        self.problems: list[Diagnostic] = []
        self._file = file
        self._line = 0
        self._in_conflict = False

    def read(self, number: int, line: bytes) -> None:
        self._line = number
        try:
            text = line.decode("utf-8").strip()
            if not text or self._is_marker(text):
                return
            values = json.loads(text)
            if "\\u" in text:
                # A lone surrogate, which JSON's escapes can write, could not be written again.
                _ENCODER.encode(values).encode("utf-8")
        except UnicodeError:
            self._wrong("", "is not valid Unicode text")
        except (ValueError, RecursionError):
            self._wrong("", "is not JSON")
        else:
            self._take(values)

    def _is_marker(self, text: str) -> bool:
        if not text.startswith(_MARKERS):
            return False
        if not self._in_conflict:
            self._wrong("", "begins a conflict that git could not merge: keep the lines of both sides")
        self._in_conflict = not text.startswith(">>>>>>>")
        return True

    def _take(self, values: object) -> None:
        if not isinstance(values, dict):
            self._wrong("", "is not a JSON object")
            return
        before = len(self.problems)
        known = {}
        for key, problem_of in _PROBLEMS:
            value = known[key] = values.pop(key, _MISSING)
            if value is _MISSING:
                self._wrong(key, "is missing")
            elif (problem := problem_of(value)) is not None:
                self._wrong(key, problem)
        if len(self.problems) == before:
            self.entries.append(Entry(**known, more=values))

    def _wrong(self, key: str, what: str) -> None:
        self.problems.append(Diagnostic(self._file, self._line, key, what))


_MISSING = object()


def _problem_of_name(value: object) -> str | None:
    return None if _is_text(value) and is_safe_name(value) else "is not the name of an asset"


def _problem_of_number(value: object) -> str | None:
    # To Python, a boolean is a number too.
    right = type(value) is int and 1 <= value <= _LARGEST_NUMBER
    return None if right else "is not a whole number above 0"


def _problem_of_digest(value: object) -> str | None:
    right = isinstance(value, str) and _SHA256.fullmatch(value) is not None
    return None if right else "is not a SHA-256 in hexadecimal"


def _problem_of_path(value: object) -> str | None:
    if not _is_text(value):
        return "is not text"
    try:
        return None if path_of(value) == value else "is not as this program writes it"
    except WrongTemplate as error:
        return str(error.args[0])


def _problem_of_task(value: object) -> str | None:
    return None if value is None or _is_text(value) else "is neither null nor text"


def _problem_of_time(value: object) -> str | None:
    right = isinstance(value, str) and _TIME.fullmatch(value) is not None
    return None if right else "is not a time such as 2026-11-22T17:45:01Z"


def _is_text(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)


#: What is wrong with a key's value, if anything.
_PROBLEMS = (
    ("name", _problem_of_name),
    ("number", _problem_of_number),
    ("digest", _problem_of_digest),
    ("take", _problem_of_number),
    ("path", _problem_of_path),
    ("sha256", _problem_of_digest),
    ("task_id", _problem_of_task),
    ("time", _problem_of_time),
)
