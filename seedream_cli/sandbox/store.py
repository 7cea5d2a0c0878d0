"""The tasks of the sandbox on disk, so that they outlive a server and several servers can share them.

SQLite with a rollback journal; every write is one ``BEGIN IMMEDIATE`` transaction, which makes a create
atomic between threads and between processes. API keys are kept as fingerprints only.
"""

from __future__ import annotations

import json
import os
import secrets
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from enum import Enum
from pathlib import Path
from typing import Any

from msgspec import Struct

#: How long the service keeps an idempotency key: 7 days, in seconds.
IDEMPOTENCY_SECONDS = 7 * 24 * 3600.0

#: Seconds to wait for another process that writes.
_TIMEOUT = 10.0

_SCHEMA = (
    """CREATE TABLE IF NOT EXISTS task (
        task_id TEXT PRIMARY KEY, created REAL NOT NULL, seconds REAL NOT NULL, outcome TEXT NOT NULL,
        body TEXT NOT NULL, key_id TEXT NOT NULL, idempotency_key TEXT)""",
    """CREATE TABLE IF NOT EXISTS idempotency (
        key_id TEXT NOT NULL, route TEXT NOT NULL, idempotency_key TEXT NOT NULL,
        digest TEXT NOT NULL, answer TEXT NOT NULL, created REAL NOT NULL,
        PRIMARY KEY (key_id, route, idempotency_key))""",
    "CREATE TABLE IF NOT EXISTS secret (id INTEGER PRIMARY KEY CHECK (id = 1), value BLOB NOT NULL)",
)


class StoredTask(Struct, frozen=True):
    """A task. ``created`` is in Unix seconds, ``seconds`` is its duration.

    ``key_id`` is the fingerprint of the API key that created it.
    """

    task_id: str
    created: float
    seconds: float
    outcome: str
    body: dict[str, Any]
    key_id: str
    idempotency_key: str | None = None

    @property
    def ends(self) -> float:
        return self.created + self.seconds


class Idempotency(Struct, frozen=True):
    """A request's idempotency key in its scope, with the digest of its canonical JSON body."""

    key: str
    key_id: str
    route: str
    digest: str


class Verdict(Enum):
    """The outcome of a create request with regard to its idempotency key."""

    CREATED = "created"
    REPLAYED = "replayed"
    CONFLICT = "conflict"


class Creation(Struct, frozen=True):
    """The outcome of a create request. ``response`` is that of the first request, {} on a conflict."""

    verdict: Verdict
    response: dict[str, Any]


class Store:
    """The open database. Safe to share between threads. Raises OSError for a file that cannot be used."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite would create the file readable by others; its -journal file copies this mode.
        os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(
            path, timeout=_TIMEOUT, isolation_level=None, check_same_thread=False
        )
        try:
            # Not WAL: it needs shared memory, which some network file systems lack.
            self._connection.execute("PRAGMA journal_mode = TRUNCATE")
            self._connection.execute("PRAGMA synchronous = NORMAL")
            with self._transaction() as connection:
                for statement in _SCHEMA:
                    connection.execute(statement)
                connection.execute(
                    "INSERT OR IGNORE INTO secret (id, value) VALUES (1, ?)", (secrets.token_bytes(32),)
                )
        except sqlite3.Error as error:
            self._connection.close()
            raise OSError(None, f"{path} is unusable: {error}") from error
        except BaseException:
            self._connection.close()
            raise
        self.secret: bytes = self._connection.execute("SELECT value FROM secret").fetchone()[0]

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._lock:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield self._connection
                self._connection.execute("COMMIT")
            except BaseException:
                # Report the first error, not a failed rollback.
                with suppress(sqlite3.Error):
                    self._connection.execute("ROLLBACK")
                raise

    def create(
        self,
        make: Callable[[], tuple[StoredTask, dict[str, Any]]],
        *,
        now: float,
        idempotency: Idempotency | None = None,
    ) -> Creation:
        """Insert the task that ``make`` returns with its response, unless the idempotency key is known.

        ``make`` is called only when a task is really created, inside the transaction.
        """
        with self._transaction() as connection:
            if idempotency is not None:
                connection.execute("DELETE FROM idempotency WHERE created <= ?", (now - IDEMPOTENCY_SECONDS,))
                if earlier := _find_earlier(connection, idempotency):
                    return earlier
            task, response = make()
            connection.execute(
                "INSERT INTO task VALUES (?, ?, ?, ?, ?, ?, ?)",
                (
                    task.task_id,
                    task.created,
                    task.seconds,
                    task.outcome,
                    json.dumps(task.body),
                    task.key_id,
                    task.idempotency_key,
                ),
            )
            if idempotency is not None:
                connection.execute(
                    "INSERT INTO idempotency VALUES (?, ?, ?, ?, ?, ?)",
                    (
                        idempotency.key_id,
                        idempotency.route,
                        idempotency.key,
                        idempotency.digest,
                        json.dumps(response),
                        now,
                    ),
                )
            return Creation(Verdict.CREATED, response)

    def find(self, task_id: str) -> StoredTask | None:
        with self._lock:
            row = self._connection.execute(
                "SELECT task_id, created, seconds, outcome, body, key_id, idempotency_key"
                " FROM task WHERE task_id = ?",
                (task_id,),
            ).fetchone()
        if row is None:
            return None
        return StoredTask(row[0], row[1], row[2], row[3], json.loads(row[4]), row[5], row[6])

    def count(self) -> int:
        with self._lock:
            return int(self._connection.execute("SELECT count(*) FROM task").fetchone()[0])

    def close(self) -> None:
        with self._lock:
            self._connection.close()


def _find_earlier(connection: sqlite3.Connection, idempotency: Idempotency) -> Creation | None:
    """Return what the first request with this idempotency key decides, or None if there was none."""
    row = connection.execute(
        "SELECT digest, answer FROM idempotency WHERE key_id = ? AND route = ? AND idempotency_key = ?",
        (idempotency.key_id, idempotency.route, idempotency.key),
    ).fetchone()
    if row is None:
        return None
    if row[0] != idempotency.digest:
        return Creation(Verdict.CONFLICT, {})
    return Creation(Verdict.REPLAYED, json.loads(row[1]))
