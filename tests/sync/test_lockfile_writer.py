"""The lock while several write on it: nobody's line is lost, whoever comes in between."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from seedream_cli.errors import ExitCode, NotSaved, SeedreamError
from seedream_cli.files.partial_file import PartialFile
from seedream_cli.sync import lockfile as lock
from seedream_cli.sync.lockfile import Entry, format_lockfile
from seedream_cli.sync.lockfile_writer import LockfileWriter

HERO = Entry("hero", 1, "d" * 64, 1, "hero.png", "a" * 64, "img_1", "2026-11-22T17:45:01Z")
BADGE = replace(HERO, name="badge", path="badge.png", task_id="img_2")
CAT = replace(HERO, name="cat", path="cat.png", task_id="img_3")
DOG = replace(HERO, name="dog", path="dog.png", task_id="img_4")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seedream.lock"


@pytest.fixture
def write(path: Path) -> Callable[..., None]:
    """Put these lines into the lock, as git or another program does."""

    def write(*entries: Entry) -> None:
        fresh = path.with_suffix(".fresh")
        fresh.write_bytes(format_lockfile(entries))
        os.replace(fresh, path)

    return write


Write = Callable[..., None]


def keeper_of(path: Path) -> LockfileWriter:
    found = lock.read(path)
    return LockfileWriter(found, found.resolved(lambda path: None))


def entries_in(path: Path) -> list[Entry]:
    return list(lock.read(path).entries)


def test_lockfile_writer_creates_file(path: Path) -> None:
    """An image that takes over the line of another may have its very name."""
    keeper_of(path).update({HERO.key: HERO}, [HERO.key])
    assert path.read_text() == f"{HERO.line}\n"


def test_lockfile_writer_keeps_changes_of_other_run(path: Path, write: Write) -> None:
    write(HERO)
    lockfile_writer = keeper_of(path)
    write(BADGE, HERO)
    lockfile_writer.update({CAT.key: CAT})
    write(BADGE, CAT, DOG)
    lockfile_writer.update({HERO.key: HERO})
    assert entries_in(path) == [BADGE, CAT, DOG, HERO]
    write(CAT, HERO)
    lockfile_writer.update({DOG.key: DOG})
    assert entries_in(path) == [CAT, DOG, HERO]


def test_lockfile_writer_overrides_other_run_for_own_images(path: Path, write: Write) -> None:
    """Also where something brings the old lock back, such as a checkout."""
    write(BADGE, HERO)
    before = path.read_bytes()
    lockfile_writer = keeper_of(path)
    newer = replace(HERO, take=2)
    lockfile_writer.update({HERO.key: newer}, [BADGE.key])
    assert entries_in(path) == [newer]
    # And a merge leaves two lines for one.
    path.write_bytes(before + replace(HERO, sha256="b" * 64).line.encode() + b"\n")
    lockfile_writer.update({CAT.key: CAT})
    assert entries_in(path) == [CAT, newer]


def test_lockfile_writer_keeps_duplicates_of_other_images(path: Path, write: Write) -> None:
    write(BADGE)
    lockfile_writer = keeper_of(path)
    others = (replace(HERO, sha256="b" * 64), HERO)
    write(BADGE, *others)
    lockfile_writer.update({CAT.key: CAT})
    assert entries_in(path) == [BADGE, CAT, *others]


def test_lockfile_writer_keeps_line_written_right_after_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a run's writing and its next look at the file, another run may write."""
    ours, theirs = keeper_of(path), keeper_of(path)
    close = PartialFile.close

    def another_run_writes(part: PartialFile) -> None:
        monkeypatch.undo()
        close(part)
        theirs.update({BADGE.key: BADGE})

    monkeypatch.setattr(PartialFile, "close", another_run_writes)
    ours.update({HERO.key: HERO})
    ours.update({CAT.key: CAT})
    assert entries_in(path) == [BADGE, CAT, HERO]


@pytest.mark.parametrize("spoiled", [b"<<<<<<< ours\n", b"{\n", b"\xff\n"])
def test_lockfile_writer_waits_for_valid_file(path: Path, write: Write, spoiled: bytes) -> None:
    write(HERO)
    lockfile_writer = keeper_of(path)
    in_conflict = path.read_bytes() + spoiled + BADGE.line.encode() + b"\n"
    path.write_bytes(in_conflict)
    with pytest.raises(SeedreamError) as caught:
        lockfile_writer.update({CAT.key: CAT}, [HERO.key])
    assert caught.value.exit_code == ExitCode.USAGE
    assert path.read_bytes() == in_conflict
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    # What it did not take is written then.
    write(BADGE, HERO)
    lockfile_writer.update({DOG.key: DOG})
    assert entries_in(path) == [BADGE, CAT, DOG]


def test_lockfile_writer_removes_duplicates(path: Path, write: Write) -> None:
    on_disk = replace(HERO, sha256="b" * 64, time="2025-01-01T00:00:00Z")
    write(BADGE, HERO, on_disk)
    found = lock.read(path)
    LockfileWriter(found, found.resolved({"hero.png": "b" * 64}.get)).tidy()
    assert entries_in(path) == [BADGE, on_disk]


def test_lockfile_writer_has_reads_current_file(path: Path, write: Write) -> None:
    write(HERO)
    lockfile_writer = keeper_of(path)
    assert lockfile_writer.has("hero.png")
    assert not lockfile_writer.has("badge.png")
    write(BADGE)
    lockfile_writer.update({CAT.key: CAT})
    assert [lockfile_writer.has(each) for each in ("hero.png", "badge.png", "cat.png")] == [False, True, True]


def test_lockfile_writer_unwritable_file(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(NotSaved):
        LockfileWriter(lock.Lock(tmp_path / "folder" / "seedream.lock"), {}).update({HERO.key: HERO})
