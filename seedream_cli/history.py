"""Every operation of this machine, on disk before its request leaves.

One SQLite file, readable by its owner alone. WAL and ``BEGIN IMMEDIATE`` let programs run side by
side: with deferred transactions a quarter of concurrent writes failed as "locked" when measured.
The API key is never in it.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path

from .errors import HistoryUnusable
from .group_commit import GroupCommit
from .history_rows import (
    MIGRATIONS,
    UPSERT,
    UPSERT_FILE,
    UnreadableRow,
    duration_of,
    file_values_of,
    is_of_kind,
    merged,
    operation_of,
    values_of,
)
from .models import Operation, Status
from .private import make_folder, open_file

#: Raised by one with every migration. A file of a later version is refused, never changed.
VERSION = len(MIGRATIONS)

#: Seconds for which another program's writing is waited for.
_PATIENCE = 10.0

_NEWEST_FIRST = " ORDER BY created DESC, rowid DESC"
#: The same for what is looked up by its name: SQLite would otherwise go through the whole history in the
#: order of its times. The plus keeps it from that.
_NEWEST_OF_FEW = _NEWEST_FIRST.replace("created", "+created")

#: Only the newest are looked at, however long the history is.
_DURATIONS = f"""
SELECT request, seconds FROM (
    SELECT * FROM operations WHERE service = ?{_NEWEST_FIRST} LIMIT 1000
) WHERE seconds IS NOT NULL AND lower(status) = ?
"""  # noqa: S608 - constants only


class History:
    """The history at ``path``. ``now`` is in Unix seconds. Safe to share between threads."""

    def __init__(self, path: Path, *, now: Callable[[], float]) -> None:
        self.path = path
        self._now = now
        # Reentrant: a signal can end a method of the main thread between its work and the release of the
        # lock, and what is told then is read from here.
        self._lock = threading.RLock()
        #: What is read from while a thread writes; opened when that comes to pass.
        self._reader: sqlite3.Connection | None = None
        self._reading = threading.RLock()
        self._commits = GroupCommit(self._held, self._write, _is_general)
        with self._problems():
            make_folder(path.parent)
            # SQLite would create the file readable by others: it is created here first, and those that
            # SQLite puts beside it have its mode.
            file = open_file(path, os.O_RDWR)
            self._file = os.fstat(file)
            os.close(file)
            self._db = _connected(path)
        try:
            self._prepare()
        except BaseException:
            self._db.close()
            raise

    def close(self) -> None:
        # A worker that a signal left behind may be writing: the system closes the file then.
        if self._lock.acquire(timeout=0.2):
            self._db.close()
            self._lock.release()
        if self._reader is not None and self._reading.acquire(timeout=0.2):
            self._reader.close()
            self._reading.release()

    def record(self, operation: Operation) -> Operation:
        """Write the operation as it stands, and return it as it is kept.

        Another program may have carried it further meanwhile: what it learnt (a task, files) stays.
        Raises HistoryUnusable when the operation cannot be kept.
        """
        return self._commits.record(operation)

    def find(self, service: str, name: str) -> Operation | None:
        """The operation with this id or task id, of this service."""
        named = "(service = ? AND task_id = ?) OR (service = ? AND id = ?)"
        found = self._select(named, service, name, service, name, order=_NEWEST_OF_FEW, limit=1)
        return found[0] if found else None

    def with_key(self, service: str, idempotency_key: str) -> list[Operation]:
        """The operations that were recorded with this key, the newest first."""
        with_key = "service = ? AND idempotency_key = ?"
        return self._select(with_key, service, idempotency_key, order=_NEWEST_OF_FEW)

    def recent(self, service: str, *, limit: int, status: str | None = None) -> list[Operation]:
        """The newest operations first, of one status where that is asked for."""
        if status is None:
            return self._select("service = ?", service, limit=limit)
        return self._select("service = ? AND lower(status) = lower(?)", service, status, limit=limit)

    def pending(self, service: str) -> list[Operation]:
        """Tasks whose images are not saved yet, the oldest first."""
        found = self._select("service = ? AND task_id IS NOT NULL AND settled = 0", service)
        return found[::-1]

    def unanswered(self, service: str, *, since: float) -> list[Operation]:
        """Operations without an answer from ``since`` (Unix seconds) on, the oldest first."""
        found = self._select(
            "service = ? AND task_id IS NULL AND settled = 0 AND created >= ?", service, since
        )
        return found[::-1]

    def last_unsettled(self, service: str, *, since: float = 0.0) -> Operation | None:
        """The newest operation that is not done: with images still to save, or without an answer.

        An unanswered one from before ``since`` (Unix seconds) is passed over.
        """
        condition = "service = ? AND settled = 0 AND (task_id IS NOT NULL OR created >= ?)"
        found = self._select(condition, service, since, limit=1)
        return found[0] if found else None

    def states(self, operation: Operation) -> list[tuple[float, str]]:
        """Every state that was seen, with its time in Unix seconds."""
        with self._read() as db:
            rows = db.execute(
                "SELECT at, status FROM states WHERE operation = ? ORDER BY at, rowid", (operation.id,)
            ).fetchall()
            return [(row["at"], row["status"]) for row in rows]

    def _write(self, operations: Sequence[Operation]) -> Sequence[Operation]:
        with self._transaction() as db:
            return [self._put(db, operation) for operation in operations]

    def _put(self, db: sqlite3.Connection, operation: Operation) -> Operation:
        rows = db.execute("SELECT * FROM operations WHERE id = ?", (operation.id,)).fetchall()
        before = operation_of(rows[0], _files(db, operation.id)) if rows else None
        kept = merged(before, operation)
        if kept != before:
            db.execute(UPSERT, values_of(kept))
            if before is None or before.status != kept.status:
                db.execute("INSERT INTO states VALUES (?, ?, ?)", (kept.id, self._now(), kept.status))
            db.executemany(UPSERT_FILE, file_values_of(kept))
        return kept

    def durations(self, service: str, kind: tuple[str, str, bool], *, limit: int) -> list[float]:
        """Return how long the newest completed tasks of a kind took, in seconds, the newest first."""
        with self._read() as db:
            rows = db.execute(_DURATIONS, (service, Status.COMPLETED))
            durations = (duration_of(row) for row in rows if is_of_kind(row, kind))
            return list(islice((seconds for seconds in durations if seconds is not None), limit))

    def _select(
        self, condition: str, *values: object, order: str = _NEWEST_FIRST, limit: int = -1
    ) -> list[Operation]:
        query = f"SELECT * FROM operations WHERE {condition}{order} LIMIT ?"  # noqa: S608 - constants only
        with self._read() as db:
            rows = db.execute(query, (*values, limit)).fetchall()
            return [operation_of(row, _files(db, row["id"])) for row in rows]

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
            from .installation import command_for_upgrade

            raise HistoryUnusable(
                f"the history was written by a later version of seedream: {self.path}",
                hint=command_for_upgrade(),
            )
        return version

    def _migrate(self) -> None:
        if self._version(self._db) == VERSION:
            # Reading must not wait for another program's writing.
            return
        with self._transaction() as db:
            for migration in MIGRATIONS[self._version(db) :]:
                for statement in migration.split(";"):
                    db.execute(statement)
            db.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._held():
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
    def _held(self) -> Iterator[None]:
        with self._problems(), self._lock:
            if self._db.in_transaction:
                # A signal left it open: whether it is kept was never told.
                self._db.execute("ROLLBACK")
            yield

    @contextmanager
    def _read(self) -> Iterator[sqlite3.Connection]:
        """What is on disk; where a thread is writing, beside it."""
        if self._lock.acquire(blocking=False):
            try:
                with self._held():
                    yield self._db
            finally:
                self._lock.release()
            return
        with self._problems(), self._reading:
            if self._reader is None:
                self._reader = self._connected_again()
            if self._reader is not None:
                yield self._reader
                return
        with self._held():
            yield self._db

    def _connected_again(self) -> sqlite3.Connection | None:
        """None where that cannot be, or would be another file: it may have been moved away, and made anew."""
        try:
            if os.path.samestat(os.stat(self.path), self._file):
                return _connected(f"{self.path.absolute().as_uri()}?mode=rw")
        except (OSError, sqlite3.Error):
            pass
        return None

    @contextmanager
    def _problems(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as error:
            raise HistoryUnusable(
                f"the history keeps only Unicode text: {self.path}", detail=str(error)
            ) from error
        except (sqlite3.Error, OSError, UnreadableRow) as error:
            busy = " (another program holds it)" if "locked" in str(error) else ""
            raise HistoryUnusable(
                f"the history cannot be used: {self.path}{busy}",
                detail=str(error),
                hint=self._way_out() if _is_corrupt(error) else None,
            ) from error

    def _way_out(self) -> str:
        """The command that puts a corrupt history aside, with the files in which its last writes are."""
        names = [f"{self.path}{ending}" for ending in ("", "-wal", "-shm")]
        aside = [f"{self.path}.broken{ending}" for ending in ("", "-wal", "-shm")]
        moves = [
            shlex.join(["mv", name, to])
            for name, to in zip(names, aside, strict=True)
            if os.path.exists(name)
        ]
        return " && ".join(moves)


def _connected(file: Path | str) -> sqlite3.Connection:
    # Autocommit: every transaction begins in so many words.
    db = sqlite3.connect(
        file, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, uri=isinstance(file, str)
    )
    db.row_factory = sqlite3.Row
    return db


def _files(db: sqlite3.Connection, operation_id: str) -> Sequence[sqlite3.Row]:
    return db.execute("SELECT * FROM files WHERE operation = ? ORDER BY number", (operation_id,)).fetchall()


def _is_general(error: Exception) -> bool:
    """Another program holds the file: every write would wait for it as long. Other errors take no time."""
    code = getattr(error.__cause__, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_corrupt(error: Exception) -> bool:
    """Only a file that is no history can be put aside: a full disk or a missing permission passes."""
    if isinstance(error, UnreadableRow):
        return True
    code = getattr(error, "sqlite_errorcode", None)
    return code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
