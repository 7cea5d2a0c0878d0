"""Every operation of this machine, on disk before its request leaves.

One SQLite file, readable by its owner alone. WAL and ``BEGIN IMMEDIATE`` let programs run side by
side: with deferred transactions a quarter of concurrent writes failed as "locked" when measured.
The API key is never in it.
"""

from __future__ import annotations

import json
import os
import shlex
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from .errors import HistoryUnusable
from .models import GenerationRequest, Operation, SavedFile

#: Raised by one with every migration. A file of a later version is refused, never changed.
VERSION = 1

#: Seconds for which another program's writing is waited for.
_PATIENCE = 10.0

_SCHEMA = """
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
) STRICT;
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
) STRICT;
CREATE TABLE states (
    operation TEXT NOT NULL REFERENCES operations (id),
    at REAL NOT NULL,
    status TEXT NOT NULL
) STRICT;
CREATE INDEX states_by_operation ON states (operation, at);
"""

#: Columns of `operations` that are kept as they are in the Operation.
_PLAIN = (
    *("id", "service", "created", "output", "idempotency_key", "key_id", "task_id", "status", "progress"),
    *("cost", "request_id", "accepted", "seconds", "error_code", "error_message", "delivered"),
)
_COLUMNS = (*_PLAIN, "endpoint", "request", "results", "settled")
_NEWEST_FIRST = " ORDER BY created DESC, rowid DESC"


class History:
    """The history at ``path``. ``now`` is in Unix seconds. Safe to share between threads."""

    def __init__(self, path: Path, *, now: Callable[[], float]) -> None:
        self.path = path
        self._now = now
        self._lock = threading.Lock()
        with self._problems():
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            # SQLite would create the file readable by others: it is created here first.
            os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
            # Autocommit: every transaction below begins in so many words.
            self._db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
            self._db.row_factory = sqlite3.Row
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        self._db.close()

    def record(self, operation: Operation) -> None:
        """Write the operation as it stands. Raises HistoryUnusable when it cannot be kept."""
        values = {name: getattr(operation, name) for name in _PLAIN}
        values["endpoint"] = "POST /images/generations"
        values["request"] = _dumped(operation.request.body()) if operation.request else None
        values["results"] = _dumped(operation.results)
        values["settled"] = int(operation.settled)
        names = ", ".join(_COLUMNS)
        marks = ", ".join(f":{name}" for name in _COLUMNS)
        changes = ", ".join(f"{name} = excluded.{name}" for name in _COLUMNS if name != "id")
        with self._transaction() as db:
            before = db.execute("SELECT status FROM operations WHERE id = ?", (operation.id,)).fetchone()
            # Only names from the constants above are put into the statement.
            db.execute(
                f"INSERT INTO operations ({names}) VALUES ({marks}) "  # noqa: S608
                f"ON CONFLICT (id) DO UPDATE SET {changes}",
                values,
            )
            if before is None or before["status"] != operation.status:
                db.execute(
                    "INSERT INTO states VALUES (?, ?, ?)", (operation.id, self._now(), operation.status)
                )
            for file in operation.files:
                db.execute(
                    "INSERT OR REPLACE INTO files VALUES (:operation, :number, :path, :sha256, :bytes, "
                    ":media_type, :width, :height)",
                    {"operation": operation.id, **asdict(file)},
                )

    def find(self, service: str, name: str) -> Operation | None:
        """The operation with this id or task id, of this service."""
        return self._first("service = ? AND (task_id = ? OR id = ?)", service, name, name)

    def recent(self, service: str, *, limit: int, status: str | None = None) -> list[Operation]:
        """The newest operations first, of one status where that is asked for."""
        if status is None:
            return self._select("service = ?", service, limit=limit)
        return self._select("service = ? AND lower(status) = lower(?)", service, status, limit=limit)

    def pending(self, service: str) -> list[Operation]:
        """Tasks whose images are not saved yet, the oldest first."""
        found = self._select("service = ? AND task_id IS NOT NULL AND settled = 0", service)
        return found[::-1]

    def last_unsettled(self, service: str) -> Operation | None:
        """The newest operation that is not done: without an answer, or with images still to save."""
        return self._first("service = ? AND settled = 0", service)

    def states(self, operation: Operation) -> list[tuple[float, str]]:
        """Every state that was seen, with its time in Unix seconds."""
        with self._problems(), self._lock:
            rows = self._db.execute(
                "SELECT at, status FROM states WHERE operation = ? ORDER BY at, rowid", (operation.id,)
            )
            return [(row["at"], row["status"]) for row in rows]

    def _first(self, condition: str, *values: object) -> Operation | None:
        found = self._select(condition, *values, limit=1)
        return found[0] if found else None

    def _select(self, condition: str, *values: object, limit: int = -1) -> list[Operation]:
        query = f"SELECT * FROM operations WHERE {condition}{_NEWEST_FIRST} LIMIT ?"  # noqa: S608 - constants only
        with self._problems(), self._lock:
            rows = self._db.execute(query, (*values, limit)).fetchall()
            return [_operation(row, self._files(row["id"])) for row in rows]

    def _files(self, operation_id: str) -> Sequence[sqlite3.Row]:
        query = "SELECT * FROM files WHERE operation = ? ORDER BY number"
        return self._db.execute(query, (operation_id,)).fetchall()

    def _prepare(self) -> None:
        # Before the journal's mode: that would change a file of a later version.
        with self._problems():
            self._version(self._db)
            self._use_wal()
            # FULL: an intent that a power cut forgets would protect no payment.
            self._db.execute("PRAGMA synchronous = FULL")
        self._migrate()

    def _use_wal(self) -> None:
        # Whatever its timeout, SQLite does not wait here: programs that begin on a new file at the same
        # time would find it locked.
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                self._db.execute("PRAGMA journal_mode = WAL")
                return
            except sqlite3.OperationalError as error:
                if "locked" not in str(error) or time.monotonic() > deadline:
                    raise
            time.sleep(0.02)

    def _version(self, db: sqlite3.Connection) -> int:
        version = int(db.execute("PRAGMA user_version").fetchone()[0])
        if version > VERSION:
            raise HistoryUnusable(
                f"the history was written by a later version of seedream: {self.path}",
                hint="pip install --upgrade apipod-seedream",
            )
        return version

    def _migrate(self) -> None:
        with self._transaction() as db:
            if self._version(db) == 0:
                for statement in _SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._problems(), self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                yield self._db
                self._db.execute("COMMIT")
            except BaseException:
                # Also for a signal: a transaction left open would lock other programs out.
                if self._db.in_transaction:
                    self._db.execute("ROLLBACK")
                raise

    @contextmanager
    def _problems(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as error:
            raise HistoryUnusable(
                f"the history keeps only Unicode text: {self.path}", detail=str(error)
            ) from error
        except (sqlite3.Error, OSError) as error:
            busy = "locked" in str(error)
            raise HistoryUnusable(
                f"the history cannot be used: {self.path}" + (" (another program holds it)" if busy else ""),
                detail=str(error),
                hint=None if busy else shlex.join(["mv", str(self.path), f"{self.path}.broken"]),
            ) from error


def _dumped(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _operation(row: sqlite3.Row, files: Sequence[sqlite3.Row]) -> Operation:
    plain = {name: row[name] for name in _PLAIN}
    request = GenerationRequest.from_body(json.loads(row["request"])) if row["request"] else None
    saved = tuple(SavedFile(**{name: file[name] for name in SavedFile.__slots__}) for file in files)
    return Operation(**plain, request=request, results=tuple(json.loads(row["results"])), files=saved)
