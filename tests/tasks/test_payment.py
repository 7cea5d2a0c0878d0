"""Nothing is billed twice: until when a request may be sent again, and what that needs."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.clock import Clock
from support.images import png
from support.raw import Reply, accepted, answer
from support.scene import Scene
from support.tasks import SERVICE, operation

from seedream_cli.api.client import API_TIMEOUT
from seedream_cli.errors import ServiceFailing, UsageError
from seedream_cli.events import Event, Sending
from seedream_cli.history.request_bodies import RequestBodyStore
from seedream_cli.images.source_images import SourceImage, read_source_image
from seedream_cli.models import GenerationRequest, Operation, TaskStatus
from seedream_cli.sync.lockfile import Entry, Lockfile
from seedream_cli.sync.manifest import load_manifest
from seedream_cli.sync.plan import plan
from seedream_cli.tasks.submit import check_can_resubmit

HOUR = 3600.0
DAY = 24 * HOUR


@pytest.fixture
def image(tmp_path: Path) -> SourceImage:
    (tmp_path / "photo.png").write_bytes(png())
    return read_source_image(tmp_path / "photo.png", "photo.png")


@pytest.fixture
def requested(tmp_path: Path, image: SourceImage) -> Operation:
    """Return an operation that sends the image."""
    return operation(
        tmp_path, request=GenerationRequest("fox", "seedream-v4.5-edit", image_urls=(image.name,))
    )


@pytest.fixture
def start_bodies(tmp_path: Path, clock: Clock, image: SourceImage) -> Callable[[], RequestBodyStore]:
    """Return a function that opens the body store, as each process does."""

    def start() -> RequestBodyStore:
        bodies = RequestBodyStore(tmp_path / "bodies", now=clock)
        bodies.attach([image])
        return bodies

    return start


@pytest.mark.parametrize(
    ("replies", "is_recorded", "status", "is_kept"),
    [
        ([accepted()], True, TaskStatus.PENDING, False),
        ([accepted()], False, TaskStatus.PENDING, True),
        ([None, answer(500), accepted()], True, TaskStatus.PENDING, False),
        ([answer(402)], True, TaskStatus.REFUSED, False),
        ([answer(429), answer(402)], True, TaskStatus.REFUSED, False),
        ([None, answer(402)], True, TaskStatus.UNANSWERED, True),
        ([answer(503)], True, TaskStatus.UNANSWERED, True),
    ],
)
def test_body_is_kept_until_the_response_is_recorded(
    scene: Scene,
    start_bodies: Callable[[], RequestBodyStore],
    requested: Operation,
    replies: list[Reply],
    is_recorded: bool,
    status: str,
    is_kept: bool,
) -> None:
    server = scene.serve(*replies)
    bodies = start_bodies()
    body = bodies.load_or_store(requested)
    kept = scene.folder / "bodies" / f"{requested.id}.json"

    def on_event(event: Event) -> None:
        if isinstance(event, Sending):
            assert kept.read_bytes() == body
            if not is_recorded:
                scene.history.close()

    _, end = scene.generate(requested, bodies=bodies, on_event=on_event)
    assert {(one.body, one.headers["idempotency-key"]) for one in server.requests} == {(body, "key-1")}
    assert (end.operation.status, kept.exists()) == (status, is_kept)


@pytest.mark.parametrize("is_known", [False, True])
def test_submit_without_its_body_sends_nothing(scene: Scene, requested: Operation, is_known: bool) -> None:
    server = scene.serve(accepted())
    if is_known:
        scene.history.record(requested)
    _, end = scene.generate(requested)
    assert isinstance(end.error, UsageError)
    assert (end.error.code, server.connections) == ("source_images_gone", 0)


@pytest.mark.parametrize(
    ("age", "key_id", "code"),
    [
        (-300.0, "mine", None),
        (-301.0, "mine", "idempotency_expired"),
        (7 * DAY - HOUR, "mine", None),
        (7 * DAY - HOUR + 1, "mine", "idempotency_expired"),
        (0.0, "another", "other_api_key"),
        (0.0, None, None),
    ],
)
def test_body_is_kept_as_long_as_check_can_resubmit_allows(
    start_bodies: Callable[[], RequestBodyStore],
    clock: Clock,
    requested: Operation,
    age: float,
    key_id: str | None,
    code: str | None,
) -> None:
    requested, other = replace(requested, key_id=key_id), replace(requested, id="op_other")
    bodies = start_bodies()
    bodies.load_or_store(requested)
    file = Path(requested.output or "").parent / "bodies" / f"{requested.id}.json"
    os.utime(file, (requested.created, requested.created))
    clock.time = requested.created + age
    try:
        check_can_resubmit(requested, now=clock.time, key_id="mine")
    except UsageError as error:
        assert error.code == code
        return
    assert code is None
    # Another process deletes bodies that have expired.
    start_bodies().load_or_store(other)
    assert file.exists()
    # A body shared by two operations is kept as long as the later one needs it.
    bodies.delete(other)
    bodies.load_or_store(other)
    assert file.stat().st_mtime != requested.created


class FailingClient:
    """A client whose submits all fail. It records their arguments."""

    def __init__(self, retry_after: float) -> None:
        self.calls: list[object] = []
        self._retry_after = retry_after

    def submit(self, body: object, key: str, *, content: bytes | None, seconds: float) -> None:
        self.calls.append((content and len(content), round(seconds, 3)))
        raise ServiceFailing("no", retry_after=self._retry_after)


@pytest.mark.parametrize(
    ("size", "retry_after", "seconds"),
    [
        (None, 59.5, [API_TIMEOUT, 1.0]),
        (None, 60.0, [API_TIMEOUT]),
        (5_000_000, 79.5, [API_TIMEOUT + 20.0, 1.0]),
        (5_000_000, 80.0, [API_TIMEOUT + 20.0]),
    ],
)
def test_submit_allows_time_to_upload_source_images(
    scene: Scene, requested: Operation, size: int | None, retry_after: float, seconds: list[float]
) -> None:
    """Allow that time: a slow upload that is always cut off could be billed without a response."""
    if size is not None:
        (scene.folder / "bodies").mkdir()
        (scene.folder / "bodies" / f"{requested.id}.json").write_bytes(b"x" * size)
    client = FailingClient(retry_after)
    scene.generate(requested if size else None, client=client)
    assert client.calls == [(size, one) for one in seconds]


REFUSAL = answer(400, {"error": {"code": "bad", "message": "no"}}, headers={"X-Request-ID": "req_2"})


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (accepted(headers={"X-Request-ID": "req_2"}), ("task_1", "req_2", None, None)),
        (REFUSAL, (None, "req_2", "bad", "no")),
    ],
)
def test_submit_replaces_the_result_of_an_earlier_attempt(
    scene: Scene, reply: Reply, expected: object
) -> None:
    scene.serve(reply)
    _, end = scene.generate(
        operation(scene.folder, request_id="req_1", error_code="old", error_message="old")
    )
    found = scene.history.find(SERVICE, end.operation.id)
    assert found == end.operation
    assert (found.task_id, found.request_id, found.error_code, found.error_message) == expected


class UnchangedFiles:
    """Files that are all as recorded in the lockfile."""

    def exists(self, path: str) -> bool:
        return path == "hero.png"

    def sha256(self, path: str) -> str | None:
        return "a" * 64 if self.exists(path) else None

    def extension(self, path: str) -> str | None:
        return "png"


@pytest.mark.parametrize(
    ("more", "sandbox", "costs_money"),
    [
        ({"sandbox": True}, False, True),
        ({"sandbox": True}, True, False),
        ({}, False, False),
        ({}, True, False),
    ],
)
def test_plan_regenerates_a_sandbox_image_only_in_a_real_run(
    tmp_path: Path, more: dict[str, Any], sandbox: bool, costs_money: bool
) -> None:
    (tmp_path / "seedream.toml").write_text('[assets.hero]\nprompt = "fox"\n')
    manifest = load_manifest(tmp_path / "seedream.toml")
    [image] = manifest.images()
    entry = Entry("hero", 1, image.digest, 1, "hero.png", "a" * 64, "img_1", "2026-11-22T17:45:01Z", more)
    planned = plan(manifest, Lockfile(manifest.lockfile_path, (entry,)), UnchangedFiles(), sandbox=sandbox)
    assert [item.costs_money for item in planned.items] == [costs_money]
