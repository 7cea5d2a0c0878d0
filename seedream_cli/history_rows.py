"""An operation as rows of the history's tables, and back."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

from .models import GenerationRequest, Operation, SavedFile

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
    settled INTEGER NOT NULL
);
CREATE INDEX operations_by_time ON operations (service, created);
CREATE INDEX operations_by_task ON operations (service, task_id);
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

#: Columns of `operations` that are kept as they are in the Operation.
_PLAIN = (
    *("id", "service", "created", "output", "idempotency_key", "key_id", "task_id", "status", "progress"),
    *("cost", "request_id", "accepted", "seconds", "error_code", "error_message", "delivered"),
)
_COLUMNS = (*_PLAIN, "endpoint", "request", "results", "settled")
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


def values_of(operation: Operation) -> dict[str, Any]:
    """The values of UPSERT."""
    values = {name: getattr(operation, name) for name in _PLAIN}
    values["output"] = _path_to_keep(operation.output)
    values["endpoint"] = "POST /images/generations"
    values["request"] = _dumped(operation.request.body()) if operation.request else None
    values["results"] = _dumped(operation.results)
    values["settled"] = int(operation.settled)
    return values


def file_values_of(operation: Operation) -> Iterator[dict[str, Any]]:
    """The values of UPSERT_FILE, for each file."""
    for file in operation.files:
        yield {"operation": operation.id, **asdict(file), "path": _path_to_keep(file.path)}


def operation_of(row: Any, files: Iterable[Any]) -> Operation:
    """The operation of a row, with the rows of its files; rows are indexed by the names of their columns."""
    plain = {name: row[name] for name in _PLAIN}
    plain["output"] = _kept_path(row["output"])
    request = GenerationRequest.from_body(json.loads(row["request"])) if row["request"] else None
    saved = tuple(
        SavedFile(**{**{name: file[name] for name in SavedFile.__slots__}, "path": _kept_path(file["path"])})
        for file in files
    )
    return Operation(**plain, request=request, results=tuple(json.loads(row["results"])), files=saved)


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
