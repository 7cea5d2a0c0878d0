"""Schema of the history's database: operations as rows of its tables, and back."""

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
#: The year 2514 in Unix seconds, which every system can convert to a date.
_MAX_TIME = 2.0**34
#: Seconds. More than lies between any two times that a response can contain.
_MAX_DURATION = 1e12

#: Columns of `operations` that hold the field of the same name of Operation as it is.
_PLAIN = (
    *("id", "service", "created", "output", "idempotency_key", "key_id", "task_id", "status", "progress"),
    *("cost", "request_id", "accepted", "seconds", "error_code", "error_message"),
    "delivered",
)
_COLUMNS = (*_PLAIN, "endpoint", "request", "results", "settled", "parts", "sidecar")
# Built from the names above only: values are parameters.
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
    """A row that this program cannot have written: someone edited it, or the disk is failing."""


def row_from_operation(operation: Operation) -> dict[str, Any]:
    """Return the parameters of UPSERT."""
    values = {name: getattr(operation, name) for name in _PLAIN}
    values["output"] = _encode_path(operation.output)
    values["endpoint"] = "POST /images/generations"
    values["request"] = _compact_json(operation.request.body()) if operation.request else None
    values["results"] = _compact_json(operation.results)
    values["settled"] = int(operation.is_done)
    values["parts"] = _compact_json(asdict(operation.parts)) if operation.parts else None
    values["sidecar"] = int(operation.sidecar)
    return values


def file_rows_from_operation(operation: Operation) -> Iterator[dict[str, Any]]:
    """Yield the parameters of UPSERT_FILE for each file."""
    for file in operation.files:
        yield {"operation": operation.id, **asdict(file), "path": _encode_path(file.path)}


def operation_from_row(row: Any, files: Iterable[Any]) -> Operation:
    """Return the operation of a row and the rows of its files, which are indexed by column name.

    Raises UnreadableRow.
    """
    try:
        plain = {name: row[name] for name in _PLAIN}
        plain["output"] = _decode_path(row["output"])
        request = GenerationRequest.from_body(json.loads(row["request"])) if row["request"] else None
        saved = tuple(
            SavedFile(
                **{
                    **{name: file[name] for name in SavedFile.__struct_fields__},
                    "path": _decode_path(file["path"]),
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


def merge(before: Operation | None, now: Operation) -> Operation:
    """Return ``now``, without losing what only ``before`` has: the task, files, results, delivery."""
    if before is None:
        return now
    if before.task_id is not None and now.task_id is None:
        # Another run got a response for this operation. A known task is paid for and must not be lost.
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
    """Return the seconds that the task of a row took; None if the row has no valid duration."""
    seconds = row["seconds"]
    return float(seconds) if _is_duration(seconds) else None


def is_of_kind(row: Any, kind: tuple[str, str, bool]) -> bool:
    """Return True if the row's request has this :attr:`~seedream_cli.models.GenerationRequest.kind`."""
    try:
        return GenerationRequest.from_body(json.loads(row["request"])).kind == kind
    except (ValueError, TypeError, LookupError, RecursionError):
        return False


def _check(instance: object, checks: Mapping[str, Callable[[Any], bool]]) -> None:
    """Raise UnreadableRow for the first field that fails its check."""
    for name, is_valid in checks.items():
        if not is_valid(getattr(instance, name)):
            raise UnreadableRow(f"an entry of it cannot be read ({name})")


def _is_text(value: object) -> bool:
    # Lone surrogates, which JSON escapes can write, cannot be encoded.
    return isinstance(value, str) and (value.isascii() or not _SURROGATE.search(value))


def _are_texts(values: Iterable[object]) -> bool:
    return all(map(_is_text, values))


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _MAX_TIME


def _is_duration(value: object) -> bool:
    return isinstance(value, int | float) and 0 <= value <= _MAX_DURATION


def _is_count(value: object) -> bool:
    return isinstance(value, int) and value >= 0


def _is_path(value: object) -> bool:
    return isinstance(value, str) and os.path.isabs(value) and "\0" not in value


def _optional(is_valid: Callable[[Any], bool]) -> Callable[[Any], bool]:
    return lambda value: value is None or is_valid(value)


# Checks of each field. SQLite does not enforce the type of a column, so they are made when a row is read.
_OPERATION = {
    **dict.fromkeys(_PLAIN, _optional(_is_text)),
    **dict.fromkeys(("id", "service", "status"), _is_text),
    "accepted": _optional(_is_time),
    "seconds": _optional(_is_duration),
    "created": _is_time,
    "progress": _optional(_is_count),
    "output": _is_path,
    "results": _are_texts,
}
#: Check for the type of a request field.
_CHECKS = {str: _is_text, int: _is_count}
_REQUEST = {
    "prompt": _is_text,
    **{
        name: _CHECKS[field.type] if field.default is not None else _optional(_CHECKS[field.type])
        for name, field in REQUEST_FIELDS.items()
    },
    "image_urls": _are_texts,
}
_PARTS = {
    "subject": _is_text,
    **dict.fromkeys(("details", "style", "style_name"), _optional(_is_text)),
}
_FILE = {
    **dict.fromkeys(("number", "bytes"), _is_count),
    **dict.fromkeys(("width", "height"), _optional(_is_count)),
    "sha256": _is_text,
    "media_type": _optional(_is_text),
    "path": _is_path,
}


def _encode_path(path: str) -> str | bytes:
    """Return a path as SQLite can store it: bytes if the file name is not valid Unicode."""
    try:
        path.encode("utf-8")
    except UnicodeEncodeError:
        return path.encode("utf-8", "surrogateescape")
    return path


def _decode_path(stored: str | bytes) -> str:
    return stored if isinstance(stored, str) else stored.decode("utf-8", "surrogateescape")


def _compact_json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
