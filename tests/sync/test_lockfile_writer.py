"""Updates of the lockfile while other runs and git write it too: no line is lost."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from seedream_cli.errors import ExitCode, NotSaved, SeedreamError
from seedream_cli.files.partial_file import PartialFile
from seedream_cli.sync.lockfile import Entry, Lockfile, format_lockfile, read_lockfile
from seedream_cli.sync.lockfile_writer import LockfileWriter

HERO = Entry("hero", 1, "d" * 64, 1, "hero.png", "a" * 64, "img_1", "2026-11-22T17:45:01Z")
BADGE = replace(HERO, name="badge", path="badge.png", task_id="img_2")
CAT = replace(HERO, name="cat", path="cat.png", task_id="img_3")
DOG = replace(HERO, name="dog", path="dog.png", task_id="img_4")


Write = Callable[..., None]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "seedream.lock"


@pytest.fixture
def write(path: Path) -> Write:
    """Return a function that replaces the lockfile, as git or another program does."""

    def write(*entries: Entry) -> None:
        fresh = path.with_suffix(".fresh")
        fresh.write_bytes(format_lockfile(entries))
        os.replace(fresh, path)

    return write


def writer_for(path: Path) -> LockfileWriter:
    lockfile = read_lockfile(path)
    return LockfileWriter(lockfile, lockfile.resolved(lambda path: None))


def entries_in(path: Path) -> list[Entry]:
    return list(read_lockfile(path).entries)


def test_lockfile_writer_creates_file(path: Path) -> None:
    # A renamed image can have the name of the old one.
    writer_for(path).update({HERO.key: HERO}, [HERO.key])
    assert path.read_text() == f"{HERO.line}\n"


def test_lockfile_writer_keeps_changes_of_other_run(path: Path, write: Write) -> None:
    write(HERO)
    writer = writer_for(path)
    write(BADGE, HERO)
    writer.update({CAT.key: CAT})
    write(BADGE, CAT, DOG)
    writer.update({HERO.key: HERO})
    assert entries_in(path) == [BADGE, CAT, DOG, HERO]
    write(CAT, HERO)
    writer.update({DOG.key: DOG})
    assert entries_in(path) == [CAT, DOG, HERO]


def test_lockfile_writer_overrides_other_run_for_own_images(path: Path, write: Write) -> None:
    write(BADGE, HERO)
    before = path.read_bytes()
    writer = writer_for(path)
    newer = replace(HERO, take=2)
    writer.update({HERO.key: newer}, [BADGE.key])
    assert entries_in(path) == [newer]
    # A checkout brings the old lockfile back, and a merge leaves two lines for one image.
    path.write_bytes(before + replace(HERO, sha256="b" * 64).line.encode() + b"\n")
    writer.update({CAT.key: CAT})
    assert entries_in(path) == [CAT, newer]


def test_lockfile_writer_keeps_duplicates_of_other_images(path: Path, write: Write) -> None:
    write(BADGE)
    writer = writer_for(path)
    others = (replace(HERO, sha256="b" * 64), HERO)
    write(BADGE, *others)
    writer.update({CAT.key: CAT})
    assert entries_in(path) == [BADGE, CAT, *others]


def test_lockfile_writer_keeps_line_written_right_after_own(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, theirs = writer_for(path), writer_for(path)
    close = PartialFile.close

    def close_and_let_other_run_write(part: PartialFile) -> None:
        monkeypatch.undo()
        close(part)
        theirs.update({BADGE.key: BADGE})

    monkeypatch.setattr(PartialFile, "close", close_and_let_other_run_write)
    ours.update({HERO.key: HERO})
    ours.update({CAT.key: CAT})
    assert entries_in(path) == [BADGE, CAT, HERO]


@pytest.mark.parametrize("invalid", [b"<<<<<<< ours\n", b"{\n", b"\xff\n"])
def test_lockfile_writer_leaves_invalid_file_until_repaired(path: Path, write: Write, invalid: bytes) -> None:
    write(HERO)
    writer = writer_for(path)
    in_conflict = path.read_bytes() + invalid + BADGE.line.encode() + b"\n"
    path.write_bytes(in_conflict)
    with pytest.raises(SeedreamError) as caught:
        writer.update({CAT.key: CAT}, [HERO.key])
    assert caught.value.exit_code == ExitCode.USAGE
    assert path.read_bytes() == in_conflict
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    # The update that failed is written too, after the repair.
    write(BADGE, HERO)
    writer.update({DOG.key: DOG})
    assert entries_in(path) == [BADGE, CAT, DOG]


def test_lockfile_writer_removes_duplicates(path: Path, write: Write) -> None:
    on_disk = replace(HERO, sha256="b" * 64, time="2025-01-01T00:00:00Z")
    write(BADGE, HERO, on_disk)
    lockfile = read_lockfile(path)
    LockfileWriter(lockfile, lockfile.resolved({"hero.png": "b" * 64}.get)).tidy()
    assert entries_in(path) == [BADGE, on_disk]


def test_lockfile_writer_has_reads_current_file(path: Path, write: Write) -> None:
    write(HERO)
    writer = writer_for(path)
    assert writer.has_path("hero.png")
    assert not writer.has_path("badge.png")
    write(BADGE)
    writer.update({CAT.key: CAT})
    present = [name for name in ("hero.png", "badge.png", "cat.png") if writer.has_path(name)]
    assert present == ["badge.png", "cat.png"]


def test_lockfile_writer_writes_entry_of_failed_update_with_the_next(path: Path, write: Write) -> None:
    write(HERO)
    writer = writer_for(path)
    # A partial file cannot be created here.
    in_the_way = path.with_name(f".{path.name}.part")
    in_the_way.mkdir()
    with pytest.raises(NotSaved):
        writer.update({BADGE.key: BADGE})
    in_the_way.rmdir()
    writer.update({CAT.key: CAT})
    assert entries_in(path) == [BADGE, CAT, HERO]


def test_lockfile_writer_unwritable_file(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(NotSaved):
        LockfileWriter(Lockfile(tmp_path / "folder" / "seedream.lock"), {}).update({HERO.key: HERO})
