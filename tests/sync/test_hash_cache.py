"""The hash cache: a digest is reused for an unchanged file, and never for one that may have changed."""

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
#: A day later. Tests cannot set an inode's ctime, so the cache is given a later time instead.
NOW = BEFORE + 86400 * SECOND
posix_only = pytest.mark.skipif(os.name != "posix", reason="links and pipes of POSIX")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "project").mkdir()
    return tmp_path / "project"


OpenCache = Callable[..., HashCache]


@pytest.fixture
def open_cache(project: Path, tmp_path: Path) -> OpenCache:
    """Return a function that opens the cache as a new run does, by default long after the files changed."""

    def open_cache(*, now: int = NOW, trust: bool = True) -> HashCache:
        return HashCache(project / "seedream.toml", tmp_path / "state", now=lambda: now, trust=trust)

    return open_cache


def hash_and_save(cache: HashCache, *paths: str) -> None:
    for path in paths:
        cache.sha256(path)
    cache.save()


def write_file(file: Path, data: bytes, *, modified: int = BEFORE) -> str:
    """Write a file with this modification time. Return its SHA-256."""
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(data)
    os.utime(file, ns=(modified, modified))
    return hashlib.sha256(data).hexdigest()


def reads_file(cache: HashCache, path: str, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Return True if the cache reads the file to return its digest."""
    calls = []
    digest = hashlib.file_digest

    def count(*arguments: Any) -> object:
        calls.append(arguments)
        return digest(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", count)
        cache.sha256(path)
    return bool(calls)


def test_hash_of_missing_file(open_cache: OpenCache, project: Path) -> None:
    write_file(project / "file", b"x")
    assert open_cache().exists("file")
    for path in ("fox.png", "art/fox.png", "file/fox.png"):
        assert open_cache().sha256(path) is None
        assert not open_cache().exists(path)


def test_hash_cached_for_unchanged_file(
    open_cache: OpenCache, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    digest = write_file(project / "fox.png", b"fox")
    first = open_cache()
    assert reads_file(first, "fox.png", monkeypatch)
    assert not reads_file(first, "fox.png", monkeypatch)
    first.save()
    # Without trust the file is read, and its digest is cached all the same.
    second = open_cache(trust=False)
    assert reads_file(second, "fox.png", monkeypatch)
    second.save()
    third = open_cache()
    assert not reads_file(third, "fox.png", monkeypatch)
    assert third.sha256("fox.png") == digest


@pytest.mark.parametrize("change", ["size", "time", "inode", "bytes"])
def test_hash_recomputed_for_changed_file(open_cache: OpenCache, project: Path, change: str) -> None:
    file = project / "fox.png"
    write_file(file, b"fox")
    hash_and_save(open_cache(), "fox.png")
    if change == "size":
        digest = write_file(file, b"foxes")
    elif change == "time":
        digest = write_file(file, b"cat", modified=BEFORE - SECOND)
    elif change == "inode":
        digest = write_file(project / "new", b"cat")
        os.replace(project / "new", file)
    else:
        # Same size and modification time: only the ctime shows the change.
        digest = write_file(file, b"cat")
    assert open_cache().sha256("fox.png") == digest


@pytest.mark.parametrize(
    ("ago", "ahead", "trusted"),
    [
        *((0, 0, False), (1, 0, False), (3, 0, True), (-10, 0, False)),
        # A modification time in the future.
        (3, 86400 * 2, False),
    ],
)
def test_hash_recomputed_for_racy_file(
    open_cache: OpenCache, project: Path, monkeypatch: pytest.MonkeyPatch, ago: int, ahead: int, trusted: bool
) -> None:
    write_file(project / "fox.png", b"fox", modified=BEFORE + ahead * SECOND)
    changed = (project / "fox.png").stat().st_ctime_ns
    hash_and_save(open_cache(now=changed + ago * SECOND), "fox.png")
    later = open_cache(now=changed + (60 + 2 * ahead) * SECOND)
    assert reads_file(later, "fox.png", monkeypatch) is not trusted
    later.save()
    assert not reads_file(open_cache(now=changed + 3 * 86400 * SECOND), "fox.png", monkeypatch), (
        "the file did not change for days"
    )


def test_hash_not_cached_if_file_changes_while_reading(
    open_cache: OpenCache, project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_file(project / "fox.png", b"fox")
    cache = open_cache()
    digest = hashlib.file_digest

    def change_while_hashing(*arguments: Any) -> object:
        found = digest(*arguments)
        write_file(project / "fox.png", b"cats")
        return found

    with monkeypatch.context() as patch:
        patch.setattr(hashlib, "file_digest", change_while_hashing)
        cache.sha256("fox.png")
    assert cache.sha256("fox.png") == hashlib.sha256(b"cats").hexdigest()


@posix_only
def test_hash_of_unreadable_file(open_cache: OpenCache, project: Path) -> None:
    digest = write_file(project / "real.png", b"fox")
    (project / "link.png").symlink_to("real.png")
    (project / "nowhere.png").symlink_to("nothing.png")
    (project / "folder").mkdir()
    os.mkfifo(project / "pipe")
    assert open_cache().sha256("link.png") == digest
    for name in ("nowhere.png", "folder", "pipe", "x" * 300, "\0"):
        assert open_cache().sha256(name) == UNREADABLE
    assert open_cache().exists("nowhere.png")
    assert open_cache().exists("folder")


@pytest.mark.parametrize(
    ("data", "extension"),
    [(png(), "png"), (JPEG, "jpg"), (b"RIFF\x1a\x00\x00\x00WEBPVP8L", "webp"), (b"text", None), (b"", None)],
)
def test_hash_cache_extension_of_bytes(
    open_cache: OpenCache, project: Path, data: bytes, extension: str | None
) -> None:
    write_file(project / "fox", data)
    assert open_cache().extension("fox") == extension
    assert open_cache().extension("nothing") is None


def cache_file(tmp_path: Path) -> Path:
    [file] = (tmp_path / "state").iterdir()
    return file


@posix_only
def test_hash_cache_is_private_and_per_manifest(open_cache: OpenCache, project: Path, tmp_path: Path) -> None:
    hash_and_save(open_cache(), "nothing.png")
    assert not (tmp_path / "state").exists()
    write_file(project / "fox.png", b"fox")
    hash_and_save(open_cache(), "fox.png")
    assert stat.S_IMODE((tmp_path / "state").stat().st_mode) == 0o700
    before = cache_file(tmp_path).stat().st_ino
    hash_and_save(open_cache(), "fox.png")
    assert cache_file(tmp_path).stat().st_ino == before
    hash_and_save(HashCache(project / "another.toml", tmp_path / "state", now=lambda: NOW), "fox.png")
    assert len(list((tmp_path / "state").iterdir())) == 2


def test_hash_cache_forgets_removed_files(open_cache: OpenCache, project: Path, tmp_path: Path) -> None:
    for name in ("a", "b", "c"):
        write_file(project / name, b"x")
    hash_and_save(open_cache(), "a", "b", "c")
    (project / "a").unlink()
    hash_and_save(open_cache(), "b")
    assert set(json.loads(cache_file(tmp_path).read_text())["files"]) == {"b", "c"}


@pytest.mark.parametrize(
    "text",
    [
        *("", "no", "[]", "{}", "[" * 100_000, "\x00\xff", '{"version": 1}', '{"version": 1, "files": []}'),
        '{"version": 2, "files": {}}',
        *(
            f'{{"version": 1, "files": {{"fox.png": {entry}}}}}'
            for entry in ("7", "[1, 2]", '[3, 0, 0, "x", 0, "abc"]', "[3, 0, 0, 0, 0, null]")
        ),
    ],
)
def test_hash_cache_ignores_broken_file(
    open_cache: OpenCache, project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    digest = write_file(project / "fox.png", b"fox")
    hash_and_save(open_cache(), "fox.png")
    cache_file(tmp_path).write_text(text, encoding="latin-1")
    broken = open_cache()
    assert broken.sha256("fox.png") == digest
    broken.save()
    assert not reads_file(open_cache(), "fox.png", monkeypatch)


def test_hash_cache_unwritable_folder_is_ignored(project: Path, tmp_path: Path) -> None:
    write_file(project / "fox.png", b"fox")
    (tmp_path / "state").write_text("a file where the folder should be")
    cache = HashCache(project / "seedream.toml", tmp_path / "state", now=lambda: NOW)
    assert cache.sha256("fox.png")
    cache.save()
