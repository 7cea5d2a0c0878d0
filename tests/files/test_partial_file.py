"""PartialFile: a file appears whole or not at all, and never replaces another one unasked."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.images import JPEG, png

from seedream_cli.errors import ExitCode, ImageDamaged, InvalidOutput, NotSaved
from seedream_cli.files.partial_file import (
    PartialFile,
    ensure_writable,
    move_file,
    saved_file_from_disk,
    sha256_of,
)

posix = pytest.mark.skipif(os.name == "nt", reason="about POSIX file systems")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture
def part(folder: Path) -> PartialFile:
    return PartialFile(folder / ".seedream-op_1-1.part")


def save(part: PartialFile, target: Path, image: bytes, *, overwrite: bool = False) -> Path:
    with part:
        part.write(image)
        part.verify(len(image))
        return part.move_to(target, overwrite=overwrite)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


# A complete image


def test_move_to_shows_only_a_complete_file(
    folder: Path, part: PartialFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = png()
    flushed: list[tuple[int, bool]] = []
    flush = os.fsync

    def note(descriptor: int) -> None:
        flushed.append((os.fstat(descriptor).st_size, (folder / "fox.png").exists()))
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    with part:
        # Each attempt starts from the beginning.
        part.write(b"half an ima")
    with part:
        for start in range(0, len(image), 10):
            part.write(image[start : start + 10])
            assert names(folder) == [part.path.name]
        part.verify(None)
        status = part.status
        assert part.move_to(folder / "fox.png", overwrite=False) == folder / "fox.png"
    assert (folder / "fox.png").read_bytes() == image
    # It was flushed before it got its name.
    assert flushed == [(len(image), False)]
    assert (part.size, part.sha256) == (len(image), hashlib.sha256(image).hexdigest())
    assert names(folder) == ["fox.png"]
    moved = (folder / "fox.png").stat()
    known = (status.st_ino, status.st_size, status.st_mtime_ns)
    assert known == (moved.st_ino, len(image), moved.st_mtime_ns)


@pytest.mark.parametrize(("image", "kind", "size"), [(png(), "png", (4, 3)), (JPEG, "jpeg", (1, 1))])
def test_verify_returns_format_and_size(
    part: PartialFile, image: bytes, kind: str, size: tuple[int, int]
) -> None:
    with part:
        part.write(image)
        for announced in (len(image), None):
            info = part.verify(announced)
            assert (info.kind, (info.width, info.height)) == (kind, size)


@pytest.mark.parametrize(
    ("content", "announced", "why"),
    [
        (png(), len(png()) + 1, r"\d+ of \d+ bytes"),
        (png(), 3, r"\d+ of 3 bytes"),
        (png()[:-12], None, "ends before"),
        (JPEG[:-2], len(JPEG) - 2, "ends before"),
        (b"<html>", 6, "not a PNG, JPEG or WebP"),
        (b"", 0, "empty"),
    ],
)
def test_verify_rejects_an_incomplete_image(
    folder: Path, part: PartialFile, content: bytes, announced: int | None, why: str
) -> None:
    with part:
        part.write(content)
        with pytest.raises(ImageDamaged, match=why) as caught:
            part.verify(announced)
    assert (caught.value.transient, caught.value.exit_code) == (True, ExitCode.NOT_SAVED)
    assert names(folder) == []


@posix
def test_move_to_follows_the_umask_and_creates_missing_folders(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        saved = save(PartialFile(tmp_path / "a" / "b" / ".part"), tmp_path / "c" / "d" / "fox.png", png())
    finally:
        os.umask(before)
    assert saved.stat().st_mode & 0o777 == 0o640


# Names that are taken


def test_move_to_does_not_overwrite(folder: Path, part: PartialFile) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    (folder / "fox-2.png").write_bytes(b"mine too")
    assert save(part, folder / "fox.png", png()) == folder / "fox-3.png"
    assert (folder / "fox.png").read_bytes() == b"mine"
    assert names(folder) == ["fox-2.png", "fox-3.png", "fox.png"]


@pytest.mark.parametrize("name", ["fox.png", "fox-2.png"])
def test_move_to_adopts_an_existing_file_with_the_same_bytes(
    folder: Path, part: PartialFile, name: str
) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    (folder / name).write_bytes(png())
    before = names(folder)
    assert save(part, folder / "fox.png", png()) == folder / name
    assert names(folder) == before


def test_move_to_overwrites_only_with_a_verified_image(folder: Path, part: PartialFile) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"old")
    with pytest.raises(ImageDamaged):
        save(part, folder / "fox.png", b"half", overwrite=True)
    assert (folder / "fox.png").read_bytes() == b"old"
    assert save(part, folder / "fox.png", png(), overwrite=True) == folder / "fox.png"
    assert (folder / "fox.png").read_bytes() == png()
    assert names(folder) == ["fox.png"]


@posix
def test_move_to_leaves_a_symlink_or_a_folder_alone(folder: Path, part: PartialFile) -> None:
    (folder / "dir.png").mkdir(parents=True)
    (folder / "fox.png").symlink_to(folder / "elsewhere.png")
    for name in ("fox", "dir"):
        assert save(part, folder / f"{name}.png", png()) == folder / f"{name}-2.png"
    with pytest.raises(NotSaved, match="cannot write"):
        save(part, folder / "dir.png", png(), overwrite=True)
    assert names(folder) == ["dir-2.png", "dir.png", "fox-2.png", "fox.png"]
    assert (folder / "fox.png").is_symlink()


def refuse(monkeypatch: pytest.MonkeyPatch, name: str, number: int) -> None:
    """Have the system refuse these calls."""

    def call(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, name, call)


@posix
@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_move_to_works_without_hard_links(
    folder: Path, part: PartialFile, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    refuse(monkeypatch, "link", number)
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    assert save(part, folder / "fox.png", png()) == folder / "fox-2.png"
    assert (folder / "fox-2.png").read_bytes() == png()
    # move_file works without hard links too.
    move_file(folder / "fox.png", folder / "cat.png")
    assert names(folder) == ["cat.png", "fox-2.png"]
    with pytest.raises(NotSaved, match="is taken"):
        move_file(folder / "fox-2.png", folder / "cat.png")
    assert (folder / "cat.png").read_bytes() == b"mine"
    assert (folder / "fox-2.png").read_bytes() == png()
    # A name that was reserved is released if the move fails.
    refuse(monkeypatch, "replace", errno.EIO)
    with pytest.raises(NotSaved):
        save(part, folder / "owl.png", png())
    assert names(folder) == ["cat.png", "fox-2.png"]


@posix
def test_move_to_without_beside_raises_if_the_name_is_taken(folder: Path) -> None:
    def put(name: str) -> Path:
        with PartialFile(folder / ".part") as part:
            part.write(png())
            part.verify(None)
            return part.move_to(folder / name, overwrite=False, beside=False)

    # The second time, the file exists already, with the same bytes.
    assert put("fox.png") == put("fox.png") == folder / "fox.png"
    (folder / "taken.png").write_bytes(b"mine")
    (folder / "link.png").symlink_to(folder / "elsewhere.png")
    for name in ("taken.png", "link.png"):
        with pytest.raises(NotSaved, match="is taken") as caught:
            put(name)
        assert caught.value.code == "taken"
    assert (folder / "taken.png").read_bytes() == b"mine"
    assert names(folder) == ["fox.png", "link.png", "taken.png"]


@posix
@pytest.mark.parametrize("overwrite", [True, False])
def test_move_to_flushes_before_the_name_is_visible(folder: Path, part: PartialFile, overwrite: bool) -> None:
    """Flush the last bytes too, in case the run is killed right after the move."""
    with part:
        part.write(b"a small file")
        part.move_to(folder / "lock", overwrite=overwrite)
        assert (folder / "lock").read_bytes() == b"a small file"


# Moving an existing file


@posix
def test_move_file_does_not_overwrite(folder: Path) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    moved = folder / "a" / "b" / "fox.png"
    move_file(folder / "fox.png", moved)
    assert names(folder) == ["a"]
    assert moved.read_bytes() == b"mine"
    # Even with the same bytes: one of the two files would be lost.
    (folder / "cat.png").write_bytes(b"mine")
    with pytest.raises(NotSaved, match="is taken") as caught:
        move_file(moved, folder / "cat.png")
    assert caught.value.code == "taken"
    assert moved.exists()
    with pytest.raises(NotSaved, match="cannot be moved"):
        move_file(folder / "gone.png", folder / "dog.png")
    # A move that was killed halfway is finished.
    os.link(folder / "cat.png", folder / "dog.png")
    move_file(folder / "cat.png", folder / "dog.png")
    assert names(folder) == ["a", "dog.png"]
    assert (folder / "dog.png").read_bytes() == b"mine"


@posix
def test_move_file_that_fails_leaves_the_file_in_place(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep it if the target is on another file system, as a folder of a project can be."""
    refuse(monkeypatch, "link", errno.EXDEV)
    refuse(monkeypatch, "replace", errno.EXDEV)
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    with pytest.raises(NotSaved, match="cannot be moved") as caught:
        move_file(folder / "fox.png", folder / "cat.png")
    assert caught.value.code == "cannot_write"
    assert names(folder) == ["fox.png"]


# Many programs and threads at once


def test_move_to_one_name_from_many_threads_keeps_every_image(folder: Path) -> None:
    ready = threading.Barrier(8)

    def one(number: int) -> Path:
        with PartialFile(folder / f".seedream-op_{number}-1.part") as part:
            part.write(png(shade=number))
            part.verify(None)
            ready.wait()
            return part.move_to(folder / "fox.png", overwrite=False)

    with ThreadPoolExecutor(8) as pool:
        saved = list(pool.map(one, range(8)))
    assert len(set(saved)) == len(names(folder)) == 8
    assert [path.read_bytes() for path in saved] == [png(shade=number) for number in range(8)]


HOLDER = """
import sys
from pathlib import Path
from seedream_cli.files.partial_file import PartialFile
with PartialFile(Path(sys.argv[1])) as part:
    part.write(b"half an image")
    part._open.flush()
    print("ready", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def python(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Start a process, and yield it when it has printed "ready". It ends when it reads a line."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[1]), *sys.path])}
    process = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        yield process
    finally:
        process.communicate(timeout=30)


@posix
def test_partial_file_is_busy_while_another_program_writes_it(folder: Path, part: PartialFile) -> None:
    with python(HOLDER, part.path):
        with pytest.raises(NotSaved, match="another program") as caught:
            save(part, folder / "fox.png", png())
        assert (caught.value.code, caught.value.transient) == ("busy", False)
        assert names(folder) == [part.path.name]
    assert names(folder) == []


@posix
def test_remove_stale_part_of_a_killed_run(folder: Path, part: PartialFile) -> None:
    with python(HOLDER, part.path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=30)
    assert names(folder) == [part.path.name]
    assert save(part, folder / "fox.png", png()).read_bytes() == png()
    assert names(folder) == ["fox.png"]


@posix
def test_close_does_not_remove_the_part_of_another_run(folder: Path, part: PartialFile) -> None:
    """Leave it: after the move, another run may have created its own under this name."""
    other = PartialFile(part.path)
    with part:
        part.write(png())
        part.move_to(folder / "fox.png", overwrite=True)
        other.__enter__()
    assert names(folder) == [part.path.name, "fox.png"]
    other.__exit__(None, None, None)
    assert names(folder) == ["fox.png"]


def test_many_runs_of_one_operation_save_one_image(folder: Path) -> None:
    def one(number: int) -> str:
        try:
            save(PartialFile(folder / ".part"), folder / "fox.png", png())
        except NotSaved as error:
            return error.code
        return "saved"

    with ThreadPoolExecutor(6) as pool:
        outcomes = set(pool.map(one, range(120)))
    assert "saved" in outcomes <= {"saved", "busy"}
    assert names(folder) == ["fox.png"]


@posix
@pytest.mark.parametrize("is_there", [True, False])
def test_partial_file_does_not_follow_a_symlink(
    folder: Path, part: PartialFile, tmp_path: Path, is_there: bool
) -> None:
    precious = tmp_path / "precious.txt"
    if is_there:
        precious.write_text("do not touch")
    folder.mkdir()
    part.path.symlink_to(precious)
    assert save(part, folder / "fox.png", png()).read_bytes() == png()
    assert not (folder / "fox.png").is_symlink()
    assert names(folder) == ["fox.png"]
    assert precious.exists() is is_there
    assert not is_there or precious.read_text() == "do not touch"


# Errors of the file system

FULL = """
import resource, signal, sys
from pathlib import Path
from support.images import png
from seedream_cli.files.partial_file import PartialFile
from seedream_cli.errors import NotSaved
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
folder = Path(sys.argv[1])
image = png(width=2000, height=2000)
image = image[:-12] + bytes(300_000) + image[-12:]
part = PartialFile(folder / ".part")
try:
    with part:
        for start in range(0, len(image), int(sys.argv[3])):
            part.write(image[start : start + int(sys.argv[3])])
        part.verify(None)
        part.move_to(folder / "fox.png", overwrite=False)
except NotSaved as error:
    print("ready", flush=True)
    print(error.code, error.message)
"""


@posix
@pytest.mark.parametrize("size", [1000, 1_000_000], ids=["in small pieces", "at once"])
@pytest.mark.parametrize("limit", [0, 5000, 200_000])
def test_full_disk_raises_and_leaves_nothing(folder: Path, limit: int, size: int) -> None:
    with python(FULL, folder, limit, size) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"cannot_write cannot write in {folder}: ")
    assert process.returncode == 0
    assert names(folder) == []


@posix
def test_move_to_a_target_that_cannot_be_written_leaves_nothing(folder: Path, part: PartialFile) -> None:
    folder.mkdir()
    (folder / "file").write_text("here")
    with pytest.raises(NotSaved, match="cannot write") as caught, PartialFile(folder / "file" / ".part"):
        pytest.fail("unreachable")
    assert caught.value.code == "cannot_write"
    for target in (folder / "file" / "fox.png", folder / ("x" * 300 + ".png")):
        with pytest.raises(NotSaved, match="cannot write"):
            save(part, target, png())
    assert names(folder) == ["file"]


@posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="root can write anywhere")
def test_move_to_a_read_only_folder_raises(folder: Path, part: PartialFile) -> None:
    folder.mkdir(mode=0o500)
    with pytest.raises(NotSaved, match="cannot write"):
        save(part, folder / "fox.png", png())


@pytest.mark.parametrize("problem", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_partial_file_is_removed_after_any_exception(
    folder: Path, part: PartialFile, problem: type[BaseException]
) -> None:
    with pytest.raises(problem), part:
        raise problem
    assert names(folder) == []


def test_move_to_raises_if_the_part_has_vanished(folder: Path, part: PartialFile) -> None:
    with part:
        part.write(png())
        part.path.unlink()
        with pytest.raises(NotSaved):
            part.move_to(folder / "fox.png", overwrite=False)
    assert names(folder) == []


# Trying a folder, describing a file


@pytest.fixture(params=["unnamed", "named"])
def trial(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run the test with unnamed files, which Linux removes by itself, and with named ones."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)


@pytest.mark.usefixtures("trial")
def test_ensure_writable_creates_the_folder(tmp_path: Path) -> None:
    folder = tmp_path / "a" / "b"
    for _ in range(2):
        ensure_writable(folder / ".trial")
        assert names(folder) == []
    # Another program may be saving there.
    with PartialFile(folder / ".trial"):
        ensure_writable(folder / ".trial")
        assert names(folder) == [".trial"]
    (tmp_path / "file").write_text("here")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidOutput, match="no folder"):
            ensure_writable(folder / ".trial")


@pytest.mark.usefixtures("trial")
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_ensure_writable_tries_instead_of_reading_permissions() -> None:
    with pytest.raises(InvalidOutput, match="cannot write in /proc"):
        ensure_writable(Path("/proc/.trial"))


def test_saved_file_from_disk_image_or_not(tmp_path: Path) -> None:
    for content, known in ((png(), ("image/png", 4, 3)), (b"words", (None, None, None))):
        (tmp_path / "fox").write_bytes(content)
        found = saved_file_from_disk(tmp_path / "fox")
        assert (found.media_type, found.width, found.height) == known
        assert (found.bytes, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())
        assert sha256_of(tmp_path / "fox") == found.sha256
    for path in (tmp_path, tmp_path / "absent"):
        assert sha256_of(path) is None
        with pytest.raises(NotSaved, match="cannot be read"):
            saved_file_from_disk(path)
