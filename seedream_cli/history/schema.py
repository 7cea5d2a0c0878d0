"""An operation as rows of the history's tables, and back."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from msgspec.structs import asdict, replace

from ..models import GenerationRequest, Operation, SavedFile
from ..prompt import PromptParts
from ..request_fields import REQUEST_FIELDS

SCHEMA = """
CREATE TABLE operations (
    id TEXT PRIMARY KEY,
    service TEXT NOT NULL,
    created REAL NOT NULL,
    output TEXT NOT NULL,
    endpoint TEXT NOT NULL,
    request TEXT,
    idempotency_key TEXT,
    key_id TEXT,
    task_id TEXT,
    status TEXT NOT NULL,
    progress INTEGER,
    results TEXT NOT NULL,
    cost TEXT,
    request_id TEXT,
    accepted REAL,
    seconds REAL,
    error_code TEXT,
    error_message TEXT,
    delivered TEXT,
    settled INTEGER NOT NULL,
    parts TEXT,
    sidecar INTEGER NOT NULL
);
CREATE INDEX operations_by_time ON operations (service, created);
CREATE INDEX operations_by_task ON operations (service, task_id);
CREATE INDEX operations_by_key ON operations (service, idempotency_key);
CREATE TABLE files (
    operation TEXT NOT NULL REFERENCES operations (id),
    number INTEGER NOT NULL,
    path TEXT NOT NULL,
    sha256 TEXT NOT NULL,
    bytes INTEGER NOT NULL,
    media_type TEXT,
    width INTEGER,
    height INTEGER,
    PRIMARY KEY (operation, number)
);
CREATE TABLE states (
    operation TEXT NOT NULL REFERENCES operations (id),
    at REAL NOT NULL,
    status TEXT NOT NULL
);
CREATE INDEX states_by_operation ON states (operation, at);
"""

_SURROGATE = re.compile("[\ud800-\udfff]")
#: The year 2514 in Unix seconds: no system's calendar ends before it.
_LATEST_TIME = 2.0**34
_LONGEST_DURATION = 1e12

#: Columns of `operations` that are kept as they are in the Operation.
_PLAIN = (
    *("id", "service", "created", "output", "idempotency_key", "key_id", "task_id", "status", "progress"),
    *("cost", "request_id", "accepted", "seconds", "error_code", "error_message"),
    "delivered",
)
_COLUMNS = (*_PLAIN, "endpoint", "request", "results", "settled", "parts", "sidecar")
# Only the names above are put into the statement.
_CHANGES = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "id")
UPSERT = (
    f"INSERT INTO operations ({', '.join(_COLUMNS)}) VALUES ({', '.join(f':{name}' for name in _COLUMNS)}) "  # noqa: S608
    f"ON CONFLICT (id) DO UPDATE SET {_CHANGES}"
)
UPSERT_FILE = (
    "INSERT OR REPLACE INTO files VALUES "
    "(:operation, :number, :path, :sha256, :bytes, :media_type, :width, :height)"
)


class UnreadableRow(ValueError):
    """A row that this program did not write: an editor did, or a disk that is failing."""


def values_of(operation: Operation) -> dict[str, Any]:
    """The values of UPSERT."""
    values = {name: getattr(operation, name) for name in _PLAIN}
    values["output"] = _path_to_keep(operation.output)
    values["endpoint"] = "POST /images/generations"
    values["request"] = _dumped(operation.request.body()) if operation.request else None
    values["results"] = _dumped(operation.results)
    values["settled"] = int(operation.is_done)
    values["parts"] = _dumped(asdict(operation.parts)) if operation.parts else None
    values["sidecar"] = int(operation.sidecar)
    return values


def file_values_of(operation: Operation) -> Iterator[dict[str, Any]]:
    """The values of UPSERT_FILE, for each file."""
    for file in operation.files:
        yield {"operation": operation.id, **asdict(file), "path": _path_to_keep(file.path)}


def operation_of(row: Any, files: Iterable[Any]) -> Operation:
    """The operation of a row, with the rows of its files; rows are indexed by the names of their columns.

    Raises UnreadableRow.
    """
    try:
        plain = {name: row[name] for name in _PLAIN}
        plain["output"] = _kept_path(row["output"])
        request = GenerationRequest.from_body(json.loads(row["request"])) if row["request"] else None
        saved = tuple(
            SavedFile(
                **{
                    **{name: file[name] for name in SavedFile.__struct_fields__},
                    "path": _kept_path(file["path"]),
                }
            )
            for file in files
        )
        results = tuple(json.loads(row["results"]))
        parts = PromptParts(**json.loads(row["parts"])) if row["parts"] else None
    except (ValueError, TypeError, LookupError, RecursionError):
        raise UnreadableRow("an entry of it cannot be read") from None
    operation = Operation(
        **plain, request=request, results=results, files=saved, parts=parts, sidecar=bool(row["sidecar"])
    )
    _check(operation, _OPERATION)
    if request is not None:
        _check(request, _REQUEST)
    for file in saved:
        _check(file, _FILE)
    if parts is not None:
        _check(parts, _PARTS)
    return operation


def merged(before: Operation | None, now: Operation) -> Operation:
    """``now``, without losing what is known of it ``before``."""
    if before is None:
        return now
    if before.task_id is not None and now.task_id is None:
        # Another run of this operation was answered: that there is a task outweighs all else.
        return before
    numbers = {file.number for file in now.files}
    files = (*now.files, *(file for file in before.files if file.number not in numbers))
    return replace(
        now,
        delivered=now.delivered or before.delivered,
        results=now.results or before.results,
        files=tuple(sorted(files, key=lambda file: file.number)),
    )


def duration_of(row: Any) -> float | None:
    """Return how long the task of a row took, in seconds, or None if the row does not hold a duration."""
    seconds = row["seconds"]
    return float(seconds) if _duration(seconds) else None


def is_of_kind(row: Any, kind: tuple[str, str, bool]) -> bool:
    """Whether its request has this :attr:`~seedream_cli.models.GenerationRequest.kind`."""
    try:
        return GenerationRequest.from_body(json.loads(row["request"])).kind == kind
    except (ValueError, TypeError, LookupError, RecursionError):
        return False


def _check(thing: object, kinds: Mapping[str, Callable[[Any], bool]]) -> None:
    for name, is_kind in kinds.items():
        if not is_kind(getattr(thing, name)):
            raise UnreadableRow(f"an entry of it cannot be read ({name})")


def _text(value: object) -> bool:
    # No lone surrogate, which JSON's escapes can write.
    return isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value))


def _texts(values: Iterable[object]) -> bool:
    return all(map(_text, values))


def _time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _LATEST_TIME


def _duration(value: object) -> bool:
    # Between any two times that an answer can hold.
    return isinstance(value, int | float) and 0 <= value <= _LONGEST_DURATION


def _count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _path(value: object) -> bool:
    return isinstance(value, str) and os.path.isabs(value) and "\0" not in value


def _optional(is_kind: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_kind(value)


# SQLite holds a column to nothing: these tell what each is.
_OPERATION = {
    **dict.fromkeys(_PLAIN, _optional(_text)),
    **dict.fromkeys(("id", "service", "status"), _text),
    "accepted": _optional(_time),
    "seconds": _optional(_duration),
    "created": _time,
    "progress": _optional(_count),
    "output": _path,
    "results": _texts,
}
_TYPES = {str: _text, int: _count}
_REQUEST = {
    "prompt": _text,
    **{
        name: _TYPES[field.type] if field.default is not None else _optional(_TYPES[field.type])
        for name, field in REQUEST_FIELDS.items()
    },
    "image_urls": _texts,
}
_PARTS = {"subject": _text, **dict.fromkeys(("details", "style", "style_name"), _optional(_text))}
_FILE = {
    **dict.fromkeys(("number", "bytes"), _count),
    **dict.fromkeys(("width", "height"), _optional(_count)),
    "sha256": _text,
    "media_type": _optional(_text),
    "path": _path,
}


def _path_to_keep(path: str) -> str | bytes:
    """A path as SQLite takes it: bytes where the file system's name is no text."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogateescape")
    return path


def _kept_path(kept: str | bytes) -> str:
    return kept if isinstance(kept, str) else kept.decode("utf-8", "surrogateescape")


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
