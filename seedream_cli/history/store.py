"""The history: every operation of this machine, on disk before its request leaves.

One SQLite file that only its owner can read. WAL and ``BEGIN IMMEDIATE`` let several programs use it
at once: with deferred transactions a quarter of concurrent writes failed as "locked" when measured.
The API key is never in it.
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
    file_values_of,
    is_of_kind,
    merged,
    operation_of,
    values_of,
)

#: The version of SCHEMA. A file of a later version is refused, never changed.
VERSION = 1

#: Seconds to wait for another program that holds the file.
_PATIENCE = 10.0
#: The same for a thread that has spent its patience waiting for other threads of this program. Without the
#: limit, 64 threads would each wait 10 s in turn.
_LAST_PATIENCE = 0.1

_NEWEST_FIRST = " ORDER BY created DESC, rowid DESC"
#: For lookups by a name. The plus keeps SQLite from scanning the history through the index on `created`.
_NEWEST_OF_FEW = _NEWEST_FIRST.replace("created", "+created")

#: Reads the newest rows only, however long the history is.
_DURATIONS = f"""
SELECT request, seconds FROM (
    SELECT * FROM operations WHERE service = ?{_NEWEST_FIRST} LIMIT 1000
) WHERE seconds IS NOT NULL AND lower(status) = ?
"""  # noqa: S608 - constants only


class History:
    """The history at ``path``: one connection behind one lock. ``now`` returns Unix seconds.

    Safe to share between threads.
    """

    def __init__(self, path: Path, *, now: Callable[[], float]) -> None:
        self.path = path
        self._now = now
        # RLock: the signal handler may raise inside a locked section, and the error report then reads the
        # history from the same thread.
        self._lock = threading.RLock()
        with self._problems():
            make_private_dir(path.parent)
            # SQLite would create the file readable by others. Its journal files get the mode of this one.
            os.close(open_private(path, os.O_RDWR))
            self._db = _connected(path)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def close(self) -> None:
        # A worker that a signal left behind may be writing: the system then closes the file at exit.
        if self._lock.acquire(timeout=0.2):
            self._db.close()
            self._lock.release()

    @property
    def is_in_use(self) -> bool:
        """Return True if another thread has the connection for longer than a moment."""
        if not self._lock.acquire(timeout=_LAST_PATIENCE):
            return True
        self._lock.release()
        return False

    def record(self, operation: Operation) -> Operation:
        """Write the operation as it is now, and return it as it is kept.

        Keep what another program has learnt about it meanwhile (a task, files). What money depends on, the
        intent and the answer with the task id, survives a power cut. Later updates survive a killed program;
        after a power cut they can be asked for again. Raises HistoryUnusable.
        """
        with self._exclusive() as db:
            # An operation without a task id never matches: NULL equals nothing.
            known = "SELECT 1 FROM operations WHERE id = ? AND task_id = ?"
            is_update = db.execute(known, (operation.id, operation.task_id)).fetchall()
            with self._transaction(db, durable=not is_update):
                return self._put(db, operation)

    def find(self, service: str, name: str) -> Operation | None:
        """The operation with this id or task id, of this service."""
        named = "(service = ? AND task_id = ?) OR (service = ? AND id = ?)"
        found = self._select(named, service, name, service, name, order=_NEWEST_OF_FEW, limit=1)
        return found[0] if found else None

    def find_by_idempotency_key(self, service: str, idempotency_key: str) -> list[Operation]:
        """The operations that were recorded with this key, the newest first."""
        find_by_idempotency_key = "service = ? AND idempotency_key = ?"
        return self._select(find_by_idempotency_key, service, idempotency_key, order=_NEWEST_OF_FEW)

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

    def last_unfinished(self, service: str, *, since: float = 0.0) -> Operation | None:
        """The newest operation that is not done: with images still to save, or without an answer.

        An unanswered one from before ``since`` (Unix seconds) is passed over.
        """
        condition = "service = ? AND settled = 0 AND (task_id IS NOT NULL OR created >= ?)"
        found = self._select(condition, service, since, limit=1)
        return found[0] if found else None

    def states(self, operation: Operation) -> list[tuple[float, str]]:
        """Every state that was seen, with its time in Unix seconds."""
        with self._exclusive() as db:
            rows = db.execute(
                "SELECT at, status FROM states WHERE operation = ? ORDER BY at, rowid", (operation.id,)
            ).fetchall()
            return [(row["at"], row["status"]) for row in rows]

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
        with self._exclusive() as db:
            # Row by row: of a thousand, the first forty are mostly enough.
            rows = db.execute(_DURATIONS, (service, TaskStatus.COMPLETED))
            durations = (duration_of(row) for row in rows if is_of_kind(row, kind))
            return list(islice((seconds for seconds in durations if seconds is not None), limit))

    def _select(
        self, condition: str, *values: object, order: str = _NEWEST_FIRST, limit: int = -1
    ) -> list[Operation]:
        query = f"SELECT * FROM operations WHERE {condition}{order} LIMIT ?"  # noqa: S608 - constants only
        with self._exclusive() as db:
            rows = db.execute(query, (*values, limit)).fetchall()
            return [operation_of(row, _files(db, row["id"])) for row in rows]

    def _prepare(self) -> None:
        """Choose the journal and create the tables; a file of a later version stays as it is."""
        has_shared_memory = self._reach()
        is_new = self._version() == 0
        if not has_shared_memory:
            _execute_when_free(self._db, "PRAGMA journal_mode = TRUNCATE")
            self._db.execute("PRAGMA locking_mode = NORMAL")
            # Only the next access releases the file.
            self._version()
        elif is_new and _supports_wal(self.path.parent):
            _execute_when_free(self._db, "PRAGMA journal_mode = WAL")
        self._is_wal = self._db.execute("PRAGMA journal_mode").fetchone()[0] == "wal"
        if not self._is_wal:
            # TRUNCATE flushes the end of a journal to disk, which DELETE does not: a journal that came back
            # after a power cut would undo the last transaction.
            self._db.execute("PRAGMA journal_mode = TRUNCATE")
            self._db.execute("PRAGMA synchronous = FULL")
        if is_new:
            self._create_tables()

    def _reach(self) -> bool:
        """Make the file readable; return False if that took exclusive access.

        A file in WAL mode may have come to a place without shared memory (a network home folder). SQLite then
        reads it only while no other program has it open.
        """
        try:
            self._version()
        except sqlite3.OperationalError as error:
            if _is_busy(error):
                raise
            self._db.close()
            self._db = _connected(self.path)
            self._db.execute("PRAGMA locking_mode = EXCLUSIVE")
            _execute_when_free(self._db, "PRAGMA user_version")
            return False
        return True

    def _version(self) -> int:
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version > VERSION:
            from ..install_hints import upgrade_command

            raise HistoryUnusable(
                f"the history was written by a later version of seedream: {self.path}",
                hint=upgrade_command(),
            )
        return version

    def _create_tables(self) -> None:
        with self._exclusive() as db, self._transaction(db, durable=True):
            # Another program may have been faster.
            if self._version() == 0:
                for statement in SCHEMA.split(";"):
                    db.execute(statement)
                db.execute(f"PRAGMA user_version = {VERSION}")

    @contextmanager
    def _transaction(self, db: sqlite3.Connection, *, durable: bool) -> Iterator[None]:
        """Commit what the block writes; a ``durable`` commit waits for the disk."""
        if self._is_wal:
            db.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        db.execute("BEGIN IMMEDIATE")
        try:
            yield
            db.execute("COMMIT")
        except BaseException:
            # Also for a signal: a transaction left open would lock other programs out.
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    @contextmanager
    def _exclusive(self) -> Iterator[sqlite3.Connection]:
        """Keep other threads out of the connection."""
        began = time.monotonic()
        with self._problems(), self._lock:
            if self._db.in_transaction:
                # A signal left it open. No caller was told that it was kept.
                self._db.execute("ROLLBACK")
            patience = max(_PATIENCE - (time.monotonic() - began), min(_PATIENCE, _LAST_PATIENCE))
            self._db.execute(f"PRAGMA busy_timeout = {1000 * patience:.0f}")
            yield self._db

    @contextmanager
    def _problems(self) -> Iterator[None]:
        try:
            yield
        except UnicodeEncodeError as error:
            raise HistoryUnusable(
                f"the history keeps only Unicode text: {self.path}", detail=str(error)
            ) from error
        except (sqlite3.Error, OSError, UnreadableRow) as error:
            busy = " (another program holds it)" if _is_busy(error) else ""
            raise HistoryUnusable(
                f"the history cannot be used: {self.path}{busy}",
                detail=str(error),
                hint=self._way_out() if _is_corrupt(error) else None,
            ) from error

    def _way_out(self) -> str:
        """Return the command that moves the file aside, with its journals: a new file must not meet them."""
        endings = [end for end in ("", "-wal", "-shm", "-journal") if os.path.exists(f"{self.path}{end}")]
        return " && ".join(
            shlex.join(["mv", f"{self.path}{end}", f"{self.path}.broken{end}"]) for end in endings
        )


def _connected(path: Path) -> sqlite3.Connection:
    # Autocommit: every transaction begins explicitly.
    db = sqlite3.connect(path, timeout=_PATIENCE, isolation_level=None, check_same_thread=False)
    db.row_factory = sqlite3.Row
    return db


def _supports_wal(folder: Path) -> bool:
    """Return True if SQLite can use WAL in this folder, which takes shared memory.

    Tried on another file: SQLite marks a file as WAL before it finds out that nobody can read it any more.
    """
    from tempfile import TemporaryDirectory

    with TemporaryDirectory(prefix=".wal-", dir=folder) as trial, closing(_connected(Path(trial, "x"))) as db:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("CREATE TABLE x (x)")
        except sqlite3.OperationalError:
            return False
        return True


def _execute_when_free(db: sqlite3.Connection, statement: str) -> None:
    """Execute a statement that needs the file for itself. SQLite's own timeout does not cover those."""
    deadline = time.monotonic() + _PATIENCE
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
    """Return True if another program holds the file."""
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_corrupt(error: Exception) -> bool:
    """Return True if only moving the file away helps: a full disk or a missing permission passes."""
    return isinstance(error, UnreadableRow) or _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def _code(error: Exception) -> int | None:
    """Return SQLite's primary result code."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF
