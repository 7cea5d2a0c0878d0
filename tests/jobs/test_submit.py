"""A create is sent until its answer is read, always the same, and pays once."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path

import pytest
from msgspec.structs import replace
from support.clock import Clock
from support.images import png
from support.raw import Exchange, RawServer, Reply, accepted, answer
from support.tasks import SERVICE, of_kind, operation, played

from seedream_cli import jobs
from seedream_cli.errors import (
    ExitCode,
    KeyBusy,
    RateLimited,
    RedirectRefused,
    SeedreamError,
    ServiceFailing,
    Stopped,
    Unavailable,
    UnreadableAnswer,
    UsageProblem,
)
from seedream_cli.events import Ended, Event, Noticed, Refused, Retrying, Sending, Submitted
from seedream_cli.history import History
from seedream_cli.models import GenerationRequest, Operation, Status
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.source_images import read_file

StartRaw = Callable[..., RawServer]
StartSandbox = Callable[..., Sandbox]
WorkOn = Callable[..., jobs.Work]


def error_of(end: Ended) -> SeedreamError:
    assert end.error is not None
    return end.error


@contextmanager
def held_by_another_program(history: History, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr("seedream_cli.history._PATIENCE", 0.02)
    with closing(sqlite3.connect(history.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        yield


def _without(whole: Operation, field: str) -> Operation:
    return replace(whole, request=None) if field == "request" else replace(whole, idempotency_key=None)


def busy(seconds: int | None = 1) -> bytes:
    envelope = {"code": 409, "message": "running", "data": {"error_code": "idempotency_in_progress"}}
    return answer(409, envelope, headers={} if seconds is None else {"Retry-After": str(seconds)})


# Accepted


def test_a_create_that_is_accepted_is_a_task(
    start_raw: StartRaw, work_on: WorkOn, history: History, clock: Clock, tmp_path: Path
) -> None:
    headers = {"X-Request-ID": "req_1", "X-Request-Cost": "0.035"}
    work = work_on(start_raw(accepted("task_1", headers=headers)).base_url)
    events, end = played(jobs.generate, work, operation(tmp_path), wait=False)
    assert [type(event) for event in events] == [Sending, Submitted, Ended]
    made = end.operation
    assert (made.task_id, made.status, made.cost, made.request_id, made.accepted) == (
        "task_1",
        Status.PENDING,
        "0.035",
        "req_1",
        clock.time,
    )
    assert history.find(SERVICE, "task_1") == made
    assert clock.pauses == []


def test_one_that_another_run_saw_answered_meanwhile_is_not_called_lost_with_its_body(
    start_raw: StartRaw, work_on: WorkOn, history: History, tmp_path: Path
) -> None:
    image = f"data:image/png;bytes=1;sha256={'0' * 64}"
    request = GenerationRequest("fox", "seedream-v4.5-edit", image_urls=(image,))
    asked = history.record(operation(tmp_path, request=request))
    history.record(replace(asked, task_id="task_1", status=Status.PENDING))
    server = start_raw(accepted("task_2"))
    events, end = played(jobs.generate, work_on(server.base_url), asked, wait=False)
    assert (end.error, end.operation.task_id) == (None, "task_1")
    assert of_kind(events, Submitted)[0].replayed
    assert server.requests == []


@pytest.mark.parametrize("known", [False, True], ids=["new", "sent before"])
def test_only_a_request_that_the_history_never_had_goes_when_it_cannot_be_recorded(
    start_raw: StartRaw,
    work_on: WorkOn,
    history: History,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    known: bool,
) -> None:
    (tmp_path / "a.png").write_bytes(png())
    image = read_file(tmp_path / "a.png", "a.png")
    request = GenerationRequest("fox", "seedream-v4.5-edit", image_urls=(image.name,))
    server = start_raw()
    work = work_on(server.base_url)
    work.bodies.attach([image])
    asked = operation(tmp_path, request=request)
    if known:
        work.bodies.of(history.record(asked))
    with held_by_another_program(history, monkeypatch):
        _, end = played(jobs.generate, work, replace(asked, idempotency_key="key-2"), wait=False)
    assert error_of(end).exit_code == ExitCode.NOT_SAVED
    assert server.requests == []
    assert len(list((tmp_path / "bodies").iterdir())) == known


@pytest.mark.parametrize("code", [0, 200])
def test_both_dialects_accept(start_raw: StartRaw, work_on: WorkOn, tmp_path: Path, code: int) -> None:
    reply = answer(200, {"code": code, "message": "success", "data": {"task_id": "task_1"}})
    _, end = played(jobs.generate, work_on(start_raw(reply).base_url), operation(tmp_path), wait=False)
    assert (end.error, end.operation.task_id) == (None, "task_1")


def test_a_replay_is_told(start_raw: StartRaw, work_on: WorkOn, tmp_path: Path) -> None:
    server = start_raw(accepted("task_1", headers={"X-Idempotent-Replay": "true"}))
    events, _ = played(jobs.generate, work_on(server.base_url), operation(tmp_path), wait=False)
    assert [event.replayed for event in of_kind(events, Submitted)] == [True]


def test_an_operation_that_has_a_task_is_not_sent_again(
    start_sandbox: StartSandbox, work_on: WorkOn, tmp_path: Path
) -> None:
    sandbox = start_sandbox(seconds=0)
    work = work_on(sandbox.base_url)
    _, first = played(jobs.generate, work, operation(tmp_path), wait=False)
    _, again = played(jobs.generate, work, first.operation)
    assert again.error is None
    assert sandbox.task_count() == 1
    assert [request.method for request in sandbox.requests].count("POST") == 1


@pytest.mark.parametrize("missing", ["request", "idempotency_key"])
def test_a_task_of_another_machine_cannot_be_sent(
    start_raw: StartRaw, work_on: WorkOn, tmp_path: Path, missing: str
) -> None:
    server = start_raw(accepted())
    _, end = played(jobs.generate, work_on(server.base_url), _without(operation(tmp_path), missing))
    assert isinstance(end.error, UsageProblem)
    assert server.connections == 0


# Sent again

PASSING: dict[str, Reply] = {
    "429": answer(429),
    "500": answer(500),
    "502": answer(502),
    "503": answer(503),
    "504": answer(504),
    "408": answer(408),
    "a dropped connection": None,
    "half an answer": answer(200, b'{"code"', length=100),
    "an HTML page": answer(200, b"<html>It works!</html>"),
    "an empty answer": answer(200, b""),
    "a success without a task id": answer(200, {"code": 200, "data": {}}),
    "a 429 inside HTTP 200": answer(200, {"code": 429, "message": "slow down", "data": None}),
    "a known code inside HTTP 200": answer(200, {"error": {"code": "internal_error"}}),
    "in progress": busy(None),
    "a 503 with its code": answer(
        503, {"code": 503, "message": "no", "data": {"error_code": "idempotency_unavailable"}}
    ),
}


@pytest.mark.parametrize("reply", PASSING.values(), ids=PASSING)
def test_a_create_is_repeated_with_the_same_key_and_body_after(
    start_raw: StartRaw, work_on: WorkOn, tmp_path: Path, reply: Reply
) -> None:
    server = start_raw(reply, reply, accepted("task_1"))
    request = GenerationRequest(prompt="雪中的红狐狸", aspect_ratio="16:9", quality="4K")
    events, end = played(
        jobs.generate, work_on(server.base_url), operation(tmp_path, request=request), wait=False
    )
    assert (end.error, end.operation.task_id) == (None, "task_1")
    assert [request.headers["idempotency-key"] for request in server.requests] == ["key-1"] * 3
    assert len({request.body for request in server.requests}) == 1
    assert len(of_kind(events, Retrying)) == 2


def test_a_repetition_from_the_history_sends_an_equal_request(
    start_raw: StartRaw, work_on: WorkOn, history: History, tmp_path: Path
) -> None:
    server = start_raw(None, None, None, None, None, accepted("task_1"))
    request = GenerationRequest(prompt="雪", image_urls=("https://a/1",), callback_url="https://a/hook")
    work = work_on(server.base_url)
    _, end = played(jobs.generate, work, operation(tmp_path, request=request), wait=False)
    assert error_of(end).exit_code == ExitCode.UNAVAILABLE
    kept = history.last_unsettled(SERVICE)
    assert kept is not None
    assert kept.status == Status.UNANSWERED
    _, end = played(jobs.generate, work, kept, wait=False)
    assert end.operation.task_id == "task_1"
    assert len({(request.body, request.headers["idempotency-key"]) for request in server.requests}) == 1


@pytest.mark.parametrize("fault", ["submit-drop", "submit-html", "submit-empty", "submit-drop-before"])
def test_an_answer_that_got_lost_makes_exactly_one_task(
    start_sandbox: StartSandbox, work_on: WorkOn, tmp_path: Path, fault: str
) -> None:
    sandbox = start_sandbox(seconds=0, faults=[f"{fault}=2"])
    events, end = played(jobs.generate, work_on(sandbox.base_url), operation(tmp_path))
    assert end.error is None
    assert sandbox.task_count() == 1
    assert [event.replayed for event in of_kind(events, Submitted)] == [fault != "submit-drop-before"]
    assert len(end.operation.files) == 1


def test_an_operation_that_was_given_up_is_resumed_to_the_same_task(
    start_sandbox: StartSandbox, work_on: WorkOn, history: History, tmp_path: Path
) -> None:
    sandbox = start_sandbox(seconds=0, faults=["submit-drop=5"])
    work = work_on(sandbox.base_url)
    _, end = played(jobs.generate, work, operation(tmp_path))
    assert error_of(end).exit_code == ExitCode.UNAVAILABLE
    kept = history.last_unsettled(SERVICE)
    assert kept is not None
    _, end = played(jobs.generate, work, kept)
    assert end.error is None
    assert sandbox.task_count() == 1


# The budget


def test_a_create_is_tried_five_times(
    start_raw: StartRaw, work_on: WorkOn, history: History, clock: Clock, tmp_path: Path
) -> None:
    server = start_raw(answer(503))
    work = work_on(server.base_url, spread=lambda low, high: high)
    _, end = played(jobs.generate, work, operation(tmp_path))
    assert isinstance(end.error, ServiceFailing)
    assert len(server.requests) == 5
    assert clock.pauses == [0.5, 1.0, 2.0, 4.0]
    # Nobody knows whether it was accepted: it stays what can be sent again.
    assert end.operation.status == Status.UNANSWERED
    assert history.last_unsettled(SERVICE) == end.operation


def test_a_create_is_tried_for_a_minute(
    start_raw: StartRaw, work_on: WorkOn, clock: Clock, tmp_path: Path
) -> None:
    server = start_raw(answer(429, headers={"Retry-After": "25"}))
    _, end = played(jobs.generate, work_on(server.base_url), operation(tmp_path))
    assert isinstance(end.error, RateLimited)
    assert clock.pauses == [25.0, 25.0]
    assert len(server.requests) == 3


@pytest.mark.parametrize("seconds", [1, 7, 59])
def test_a_retry_after_is_waited_for(
    start_raw: StartRaw, work_on: WorkOn, clock: Clock, tmp_path: Path, seconds: int
) -> None:
    server = start_raw(answer(429, headers={"Retry-After": str(seconds)}), accepted("task_1"))
    _, end = played(jobs.generate, work_on(server.base_url), operation(tmp_path), wait=False)
    assert end.error is None
    assert clock.pauses == [seconds]


@pytest.mark.parametrize("value", ["3600", "Fri, 31 Dec 2999 23:59:59 GMT", "99999999999999"])
def test_a_retry_after_beyond_the_budget_ends_at_once(
    start_raw: StartRaw, work_on: WorkOn, clock: Clock, tmp_path: Path, value: str
) -> None:
    server = start_raw(answer(429, headers={"Retry-After": value}))
    _, end = played(jobs.generate, work_on(server.base_url), operation(tmp_path))
    assert isinstance(end.error, RateLimited)
    assert "asks to come back in" in end.error.message
    assert (len(server.requests), clock.pauses) == (1, [])


def test_a_retry_after_in_the_past_does_not_make_a_volley(
    start_raw: StartRaw, work_on: WorkOn, clock: Clock, tmp_path: Path
) -> None:
    reply = answer(503, headers={"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"})
    _, end = played(
        jobs.generate,
        work_on(start_raw(reply, accepted()).base_url, spread=lambda low, high: high),
        operation(tmp_path),
        wait=False,
    )
    assert end.error is None
    assert clock.pauses == [0.5]


def test_a_first_request_that_still_runs_is_waited_for(
    start_raw: StartRaw, work_on: WorkOn, clock: Clock, tmp_path: Path
) -> None:
    server = start_raw(busy(1), busy(2), accepted("task_1"))
    events, end = played(jobs.generate, work_on(server.base_url), operation(tmp_path), wait=False)
    assert end.operation.task_id == "task_1"
    assert clock.pauses == [1.0, 2.0]
    assert all(isinstance(event.cause, KeyBusy) for event in of_kind(events, Retrying))
    assert len({(request.body, request.headers["idempotency-key"]) for request in server.requests}) == 1


def test_a_stop_while_waiting_leaves_something_to_resume(
    start_raw: StartRaw, work_on: WorkOn, history: History, tmp_path: Path
) -> None:
    def stop(seconds: float) -> None:
        raise Stopped

    server = start_raw(answer(503))
    with pytest.raises(Stopped):
        jobs.generate(work_on(server.base_url, pause=stop), operation(tmp_path))
    assert history.last_unsettled(SERVICE) == operation(tmp_path)


# Refused

REFUSED: dict[str, tuple[Reply, ExitCode]] = {
    "400": (answer(400, {"error": {"message": "Invalid aspect_ratio value"}}), ExitCode.USAGE),
    "401": (answer(401), ExitCode.AUTHENTICATION),
    "402": (answer(402), ExitCode.QUOTA),
    "403": (answer(403), ExitCode.AUTHENTICATION),
    "403, of the balance": (answer(403, {"error": {"message": "insufficient balance"}}), ExitCode.QUOTA),
    "404": (answer(404), ExitCode.NOT_FOUND),
    "409 conflict": (
        answer(409, {"code": 409, "message": "other", "data": {"error_code": "idempotency_conflict"}}),
        ExitCode.USAGE,
    ),
    "422": (answer(422), ExitCode.USAGE),
    "400 inside HTTP 200": (answer(200, {"code": 400, "message": "no", "data": None}), ExitCode.USAGE),
    "invalid_api_key inside HTTP 200": (
        answer(200, {"error": {"code": "invalid_api_key"}}),
        ExitCode.AUTHENTICATION,
    ),
}


@pytest.mark.parametrize(("reply", "exit_code"), REFUSED.values(), ids=REFUSED)
def test_a_create_is_over_once_it_is_refused_with(
    start_raw: StartRaw,
    work_on: WorkOn,
    history: History,
    tmp_path: Path,
    reply: Reply,
    exit_code: ExitCode,
) -> None:
    server = start_raw(reply)
    events, end = played(jobs.generate, work_on(server.base_url), operation(tmp_path))
    assert error_of(end).exit_code == exit_code
    assert len(server.requests) == 1
    assert [type(event) for event in events] == [Sending, Refused, Ended]
    kept = history.find(SERVICE, end.operation.id)
    assert kept == end.operation
    assert (kept.status, kept.settled, kept.task_id) == (Status.REFUSED, True, None)
    assert kept.error_message
    assert history.last_unsettled(SERVICE) is None


MAY_HAVE_ARRIVED: dict[str, list[Reply]] = {
    "drop": [None],
    "500": [answer(500)],
    "html": [answer(200, b"<html>")],
    "500, then 429": [answer(500), answer(429)],
}


@pytest.mark.parametrize("refusal", [401, 402, 403, 409])
@pytest.mark.parametrize("earlier", MAY_HAVE_ARRIVED.values(), ids=MAY_HAVE_ARRIVED)
def test_a_refusal_behind_a_create_that_may_have_arrived_settles_nothing(
    start_raw: StartRaw,
    work_on: WorkOn,
    history: History,
    tmp_path: Path,
    earlier: list[Reply],
    refusal: int,
) -> None:
    """The first attempt may have made the task, and have taken the last of the balance for it."""
    server = start_raw(*earlier, answer(refusal), accepted("task_1"))
    _, end = played(jobs.generate, work_on(server.base_url), operation(tmp_path))
    assert end.error is not None
    assert end.operation.status == Status.UNANSWERED
    left = history.last_unsettled(SERVICE)
    assert left is not None
    _, end = played(jobs.generate, work_on(server.base_url), left, wait=False)
    assert end.operation.task_id == "task_1"
    assert len({request.headers["idempotency-key"] for request in server.requests}) == 1


@pytest.mark.parametrize("refusal", [400, 404, 422])
def test_a_request_that_is_invalid_was_so_the_first_time_too(
    start_raw: StartRaw, work_on: WorkOn, tmp_path: Path, refusal: int
) -> None:
    _, end = played(jobs.generate, work_on(start_raw(None, answer(refusal)).base_url), operation(tmp_path))
    assert end.operation.status == Status.REFUSED


@pytest.mark.parametrize("replies", [[answer(402)], [answer(429), answer(402)]], ids=["402", "429, then 402"])
def test_a_refusal_of_an_operation_that_was_sent_before_settles_nothing(
    start_raw: StartRaw, work_on: WorkOn, history: History, tmp_path: Path, replies: list[Reply]
) -> None:
    current = operation(tmp_path)
    history.record(current)
    _, end = played(jobs.generate, work_on(start_raw(*replies).base_url), current)
    assert error_of(end).exit_code == ExitCode.QUOTA
    assert end.operation.status == Status.UNANSWERED
    assert history.last_unsettled(SERVICE) is not None


@pytest.mark.parametrize("refusal", [400, 401, 402, 403])
@pytest.mark.parametrize("earlier", ["429", "no connection", "429 and no connection"])
def test_a_refusal_behind_what_cannot_have_arrived_is_a_refusal(
    start_raw: StartRaw, work_on: WorkOn, clock: Clock, tmp_path: Path, earlier: str, refusal: int
) -> None:
    """Otherwise it would be listed as unanswered for a week, and be sent again in vain."""
    limited = answer(429, headers={"Retry-After": "1"})
    server = start_raw(*([limited] if "429" in earlier else []), answer(refusal))
    if earlier == "no connection":
        server.down()

    def pause(seconds: float) -> None:
        clock.pause(seconds)
        if earlier.startswith("429 and") and len(clock.pauses) == 1:
            server.down()
        elif "no connection" in earlier:
            server.up()

    work = work_on(server.base_url, pause=pause)
    events, end = played(jobs.generate, work, operation(tmp_path))
    assert error_of(end).http_status == refusal
    assert end.operation.status == Status.REFUSED
    assert len(of_kind(events, Retrying)) == 1 + earlier.startswith("429 and")
    assert work.history.last_unsettled(SERVICE) is None


def test_an_operation_that_another_run_carried_further_is_not_sent(
    start_raw: StartRaw, work_on: WorkOn, history: History, tmp_path: Path
) -> None:
    stale = operation(tmp_path)
    history.record(replace(stale, task_id="task_9", status="pending"))
    server = start_raw(accepted("task_1"))
    _, end = played(jobs.generate, work_on(server.base_url), stale, wait=False)
    assert end.operation.task_id == "task_9"
    assert server.requests == []


AMBIGUOUS: dict[str, tuple[Reply, type[SeedreamError]]] = {
    "a redirect": (answer(307, headers={"Location": "https://elsewhere.test/"}), RedirectRefused),
    "an error of an unknown kind": (
        answer(200, {"code": 1001, "message": "?", "data": None}),
        Unavailable,
    ),
}


@pytest.mark.parametrize(("reply", "kind"), AMBIGUOUS.values(), ids=AMBIGUOUS)
def test_a_create_may_be_sent_again_by_hand_after(
    start_raw: StartRaw,
    work_on: WorkOn,
    history: History,
    tmp_path: Path,
    reply: Reply,
    kind: type[SeedreamError],
) -> None:
    server = start_raw(reply)
    _, end = played(jobs.generate, work_on(server.base_url), operation(tmp_path))
    assert type(end.error) is kind
    assert len(server.requests) == 1
    assert history.last_unsettled(SERVICE) == end.operation


def test_an_unreadable_answer_that_stays_so_is_7_and_can_be_resumed(
    start_raw: StartRaw, work_on: WorkOn, history: History, tmp_path: Path
) -> None:
    server = start_raw(answer(200, b"<html>"))
    _, end = played(jobs.generate, work_on(server.base_url), operation(tmp_path))
    assert isinstance(end.error, UnreadableAnswer)
    assert end.error.exit_code == ExitCode.UNAVAILABLE
    assert len(server.requests) == 5
    assert history.last_unsettled(SERVICE) is not None


# The history fails after the payment


def test_a_history_that_fails_after_the_payment_does_not_lose_the_image(
    start_sandbox: StartSandbox, work_on: WorkOn, history: History, tmp_path: Path
) -> None:
    sandbox = start_sandbox(seconds=0)
    work = work_on(sandbox.base_url)

    def close(event: Event) -> None:
        if isinstance(event, Sending):
            history.close()

    events, end = played(jobs.generate, work, operation(tmp_path), on_event=close)
    assert end.error is None
    assert (tmp_path / "fox.png").exists()
    assert of_kind(events, Noticed)
    assert sandbox.task_count() == 1


def test_the_intent_is_on_disk_before_the_request_leaves(
    start_raw: StartRaw, work_on: WorkOn, history: History, tmp_path: Path
) -> None:
    found: list[tuple[object, ...]] = []

    def look(exchange: Exchange) -> None:
        # As another program sees it.
        with closing(sqlite3.connect(history.path)) as other:
            found.extend(other.execute("SELECT status, task_id, idempotency_key, request FROM operations"))
        exchange.connection.sendall(accepted())

    server = start_raw(look)
    played(jobs.generate, work_on(server.base_url), operation(tmp_path), wait=False)
    [request] = server.requests
    [(state, task_id, key, body)] = found
    assert (state, task_id) == (Status.UNANSWERED, None)
    assert key == request.headers["idempotency-key"] == "key-1"
    assert json.loads(str(body)) == request.json


@pytest.mark.parametrize("harm", ["held by another program", "closed"])
def test_an_answer_that_cannot_be_recorded_is_resumed_with_its_source_images(
    start_sandbox: StartSandbox,
    work_on: WorkOn,
    history: History,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    harm: str,
) -> None:
    """It is paid for: only the same key with the same body leads to its task."""
    (tmp_path / "photo.png").write_bytes(png())
    image = read_file(tmp_path / "photo.png", "photo.png")
    request = GenerationRequest("fox", "seedream-v4.5-edit", image_urls=(image.name,))
    sandbox = start_sandbox(seconds=0)
    work = work_on(sandbox.base_url)
    work.bodies.attach([image])
    with ExitStack() as harmed:

        def spoil(event: Event) -> None:
            if not isinstance(event, Sending):
                return
            if harm == "closed":
                history.close()
            else:
                harmed.enter_context(held_by_another_program(history, monkeypatch))

        asked = operation(tmp_path, request=request)
        events, _ = played(jobs.generate, work, asked, on_event=spoil, wait=False)
    [submitted] = of_kind(events, Submitted)
    assert not submitted.replayed
    assert of_kind(events, Noticed)

    # Another run, for which the image is not at hand any more.
    (tmp_path / "photo.png").unlink()
    with closing(History(history.path, now=work.now)) as later:
        left = later.last_unsettled(SERVICE)
        assert left is not None
        assert (left.id, left.task_id) == (submitted.operation.id, None)
        events, end = played(jobs.generate, work_on(sandbox.base_url, history=later), left)
    assert end.error is None
    assert end.operation.task_id == submitted.operation.task_id
    assert [event.replayed for event in of_kind(events, Submitted)] == [True]
    assert sandbox.task_count() == 1
    assert (tmp_path / "fox.png").exists()
    # Now it is answered, and nobody needs its body.
    assert list((tmp_path / "bodies").iterdir()) == []
