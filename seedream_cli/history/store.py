"""The history: every operation of this machine, recorded before its request is sent.

It is one SQLite file, readable by its owner only. WAL and ``BEGIN IMMEDIATE`` let several programs use it at
once; with deferred transactions, a quarter of the concurrent writes failed as "locked" when measured. The API
key is never in it.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from itertools import islice
from pathlib import Path

from ..errors import HistoryUnusable
from ..files.permissions import make_private_dir, open_private
from ..models import Operation, TaskStatus
from .schema import (
    SCHEMA,
    UPSERT,
    UPSERT_FILE,
    UnreadableRow,
    duration_of,
    file_rows_from_operation,
    is_of_kind,
    merge,
    operation_from_row,
    row_from_operation,
)

#: Version of SCHEMA, stored as ``user_version``. A file of a later version is refused and never changed.
VERSION = 1

#: Seconds to wait for another program that has the file locked.
_BUSY_TIMEOUT = 10.0
#: The same for a thread that has used up its time waiting for other threads of this program. Without this
#: limit, 64 threads would each wait 10 s in turn.
_LAST_BUSY_TIMEOUT = 0.1

#: Rows with the same time are ordered by when they were recorded.
_NEWEST_FIRST = " ORDER BY created DESC, rowid DESC"
#: For queries with few results. The plus stops SQLite from scanning all rows through the index on `created`.
_NEWEST_OF_FEW = _NEWEST_FIRST.replace("created", "+created")

#: Reads only the newest 1,000 rows, however long the history is.
_DURATIONS = f"""
SELECT request, seconds FROM (
    SELECT * FROM operations WHERE service = ?{_NEWEST_FIRST} LIMIT 1000
) WHERE seconds IS NOT NULL AND lower(status) = ?
"""  # noqa: S608 - constants only


class History:
    """The history at ``path``: one connection, guarded by one lock. Threads may share it.

    ``now`` returns Unix seconds. ``service`` in the methods is the normalized base URL of the API
    (:func:`~seedream_cli.settings.resolve.service_of`). All methods may raise HistoryUnusable.
    """

    def __init__(self, path: Path, *, now: Callable[[], float]) -> None:
        self.path = path
        self._now = now
        # RLock: the signal handler may raise inside a locked section, and the error report then reads the
        # history from the same thread.
        self._lock = threading.RLock()
        with self._errors():
            make_private_dir(path.parent)
            # SQLite would create the file with the umask. Its journal files copy the mode of this file.
            os.close(open_private(path, os.O_RDWR))
            self._db = _connect(path)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        # A worker thread may still be writing after a signal. The system then closes the file at exit.
        if self._lock.acquire(timeout=0.2):
            self._db.close()
            self._lock.release()

    @property
    def is_in_use(self) -> bool:
        """Return True if another thread is using the connection, and for longer than a moment."""
        if not self._lock.acquire(timeout=_LAST_BUSY_TIMEOUT):
            return True
        self._lock.release()
        return False

    def record(self, operation: Operation) -> Operation:
        """Write the operation, and return it merged with what another program has recorded meanwhile.

        The intent to pay and the response with the task ID survive a power cut. Later updates only survive a
        killed program: after a power cut, the service can be asked for them again.
        """
        with self._exclusive() as db:
            # An operation without a task ID never matches, because NULL equals nothing in SQL.
            same_task = "SELECT 1 FROM operations WHERE id = ? AND task_id = ?"
            is_update = db.execute(same_task, (operation.id, operation.task_id)).fetchall()
            with self._transaction(db, durable=not is_update):
                return self._merge_and_write(db, operation)

    def find(self, service: str, name: str) -> Operation | None:
        """Return the operation with this ID or task ID; None if there is none."""
        condition = "(service = ? AND task_id = ?) OR (service = ? AND id = ?)"
        found = self._select(condition, service, name, service, name, order=_NEWEST_OF_FEW, limit=1)
        return found[0] if found else None

    def find_by_idempotency_key(self, service: str, idempotency_key: str) -> list[Operation]:
        """Return the operations that were recorded with this key, newest first."""
        condition = "service = ? AND idempotency_key = ?"
        return self._select(condition, service, idempotency_key, order=_NEWEST_OF_FEW)

    def recent(self, service: str, *, limit: int, status: str | None = None) -> list[Operation]:
        """Return the newest operations, newest first; with ``status``, only those that have it."""
        if status is None:
            return self._select("service = ?", service, limit=limit)
        return self._select("service = ? AND lower(status) = lower(?)", service, status, limit=limit)

    def pending(self, service: str) -> list[Operation]:
        """Return the operations whose task is known and whose images are not saved yet, oldest first."""
        found = self._select("service = ? AND task_id IS NOT NULL AND settled = 0", service)
        return found[::-1]

    def unanswered(self, service: str, *, since: float) -> list[Operation]:
        """Return the operations created at or after ``since`` that have no response, oldest first."""
        found = self._select(
            "service = ? AND task_id IS NULL AND settled = 0 AND created >= ?", service, since
        )
        return found[::-1]

    def last_unfinished(self, service: str, *, since: float = 0.0) -> Operation | None:
        """Return the newest operation that is not done; None if all are.

        It has images to save, or no response. One without a response from before ``since`` (Unix seconds)
        does not count.
        """
        condition = "service = ? AND settled = 0 AND (task_id IS NOT NULL OR created >= ?)"
        found = self._select(condition, service, since, limit=1)
        return found[0] if found else None

    def states(self, operation: Operation) -> list[tuple[float, str]]:
        """Return every status that was recorded, with its time in Unix seconds."""
        with self._exclusive() as db:
            rows = db.execute(
                "SELECT at, status FROM states WHERE operation = ? ORDER BY at, rowid", (operation.id,)
            ).fetchall()
            return [(row["at"], row["status"]) for row in rows]

    def _merge_and_write(self, db: sqlite3.Connection, operation: Operation) -> Operation:
        rows = db.execute("SELECT * FROM operations WHERE id = ?", (operation.id,)).fetchall()
        before = operation_from_row(rows[0], _files(db, operation.id)) if rows else None
        merged = merge(before, operation)
        if merged != before:
            db.execute(UPSERT, row_from_operation(merged))
            if before is None or before.status != merged.status:
                db.execute("INSERT INTO states VALUES (?, ?, ?)", (merged.id, self._now(), merged.status))
            db.executemany(UPSERT_FILE, file_rows_from_operation(merged))
        return merged

    def durations(self, service: str, kind: tuple[str, str, bool], *, limit: int) -> list[float]:
        """Return the seconds that the newest completed tasks of a kind took, newest first.

        ``kind`` is :attr:`~seedream_cli.models.GenerationRequest.kind`.
        """
        with self._exclusive() as db:
            # Lazily: the first 40 of 1,000 rows are usually enough.
            rows = db.execute(_DURATIONS, (service, TaskStatus.COMPLETED))
            durations = (duration_of(row) for row in rows if is_of_kind(row, kind))
            return list(islice((seconds for seconds in durations if seconds is not None), limit))

    def _select(
        self, condition: str, *values: object, order: str = _NEWEST_FIRST, limit: int = -1
    ) -> list[Operation]:
        query = f"SELECT * FROM operations WHERE {condition}{order} LIMIT ?"  # noqa: S608 - constants only
        with self._exclusive() as db:
            rows = db.execute(query, (*values, limit)).fetchall()
            return [operation_from_row(row, _files(db, row["id"])) for row in rows]

    def _prepare(self) -> None:
        """Choose the journal mode and create the tables.

        Raises HistoryUnusable for a file of a later version, and leaves it as it is.
        """
        has_shared_memory = self._make_readable()
        is_new = self._version() == 0
        if not has_shared_memory:
            _execute_when_free(self._db, "PRAGMA journal_mode = TRUNCATE")
            self._db.execute("PRAGMA locking_mode = NORMAL")
            # The exclusive lock is released by the next access, not by the PRAGMA.
            self._version()
        elif is_new and _supports_wal(self.path.parent):
            _execute_when_free(self._db, "PRAGMA journal_mode = WAL")
        self._is_wal = self._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        if not self._is_wal:
            # TRUNCATE flushes the end of a transaction to disk. DELETE does not: after a power cut, the
            # journal could reappear and undo the last transaction.
            self._db.execute("PRAGMA journal_mode = TRUNCATE")
            self._db.execute("PRAGMA synchronous = FULL")
        if is_new:
            with self._exclusive() as db, self._transaction(db, durable=True):
                # Checked again inside the transaction: another program may have created them meanwhile.
                if self._version() == 0:
                    for statement in SCHEMA.split(";"):
                        db.execute(statement)
                    db.execute(f"PRAGMA user_version = {VERSION}")

    def _make_readable(self) -> bool:
        """Make sure that the file can be read; return False if that needed exclusive access.

        A file in WAL mode may have been moved to where shared memory does not work (a network home folder).
        SQLite then reads it only while no other program has it open.
        """
        try:
            self._version()
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                raise
            self._db.close()
            self._db = _connect(self.path)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            _execute_when_free(self._db, "PRAGMA user_version")
            return False
        return True

    def _version(self) -> int:
        """Return the version of the schema, 0 for a new file. Raises HistoryUnusable for a later one."""
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version > VERSION:
            from ..install_hints import upgrade_command

            raise HistoryUnusable(
                f"the history was written by a later version of seedream: {self.path}",
                hint=upgrade_command(),
            )
        return version

    @contextmanager
    def _transaction(self, db: sqlite3.Connection, *, durable: bool) -> Iterator[None]:
        """Commit what the block writes. A ``durable`` commit is flushed to disk (``synchronous=FULL``)."""
        if self._is_wal:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            # Also if a signal raised: an open transaction would lock other programs out.
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    @contextmanager
    def _exclusive(self) -> Iterator[sqlite3.Connection]:
        """Yield the connection, which no other thread can use in the meantime."""
        began = time.monotonic()
        with self._errors(), self._lock:
            if self._db.in_transaction:
                # Left open by a signal before its commit: no caller relies on it.
                self._db.execute("ROLLBACK")
            waited = time.monotonic() - began
            timeout = max(_BUSY_TIMEOUT - waited, min(_BUSY_TIMEOUT, _LAST_BUSY_TIMEOUT))
            self._db.execute(f"PRAGMA busy_timeout = {1000 * timeout:.0f}")
            yield self._db

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """Turn errors of SQLite, of the system, and unreadable rows into HistoryUnusable."""
        try:
            yield
        except UnicodeEncodeError as error:
            raise HistoryUnusable(
                f"the history keeps only Unicode text: {self.path}", detail=str(error)
            ) from error
        except (sqlite3.Error, OSError, UnreadableRow) as error:
            busy = " (another program holds it)" if _is_busy(error) else ""
            hint = None
            if _is_corrupt(error):
                # With its journals, which SQLite would apply to a new file of the same name.
                moves = [
                    shlex.join(["mv", f"{self.path}{ending}", f"{self.path}.broken{ending}"])
                    for ending in ("", "-wal", "-shm", "-journal")
                    if os.path.exists(f"{self.path}{ending}")
                ]
                hint = " && ".join(moves)
            raise HistoryUnusable(
                f"the history cannot be used: {self.path}{busy}",
                detail=str(error),
                hint=hint,
            ) from error


def _connect(path: Path) -> sqlite3.Connection:
    # isolation_level=None means autocommit: every transaction begins explicitly.
    db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    return db


def _supports_wal(folder: Path) -> bool:
    """Return True if SQLite can use WAL in this folder, for which it needs shared memory.

    Tried with another file: SQLite marks a file as WAL before it notices that it cannot read it any more.
    """
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix=".wal-", dir=folder) as trial, closing(_connect(Path(trial, "x"))) as db:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE x (x)")
        except sqlite3.OperationalError:
            return False
        return True


def _execute_when_free(db: sqlite3.Connection, statement: str) -> None:
    """Execute a statement that needs exclusive access, for which SQLite's own timeout does not wait."""
    deadline = time.monotonic() + _BUSY_TIMEOUT
    while True:
        try:
            db.execute(statement).fetchall()
            return
        except sqlite3.OperationalError as error:
            if not _is_busy(error) or time.monotonic() > deadline:
                raise
        time.sleep(0.02)


def _files(db: sqlite3.Connection, operation_id: str) -> Sequence[sqlite3.Row]:
    return db.execute("SELECT * FROM files WHERE operation = ? ORDER BY number", (operation_id,)).fetchall()


def _is_busy(error: Exception) -> bool:
    """Return True if another program has the file locked."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_corrupt(error: Exception) -> bool:
    """Return True if only moving the file helps, unlike with a full disk or a missing permission."""
    return isinstance(error, UnreadableRow) or _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: Exception) -> int | None:
    """Return SQLite's primary result code."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
