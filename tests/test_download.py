"""A file appears whole or not at all, and never over another one."""

from __future__ import annotations

import errno
import hashlib
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.images import JPEG, png

from seedream_cli.download import Part, check_folder, describe, move_file, sha256_of
from seedream_cli.errors import ExitCode, ImageDamaged, InvalidOutput, NotSaved

posix = pytest.mark.skipif(os.name == "nt", reason="about POSIX file systems")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "pictures"


@pytest.fixture
def part(folder: Path) -> Part:
    return Part(folder / ".seedream-op_1-1.part")


def save(part: Part, target: Path, image: bytes, *, overwrite: bool = False) -> Path:
    with part:
        part.write(image)
        part.verify(len(image))
        return part.move_to(target, overwrite=overwrite)


def names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())


# A whole image


def test_an_image_is_saved_whole(folder: Path, part: Part) -> None:
    image = png()
    assert save(part, folder / "fox.png", image) == folder / "fox.png"
    assert (folder / "fox.png").read_bytes() == image
    assert part.size == len(image)
    assert part.sha256 == hashlib.sha256(image).hexdigest()
    assert names(folder) == ["fox.png"]


def test_the_target_is_not_there_before_it_is_whole(folder: Path, part: Part) -> None:
    image = png()
    with part:
        for start in range(0, len(image), 10):
            part.write(image[start : start + 10])
            assert names(folder) == [part.path.name]
        part.verify(None)
        part.move_to(folder / "fox.png", overwrite=False)
    assert names(folder) == ["fox.png"]


@pytest.mark.parametrize(("image", "kind", "size"), [(png(), "png", (4, 3)), (JPEG, "jpeg", (1, 1))])
@pytest.mark.parametrize("announced", [True, False])
def test_an_image_is_verified_by_its_own_end(
    part: Part, image: bytes, kind: str, size: tuple[int, int], announced: bool
) -> None:
    with part:
        part.write(image)
        info = part.verify(len(image) if announced else None)
    assert (info.kind, (info.width, info.height)) == (kind, size)


@pytest.mark.parametrize(
    ("content", "announced", "why"),
    [
        pytest.param(png(), len(png()) + 1, r"\d+ of \d+ bytes", id="fewer bytes than announced"),
        pytest.param(png(), 3, r"\d+ of 3 bytes", id="more bytes than announced"),
        pytest.param(png()[:-12], None, "ends before", id="no end"),
        pytest.param(JPEG[:-2], len(JPEG) - 2, "ends before", id="no end of a JPEG"),
        pytest.param(b"<html>", 6, "not a PNG, JPEG or WebP", id="another kind"),
        pytest.param(b"", 0, "empty", id="nothing"),
    ],
)
def test_what_is_not_a_whole_image_is_damaged(
    folder: Path, part: Part, content: bytes, announced: int | None, why: str
) -> None:
    with part:
        part.write(content)
        with pytest.raises(ImageDamaged, match=why) as caught:
            part.verify(announced)
    assert caught.value.transient
    assert caught.value.exit_code == ExitCode.NOT_SAVED
    assert names(folder) == []


def test_each_attempt_begins_anew(folder: Path, part: Part) -> None:
    with part:
        part.write(b"half an ima")
    assert save(part, folder / "fox.png", png()).read_bytes() == png()
    assert part.sha256 == hashlib.sha256(png()).hexdigest()


@posix
def test_a_file_has_the_permissions_of_any_new_file(folder: Path, part: Part) -> None:
    before = os.umask(0o027)
    try:
        saved = save(part, folder / "fox.png", png())
    finally:
        os.umask(before)
    assert saved.stat().st_mode & 0o777 == 0o640


def test_missing_folders_are_made(folder: Path, tmp_path: Path) -> None:
    part = Part(tmp_path / "a" / "b" / ".part")
    assert save(part, tmp_path / "c" / "d" / "fox.png", png()).exists()


# Names that are taken


def test_a_name_that_is_taken_is_left_alone(folder: Path, part: Part) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    (folder / "fox-2.png").write_bytes(b"mine too")
    assert save(part, folder / "fox.png", png()) == folder / "fox-3.png"
    assert (folder / "fox.png").read_bytes() == b"mine"
    assert names(folder) == ["fox-2.png", "fox-3.png", "fox.png"]


@pytest.mark.parametrize("name", ["fox.png", "fox-2.png"])
def test_the_same_bytes_under_the_name_are_adopted(folder: Path, part: Part, name: str) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    (folder / name).write_bytes(png())
    before = names(folder)
    assert save(part, folder / "fox.png", png()) == folder / name
    assert names(folder) == before


def test_overwriting_is_done_where_it_was_asked_for(folder: Path, part: Part) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"old")
    assert save(part, folder / "fox.png", png(), overwrite=True) == folder / "fox.png"
    assert (folder / "fox.png").read_bytes() == png()
    assert names(folder) == ["fox.png"]


def test_overwriting_puts_nothing_half_in_place(folder: Path, part: Part) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"old")
    with pytest.raises(ImageDamaged):
        save(part, folder / "fox.png", b"half", overwrite=True)
    assert (folder / "fox.png").read_bytes() == b"old"


@posix
def test_a_link_at_the_targets_name_is_neither_followed_nor_replaced(folder: Path, part: Part) -> None:
    folder.mkdir()
    (folder / "fox.png").symlink_to(folder / "elsewhere.png")
    assert save(part, folder / "fox.png", png()) == folder / "fox-2.png"
    assert names(folder) == ["fox-2.png", "fox.png"]


def test_a_folder_at_the_targets_name_is_left_alone(folder: Path, part: Part) -> None:
    (folder / "fox.png").mkdir(parents=True)
    assert save(part, folder / "fox.png", png()) == folder / "fox-2.png"


def test_a_folder_is_not_overwritten(folder: Path, part: Part) -> None:
    (folder / "fox.png").mkdir(parents=True)
    with pytest.raises(NotSaved, match="cannot write"):
        save(part, folder / "fox.png", png(), overwrite=True)
    assert names(folder) == ["fox.png"]


@posix
@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_system_without_hard_links_will_do(
    folder: Path, part: Part, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    assert save(part, folder / "fox.png", png()) == folder / "fox-2.png"
    assert (folder / "fox-2.png").read_bytes() == png()
    assert (folder / "fox.png").read_bytes() == b"mine"
    assert names(folder) == ["fox-2.png", "fox.png"]


@posix
def test_a_name_that_was_claimed_in_vain_is_given_back(
    folder: Path, part: Part, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(number: int) -> Callable[..., None]:
        def call(*arguments: object) -> None:
            raise OSError(number, os.strerror(number))

        return call

    monkeypatch.setattr(os, "link", refuse(errno.EPERM))
    monkeypatch.setattr(os, "replace", refuse(errno.EIO))
    with pytest.raises(NotSaved):
        save(part, folder / "fox.png", png())
    assert names(folder) == []


def put(part: Part, target: Path, image: bytes) -> Path:
    """Save it under this name or not at all."""
    with part:
        part.write(image)
        part.verify(None)
        return part.move_to(target, overwrite=False, beside=False)


def test_an_image_that_goes_nowhere_else_is_saved_where_it_belongs(folder: Path, part: Part) -> None:
    assert put(part, folder / "fox.png", png()) == folder / "fox.png"
    assert names(folder) == ["fox.png"]


def test_an_image_that_goes_nowhere_else_leaves_a_taken_name_alone(folder: Path, part: Part) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    with pytest.raises(NotSaved, match="is taken") as caught:
        put(part, folder / "fox.png", png())
    assert caught.value.code == "taken"
    assert (folder / "fox.png").read_bytes() == b"mine"
    assert names(folder) == ["fox.png"]


def test_an_image_that_goes_nowhere_else_may_be_there_already(folder: Path, part: Part) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(png())
    assert put(part, folder / "fox.png", png()) == folder / "fox.png"
    assert names(folder) == ["fox.png"]


@posix
def test_an_image_that_goes_nowhere_else_does_not_follow_a_link(folder: Path, part: Part) -> None:
    folder.mkdir()
    (folder / "fox.png").symlink_to(folder / "elsewhere.png")
    with pytest.raises(NotSaved, match="is taken"):
        put(part, folder / "fox.png", png())
    assert names(folder) == ["fox.png"]


@posix
@pytest.mark.parametrize("overwrite", [True, False])
def test_whoever_sees_the_name_sees_every_byte(folder: Path, part: Part, overwrite: bool) -> None:
    """Also of what was written last, and is still in a buffer, where the run is killed right behind."""
    with part:
        part.write(b"a small file")
        part.move_to(folder / "lock", overwrite=overwrite)
        assert (folder / "lock").read_bytes() == b"a small file"


@posix
def test_what_is_known_of_a_part_is_true_of_the_file(folder: Path, part: Part) -> None:
    with part:
        part.write(png())
        status = part.status
        part.move_to(folder / "fox.png", overwrite=True)
    moved = (folder / "fox.png").stat()
    assert (status.st_ino, status.st_size, status.st_mtime_ns) == (
        moved.st_ino,
        len(png()),
        moved.st_mtime_ns,
    )


# Another name for a file that is there


def test_a_file_is_moved_to_a_folder_that_is_made(folder: Path) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    move_file(folder / "fox.png", folder / "a" / "b" / "fox.png")
    assert names(folder) == ["a"]
    assert (folder / "a" / "b" / "fox.png").read_bytes() == b"mine"


@posix
@pytest.mark.parametrize("number", [errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS])
def test_a_file_is_moved_where_there_are_no_hard_links(
    folder: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "link", refuse)
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    move_file(folder / "fox.png", folder / "cat.png")
    assert names(folder) == ["cat.png"]
    (folder / "fox.png").write_bytes(b"another")
    with pytest.raises(NotSaved, match="is taken"):
        move_file(folder / "fox.png", folder / "cat.png")
    assert (folder / "cat.png").read_bytes() == b"mine"
    assert (folder / "fox.png").read_bytes() == b"another"


def test_a_file_is_not_moved_over_another_one(folder: Path) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    # The same bytes are no reason: one of the files would be gone.
    (folder / "cat.png").write_bytes(b"mine")
    with pytest.raises(NotSaved, match="is taken") as caught:
        move_file(folder / "fox.png", folder / "cat.png")
    assert caught.value.code == "taken"
    assert names(folder) == ["cat.png", "fox.png"]


@posix
def test_a_move_that_was_killed_halfway_is_finished(folder: Path) -> None:
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    os.link(folder / "fox.png", folder / "cat.png")
    move_file(folder / "fox.png", folder / "cat.png")
    assert names(folder) == ["cat.png"]
    assert (folder / "cat.png").read_bytes() == b"mine"


@posix
def test_a_file_that_cannot_be_moved_stays_where_it_is(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As between two file systems, which a folder of a project can be on."""

    def refuse(*arguments: object) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    monkeypatch.setattr(os, "link", refuse)
    monkeypatch.setattr(os, "replace", refuse)
    folder.mkdir()
    (folder / "fox.png").write_bytes(b"mine")
    with pytest.raises(NotSaved, match="cannot be moved") as caught:
        move_file(folder / "fox.png", folder / "cat.png")
    assert caught.value.code == "cannot_write"
    assert names(folder) == ["fox.png"]


def test_a_file_that_is_not_there_cannot_be_moved(folder: Path) -> None:
    folder.mkdir()
    with pytest.raises(NotSaved, match="cannot be moved"):
        move_file(folder / "fox.png", folder / "cat.png")
    assert names(folder) == []


# Many at once


def test_two_threads_that_want_one_name_both_keep_their_image(folder: Path) -> None:
    ready = threading.Barrier(8)
    saved: list[Path] = []

    def one(number: int) -> None:
        part = Part(folder / f".seedream-op_{number}-1.part")
        with part:
            part.write(png(shade=number))
            part.verify(None)
            ready.wait()
            saved.append(part.move_to(folder / "fox.png", overwrite=False))

    threads = [threading.Thread(target=one, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(saved)) == 8
    assert {path.read_bytes() for path in saved} == {png(shade=number) for number in range(8)}
    assert len(names(folder)) == 8


SAVER = """
import sys
from pathlib import Path
from support.images import png
from seedream_cli.download import Part
folder, number = Path(sys.argv[1]), int(sys.argv[2])
print("ready", flush=True)
sys.stdin.readline()
for turn in range(20):
    part = Part(folder / f".seedream-op_{number}-{turn}.part")
    with part:
        part.write(png(shade=number, width=turn + 1))
        part.verify(None)
        part.move_to(folder / f"fox-{turn}.png", overwrite=False)
"""

HOLDER = """
import sys
from pathlib import Path
from seedream_cli.download import Part
with Part(Path(sys.argv[1])) as part:
    part.write(b"half an image")
    part._open.flush()
    print("ready", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def python(script: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """A process that has told that it is ready, and waits for a line."""
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent), *sys.path])}
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


def test_processes_that_want_the_same_names_lose_nothing(folder: Path) -> None:
    with python(SAVER, folder, 1) as first, python(SAVER, folder, 2) as second:
        for process in (first, second):
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
    assert (first.returncode, second.returncode) == (0, 0)
    found = sorted(path.read_bytes() for path in folder.iterdir())
    assert found == sorted(png(shade=shade, width=turn + 1) for shade in (1, 2) for turn in range(20))


@posix
def test_an_image_that_another_program_is_saving_is_left_to_it(folder: Path, part: Part) -> None:
    with python(HOLDER, part.path):
        with pytest.raises(NotSaved, match="another program") as caught:
            save(part, folder / "fox.png", png())
        assert (caught.value.code, caught.value.transient) == ("busy", False)
        assert names(folder) == [part.path.name]
    assert names(folder) == []


@posix
def test_what_a_killed_run_left_is_removed(folder: Path, part: Part) -> None:
    with python(HOLDER, part.path) as holder:
        holder.send_signal(signal.SIGKILL)
        holder.wait(timeout=30)
    assert names(folder) == [part.path.name]
    assert save(part, folder / "fox.png", png()).read_bytes() == png()
    assert names(folder) == ["fox.png"]


@posix
def test_a_run_that_ends_does_not_take_anothers_file_along(folder: Path, part: Part) -> None:
    """Another run may have begun under this name once the file was moved."""
    other = Part(part.path)
    with part:
        part.write(png())
        part.move_to(folder / "fox.png", overwrite=True)
        other.__enter__()
    assert names(folder) == [part.path.name, "fox.png"]
    other.__exit__(None, None, None)
    assert names(folder) == ["fox.png"]


def test_many_runs_of_one_operation_save_one_image(folder: Path) -> None:
    outcomes: list[str] = []

    def one() -> None:
        for _ in range(20):
            try:
                save(Part(folder / ".part"), folder / "fox.png", png())
                outcomes.append("saved")
            except NotSaved as error:
                outcomes.append(error.code)

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(outcomes) <= {"saved", "busy"}
    assert "saved" in outcomes
    assert names(folder) == ["fox.png"]


@posix
def test_a_link_at_the_parts_name_is_not_followed(folder: Path, part: Part, tmp_path: Path) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("do not touch")
    folder.mkdir()
    part.path.symlink_to(precious)
    assert save(part, folder / "fox.png", png()).read_bytes() == png()
    assert precious.read_text() == "do not touch"
    assert not (folder / "fox.png").is_symlink()


@posix
def test_a_link_to_nowhere_at_the_parts_name_is_not_followed(
    folder: Path, part: Part, tmp_path: Path
) -> None:
    folder.mkdir()
    part.path.symlink_to(tmp_path / "made-by-link")
    save(part, folder / "fox.png", png())
    assert not (tmp_path / "made-by-link").exists()
    assert names(folder) == ["fox.png"]


# What the file system refuses

FULL = """
import resource, signal, sys
from pathlib import Path
from support.images import png
from seedream_cli.download import Part
from seedream_cli.errors import NotSaved
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), int(sys.argv[2])))
folder = Path(sys.argv[1])
image = png(width=2000, height=2000)
image = image[:-12] + bytes(300_000) + image[-12:]
part = Part(folder / ".part")
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
def test_a_full_disk_is_told_and_leaves_nothing(folder: Path, limit: int, size: int) -> None:
    with python(FULL, folder, limit, size) as process:
        pass
    assert process.returncode == 0
    assert names(folder) == []


@posix
def test_a_full_disk_names_the_folder(folder: Path) -> None:
    with python(FULL, folder, 5000, 1000) as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith(f"cannot_write cannot write in {folder}: ")


def test_a_folder_that_is_a_file_cannot_be_written_in(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    with pytest.raises(NotSaved, match="cannot write") as caught, Part(tmp_path / "file" / ".part"):
        pytest.fail("unreachable")
    assert caught.value.code == "cannot_write"
    assert names(tmp_path) == ["file"]


def test_a_target_whose_folder_is_a_file_leaves_nothing(folder: Path, part: Part) -> None:
    folder.mkdir()
    (folder / "file").write_text("here")
    with pytest.raises(NotSaved, match="cannot write"):
        save(part, folder / "file" / "fox.png", png())
    assert names(folder) == ["file"]


@posix
def test_a_name_that_is_too_long_leaves_nothing(folder: Path, part: Part) -> None:
    with pytest.raises(NotSaved, match="cannot write"):
        save(part, folder / ("x" * 300 + ".png"), png())
    assert names(folder) == []


@posix
@pytest.mark.skipif(os.name != "nt" and os.geteuid() == 0, reason="root can write anywhere")
def test_a_folder_that_is_read_only_cannot_be_written_in(folder: Path, part: Part) -> None:
    folder.mkdir(mode=0o500)
    with pytest.raises(NotSaved, match="cannot write"):
        save(part, folder / "fox.png", png())


@pytest.mark.parametrize("problem", [KeyboardInterrupt, RuntimeError, SystemExit])
def test_nothing_is_left_whatever_ends_the_block(
    folder: Path, part: Part, problem: type[BaseException]
) -> None:
    with pytest.raises(problem), part:
        raise problem
    assert names(folder) == []


def test_a_part_that_vanished_is_no_crash(folder: Path, part: Part) -> None:
    with part:
        part.write(png())
        part.path.unlink()
        with pytest.raises(NotSaved):
            part.move_to(folder / "fox.png", overwrite=False)
    assert names(folder) == []


# Looking at files


@pytest.fixture(params=["unnamed", "named"])
def trial(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """With the files that Linux removes by itself, and as on other systems."""
    if request.param == "named":
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)


@pytest.mark.usefixtures("trial")
def test_a_folder_is_made_before_anything_is_paid(tmp_path: Path) -> None:
    check_folder(tmp_path / "a" / "b" / ".trial")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    check_folder(tmp_path / "a" / "b" / ".trial")


@pytest.mark.usefixtures("trial")
def test_a_folder_in_which_another_program_is_saving_can_be_written_to(tmp_path: Path) -> None:
    with Part(tmp_path / ".trial"):
        check_folder(tmp_path / ".trial")
        assert [path.name for path in tmp_path.iterdir()] == [".trial"]


@pytest.mark.usefixtures("trial")
def test_a_folder_that_cannot_be_made_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("here")
    for folder in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(InvalidOutput, match="no folder"):
            check_folder(folder / ".trial")


@pytest.mark.usefixtures("trial")
@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_a_folder_that_only_trying_shows_to_be_closed_is_refused() -> None:
    with pytest.raises(InvalidOutput, match="cannot write in /proc"):
        check_folder(Path("/proc/.trial"))


def test_the_digest_of_what_is_no_file_is_none(tmp_path: Path) -> None:
    assert sha256_of(tmp_path) is None
    assert sha256_of(tmp_path / "absent") is None
    (tmp_path / "file").write_bytes(b"x")
    assert sha256_of(tmp_path / "file") == hashlib.sha256(b"x").hexdigest()


def test_a_file_that_was_there_is_described(tmp_path: Path) -> None:
    (tmp_path / "fox.png").write_bytes(png())
    found = describe(tmp_path / "fox.png")
    assert (found.media_type, found.width, found.height, found.bytes) == ("image/png", 4, 3, len(png()))
    assert found.sha256 == hashlib.sha256(png()).hexdigest()


def test_a_file_that_is_no_image_is_described_too(tmp_path: Path) -> None:
    (tmp_path / "fox.png").write_bytes(b"words")
    found = describe(tmp_path / "fox.png")
    assert (found.media_type, found.width, found.bytes) == (None, None, 5)


def test_what_cannot_be_read_is_not_described(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "absent"):
        with pytest.raises(NotSaved, match="cannot be read"):
            describe(path)
