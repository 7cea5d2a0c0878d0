"""The lockfile: one line per image, which git can merge, and atomic replacement of the file."""

from __future__ import annotations

import json
import os
import random
import re
import stat
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from seedream_cli.errors import ExitCode, InvalidLockfile, NotSaved, UsageError
from seedream_cli.files import atomic_write as atomic_write_module
from seedream_cli.files.atomic_write import atomic_write
from seedream_cli.sync.lockfile import Entry, Lockfile, format_lockfile, read_lockfile, resolve, timestamp

posix_only = pytest.mark.skipif(os.name != "posix", reason="permissions, links and locks of POSIX")

HERO = Entry("hero", 1, "d" * 64, 1, "assets/hero.png", "a" * 64, "img_1", "2026-11-22T17:45:01Z")
LINE = (
    '{"name": "hero", "number": 1, "digest": "' + "d" * 64 + '", "take": 1, "path": "assets/hero.png", '
    '"sha256": "' + "a" * 64 + '", "task_id": "img_1", "time": "2026-11-22T17:45:01Z"}'
)


def write(file: Path, entries: Iterable[Entry]) -> None:
    atomic_write(file, lambda: format_lockfile(entries))


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "seedream.lock"


Refuse = Callable[[str | bytes], list[str]]


@pytest.fixture
def refuse(file: Path) -> Refuse:
    """Return a function that reads an invalid lockfile and returns its problems, each as `line: key`."""

    def refuse(data: str | bytes) -> list[str]:
        file.write_bytes(data if isinstance(data, bytes) else data.encode("utf-8"))
        with pytest.raises(InvalidLockfile) as caught:
            read_lockfile(file)
        assert all(problem.what for problem in caught.value.problems)
        return [f"{problem.line}: {problem.key}" for problem in caught.value.problems]

    return refuse


def line_with(**values: Any) -> str:
    """Return LINE with other values. Keys whose value is ... are left out."""
    changed = {**json.loads(LINE), **values}
    return json.dumps({key: value for key, value in changed.items() if value is not ...})


def test_lockfile_is_sorted(file: Path) -> None:
    write(file, [HERO])
    assert file.read_text(encoding="utf-8") == LINE + "\n"
    keys = [("b", 2), ("a", 10), ("B", 1), ("a", 9), ("a-1", 1), ("b", 1), ("雪", 1)]
    write(file, [replace(HERO, name=name, number=number) for name, number in keys])
    assert [entry.key for entry in read_lockfile(file).entries] == sorted(keys)


def test_lockfile_is_not_ascii_escaped(file: Path) -> None:
    entry = replace(HERO, name="雪狐", path="images/雪狐.png", task_id='a"\u2028b')
    write(file, [entry])
    data = file.read_bytes()
    assert "雪狐.png".encode() in data
    assert data.count(b"\n") == 1
    assert read_lockfile(file).entries == (entry,)


def test_lockfile_ignores_blank_lines_crlf_and_bom(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf\r\n" + LINE.encode() + b"\r\n\n  \n" + line_with(number=2).encode())
    assert [entry.key for entry in read_lockfile(file).entries] == [("hero", 1), ("hero", 2)]


def test_lockfile_keeps_unknown_keys(file: Path) -> None:
    file.write_text(line_with(cost="0.035", note={"b": [1, None], "a": "雪"}))
    [entry] = read_lockfile(file).entries
    assert entry.extra == {"cost": "0.035", "note": {"b": [1, None], "a": "雪"}}
    write(file, [entry])
    assert file.read_text(encoding="utf-8").endswith(
        '"time": "2026-11-22T17:45:01Z", "cost": "0.035", "note": {"b": [1, null], "a": "雪"}}\n'
    )
    assert read_lockfile(file).entries == (entry,)


NAMES = st.text(st.characters(categories=["Ll", "Lo", "Nd"], max_codepoint=0x3FFFF), min_size=1, max_size=6)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
DIGESTS = st.integers(0, 2**256 - 1).map(lambda number: f"{number:064x}")
ENTRIES = st.builds(
    Entry,
    name=NAMES,
    number=st.integers(1, 1000),
    digest=DIGESTS,
    take=st.integers(1, 10**6),
    path=st.lists(NAMES, min_size=1, max_size=3).map("/".join),
    sha256=DIGESTS,
    task_id=st.none() | st.text(min_size=1, max_size=8),
    time=st.integers(0, 2**33).map(timestamp),
    extra=st.dictionaries(st.sampled_from(["cost", "note", "", "雪", "a b"]), JSON, max_size=2),
)


@given(st.lists(ENTRIES, min_size=1, max_size=4, unique_by=lambda entry: entry.key))
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_lockfile_round_trip(file: Path, entries: list[Entry]) -> None:
    write(file, entries)
    found = read_lockfile(file).entries
    assert found == tuple(sorted(entries, key=lambda entry: entry.key))
    assert format_lockfile(reversed(found)) == file.read_bytes()


@pytest.mark.parametrize(
    "line", ["{", "[1]", "7", "[" * 100_000, '{"number": ' + "1" * 5000 + "}", line_with(extra="\ud800")]
)
def test_lockfile_line_without_object(refuse: Refuse, line: str) -> None:
    assert refuse(f"{LINE}\n{line}\n") == ["2: "]


@pytest.mark.parametrize(
    ("key", "value"),
    [
        *(("name", value) for value in ("", "../x", "\u001b[2J", 7)),
        *(("number", value) for value in (0, True, 1.0, "1")),
        *(("take", value) for value in (-1, 2**80)),
        *(("digest", value) for value in ("D" * 64, "d" * 64 + "\n")),
        *(("sha256", value) for value in ("a" * 63, None)),
        *(("task_id", value) for value in (7, "")),
        *(("time", value) for value in ("2026-11-22", 1795371309.84, ...)),
        *(("path", value) for value in ("../x.png", "a/../../x.png", "/etc/x.png", "a\\b.png", "a/./b.png")),
        *(("path", value) for value in ("a//b.png", "a/", ".", "", None, "a\nb")),
    ],
)
def test_lockfile_values_refused(refuse: Refuse, key: str, value: Any) -> None:
    assert refuse(f"{LINE}\n{line_with(**{key: value})}\n") == [f"2: {key}"]


def test_lockfile_invalid_unicode(refuse: Refuse) -> None:
    assert refuse(LINE.encode() + b"\n\xff\xfe\n" + "雪".encode("utf-16-be") + b"\n") == ["2: ", "3: "]
    assert refuse(LINE.encode("utf-16-le")) != []


def test_lockfile_reports_all_mistakes(refuse: Refuse) -> None:
    found = refuse(f"no\n{LINE}\n{line_with(take=0, path='..', sha256=...)}\n{{}}")
    every_key = [f"4: {key}" for key in json.loads(LINE)]
    assert found == ["1: ", "3: take", "3: path", "3: sha256", *every_key]


def test_lockfile_merge_conflict_is_reported_once(refuse: Refuse) -> None:
    conflict = f"<<<<<<< HEAD\n{LINE}\n||||||| base\n=======\n{line_with(take=2)}\n>>>>>>> branch\n"
    assert refuse(f"{line_with(name='a')}\n{conflict}{conflict}") == ["2: ", "8: "]


def test_lockfile_mistakes_are_usage_error(file: Path, tmp_path: Path) -> None:
    file.write_text("no")
    with pytest.raises(InvalidLockfile, match=r"seedream\.lock:1: ") as caught:
        read_lockfile(file)
    assert (caught.value.exit_code, caught.value.code) == (ExitCode.USAGE, "invalid_lock")
    with pytest.raises(UsageError, match=re.escape(str(tmp_path))):
        read_lockfile(tmp_path)


def test_lockfile_duplicate_resolved_by_file() -> None:
    ours = replace(HERO, path="a.png", sha256="2" * 64, digest="f" * 64, time="2026-01-01T00:00:00Z")
    theirs = replace(HERO, path="b.png", sha256="1" * 64, digest="e" * 64, time="2026-01-02T00:00:00Z")

    def resolved(**digests: str) -> Entry:
        lockfile = Lockfile(Path("x"), (ours, theirs))
        return lockfile.resolved(lambda path: digests.get(path[0]))["hero", 1]

    assert resolved(a="2" * 64) == ours
    assert resolved(b="1" * 64) == theirs
    assert resolved(a="2" * 64, b="1" * 64) == theirs, "both files exist: the newest entry"
    assert resolved() == theirs, "no file exists: the newest entry"
    assert resolved(a="1" * 64, b="2" * 64) == theirs


@settings(max_examples=40, deadline=None)
@given(st.lists(ENTRIES, min_size=1, max_size=4), st.randoms(use_true_random=False))
def test_lockfile_duplicate_resolved_in_any_order(entries: list[Entry], chance: random.Random) -> None:
    candidates = [replace(entry, name="a", number=1, path="a.png", time=HERO.time) for entry in entries]
    shuffled = candidates.copy()
    chance.shuffle(shuffled)
    assert resolve(candidates, lambda path: None) == resolve(shuffled, lambda path: None)


def leftovers(file: Path) -> list[str]:
    return [name for name in os.listdir(file.parent) if name != file.name]


@posix_only
def test_lockfile_mode_and_symlink(file: Path, tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    target = tmp_path / "real/other.lock"
    file.symlink_to("real/other.lock")
    before = os.umask(0o027)
    try:
        write(file, [HERO])
    finally:
        os.umask(before)
    assert stat.S_IMODE(target.stat().st_mode) == 0o640
    target.chmod(0o604)
    write(file, [replace(HERO, take=2)])
    assert stat.S_IMODE(target.stat().st_mode) == 0o604
    assert file.is_symlink()
    assert read_lockfile(target).entries == read_lockfile(file).entries == (replace(HERO, take=2),)
    assert os.listdir(target.parent) == [target.name]


@pytest.mark.parametrize("stage", ["fsync", "replace"])
def test_lockfile_write_failure_keeps_old_file(
    file: Path, monkeypatch: pytest.MonkeyPatch, stage: str
) -> None:
    write(file, [HERO])

    def fail(*arguments: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, stage, fail)
        with pytest.raises(NotSaved, match="No space left on device"):
            write(file, [replace(HERO, take=2)])
    assert read_lockfile(file).entries == (HERO,)
    assert leftovers(file) == []


KILLED_WHILE_WRITING = """
import os, signal, sys
from pathlib import Path
from seedream_cli.files.atomic_write import atomic_write
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
atomic_write(Path(sys.argv[1]), lambda: b"{}")
"""


@posix_only
def test_lockfile_after_killed_write(file: Path) -> None:
    write(file, [HERO])
    subprocess.run([sys.executable, "-c", KILLED_WHILE_WRITING, str(file)], check=False)
    assert read_lockfile(file).entries == (HERO,)
    assert leftovers(file) == [".seedream.lock.part"]
    write(file, [replace(HERO, take=2)])
    assert leftovers(file) == []


@posix_only
def test_lockfile_wait_for_other_program_is_limited(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    monkeypatch.setattr(atomic_write_module, "_BUSY_TIMEOUT", 0.05)
    with open(file.parent / ".seedream.lock.part", "w") as part:
        fcntl.flock(part, fcntl.LOCK_EX)
        with pytest.raises(NotSaved, match=r"seedream\.lock"):
            write(file, [HERO])
    assert not file.exists()
