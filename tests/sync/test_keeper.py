"""The lock while several write on it: nobody's line is lost, whoever comes in between."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from msgspec.structs import replace

from seedream_cli.download import Part
from seedream_cli.errors import ExitCode, NotSaved, SeedreamError
from seedream_cli.sync import lock
from seedream_cli.sync.keeper import Keeper
from seedream_cli.sync.lock import Entry, text_of

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
        fresh.write_bytes(text_of(entries))
        os.replace(fresh, path)

    return write


Write = Callable[..., None]


def keeper_of(path: Path) -> Keeper:
    found = lock.read(path)
    return Keeper(found, found.resolved(lambda path: None))


def entries_in(path: Path) -> list[Entry]:
    return list(lock.read(path).entries)


def test_a_first_line_makes_the_lock_also_in_place_of_one_that_goes(path: Path) -> None:
    """An image that takes over the line of another may have its very name."""
    keeper_of(path).change({HERO.key: HERO}, [HERO.key])
    assert path.read_text() == f"{HERO.line}\n"


def test_what_another_run_wrote_or_took_out_meanwhile_stays_so(path: Path, write: Write) -> None:
    write(HERO)
    keeper = keeper_of(path)
    write(BADGE, HERO)
    keeper.change({CAT.key: CAT})
    write(BADGE, CAT, DOG)
    keeper.change({HERO.key: HERO})
    assert entries_in(path) == [BADGE, CAT, DOG, HERO]
    write(CAT, HERO)
    keeper.change({DOG.key: DOG})
    assert entries_in(path) == [CAT, DOG, HERO]


def test_of_its_own_images_a_run_s_word_counts(path: Path, write: Write) -> None:
    """Also where something brings the old lock back, such as a checkout."""
    write(BADGE, HERO)
    before = path.read_bytes()
    keeper = keeper_of(path)
    newer = replace(HERO, take=2)
    keeper.change({HERO.key: newer}, [BADGE.key])
    assert entries_in(path) == [newer]
    path.write_bytes(before)
    keeper.change({CAT.key: CAT})
    assert entries_in(path) == [CAT, newer]


def test_two_lines_of_a_merge_meanwhile_are_left_for_a_plan_to_choose(path: Path, write: Write) -> None:
    write(BADGE)
    keeper = keeper_of(path)
    others = (replace(HERO, sha256="b" * 64), HERO)
    write(BADGE, *others)
    keeper.change({CAT.key: CAT})
    assert entries_in(path) == [BADGE, CAT, *others]


def test_a_line_that_comes_right_behind_a_run_s_own_writing_stays(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between a run's writing and its next look at the file, another run may write."""
    ours, theirs = keeper_of(path), keeper_of(path)
    close = Part.close

    def another_run_writes(part: Part) -> None:
        monkeypatch.undo()
        close(part)
        theirs.change({BADGE.key: BADGE})

    monkeypatch.setattr(Part, "close", another_run_writes)
    ours.change({HERO.key: HERO})
    ours.change({CAT.key: CAT})
    assert entries_in(path) == [BADGE, CAT, HERO]


def test_no_line_is_made_into_text_more_than_once_however_often_the_lock_is_written(
    path: Path, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run of thousands writes the whole lock for each that lands."""
    known = [replace(HERO, name=f"known-{number:03}") for number in range(100)]
    write(*known)
    made: list[str] = []
    text_of_line = lock.line_of

    def line_of(entry: Entry) -> bytes:
        made.append(entry.name)
        return text_of_line(entry)

    monkeypatch.setattr("seedream_cli.sync.keeper.line_of", line_of)
    keeper = keeper_of(path)
    fresh = [replace(HERO, name=f"fresh-{number:03}") for number in range(50)]
    for entry in fresh:
        keeper.change({entry.key: entry})
    assert sorted(made) == [entry.name for entry in [*fresh, *known]]
    assert entries_in(path) == [*fresh, *known]


def test_runs_that_write_at_once_lose_nothing(path: Path) -> None:
    names = [f"{who}{number:02}" for who in "abcd" for number in range(10)]
    together = threading.Barrier(4)
    problems: list[BaseException] = []

    def run(who: str) -> None:
        keeper = keeper_of(path)
        together.wait()
        try:
            for name in names:
                if name.startswith(who):
                    keeper.change({(name, 1): replace(HERO, name=name)})
        except BaseException as problem:
            problems.append(problem)

    runs = [threading.Thread(target=run, args=(who,)) for who in "abcd"]
    for one in runs:
        one.start()
    for one in runs:
        one.join()
    assert problems == []
    assert [entry.name for entry in entries_in(path)] == names


@pytest.mark.parametrize("spoiled", [b"<<<<<<< ours\n", b"{\n", b"\xff\n"])
def test_a_lock_that_is_spoiled_meanwhile_is_left_alone_until_it_is_well_again(
    path: Path, write: Write, spoiled: bytes
) -> None:
    write(HERO)
    keeper = keeper_of(path)
    in_conflict = path.read_bytes() + spoiled + BADGE.line.encode() + b"\n"
    path.write_bytes(in_conflict)
    with pytest.raises(SeedreamError) as caught:
        keeper.change({CAT.key: CAT}, [HERO.key])
    assert caught.value.exit_code == ExitCode.USAGE
    assert path.read_bytes() == in_conflict
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    # What it did not take is written then.
    write(BADGE, HERO)
    keeper.change({DOG.key: DOG})
    assert entries_in(path) == [BADGE, CAT, DOG]


def test_what_a_merge_left_twice_is_tidied(path: Path, write: Write) -> None:
    on_disk = replace(HERO, sha256="b" * 64, time="2025-01-01T00:00:00Z")
    write(BADGE, HERO, on_disk)
    found = lock.read(path)
    Keeper(found, found.resolved({"hero.png": "b" * 64}.get)).tidy()
    assert entries_in(path) == [BADGE, on_disk]


def test_whose_file_a_path_is_comes_from_the_lock_as_it_is_now(path: Path, write: Write) -> None:
    write(HERO)
    keeper = keeper_of(path)
    assert keeper.has("hero.png")
    assert not keeper.has("badge.png")
    write(BADGE)
    keeper.change({CAT.key: CAT})
    assert [keeper.has(each) for each in ("hero.png", "badge.png", "cat.png")] == [False, True, True]


@pytest.mark.skipif(os.name != "posix", reason="modes and links are POSIX")
def test_the_lock_keeps_its_mode_and_stays_a_link(path: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    real = tmp_path / "elsewhere" / "real.lock"
    real.touch(mode=0o640)
    real.chmod(0o640)
    path.symlink_to(real)
    keeper_of(path).change({HERO.key: HERO})
    assert path.is_symlink()
    assert real.stat().st_mode & 0o777 == 0o640
    assert entries_in(real) == [HERO]


def test_a_lock_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "folder").touch()
    with pytest.raises(NotSaved):
        Keeper(lock.Lock(tmp_path / "folder" / "seedream.lock"), {}).change({HERO.key: HERO})
