"""Digests are remembered as long as nothing speaks against it, and never believed when something does."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support.images import JPEG, png

from seedream_cli.sync.known_files import UNREADABLE, KnownFiles

#: Nanoseconds.
SECOND = 1_000_000_000
BEFORE = time.time_ns() - 60 * SECOND
#: Long after whatever the tests do: nobody can choose the time of an inode's last change.
NOW = BEFORE + 86400 * SECOND
posix_only = pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


Look = Callable[..., KnownFiles]


@pytest.fixture
def look(project: Path, tmp_path: Path) -> Look:
    """What a new run on this machine knows, by default long after everything else happened."""

    def look(*, now: int = NOW, trust: bool = True) -> KnownFiles:
        return KnownFiles(project / "seedream.toml", tmp_path / "state", now=lambda: now, trust=trust)

    return look


def remember(known: KnownFiles, *paths: str) -> None:
    for path in paths:
        known.sha256(path)
    known.save()


def put(file: Path, data: bytes, *, modified: int = BEFORE) -> str:
    """Write the file with a time of its last change, and tell its digest."""
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    os.utime(file, ns=(modified, modified))
    return hashlib.sha256(data).hexdigest()


def reads(look: KnownFiles, path: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the file has to be read to tell its digest."""
    calls = []
    digest = hashlib.file_digest

    def counted(*given: Any) -> object:
        calls.append(given)
        return digest(*given)

    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", counted)
        look.sha256(path)
    return bool(calls)


def test_where_nothing_is(look: Look, project: Path) -> None:
    put(project / "file", b"x")
    assert look().exists("file")
    for path in ("fox.png", "art/fox.png", "file/fox.png"):
        assert look().sha256(path) is None
        assert not look().exists(path)


def test_a_file_that_did_not_change_is_read_once(
    look: Look, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(project / "fox.png", b"fox")
    first = look()
    assert reads(first, "fox.png", monkeypatch)
    assert not reads(first, "fox.png", monkeypatch)
    first.save()
    second = look()
    assert not reads(second, "fox.png", monkeypatch)
    assert second.sha256("fox.png") == digest


def test_without_trust_every_file_is_read(look: Look, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(project / "fox.png", b"fox")
    for trust in (True, False, False):
        known = look(trust=trust)
        assert reads(known, "fox.png", monkeypatch)
        known.save()
    assert not reads(look(), "fox.png", monkeypatch), "what was found is kept all the same"


@pytest.mark.parametrize("change", ["size", "time", "inode", "bytes"])
def test_a_file_that_changed_is_read_again(look: Look, project: Path, change: str) -> None:
    file = project / "fox.png"
    put(file, b"fox")
    remember(look(), "fox.png")
    if change == "size":
        digest = put(file, b"foxes")
    elif change == "time":
        digest = put(file, b"cat", modified=BEFORE - SECOND)
    elif change == "inode":
        digest = put(project / "new", b"cat")
        os.replace(project / "new", file)
    else:
        # Someone gave it back the time of its last change: the inode's own tells.
        digest = put(file, b"cat")
    assert look().sha256("fox.png") == digest


@pytest.mark.parametrize(("ago", "trusted"), [(0, False), (1, False), (3, True), (-10, False)])
def test_a_file_that_was_changed_just_before_is_not_trusted(
    look: Look, project: Path, monkeypatch: pytest.MonkeyPatch, ago: int, trusted: bool
) -> None:
    put(project / "fox.png", b"fox")
    changed = (project / "fox.png").stat().st_ctime_ns
    known = look(now=changed + ago * SECOND)
    remember(known, "fox.png")
    later = look(now=changed + 60 * SECOND)
    assert reads(later, "fox.png", monkeypatch) is not trusted
    later.save()
    assert not reads(look(), "fox.png", monkeypatch), "by now it has been quiet"


def test_a_file_of_the_future_is_not_trusted(
    look: Look, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project / "fox.png", b"fox", modified=NOW + 10 * SECOND)
    remember(look(), "fox.png")
    assert reads(look(), "fox.png", monkeypatch)


def test_a_file_that_is_written_while_it_is_read_is_not_remembered(
    look: Look, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(project / "fox.png", b"fox")
    known = look()
    digest = hashlib.file_digest

    def disturbed(*given: Any) -> object:
        found = digest(*given)
        put(project / "fox.png", b"cats")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", disturbed)
        known.sha256("fox.png")
    assert known.sha256("fox.png") == hashlib.sha256(b"cats").hexdigest()


def test_what_is_no_readable_file_is_not_nothing(look: Look, project: Path) -> None:
    (project / "folder").mkdir()
    assert look().sha256("folder") == UNREADABLE
    assert look().exists("folder")
    assert look().sha256("x" * 300) == UNREADABLE
    assert look().sha256("\0") == UNREADABLE


@posix_only
def test_links_and_pipes(look: Look, project: Path) -> None:
    digest = put(project / "real.png", b"fox")
    (project / "link.png").symlink_to("real.png")
    (project / "nowhere.png").symlink_to("nothing.png")
    os.mkfifo(project / "pipe")
    assert look().sha256("link.png") == digest
    assert look().sha256("nowhere.png") == UNREADABLE
    assert look().exists("nowhere.png")
    assert look().sha256("pipe") == UNREADABLE


def test_a_file_that_may_not_be_read(look: Look, project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(project / "fox.png", b"fox")

    def refuse(path: str, flags: int) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    assert look().sha256("fox.png") == UNREADABLE


@pytest.mark.parametrize(
    ("data", "extension"),
    [(png(), "png"), (JPEG, "jpg"), (b"RIFF\x1a\x00\x00\x00WEBPVP8L", "webp"), (b"text", None), (b"", None)],
)
def test_the_ending_that_suits_the_bytes(
    look: Look, project: Path, data: bytes, extension: str | None
) -> None:
    put(project / "fox", data)
    assert look().extension("fox") == extension
    assert look().extension("nothing") is None


# The file that keeps it


def kept(tmp_path: Path) -> Path:
    [file] = (tmp_path / "state").iterdir()
    return file


def test_nothing_to_keep_is_no_file(look: Look, tmp_path: Path) -> None:
    look().save()
    remember(look(), "nothing.png")
    assert not (tmp_path / "state").exists()


@posix_only
def test_it_is_its_owners_alone(look: Look, project: Path, tmp_path: Path) -> None:
    put(project / "fox.png", b"fox")
    remember(look(), "fox.png")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700


def test_it_is_not_written_for_nothing(look: Look, project: Path, tmp_path: Path) -> None:
    put(project / "fox.png", b"fox")
    remember(look(), "fox.png")
    before = kept(tmp_path).stat().st_ino
    remember(look(), "fox.png")
    assert kept(tmp_path).stat().st_ino == before


def test_each_manifest_has_its_own(project: Path, tmp_path: Path) -> None:
    put(project / "fox.png", b"fox")
    for name in ("a.toml", "b.toml"):
        known = KnownFiles(project / name, tmp_path / "state", now=lambda: NOW)
        remember(known, "fox.png")
    assert len(list((tmp_path / "state").iterdir())) == 2


def test_files_that_are_gone_are_forgotten_and_others_kept(look: Look, project: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        put(project / name, b"x")
    remember(look(), "a", "b", "c")
    (project / "a").unlink()
    remember(look(), "b")
    assert set(json.loads(kept(tmp_path).read_text())["files"]) == {"b", "c"}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no",
        "[]",
        "{}",
        '{"version": 1}',
        '{"version": 1, "files": []}',
        '{"version": 2, "files": {}}',
        '{"version": 1, "files": {"fox.png": 7}}',
        '{"version": 1, "files": {"fox.png": [1, 2]}}',
        '{"version": 1, "files": {"fox.png": [3, 0, 0, "x", 0, "abc"]}}',
        '{"version": 1, "files": {"fox.png": [3, 0, 0, 0, 0, null]}}',
        "[" * 100_000,
        "\x00\xff",
    ],
)
def test_a_broken_file_is_ignored_and_written_anew(
    look: Look, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    digest = put(project / "fox.png", b"fox")
    remember(look(), "fox.png")
    kept(tmp_path).write_text(text, encoding="latin-1")
    broken = look()
    assert broken.sha256("fox.png") == digest
    broken.save()
    assert not reads(look(), "fox.png", monkeypatch)


def test_a_place_that_cannot_be_written_is_no_failure(project: Path, tmp_path: Path) -> None:
    put(project / "fox.png", b"fox")
    (tmp_path / "state").write_text("a file where the folder should be")
    known = KnownFiles(project / "seedream.toml", tmp_path / "state", now=lambda: NOW)
    assert known.sha256("fox.png")
    known.save()
