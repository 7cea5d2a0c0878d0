"""Nothing is paid for twice: until when a create may be sent again, and what it needs for that."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.clock import Clock
from support.images import png
from support.raw import Reply, accepted, answer
from support.scene import Scene
from support.tasks import SERVICE, operation

from seedream_cli.bodies import Bodies
from seedream_cli.client import CALL_SECONDS
from seedream_cli.errors import QuotaExceeded, SeedreamError, ServiceFailing, Stopped, UsageProblem
from seedream_cli.events import Ended, Event, Noticed, Refused, Sending, Submitted
from seedream_cli.jobs import Work, refuse_repetition
from seedream_cli.jobs.several import Several
from seedream_cli.models import GenerationRequest, Operation, Status
from seedream_cli.source_images import SourceImage, read_file
from seedream_cli.sync.lock import Entry, Lock
from seedream_cli.sync.manifest import load
from seedream_cli.sync.plan import plan

DAY, HOUR = 86400.0, 3600.0
EDIT = GenerationRequest("fox", "seedream-v4.5-edit", image_urls=("photo.png",))


@pytest.fixture
def image(tmp_path: Path) -> SourceImage:
    (tmp_path / "photo.png").write_bytes(png())
    return read_file(tmp_path / "photo.png", "photo.png")


@pytest.fixture
def asked(tmp_path: Path, image: SourceImage) -> Operation:
    """An operation that sends the image."""
    return operation(tmp_path, request=replace(EDIT, image_urls=(image.name,)))


@pytest.fixture
def start_bodies(tmp_path: Path, clock: Clock, image: SourceImage) -> Callable[[], Bodies]:
    """Bodies as each process has them."""

    def start() -> Bodies:
        bodies = Bodies(tmp_path / "bodies", now=clock)
        bodies.attach([image])
        return bodies

    return start


@pytest.mark.parametrize(
    ("replies", "is_recorded", "status", "is_kept"),
    [
        ([accepted()], True, Status.PENDING, False),
        ([accepted()], False, Status.PENDING, True),
        ([None, answer(500), accepted()], True, Status.PENDING, False),
        ([answer(402)], True, Status.REFUSED, False),
        ([answer(429), answer(402)], True, Status.REFUSED, False),
        ([None, answer(402)], True, Status.UNANSWERED, True),
        ([answer(503)], True, Status.UNANSWERED, True),
    ],
)
def test_a_body_is_sent_each_time_and_kept_until_the_answer_is_recorded(
    scene: Scene,
    start_bodies: Callable[[], Bodies],
    asked: Operation,
    replies: list[Reply],
    is_recorded: bool,
    status: str,
    is_kept: bool,
) -> None:
    server = scene.serve(*replies)
    bodies = start_bodies()
    body = bodies.of(asked)
    kept = scene.folder / "bodies" / f"{asked.id}.json"

    def on_event(event: Event) -> None:
        if isinstance(event, Sending):
            assert kept.read_bytes() == body
            if not is_recorded:
                scene.history.close()

    _, end = scene.generate(asked, bodies=bodies, on_event=on_event)
    assert {(one.body, one.headers["idempotency-key"]) for one in server.requests} == {(body, "key-1")}
    assert (end.operation.status, kept.exists()) == (status, is_kept)


@pytest.mark.parametrize("is_known", [False, True])
def test_a_create_without_its_body_is_not_sent(scene: Scene, asked: Operation, is_known: bool) -> None:
    server = scene.serve(accepted())
    if is_known:
        scene.history.record(asked)
    _, end = scene.generate(asked)
    assert isinstance(end.error, UsageProblem)
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
def test_a_body_is_kept_for_as_long_as_a_create_may_be_sent_again(
    start_bodies: Callable[[], Bodies],
    clock: Clock,
    asked: Operation,
    age: float,
    key_id: str | None,
    code: str | None,
) -> None:
    asked, other = replace(asked, key_id=key_id), replace(asked, id="op_other")
    bodies = start_bodies()
    bodies.of(asked)
    file = Path(asked.output or "").parent / "bodies" / f"{asked.id}.json"
    os.utime(file, (asked.created, asked.created))
    clock.time = asked.created + age
    try:
        refuse_repetition(asked, now=clock.time, key_id="mine")
    except UsageProblem as error:
        assert error.code == code
        return
    assert code is None
    # Another process removes bodies that are of no use.
    start_bodies().of(other)
    assert file.exists()
    # A body that two operations share is as young as the younger one.
    bodies.drop(other)
    bodies.of(other)
    assert file.stat().st_mtime != asked.created


class Failing:
    """A client whose creates all fail; it keeps what it was called with."""

    def __init__(self, retry_after: float) -> None:
        self.calls: list[object] = []
        self._retry_after = retry_after

    def submit(self, body: object, key: str, *, content: bytes | None, seconds: float) -> None:
        self.calls.append((content and len(content), round(seconds, 3)))
        raise ServiceFailing("no", retry_after=self._retry_after)


@pytest.mark.parametrize(
    ("size", "retry_after", "seconds"),
    [
        (None, 59.5, [CALL_SECONDS, 1.0]),
        (None, 60.0, [CALL_SECONDS]),
        (5_000_000, 79.5, [CALL_SECONDS + 20.0, 1.0]),
        (5_000_000, 80.0, [CALL_SECONDS + 20.0]),
    ],
)
def test_source_images_have_time_to_be_uploaded(
    scene: Scene, asked: Operation, size: int | None, retry_after: float, seconds: list[float]
) -> None:
    """A create that is always cut off could be paid for and never answered."""
    if size is not None:
        (scene.folder / "bodies").mkdir()
        (scene.folder / "bodies" / f"{asked.id}.json").write_bytes(b"x" * size)
    scene.base_url = "http://127.0.0.1:9/v1"
    client = Failing(retry_after)
    scene.generate(asked if size else None, client=client)
    assert client.calls == [(size, one) for one in seconds]


REFUSAL = answer(400, {"error": {"code": "bad", "message": "no"}}, headers={"X-Request-ID": "req_2"})


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (accepted(headers={"X-Request-ID": "req_2"}), ("task_1", "req_2", None, None)),
        (REFUSAL, (None, "req_2", "bad", "no")),
    ],
)
def test_an_answer_replaces_what_an_earlier_one_said(scene: Scene, reply: Reply, expected: object) -> None:
    scene.serve(reply)
    _, end = scene.generate(
        operation(scene.folder, request_id="req_1", error_code="old", error_message="old")
    )
    found = scene.history.find(SERVICE, end.operation.id)
    assert found == end.operation
    assert (found.task_id, found.request_id, found.error_code, found.error_message) == expected


Act = Callable[[Work, Operation], Ended]


def several(scene: Scene, act: Act, on_event: Callable[[Event], None], shield: Any = nullcontext) -> Several:
    scene.base_url = "http://127.0.0.1:9/v1"
    operations = [operation(scene.folder, id=f"op_{number}") for number in range(4)]
    return Several(scene.work(), operations, act, on_event=on_event, shield=shield)


def test_the_first_goes_ahead_and_the_others_start_together_once_it_has_its_task(scene: Scene) -> None:
    other_began, together, heard = threading.Event(), threading.Barrier(4, timeout=10), list[Event]()

    def act(work: Work, one: Operation) -> Ended:
        if one.id == "op_0":
            assert not other_began.wait(0.1)
            work.on_event(Submitted(one))
        other_began.set()
        together.wait()
        work.on_event(Ended(one))
        return Ended(one)

    several(scene, act, heard.append).run()
    assert [type(event) for event in heard] == [Submitted, *[Ended] * 4]
    assert len({event.operation.id for event in heard}) == 4


@pytest.mark.parametrize(
    ("is_sent", "task_id", "error", "begun"),
    [
        (False, None, QuotaExceeded("no"), 1),
        (True, None, QuotaExceeded("no"), 1),
        (True, "task_1", QuotaExceeded("no"), 4),
        (True, None, None, 4),
    ],
)
def test_no_other_is_begun_where_one_got_no_task(
    scene: Scene, is_sent: bool, task_id: str | None, error: SeedreamError | None, begun: int
) -> None:
    heard, threads = list[Event](), list[threading.Thread]()

    def act(work: Work, one: Operation) -> Ended:
        threads.append(threading.current_thread())
        end = Ended(replace(one, task_id=task_id), error)
        for event in (Sending(one), Submitted(one) if is_sent else Refused(one), end):
            work.on_event(event)
        return end

    def on_event(event: Event) -> None:
        heard.append(event)
        # The others start at the earliest when the first has ended.
        threads[0].join(10)

    run = several(scene, act, on_event)
    run.run()
    kinds = [type(event) for event in heard if event.operation.id == "op_0"]
    assert kinds == [Sending, Submitted if is_sent else Refused, Ended]
    assert (len(heard), len(threads), len(run.not_begun)) == (3 * begun, begun, 4 - begun)


@pytest.mark.parametrize(("at", "begun"), [("op_0", 1), ("op_1", 4)])
def test_after_a_signal_none_is_begun_and_what_had_happened_is_reported_once(
    scene: Scene, at: str, begun: int
) -> None:
    heard, shielded, locks = list[Event](), list[bool](), list[Any]()
    all_at_work = threading.Barrier(begun + 1, timeout=10)

    @contextmanager
    def shield() -> Iterator[None]:
        shielded.append(True)
        yield
        shielded.pop()

    def act(work: Work, one: Operation) -> Ended:
        locks.append(work.shield())
        work.on_event(Sending(one))
        work.on_event(Submitted(one))
        all_at_work.wait()
        with suppress(Stopped):
            work.pause(30)
        work.on_event(Noticed(one, f"shielded: {bool(shielded)}"))
        raise Stopped

    def on_event(event: Event) -> None:
        heard.append(event)
        if isinstance(event, Sending) and event.operation.id == at:
            all_at_work.wait()
            raise KeyboardInterrupt

    run = several(scene, act, on_event, shield)
    with pytest.raises(KeyboardInterrupt):
        run.run()
    for number in range(begun):
        own = [event for event in heard if event.operation.id == f"op_{number}"]
        assert [type(event) for event in own] == [Sending, Submitted, Noticed]
        assert isinstance(own[2], Noticed)
        assert own[2].text == "shielded: True"
    assert (len(heard), len(run.not_begun)) == (3 * begun, 4 - begun)
    # From now on no thread makes a file: the one that runs them holds the lock of all.
    taken: list[bool] = []
    other = threading.Thread(target=lambda: taken.extend(lock.acquire(blocking=False) for lock in locks))
    other.start()
    other.join()
    assert taken == [False] * begun


class Whole:
    """Files that are all as the lock has them."""

    def exists(self, path: str) -> bool:
        return path == "hero.png"

    def sha256(self, path: str) -> str | None:
        return "a" * 64 if self.exists(path) else None

    def extension(self, path: str) -> str | None:
        return "png"


@pytest.mark.parametrize(
    ("more", "sandbox", "pays"),
    [
        ({"sandbox": True}, False, True),
        ({"sandbox": True}, True, False),
        ({}, False, False),
        ({}, True, False),
    ],
)
def test_only_a_real_run_generates_a_placeholder_anew(
    tmp_path: Path, more: dict[str, Any], sandbox: bool, pays: bool
) -> None:
    (tmp_path / "seedream.toml").write_text('[assets.hero]\nprompt = "fox"\n')
    manifest = load(tmp_path / "seedream.toml")
    [image] = manifest.images()
    line = Entry("hero", 1, image.digest, 1, "hero.png", "a" * 64, "img_1", "2026-11-22T17:45:01Z", more)
    made = plan(manifest, Lock(manifest.lock_path, (line,)), Whole(), sandbox=sandbox)
    assert [item.pays for item in made.items] == [pays]
