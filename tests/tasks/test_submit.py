"""submit: a request is sent until its response is read, always the same, and is billed once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from support.clock import longest
from support.images import png
from support.raw import Exchange, Reply, accepted, answer
from support.scene import Scene
from support.tasks import SERVICE, error_of, of_kind, operation

from seedream_cli.errors import (
    ExitCode,
    IdempotencyKeyInUse,
    InvalidResponse,
    RateLimited,
    RedirectRefused,
    SeedreamError,
    ServiceFailing,
    Stopped,
    Unavailable,
    UsageError,
)
from seedream_cli.events import Event, Notice, Retrying, Sending, SubmitRejected, Submitted, TaskFinished
from seedream_cli.history.store import History
from seedream_cli.images.source_images import SourceImage, read_source_image
from seedream_cli.models import GenerationRequest, Operation, TaskStatus
from seedream_cli.tasks.run import generate_task

PENDING = {"task_id": "task_9", "status": TaskStatus.PENDING}


@contextmanager
def held_by_another_program(history: History, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("seedream_cli.history.store._BUSY_TIMEOUT", 0.02)
    with closing(sqlite3.connect(history.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def with_photo(scene: Scene) -> tuple[SourceImage, Operation]:
    """Return a source image, and the operation that sends it."""
    (scene.folder / "photo.png").write_bytes(png())
    image = read_source_image(scene.folder / "photo.png", "photo.png")
    request = GenerationRequest("fox", "seedream-v4.5-edit", image_urls=(image.name,))
    return image, operation(scene.folder, request=request)


def busy(seconds: int | None = 1) -> bytes:
    envelope = {"code": 409, "message": "running", "data": {"error_code": "idempotency_in_progress"}}
    return answer(409, envelope, headers={} if seconds is None else {"Retry-After": str(seconds)})


def rate_limited(seconds: object, status: int = 429) -> bytes:
    return answer(status, headers={"Retry-After": str(seconds)})


# Accepted


def test_submit_accepted_is_recorded_and_not_sent_again(scene: Scene) -> None:
    server = scene.serve(accepted("task_1", headers={"X-Request-ID": "req_1", "X-Request-Cost": "0.035"}))
    events, end = scene.generate()
    assert [type(event) for event in events] == [Sending, Submitted, TaskFinished]
    assert [event.replayed for event in of_kind(events, Submitted)] == [False]
    submitted_operation = end.operation
    assert (submitted_operation.task_id, submitted_operation.status, submitted_operation.cost) == (
        "task_1",
        TaskStatus.PENDING,
        "0.035",
    )
    assert (submitted_operation.request_id, submitted_operation.accepted) == ("req_1", scene.clock.time)
    assert scene.history.find(SERVICE, "task_1") == submitted_operation
    assert scene.clock.pauses == []
    _, end = scene.generate(submitted_operation)
    assert (end.error, end.operation, len(server.requests)) == (None, submitted_operation, 1)


def test_submit_records_the_intent_first(scene: Scene) -> None:
    found: list[tuple[object, ...]] = []

    def read_history(exchange: Exchange) -> None:
        # Another connection sees only what was committed.
        with closing(sqlite3.connect(scene.history.path)) as other:
            found.extend(other.execute("SELECT status, task_id, idempotency_key, request FROM operations"))
        exchange.connection.sendall(accepted(headers={"X-Idempotent-Replay": "true"}))

    server = scene.serve(read_history)
    events, _ = scene.generate()
    [request] = server.requests
    [(state, task_id, key, body)] = found
    assert (state, task_id) == (TaskStatus.UNANSWERED, None)
    assert key == request.headers["idempotency-key"] == "key-1"
    assert json.loads(str(body)) == request.json
    assert [event.replayed for event in of_kind(events, Submitted)] == [True]


@pytest.mark.parametrize("is_lost", [False, True])
def test_submit_does_not_send_what_another_run_has_submitted(scene: Scene, is_lost: bool) -> None:
    requested = with_photo(scene)[1] if is_lost else operation(scene.folder)
    server = scene.serve(accepted("task_1"))
    scene.history.record(replace(scene.history.record(requested), **PENDING))
    events, end = scene.generate(requested)
    assert (end.error, end.operation.task_id) == (None, "task_9")
    assert of_kind(events, Submitted)[0].replayed
    assert server.requests == []


@pytest.mark.parametrize("known", [False, True], ids=["new", "sent before"])
def test_submit_that_cannot_be_recorded_deletes_only_a_new_body(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, known: bool
) -> None:
    image, requested = with_photo(scene)
    server = scene.serve()
    context = scene.context()
    context.bodies.attach([image])
    if known:
        context.bodies.load_or_store(scene.history.record(requested))
    with held_by_another_program(scene.history, monkeypatch):
        _, end = scene.generate(replace(requested, idempotency_key="key-2"), context=context)
    assert error_of(end).exit_code == ExitCode.NOT_SAVED
    assert server.requests == []
    assert len(list((scene.folder / "bodies").iterdir())) == known


@pytest.mark.parametrize("missing", [{"request": None}, {"idempotency_key": None}], ids=str)
def test_submit_rejects_an_external_task(scene: Scene, missing: dict[str, Any]) -> None:
    server = scene.serve(accepted())
    _, end = scene.generate(operation(scene.folder, **missing))
    assert isinstance(end.error, UsageError)
    assert server.connections == 0


# Repeated

UNAVAILABLE = {"code": 503, "message": "no", "data": {"error_code": "idempotency_unavailable"}}
TRANSIENT: dict[str, Reply] = {
    **{str(status): answer(status) for status in (408, 429, 500, 502, 503, 504)},
    "a dropped connection": None,
    "half an answer": answer(200, b'{"code"', length=100),
    "an HTML page": answer(200, b"<html>It works!</html>"),
    "an empty answer": answer(200, b""),
    "a success without a task id": answer(200, {"code": 200, "data": {}}),
    "a 429 inside HTTP 200": answer(200, {"code": 429, "message": "slow down", "data": None}),
    "a known code inside HTTP 200": answer(200, {"error": {"code": "internal_error"}}),
    "in progress": busy(None),
    "a 503 with its code": answer(503, UNAVAILABLE),
}


@pytest.mark.parametrize("reply", TRANSIENT.values(), ids=TRANSIENT)
def test_submit_is_repeated_with_the_same_key_and_body_after(scene: Scene, reply: Reply) -> None:
    server = scene.serve(reply, reply, accepted("task_1"))
    request = GenerationRequest(prompt="雪中的红狐狸", aspect_ratio="16:9", quality="4K")
    events, end = scene.generate(operation(scene.folder, request=request))
    assert (end.error, end.operation.task_id) == (None, "task_1")
    assert [request.headers["idempotency-key"] for request in server.requests] == ["key-1"] * 3
    assert len({request.body for request in server.requests}) == 1
    assert len(of_kind(events, Retrying)) == 2


def test_resume_sends_an_equal_request(scene: Scene) -> None:
    server = scene.serve(None, None, None, None, None, accepted("task_1"))
    request = GenerationRequest(prompt="雪", image_urls=("https://a/1",), callback_url="https://a/hook")
    _, end = scene.generate(operation(scene.folder, request=request))
    assert error_of(end).exit_code == ExitCode.UNAVAILABLE
    assert scene.unfinished.status == TaskStatus.UNANSWERED
    _, end = scene.generate(scene.unfinished)
    assert end.operation.task_id == "task_1"
    assert len({(request.body, request.headers["idempotency-key"]) for request in server.requests}) == 1


@pytest.mark.parametrize("fault", ["submit-drop", "submit-html", "submit-empty", "submit-drop-before"])
def test_lost_response_creates_exactly_one_task(scene: Scene, fault: str) -> None:
    sandbox = scene.sandbox(f"{fault}=2")
    events, end = scene.generate(wait=True)
    assert (end.error, len(end.operation.files), sandbox.task_count()) == (None, 1, 1)
    assert [event.replayed for event in of_kind(events, Submitted)] == [fault != "submit-drop-before"]


def test_resume_after_giving_up_gets_the_same_task(scene: Scene) -> None:
    sandbox = scene.sandbox("submit-drop=5")
    _, end = scene.generate(wait=True)
    assert error_of(end).exit_code == ExitCode.UNAVAILABLE
    _, end = scene.generate(scene.unfinished, wait=True)
    assert (end.error, sandbox.task_count()) == (None, 1)


# The budget


@pytest.mark.parametrize(
    ("reply", "kind"),
    [(answer(503), ServiceFailing), (answer(200, b"<html>"), InvalidResponse)],
    ids=["503", "unreadable"],
)
def test_submit_is_tried_five_times(scene: Scene, reply: Reply, kind: type[SeedreamError]) -> None:
    server = scene.serve(reply)
    _, end = scene.generate(jitter=longest)
    assert (type(end.error), error_of(end).exit_code) == (kind, ExitCode.UNAVAILABLE)
    assert len(server.requests) == 5
    assert scene.clock.pauses == [0.5, 1.0, 2.0, 4.0]
    # It may have been accepted, so it remains one that can be sent again.
    assert end.operation.status == TaskStatus.UNANSWERED
    assert scene.unfinished == end.operation


@pytest.mark.parametrize(
    ("replies", "pauses", "requests"),
    [
        # A submit is tried for a minute.
        pytest.param([rate_limited(25)], [25.0, 25.0], 3, id="25 s, again and again"),
        *[pytest.param([rate_limited(beyond)], [], 1, id=f"beyond: {beyond}") for beyond in (3600, 10**14)],
        pytest.param([rate_limited("Fri, 31 Dec 2999 23:59:59 GMT")], [], 1, id="beyond, as a date"),
        *[pytest.param([rate_limited(s), accepted()], [s], 2, id=f"{s} s") for s in (1, 7, 59)],
        # A date in the past does not cause a burst of requests.
        pytest.param(
            [rate_limited("Sun, 06 Nov 1994 08:49:37 GMT", 503), accepted()], [0.5], 2, id="in the past"
        ),
        pytest.param([busy(1), busy(2), accepted()], [1.0, 2.0], 3, id="a first request that still runs"),
    ],
)
def test_submit_waits_for_retry_after_within_the_budget(
    scene: Scene, replies: list[Reply], pauses: list[float], requests: int
) -> None:
    server = scene.serve(*replies)
    events, end = scene.generate(jitter=longest)
    assert (scene.clock.pauses, len(server.requests)) == (pauses, requests)
    assert len({(request.body, request.headers["idempotency-key"]) for request in server.requests}) == 1
    if len(replies) == 1:
        assert isinstance(end.error, RateLimited)
        assert "asks to come back in" in end.error.message
    else:
        assert (end.error, end.operation.task_id) == (None, "task_1")
    if len(replies) == 3:
        assert all(isinstance(event.cause, IdempotencyKeyInUse) for event in of_kind(events, Retrying))


def test_submit_that_was_stopped_can_be_resumed(scene: Scene) -> None:
    def stop(seconds: float) -> None:
        raise Stopped

    scene.serve(answer(503))
    with pytest.raises(Stopped):
        generate_task(scene.context(pause=stop), operation(scene.folder))
    assert scene.unfinished == operation(scene.folder)


# Rejected

CONFLICT = {"code": 409, "message": "other", "data": {"error_code": "idempotency_conflict"}}
REFUSED: dict[str, tuple[Reply, ExitCode]] = {
    "400": (answer(400, {"error": {"message": "Invalid aspect_ratio value"}}), ExitCode.USAGE),
    "401": (answer(401), ExitCode.AUTHENTICATION),
    "402": (answer(402), ExitCode.QUOTA),
    "403": (answer(403), ExitCode.AUTHENTICATION),
    "403, of the balance": (answer(403, {"error": {"message": "insufficient balance"}}), ExitCode.QUOTA),
    "404": (answer(404), ExitCode.NOT_FOUND),
    "409 conflict": (answer(409, CONFLICT), ExitCode.USAGE),
    "422": (answer(422), ExitCode.USAGE),
    "400 inside HTTP 200": (answer(200, {"code": 400, "message": "no", "data": None}), ExitCode.USAGE),
    "401 inside HTTP 200": (answer(200, {"error": {"code": "invalid_api_key"}}), ExitCode.AUTHENTICATION),
}


@pytest.mark.parametrize(("reply", "exit_code"), REFUSED.values(), ids=REFUSED)
def test_submit_rejected_is_final(scene: Scene, reply: Reply, exit_code: ExitCode) -> None:
    server = scene.serve(reply)
    events, end = scene.generate()
    assert error_of(end).exit_code == exit_code
    assert len(server.requests) == 1
    assert [type(event) for event in events] == [Sending, SubmitRejected, TaskFinished]
    kept = scene.history.find(SERVICE, end.operation.id)
    assert kept == end.operation
    assert (kept.status, kept.is_done, kept.task_id) == (TaskStatus.REFUSED, True, None)
    assert kept.error_message
    assert scene.history.last_unfinished(SERVICE) is None


MAY_HAVE_ARRIVED: dict[str, list[Reply]] = {
    "drop": [None],
    "500": [answer(500)],
    "html": [answer(200, b"<html>")],
    "500, then 429": [answer(500), answer(429)],
}


@pytest.mark.parametrize("refusal", [401, 402, 403, 409])
@pytest.mark.parametrize("earlier", MAY_HAVE_ARRIVED.values(), ids=MAY_HAVE_ARRIVED)
def test_rejection_after_a_request_that_may_have_arrived_is_not_final(
    scene: Scene, earlier: list[Reply], refusal: int
) -> None:
    """Keep the operation: the first attempt may have created the task and spent the last of the balance."""
    server = scene.serve(*earlier, answer(refusal), accepted("task_1"))
    _, end = scene.generate()
    assert end.error is not None
    assert end.operation.status == TaskStatus.UNANSWERED
    _, end = scene.generate(scene.unfinished)
    assert end.operation.task_id == "task_1"
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


@pytest.mark.parametrize("refusal", [400, 404, 422])
def test_rejection_of_an_invalid_request_is_always_final(scene: Scene, refusal: int) -> None:
    scene.serve(None, answer(refusal))
    _, end = scene.generate()
    assert end.operation.status == TaskStatus.REFUSED


@pytest.mark.parametrize("replies", [[answer(402)], [answer(429), answer(402)]], ids=["402", "429, then 402"])
def test_rejection_of_an_operation_sent_before_is_not_final(scene: Scene, replies: list[Reply]) -> None:
    scene.serve(*replies)
    _, end = scene.generate(scene.history.record(operation(scene.folder)))
    assert error_of(end).exit_code == ExitCode.QUOTA
    assert end.operation.status == TaskStatus.UNANSWERED
    assert scene.unfinished == end.operation


@pytest.mark.parametrize("refusal", [400, 401, 402, 403])
@pytest.mark.parametrize("earlier", ["429", "no connection", "429 and no connection"])
def test_rejection_after_a_request_that_cannot_have_arrived_is_final(
    scene: Scene, earlier: str, refusal: int
) -> None:
    """Mark it as refused, or it would be listed as unanswered for a week and be sent again in vain."""
    server = scene.serve(*([rate_limited(1)] if "429" in earlier else []), answer(refusal))
    if earlier == "no connection":
        server.down()

    def pause(seconds: float) -> None:
        scene.clock.pause(seconds)
        if earlier.startswith("429 and") and len(scene.clock.pauses) == 1:
            server.down()
        elif "no connection" in earlier:
            server.up()

    events, end = scene.generate(pause=pause)
    assert error_of(end).http_status == refusal
    assert end.operation.status == TaskStatus.REFUSED
    assert len(of_kind(events, Retrying)) == 1 + earlier.startswith("429 and")
    assert scene.history.last_unfinished(SERVICE) is None


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (answer(307, headers={"Location": "https://elsewhere.test/"}), RedirectRefused),
        (answer(200, {"code": 1001, "message": "?", "data": None}), Unavailable),
    ],
    ids=["a redirect", "an error of an unknown kind"],
)
def test_submit_can_be_resumed_after(scene: Scene, reply: Reply, kind: type[SeedreamError]) -> None:
    server = scene.serve(reply)
    _, end = scene.generate()
    assert type(end.error) is kind
    assert len(server.requests) == 1
    assert scene.unfinished == end.operation


# The history fails after the payment


@pytest.mark.parametrize("failure", ["held by another program", "closed"])
def test_resume_after_a_response_that_could_not_be_recorded(
    scene: Scene, monkeypatch: pytest.MonkeyPatch, failure: str
) -> None:
    """Send the same key and body again: only these lead to the task, which is paid for."""
    image, requested = with_photo(scene)
    sandbox = scene.sandbox()
    context = scene.context()
    context.bodies.attach([image])
    with ExitStack() as held:

        def fail(event: Event) -> None:
            if not isinstance(event, Sending):
                return
            if failure == "closed":
                scene.history.close()
            else:
                held.enter_context(held_by_another_program(scene.history, monkeypatch))

        # The image is saved although its operation cannot be recorded.
        events, end = scene.generate(requested, on_event=fail, context=context, wait=failure == "closed")
    assert end.error is None
    assert (scene.folder / "fox.png").exists() is (failure == "closed")
    (scene.folder / "fox.png").unlink(missing_ok=True)
    [submitted] = of_kind(events, Submitted)
    assert not submitted.replayed
    assert of_kind(events, Notice)

    # Another run, without the source image.
    (scene.folder / "photo.png").unlink()
    with closing(History(scene.history.path, now=scene.clock)) as afterwards:
        left = afterwards.last_unfinished(SERVICE)
        assert left is not None
        assert (left.id, left.task_id) == (submitted.operation.id, None)
        events, end = scene.generate(left, wait=True, history=afterwards)
    assert end.error is None
    assert end.operation.task_id == submitted.operation.task_id
    assert [event.replayed for event in of_kind(events, Submitted)] == [True]
    assert sandbox.task_count() == 1
    assert (scene.folder / "fox.png").exists()
    # It is recorded now, so its body is no longer needed.
    assert list((scene.folder / "bodies").iterdir()) == []
