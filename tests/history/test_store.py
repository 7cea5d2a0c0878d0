"""History: durable, private, shared by programs and threads, and robust against broken files."""

from __future__ import annotations

import json
import os
import re
import shlex
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support import needs
from support.clock import Clock
from support.program import Program
from support.tasks import SERVICE, operation

from seedream_cli.commands.status import row_of
from seedream_cli.errors import ExitCode, HistoryUnusable
from seedream_cli.files.output_path import OutputTemplate, fields_of, part_path
from seedream_cli.history.schema import _OPERATION, SCHEMA
from seedream_cli.history.store import VERSION, History
from seedream_cli.models import GenerationRequest, Operation, SavedFile, TaskStatus
from seedream_cli.output.documents import task_document
from seedream_cli.output.json_reporter import to_json
from seedream_cli.output.table import table
from seedream_cli.prompt import PromptParts
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.text import format_duration

KIND = GenerationRequest("p").kind

Open = Callable[..., History]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "state" / "apipod-seedream" / "history.sqlite3"


@pytest.fixture
def open_history(path: Path) -> Iterator[Open]:
    histories: list[History] = []

    def create(where: Path = path, clock: Clock | None = None) -> History:
        histories.append(History(where, now=clock or Clock()))
        return histories[-1]

    yield create
    for history in histories:
        history.close()


def saved(folder: Path, number: int = 1) -> SavedFile:
    return SavedFile(number, str(folder / f"fox-{number}.png"), "0" * 64, 7, "image/png", 4, 3)


@contextmanager
def another_program(path: Path) -> Iterator[sqlite3.Connection]:
    """Yield a connection of another program: without a busy timeout, with explicit transactions."""
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as db:
        yield db


@contextmanager
def transaction(history: History) -> Iterator[sqlite3.Connection]:
    with history._exclusive() as db, history._transaction(db, durable=False):
        yield db


# Records and queries


def test_record_and_find_keep_all_fields(open_history: Open, tmp_path: Path) -> None:
    whole = operation(
        tmp_path,
        request=GenerationRequest(
            prompt="雪中的红狐狸 🦊\n\0",
            model="seedream-v4.5-edit",
            aspect_ratio="21:9",
            quality="4K",
            image_urls=("https://a/1.png", "data:image/png;base64,AAAA"),
            callback_url="https://a/hook",
        ),
        task_id="task/1?",
        status="completed",
        progress=100,
        results=("https://a/1", "https://a/2"),
        cost="0.035",
        request_id="req_1",
        accepted=1_800_000_001.5,
        seconds=12.25,
        error_code="E",
        error_message="words",
        delivered="-",
        files=(saved(tmp_path, 1), saved(tmp_path, 2)),
        parts=PromptParts("fox", "light", None, None),
        sidecar=True,
    )
    history = open_history()
    history.record(whole)
    assert history.find(SERVICE, whole.id) == whole
    assert open_history().find(SERVICE, "task/1?") == whole
    foreign = operation(
        tmp_path, id="op_2", request=None, idempotency_key=None, key_id=None, task_id="task_2"
    )
    history.record(foreign)
    assert open_history().find(SERVICE, "task_2") == foreign


def test_record_updates_and_skips_equal_writes(open_history: Open, tmp_path: Path) -> None:
    history = open_history()
    first = operation(tmp_path)
    history.record(first)
    later = replace(first, task_id="task_1", status="completed", results=("u",), files=(saved(tmp_path),))
    history.record(later)
    moved = replace(later, files=(replace(saved(tmp_path), path="/elsewhere.png"),))
    history.record(moved)
    assert history.recent(SERVICE, limit=10) == [moved]
    changes = history._db.total_changes
    history.record(moved)
    assert history._db.total_changes == changes


def test_find_and_lists_separate_services(open_history: Open, tmp_path: Path) -> None:
    history = open_history()
    here = history.record(operation(tmp_path, id="op_here0000", task_id="task_1"))
    there = history.record(operation(tmp_path, id="op_there000", task_id="task_1", service="other.test"))
    assert history.find(SERVICE, "task_1") == here
    assert history.find("other.test", "task_1") == there
    assert history.find(SERVICE, "op_there000") is None
    assert history.recent(SERVICE, limit=9) == history.pending(SERVICE) == [here]
    assert history.last_unfinished("other.test") == there


def test_recent_order_limit_and_status(open_history: Open, tmp_path: Path) -> None:
    history = open_history()
    for number, word in ((2, "completed"), (0, "failed"), (1, "Completed")):
        history.record(operation(tmp_path, id=f"op_{number}", created=float(number), status=word))
    # Of the same second, the one recorded later is newer.
    history.record(operation(tmp_path, id="op_twin", created=2.0))
    assert [found.id for found in history.recent(SERVICE, limit=3)] == ["op_twin", "op_2", "op_1"]
    assert [found.id for found in history.recent(SERVICE, limit=9, status="COMPLETED")] == ["op_2", "op_1"]


def test_find_by_idempotency_key_newest_first(open_history: Open, tmp_path: Path) -> None:
    history = open_history()
    for name, key, created in (
        ("op_1", 1, 100.0),
        ("op_2", 1, 300.0),
        ("op_3", 2, 400.0),
        ("op_5", 1, 200.0),
    ):
        history.record(operation(tmp_path, id=name, idempotency_key=f"key-{key}", created=created))
    history.record(operation(tmp_path, id="op_4", service="another.test", created=500.0))
    assert [found.id for found in history.find_by_idempotency_key(SERVICE, "key-1")] == [
        "op_2",
        "op_5",
        "op_1",
    ]
    assert history.find_by_idempotency_key(SERVICE, "key-3") == []


FILE = saved(Path("/x"))
TASK = {"task_id": "t"}
COMPLETED = {**TASK, "status": "completed", "results": ("u",)}
SETTLED: dict[str, tuple[dict[str, Any], bool]] = {
    "without an answer": ({"status": TaskStatus.UNANSWERED}, False),
    "refused": ({"status": TaskStatus.REFUSED}, True),
    "skipped": ({"status": TaskStatus.SKIPPED}, True),
    "pending": ({**TASK, "status": "pending"}, False),
    "of an unknown state": ({**TASK, "status": "warming_up"}, False),
    "failed": ({**TASK, "status": "failed"}, True),
    "cancelled": ({**TASK, "status": "cancelled"}, True),
    "rejected": ({**TASK, "status": "Rejected"}, True),
    "without files": (COMPLETED, False),
    "with a file": ({**COMPLETED, "files": (FILE,)}, True),
    "with one of two": ({**COMPLETED, "results": ("u", "v"), "files": (FILE,)}, False),
    "written to stdout": ({**COMPLETED, "delivered": "-"}, True),
}


@pytest.mark.parametrize(("values", "settled"), SETTLED.values(), ids=SETTLED)
def test_is_done_and_pending_by_state(
    open_history: Open, tmp_path: Path, values: dict[str, Any], settled: bool
) -> None:
    history = open_history()
    current = operation(tmp_path, **values)
    history.record(current)
    assert current.is_done is settled
    assert history.last_unfinished(SERVICE) == (None if settled else current)
    # Without a task there is nothing to download.
    assert history.pending(SERVICE) == ([] if settled or current.task_id is None else [current])


def test_pending_oldest_first_and_last_unfinished_newest(open_history: Open, tmp_path: Path) -> None:
    history = open_history()
    for n in range(3):
        history.record(operation(tmp_path, id=f"op_{n:08}", created=float(n), task_id=f"task_{n}"))
    history.record(operation(tmp_path, id="op_done0000", created=9.0, status="failed", task_id="task_9"))
    last = history.record(operation(tmp_path, id="op_unanswer", created=5.0))
    assert [found.task_id for found in history.pending(SERVICE)] == ["task_0", "task_1", "task_2"]
    assert history.last_unfinished(SERVICE) == last
    assert history.unanswered(SERVICE, since=5.0) == [last]
    # Its idempotency key has expired.
    assert history.unanswered(SERVICE, since=5.5) == []
    assert history.last_unfinished(SERVICE, since=5.5) == history.find(SERVICE, "task_2")


def test_record_merges_with_other_programs(open_history: Open, tmp_path: Path) -> None:
    history, stale = open_history(), operation(tmp_path)
    answered = replace(stale, task_id="task_9", status="completed", results=("u",), cost="1")
    history.record(answered)
    for late in (stale, replace(stale, status=TaskStatus.REFUSED)):
        assert history.record(late) == answered
    faster = replace(answered, files=(saved(tmp_path),), delivered="-")
    history.record(faster)
    assert history.record(answered) == history.find(SERVICE, "task_9") == faster


def test_states_have_times_and_paths_may_be_bytes(open_history: Open, tmp_path: Path) -> None:
    clock = Clock(100.0)
    history = open_history(clock=clock)
    # The name of the folder is not valid Unicode.
    folder = tmp_path / os.fsdecode(b"caf\xe9")
    file = SavedFile(1, str(folder / "fox.png"), "00", 1, "image/png", 1, 1)
    current = operation(folder, files=(file,))
    for progress, word in enumerate(("unanswered", "pending", "pending", "warming_up")):
        current = history.record(replace(current, status=word, progress=progress))
        clock.time += 1
    assert history.states(current) == [(100.0, "unanswered"), (101.0, "pending"), (103.0, "warming_up")]
    assert history.recent(SERVICE, limit=9) == [current]
    assert current.files == (file,)


# Permissions


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
@pytest.mark.parametrize("umask", [0o000, 0o777], ids=oct)
def test_file_and_folders_are_private_under_any_umask(
    open_history: Open, path: Path, tmp_path: Path, umask: int
) -> None:
    before = os.umask(umask)
    try:
        open_history().record(operation(tmp_path))
    finally:
        os.umask(before)
    # The parent folder too: with write access to it, the folder could be replaced.
    for folder in (path.parent, path.parent.parent):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    # The journal files have the same content.
    assert {file.name for file in path.parent.iterdir()} == {
        f"{path.name}{end}" for end in ("", "-wal", "-shm")
    }
    assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_existing_file_becomes_private_and_parent_keeps_its_mode(path: Path) -> None:
    path.parent.parent.mkdir(mode=0o755)
    path.parent.mkdir()
    path.touch()
    path.chmod(0o644)
    History(path, now=Clock()).close()
    assert stat.S_IMODE(path.parent.parent.stat().st_mode) == 0o755
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


# Durability


@pytest.mark.parametrize("is_wal", [True, False], ids=["WAL", "rollback journal"])
def test_record_is_durable_for_intent_and_response(
    open_history: Open, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_wal: bool
) -> None:
    monkeypatch.setattr("seedream_cli.history.store._supports_wal", lambda folder: is_wal)
    history = open_history()
    flushes: list[bool] = []

    def see(statement: str) -> None:
        if statement == "COMMIT":
            # 2 is FULL.
            flushes.append(history._db.execute("PRAGMA synchronous").fetchone()[0] == 2)

    history._db.set_trace_callback(see)
    intent = operation(tmp_path)
    history.record(intent)
    history.record(replace(intent, idempotency_key="key-2"))
    answered = history.record(replace(intent, task_id="task_1", status=TaskStatus.PENDING))
    assert flushes == [True, True, True]
    # The service can be asked for these again, so they need not be durable.
    for later in ({"status": "processing"}, {"status": "completed", "results": ("u",)}):
        answered = history.record(replace(answered, **later))
    assert flushes[3:] == [not is_wal] * 2
    history.record(operation(tmp_path, id="op_2"))
    assert flushes[5:] == [True]
    # journal_mode is TRUNCATE, which keeps the file. DELETE would not flush the end of the transaction.
    assert Path(f"{path}-journal").exists() is not is_wal


# Several programs and threads

WRITER = """
import sys, time
from pathlib import Path
from support.tasks import operation
from msgspec.structs import replace
from seedream_cli.history import store as history
from seedream_cli.history.store import History

path, who, start = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
if sys.argv[4] == "False":
    history._supports_wal = lambda folder: False
# All at once: the first one creates the file.
time.sleep(max(0, start - time.time()))
history = History(path, now=time.time)
for number in range(10):
    current = operation(path.parent, id=f"op_{who}{number:04}")
    history.record(current)
    history.record(replace(current, task_id=f"task_{who}_{number}", status="pending"))
    assert history.find("api.test", current.id) is not None
history.close()
"""


@pytest.mark.parametrize("is_wal", [True, False], ids=["WAL", "rollback journal"])
def test_concurrent_processes_lose_nothing(open_history: Open, path: Path, is_wal: bool) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    start = str(time.time() + 0.7)
    commands = [[str(path), f"{number:04}", start, str(is_wal)] for number in range(4)]
    writers = [
        subprocess.Popen([sys.executable, "-c", WRITER, *arguments], env=environment, stderr=subprocess.PIPE)
        for arguments in commands
    ]
    problems = [writer.communicate(timeout=60)[1] for writer in writers]
    assert [writer.returncode for writer in writers] == [0] * 4, problems
    history = open_history()
    assert len(history.pending(SERVICE)) == 40
    assert all(len(history.states(found)) == 2 for found in history.pending(SERVICE))


def test_concurrent_threads_share_one_history(open_history: Open, tmp_path: Path) -> None:
    history = open_history()

    def write(who: int) -> None:
        for number in range(20):
            history.record(operation(tmp_path, id=f"op_{who:04}{number:04}"))
            history.recent(SERVICE, limit=3)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(write, range(6)))
    assert len(history.recent(SERVICE, limit=999)) == 120


def test_find_uses_an_index(open_history: Open, tmp_path: Path) -> None:
    """A sync of 1,000 images looks up each of them in a long history."""
    history = open_history()
    with transaction(history) as db:
        for n in range(1200):
            named = {"id": f"op_{n:08}", "task_id": f"img_{n}", "idempotency_key": f"key-{n}"}
            history._merge_and_write(db, operation(tmp_path, **named))
    hundreds_of_steps: list[int] = []
    history._db.set_progress_handler(lambda: hundreds_of_steps.append(0), 100)
    for look_up in (
        lambda: history.find(SERVICE, "op_00001000"),
        lambda: history.find(SERVICE, "img_1000"),
        lambda: history.find(SERVICE, "op_none"),
        lambda: history.find_by_idempotency_key(SERVICE, "key-1000"),
    ):
        hundreds_of_steps.clear()
        look_up()
        assert len(hundreds_of_steps) <= 10


def test_locked_file_is_reported_and_keeps_working(
    open_history: Open, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history = open_history()
    monkeypatch.setattr("seedream_cli.history.store._BUSY_TIMEOUT", 0.05)
    with another_program(path) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(HistoryUnusable, match="another program holds it") as caught:
            history.record(operation(tmp_path))
        assert (caught.value.exit_code, caught.value.hint) == (ExitCode.NOT_SAVED, None)
        assert history.find(SERVICE, "op_abcd1234") is None
    history.record(operation(tmp_path))
    assert history.find(SERVICE, "op_abcd1234") is not None


def test_locked_new_file_is_waited_for(open_history: Open, path: Path) -> None:
    """SQLite itself does not wait for this, whatever its timeout is."""
    path.parent.mkdir(parents=True)
    with another_program(path) as other:
        other.execute("BEGIN IMMEDIATE")
        opening = threading.Thread(target=open_history)
        opening.start()
        opening.join(0.1)
        assert opening.is_alive()
        other.execute("COMMIT")
        opening.join(30)
    assert open_history().recent(SERVICE, limit=9) == []
    assert journal_mode(path) == "wal"


def test_locked_file_makes_threads_wait_together(
    open_history: Open, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If each of 64 threads waited in turn, the command would take ten minutes to end."""
    history = open_history()
    monkeypatch.setattr("seedream_cli.history.store._BUSY_TIMEOUT", 0.3)
    monkeypatch.setattr("seedream_cli.history.store._LAST_BUSY_TIMEOUT", 0.01)

    def write(who: int) -> None:
        with pytest.raises(HistoryUnusable):
            history.record(operation(tmp_path, id=f"op_{who:08}"))

    with another_program(path) as other, ThreadPoolExecutor(16) as pool:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        assert len(list(pool.map(write, range(16)))) == 16
        assert time.monotonic() - began < 8 * 0.3


def test_interrupted_write_leaves_no_lock(
    open_history: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Interrupted(BaseException):
        pass

    history = open_history()
    with suppress(Interrupted), transaction(history) as db:
        history._merge_and_write(db, operation(tmp_path, id="op_half"))
        raise Interrupted
    monkeypatch.setattr("seedream_cli.history.store._BUSY_TIMEOUT", 0.05)
    open_history().record(operation(tmp_path))
    assert [found.id for found in history.recent(SERVICE, limit=9)] == ["op_abcd1234"]


def test_signal_inside_exclusive_blocks_no_program(open_history: Open, tmp_path: Path) -> None:
    history = open_history()
    history.record(operation(tmp_path, id="op_1"))
    # The state after a signal that is raised between the body of a block and its exit.
    abandoned = [history._exclusive(), history._transaction(history._db, durable=True)]
    for block in abandoned:
        block.__enter__()
    assert history.find(SERVICE, "op_1") is not None
    assert open_history().record(operation(tmp_path, id="op_2")).id == "op_2"
    history.record(operation(tmp_path, id="op_3"))
    assert len(history.recent(SERVICE, limit=9)) == 3
    del abandoned, block


# File systems without shared memory, which WAL needs


@pytest.fixture(scope="session")
def no_shared_memory(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Return an environment in which SQLite cannot map shared memory, as on network drives."""
    if sys.platform != "linux":
        pytest.skip("LD_PRELOAD is specific to Linux")
    library = tmp_path_factory.mktemp("preloaded") / "no_shared_memory.so"
    compiler = [needs.program("cc"), "-shared", "-fPIC", "-x", "c", "-", "-o", str(library), "-ldl"]
    subprocess.run(compiler, input=NO_SHARED_MEMORY, text=True, check=True)
    return {"LD_PRELOAD": str(library)}


NO_SHARED_MEMORY = """
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define MAP(name) \\
void *name(void *at, size_t length, int protection, int flags, int file, off_t from) { \\
    void *(*real)(void *, size_t, int, int, int, off_t) = dlsym(RTLD_NEXT, #name); \\
    char link[64], path[512]; \\
    snprintf(link, sizeof link, "/proc/self/fd/%d", file); \\
    ssize_t n = file < 0 ? -1 : readlink(link, path, sizeof path); \\
    if (n > 4 && !memcmp(path + n - 4, "-shm", 4)) { errno = ENODEV; return MAP_FAILED; } \\
    return real(at, length, protection, flags, file, from); \\
}
MAP(mmap) MAP(mmap64)
"""


def journal_mode(path: Path) -> str:
    """Return the journal mode that another program finds."""
    with closing(sqlite3.connect(path)) as db:
        return str(db.execute("PRAGMA journal_mode").fetchone()[0])


@pytest.mark.started
@pytest.mark.slow
def test_wal_program_works_without_shared_memory(
    seedream: Program, sandbox: Sandbox, no_shared_memory: dict[str, str]
) -> None:
    file = seedream.state / "history.sqlite3"
    # A new history, and one in WAL.
    assert seedream("generate", "a fox", env=no_shared_memory).exit_code == ExitCode.OK
    assert journal_mode(file) == "delete"
    file.unlink()
    assert seedream("generate", "an owl").exit_code == ExitCode.OK
    assert journal_mode(file) == "wal"
    # --sandbox has a history of its own.
    for more in ((), ("--sandbox",)):
        done = seedream("generate", "a fox", *more, env=no_shared_memory)
        assert (done.exit_code, len(done.paths)) == (ExitCode.OK, 1), done.stderr
        assert journal_mode(file) == "delete"
        assert not list(seedream.state.glob(".*"))
    # A program that could use WAL leaves the journal mode as it is: other programs may be running.
    assert seedream("generate", "a toad").exit_code == ExitCode.OK
    assert journal_mode(file) == "delete"
    listed = seedream("status", "--json", env=no_shared_memory).document["tasks"]
    assert len(listed) == sandbox.task_count() == 4


def without_shared_memory(path: Path) -> None:
    """Make the file's shared memory impossible to open."""
    # SQLite does not follow a symbolic link.
    Path(f"{path}-shm").symlink_to("elsewhere")


@pytest.mark.slow
def test_wal_file_is_converted_without_shared_memory(open_history: Open, path: Path, tmp_path: Path) -> None:
    with closing(History(path, now=Clock())) as history:
        history.record(operation(tmp_path, id="op_1"))
    without_shared_memory(path)
    # Neither keeps the file locked.
    first, second = open_history(), open_history()
    first.record(operation(tmp_path, id="op_2"))
    second.record(operation(tmp_path, id="op_3"))
    assert {found.id for found in first.recent(SERVICE, limit=9)} == {"op_1", "op_2", "op_3"}
    assert journal_mode(path) == "delete"


def test_wal_file_open_elsewhere_is_not_converted(
    open_history: Open, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path.parent.mkdir(parents=True)
    with subprocess.Popen(
        [sys.executable, "-c", KEEPER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == b"open\n"
        shared = Path(f"{path}-shm")
        shared.rename(shared.with_name("aside"))
        without_shared_memory(path)
        monkeypatch.setattr("seedream_cli.history.store._BUSY_TIMEOUT", 0.05)
        with pytest.raises(HistoryUnusable, match="another program holds it"):
            open_history()
        other.stdin.close()
    assert other.returncode == 0


KEEPER = """
import sqlite3, sys
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute("PRAGMA journal_mode = WAL")
db.execute("CREATE TABLE x (x)")
print("open", flush=True)
sys.stdin.read()
db.execute("INSERT INTO x VALUES (1)")
"""


# Unusable files


@pytest.mark.parametrize("has_shared_memory", [True, False])
def test_file_of_later_version_is_refused_unchanged(
    open_history: Open, path: Path, has_shared_memory: bool
) -> None:
    open_history().close()
    with another_program(path) as later:
        later.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    if not has_shared_memory:
        without_shared_memory(path)
    with pytest.raises(HistoryUnusable, match="later version") as caught:
        open_history()
    assert caught.value.hint == "pip install --upgrade apipod-seedream"
    assert caught.value.exit_code == ExitCode.NOT_SAVED
    assert path.read_bytes() == before


@pytest.mark.parametrize("content", [b"no database" * 1000, b"SQLite format 3\x00" + b"\xff" * 4096])
def test_corrupt_file_is_unchanged_and_hint_moves_it(tmp_path: Path, content: bytes) -> None:
    where = tmp_path / "my state" / "it's.sqlite3"
    where.parent.mkdir()
    where.write_bytes(content)
    # Its journal is moved as well.
    Path(f"{where}-journal").touch()
    with pytest.raises(HistoryUnusable) as caught:
        History(where, now=Clock())
    assert str(where) in caught.value.message
    moves = [shlex.split(move) for move in (caught.value.hint or "").split(" && ")]
    assert moves == [["mv", f"{where}{end}", f"{where}.broken{end}"] for end in ("", "-journal")]
    assert where.read_bytes() == content


@pytest.mark.parametrize("kind", ["the folder is a file", "the file is a folder"])
def test_unusable_path_is_reported_without_hint(open_history: Open, tmp_path: Path, kind: str) -> None:
    where = tmp_path / "place"
    if kind == "the folder is a file":
        where.write_text("here")
        where /= "history.sqlite3"
    else:
        where.mkdir()
    with pytest.raises(HistoryUnusable) as caught:
        open_history(where)
    assert str(where) in caught.value.message
    # Moving a history loses its idempotency keys, so it is only suggested for an unreadable one.
    assert caught.value.hint is None


def test_file_corrupted_later_is_refused(open_history: Open, path: Path, tmp_path: Path) -> None:
    history = open_history()
    for number in range(200):
        history.record(operation(tmp_path, id=f"op_{number:08}"))
    history.close()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(8192)
        file.write(os.urandom(size - 8192))
    broken = open_history()
    with pytest.raises(HistoryUnusable):
        broken.recent(SERVICE, limit=999)


#: Values that someone else may have written to a column.
STRANGE: list[object] = [
    *(None, "", "x", "\0", "/x\0", b"", b"\xff\xfe", 0, -1, 7, 2**62, 1.5, -1e300, 1e300, float("inf")),
    *("null", "3", "[]", "{}", "[3]", "[[]]", '["\\ud800"]', '"x"', "[" * 100_000, "9" * 5000, "NaN"),
    '{"prompt": 3, "model": "m", "aspect_ratio": "1:1", "quality": "2K"}',
    '{"prompt": "\\ud800", "model": "m", "aspect_ratio": "1:1", "quality": "2K"}',
    '{"prompt": "p", "model": [], "aspect_ratio": null, "quality": {}, "image_urls": 5}',
    '{"prompt": "p", "model": "m", "aspect_ratio": "1:1", "quality": "2K", "image_urls": [1]}',
    '{"prompt": "p", "model": "m", "aspect_ratio": "1:1", "quality": "2K", "callback_url": 1}',
]
COLUMNS = re.findall(
    r"^    (\w+) (?:TEXT|REAL|INTEGER)",
    re.sub(r"CREATE TABLE states \(.*?\);", "", SCHEMA, flags=re.DOTALL),
    re.MULTILINE,
)


@pytest.mark.parametrize("column", dict.fromkeys(COLUMNS))
def test_edited_row_is_an_operation_or_history_unusable(
    open_history: Open, path: Path, tmp_path: Path, column: str
) -> None:
    assert {*_OPERATION, "parts", "sidecar", "path", "sha256"} <= {*COLUMNS}
    history = open_history()
    history.record(operation(tmp_path, task_id="task_1", results=("u",), files=(saved(tmp_path),)))
    for value in STRANGE:
        for name in ("operations", "files"):
            # Not every table has the column, and some values violate a constraint.
            with closing(sqlite3.connect(path)) as other, suppress(sqlite3.Error), other:
                other.execute(f"UPDATE {name} SET {column} = ?", (value,))  # noqa: S608 - a name of the schema
        try:
            # All rows: the service may be another one now.
            found = history._select("1 = 1")
        except HistoryUnusable as error:
            assert str(path) in error.message
            assert (error.hint or "").startswith("mv ")
            continue
        for entry in found:
            use_operation(entry)
            history.record(entry)


def use_operation(entry: Operation) -> None:
    """Use an operation as commands do: format its paths, list it, and print it."""
    target = OutputTemplate(entry.output).target(fields_of(entry), number=1, several=False, extension="png")
    assert target.is_absolute()
    part_path(target, entry.id, 1)
    assert table([row_of(entry)], width=None)
    json.loads(to_json(task_document(entry, with_result=True)).encode("utf-8"))
    if entry.seconds is not None:
        format_duration(entry.seconds)
    if entry.request is not None:
        json.dumps(entry.request.body(), ensure_ascii=False).encode("utf-8")


# Durations


def test_durations_of_completed_tasks_of_the_same_kind(open_history: Open, tmp_path: Path) -> None:
    history = open_history()
    for number in (2, 3, 1):
        history.record(_lasting(tmp_path, number))
    others: list[dict[str, Any]] = [
        {"service": "elsewhere.test"},
        {"request": GenerationRequest("a fox", quality="4K")},
        {"request": GenerationRequest("a fox", model="seedream-5.0-lite")},
        {"request": GenerationRequest("a fox", image_urls=("u",))},
        {"status": "failed"},
        {"seconds": None},
    ]
    for number, other in enumerate(others, 4):
        history.record(replace(_lasting(tmp_path, number), **other))
    assert history.durations(SERVICE, KIND, limit=9) == [3.0, 2.0, 1.0]
    assert history.durations(SERVICE, KIND, limit=2) == [3.0, 2.0]


def test_durations_skip_edited_rows(open_history: Open, path: Path, tmp_path: Path) -> None:
    history = open_history()
    history.record(_lasting(tmp_path, 1))
    for column in ("seconds", "request", "status"):
        history.record(_lasting(tmp_path, 2))
        for value in STRANGE:
            with closing(sqlite3.connect(path)) as other, other:
                change = f"UPDATE operations SET {column} = ? WHERE id = 'op_00000002'"  # noqa: S608
                with suppress(sqlite3.IntegrityError):
                    other.execute(change, (value,))
            found = history.durations(SERVICE, KIND, limit=9)
            assert found[-1] == 1.0
            assert all(0 <= seconds < float("inf") for seconds in found)
        with closing(sqlite3.connect(path)) as other, other:
            other.execute("DELETE FROM operations WHERE id = 'op_00000002'")


def _lasting(folder: Path, number: int) -> Operation:
    ended = {"status": "completed", "seconds": float(number)}
    return replace(operation(folder), id=f"op_{number:08}", created=float(number), **ended)


def test_record_and_find_accept_any_time_of_a_response(open_history: Open, tmp_path: Path) -> None:
    """One response must not make a history of many paid tasks unreadable."""
    accepted = 1_800_000_000.0
    for completed_at in (0, 1_800_000_010, 99_999_999_999, 253_402_300_799):
        entry = operation(tmp_path, accepted=accepted, seconds=max(completed_at - accepted, 0.0))
        open_history().record(entry)
        assert open_history().find(SERVICE, entry.id) == entry
