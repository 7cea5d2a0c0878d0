from __future__ import annotations

import os
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from seedream_cli.sandbox.store import Idempotency, Store, StoredTask, Verdict

TASK = StoredTask("task_1", 100.0, 3.0, "completed", {"prompt": "狐狸"}, "key-a", "idem-1")
SCOPE = Idempotency("idem-1", "key-a", "POST /images/generations", "digest-1")


def maker(task_id: str) -> Callable[[], tuple[StoredTask, dict[str, Any]]]:
    return lambda: (replace(TASK, task_id=task_id), {"task_id": task_id})


@pytest.mark.skipif(os.name == "nt", reason="modes are POSIX")
def test_store_is_private(tmp_path: Path) -> None:
    previous = os.umask(0)
    try:
        store = Store(tmp_path / "new" / "tasks.db")
        store.create(lambda: (TASK, {}), now=100.0)
    finally:
        os.umask(previous)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "new").iterdir()}
    assert set(modes) >= {"tasks.db", "tasks.db-journal"}
    assert set(modes.values()) == {0o600}
    assert stat.S_IMODE((tmp_path / "new").stat().st_mode) == 0o700
    store.close()


def test_store_refuses_other_file(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("not a database\n" * 100)
    with pytest.raises(OSError, match="is unusable: file is not a database"):
        Store(tmp_path / "notes.txt")


def test_store_rolls_back_failed_create(tmp_path: Path) -> None:
    store = Store(tmp_path / "tasks.db")
    store.create(maker("a"), now=100.0)
    with pytest.raises(sqlite3.IntegrityError):
        store.create(maker("a"), now=100.0, idempotency=SCOPE)
    assert store.create(maker("b"), now=100.0, idempotency=SCOPE).verdict is Verdict.CREATED
    store.close()


_OPEN_AND_CREATE = """
import sys
from pathlib import Path
from seedream_cli.sandbox.store import Store, StoredTask
store = Store(Path(sys.argv[1]))
for n in range(20):
    store.create(lambda: (StoredTask(f"{sys.argv[2]}-{n}", 1.0, 1.0, "completed", {}, "k"), {}), now=1.0)
print(store.secret.hex())
"""


def test_store_opened_by_several_processes(tmp_path: Path) -> None:
    path = tmp_path / "new" / "tasks.db"
    root = Path(__file__).resolve().parents[2]
    children = [
        subprocess.Popen(
            [sys.executable, "-c", _OPEN_AND_CREATE, str(path), str(number)],
            stdout=subprocess.PIPE,
            cwd=root,
            text=True,
        )
        for number in range(6)
    ]
    secrets = [child.communicate(timeout=30)[0].strip() for child in children]
    assert [child.returncode for child in children] == [0] * 6
    assert len(set(secrets)) == 1
    store = Store(path)
    assert store.count() == 120
    store.close()
