"""RequestBodyStore: bodies with source images are stored, sent again unchanged, and deleted."""

from __future__ import annotations

import json
import os
import stat
import sys
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.clock import Clock
from support.images import png
from support.tasks import operation

from seedream_cli.errors import HistoryUnusable, UsageError
from seedream_cli.history.request_bodies import RequestBodyStore
from seedream_cli.images.source_images import SourceImage, read_source_image
from seedream_cli.models import IDEMPOTENCY_KEY_LIFETIME, GenerationRequest, Operation


@pytest.fixture
def image(tmp_path: Path) -> SourceImage:
    (tmp_path / "a.png").write_bytes(png())
    return read_source_image(tmp_path / "a.png", "a.png")


@pytest.fixture
def bodies(tmp_path: Path, image: SourceImage) -> RequestBodyStore:
    bodies = RequestBodyStore(tmp_path / "bodies")
    bodies.attach([image])
    return bodies


@pytest.fixture
def edit_operation(tmp_path: Path, image: SourceImage) -> Operation:
    request = GenerationRequest("fox", "seedream-v4.5-edit", image_urls=(image.name, "https://x.test/b.png"))
    return operation(tmp_path, request=request)


def test_load_or_store_returns_same_bytes_without_the_image(
    bodies: RequestBodyStore, image: SourceImage, edit_operation: Operation
) -> None:
    before = os.umask(0)
    try:
        body = bodies.load_or_store(edit_operation)
    finally:
        os.umask(before)
    assert body is not None
    assert json.loads(body)["image_urls"] == [image.data_uri(), "https://x.test/b.png"]
    [file] = bodies._folder.iterdir()
    assert (stat.S_IMODE(file.stat().st_mode), stat.S_IMODE(file.parent.stat().st_mode)) == (0o600, 0o700)
    os.utime(file, (1, 1))
    assert RequestBodyStore(file.parent).load_or_store(edit_operation) == body
    # Its lifetime begins again.
    assert file.stat().st_mtime > 1


@pytest.mark.skipif(sys.platform == "win32", reason="Windows cannot sync folders")
def test_load_or_store_syncs_file_and_folder(
    bodies: RequestBodyStore, edit_operation: Operation, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a power cut could leave an operation in the history without its body."""
    synced: list[list[str]] = []
    sizes: list[int] = []
    sync = os.fsync

    def record_fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            synced.append(sorted(os.listdir(descriptor)))
        else:
            sizes.append(os.fstat(descriptor).st_size)
        sync(descriptor)

    monkeypatch.setattr(os, "fsync", record_fsync)
    for name in ("op_a", "op_b"):
        body = bodies.load_or_store(replace(edit_operation, id=name))
        assert f"{name}.json" in synced[-1]
        # The second is a link to the first file, whose content is synced once.
        assert sizes == [len(body or b"")]
    assert len(synced) == 2


def test_load_or_store_prefers_stored_body(
    tmp_path: Path, bodies: RequestBodyStore, edit_operation: Operation
) -> None:
    """An earlier version of the program may have encoded it differently."""
    (tmp_path / "bodies").mkdir()
    (tmp_path / "bodies" / f"{edit_operation.id}.json").write_bytes(b'{"old": true}')
    bodies.load_or_store(replace(edit_operation, id="op_00000002"))
    assert bodies.load_or_store(edit_operation) == b'{"old": true}'


def test_load_or_store_links_equal_bodies(
    tmp_path: Path, bodies: RequestBodyStore, edit_operation: Operation
) -> None:
    first, second = edit_operation, replace(edit_operation, id="op_00000002")
    assert bodies.load_or_store(first) == bodies.load_or_store(second)
    assert {file.stat().st_nlink for file in (tmp_path / "bodies").iterdir()} == {2}
    bodies.delete(first)
    assert bodies.load_or_store(replace(edit_operation, id="op_00000003")) == bodies.load_or_store(second)


def test_load_or_store_without_images_or_folder(
    tmp_path: Path, bodies: RequestBodyStore, edit_operation: Operation
) -> None:
    # A request without source images has no stored body.
    assert bodies.load_or_store(operation(tmp_path)) is None
    assert not (tmp_path / "bodies").exists()
    with pytest.raises(UsageError, match="not kept any more") as caught:
        RequestBodyStore(tmp_path / "bodies").load_or_store(edit_operation)
    assert caught.value.code == "source_images_gone"
    (tmp_path / "bodies").write_text("no folder")
    with pytest.raises(HistoryUnusable):
        bodies.load_or_store(edit_operation)


@pytest.mark.skipif(sys.platform == "win32", reason="no limits")
def test_load_or_store_removes_partial_file_on_full_disk(
    tmp_path: Path, bodies: RequestBodyStore, edit_operation: Operation
) -> None:
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20, before[1]))
    try:
        with pytest.raises(HistoryUnusable):
            bodies.load_or_store(edit_operation)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list((tmp_path / "bodies").iterdir()) == []


def test_load_or_store_purges_expired_bodies(
    tmp_path: Path, image: SourceImage, edit_operation: Operation
) -> None:
    clock = Clock()
    folder = tmp_path / "bodies"
    folder.mkdir()
    for name, beyond in (("op_old.json", 1), ("op_young.json", -60)):
        (folder / name).write_bytes(b"{}")
        modified = clock.time - IDEMPOTENCY_KEY_LIFETIME - beyond
        os.utime(folder / name, (modified, modified))
    bodies = RequestBodyStore(folder, now=clock)
    bodies.attach([image])
    bodies.load_or_store(edit_operation)
    assert {file.name for file in folder.iterdir()} == {"op_young.json", f"{edit_operation.id}.json"}
