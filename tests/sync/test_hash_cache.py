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

from seedream_cli.sync.hash_cache import UNREADABLE, HashCache

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


FileState = Callable[..., HashCache]


@pytest.fixture
def look(project: Path, tmp_path: Path) -> FileState:
    """What a new run on this machine knows, by default long after everything else happened."""

    def look(*, now: int = NOW, trust: bool = True) -> HashCache:
        return HashCache(project / "seedream.toml", tmp_path / "state", now=lambda: now, trust=trust)

    return look


def record_or_warn(known: HashCache, *paths: str) -> None:
    for path in paths:
        known.sha256(path)
    known.save()


def put(file: Path, data: bytes, *, modified: int = BEFORE) -> str:
    """Write the file with a time of its last change, and tell its digest."""
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    os.utime(file, ns=(modified, modified))
    return hashlib.sha256(data).hexdigest()


def reads(look: HashCache, path: str, monkeypatch: pytest.MonkeyPatch) -> bool:
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


def test_hash_of_missing_file(look: FileState, project: Path) -> None:
    put(project / "file", b"x")
    assert look().exists("file")
    for path in ("fox.png", "art/fox.png", "file/fox.png"):
        assert look().sha256(path) is None
        assert not look().exists(path)


def test_hash_cached_for_unchanged_file(
    look: FileState, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = put(project / "fox.png", b"fox")
    first = look()
    assert reads(first, "fox.png", monkeypatch)
    assert not reads(first, "fox.png", monkeypatch)
    first.save()
    # Without trust it is read, and what is found is kept all the same.
    second = look(trust=False)
    assert reads(second, "fox.png", monkeypatch)
    second.save()
    third = look()
    assert not reads(third, "fox.png", monkeypatch)
    assert third.sha256("fox.png") == digest


@pytest.mark.parametrize("change", ["size", "time", "inode", "bytes"])
def test_hash_recomputed_for_changed_file(look: FileState, project: Path, change: str) -> None:
    file = project / "fox.png"
    put(file, b"fox")
    record_or_warn(look(), "fox.png")
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


@pytest.mark.parametrize(
    ("ago", "ahead", "trusted"),
    [
        *((0, 0, False), (1, 0, False), (3, 0, True), (-10, 0, False)),
        # A file of the future.
        (3, 86400 * 2, False),
    ],
)
def test_hash_recomputed_for_racy_file(
    look: FileState, project: Path, monkeypatch: pytest.MonkeyPatch, ago: int, ahead: int, trusted: bool
) -> None:
    put(project / "fox.png", b"fox", modified=BEFORE + ahead * SECOND)
    changed = (project / "fox.png").stat().st_ctime_ns
    record_or_warn(look(now=changed + ago * SECOND), "fox.png")
    later = look(now=changed + (60 + 2 * ahead) * SECOND)
    assert reads(later, "fox.png", monkeypatch) is not trusted
    later.save()
    assert not reads(look(now=changed + 3 * 86400 * SECOND), "fox.png", monkeypatch), "it has been quiet"


def test_hash_not_cached_if_file_changes_while_reading(
    look: FileState, project: Path, monkeypatch: pytest.MonkeyPatch
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


@posix_only
def test_hash_of_unreadable_file(look: FileState, project: Path) -> None:
    digest = put(project / "real.png", b"fox")
    (project / "link.png").symlink_to("real.png")
    (project / "nowhere.png").symlink_to("nothing.png")
    (project / "folder").mkdir()
    os.mkfifo(project / "pipe")
    assert look().sha256("link.png") == digest
    for name in ("nowhere.png", "folder", "pipe", "x" * 300, "\0"):
        assert look().sha256(name) == UNREADABLE
    assert look().exists("nowhere.png")
    assert look().exists("folder")


@pytest.mark.parametrize(
    ("data", "extension"),
    [(png(), "png"), (JPEG, "jpg"), (b"RIFF\x1a\x00\x00\x00WEBPVP8L", "webp"), (b"text", None), (b"", None)],
)
def test_hash_cache_extension_of_bytes(
    look: FileState, project: Path, data: bytes, extension: str | None
) -> None:
    put(project / "fox", data)
    assert look().extension("fox") == extension
    assert look().extension("nothing") is None


def kept(tmp_path: Path) -> Path:
    [file] = (tmp_path / "state").iterdir()
    return file


@posix_only
def test_hash_cache_is_private_and_per_manifest(look: FileState, project: Path, tmp_path: Path) -> None:
    record_or_warn(look(), "nothing.png")
    assert not (tmp_path / "state").exists()
    put(project / "fox.png", b"fox")
    record_or_warn(look(), "fox.png")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    before = kept(tmp_path).stat().st_ino
    record_or_warn(look(), "fox.png")
    assert kept(tmp_path).stat().st_ino == before
    record_or_warn(HashCache(project / "another.toml", tmp_path / "state", now=lambda: NOW), "fox.png")
    assert len(list((tmp_path / "state").iterdir())) == 2


def test_hash_cache_forgets_removed_files(look: FileState, project: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        put(project / name, b"x")
    record_or_warn(look(), "a", "b", "c")
    (project / "a").unlink()
    record_or_warn(look(), "b")
    assert set(json.loads(kept(tmp_path).read_text())["files"]) == {"b", "c"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "no", "[]", "{}", "[" * 100_000, "\x00\xff", '{"version": 1}', '{"version": 1, "files": []}'),
        '{"version": 2, "files": {}}',
        *(
            f'{{"version": 1, "files": {{"fox.png": {known}}}}}'
            for known in ("7", "[1, 2]", '[3, 0, 0, "x", 0, "abc"]', "[3, 0, 0, 0, 0, null]")
        ),
    ],
)
def test_hash_cache_ignores_broken_file(
    look: FileState, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    digest = put(project / "fox.png", b"fox")
    record_or_warn(look(), "fox.png")
    kept(tmp_path).write_text(text, encoding="latin-1")
    broken = look()
    assert broken.sha256("fox.png") == digest
    broken.save()
    assert not reads(look(), "fox.png", monkeypatch)


def test_hash_cache_unwritable_folder_is_ignored(project: Path, tmp_path: Path) -> None:
    put(project / "fox.png", b"fox")
    (tmp_path / "state").write_text("a file where the folder should be")
    known = HashCache(project / "seedream.toml", tmp_path / "state", now=lambda: NOW)
    assert known.sha256("fox.png")
    known.save()
