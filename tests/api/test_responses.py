"""Responses of the API: both dialects, the three error envelopes, and arbitrary bytes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from email.utils import formatdate
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from seedream_cli.api.responses import (
    STATUS_OF_CODE,
    RawResponse,
    read_accepted,
    read_data,
    read_task,
)
from seedream_cli.errors import (
    ExitCode,
    IdempotencyKeyInUse,
    InvalidResponse,
    KeyRefused,
    NotFound,
    QuotaExceeded,
    RateLimited,
    RequestRefused,
    SeedreamError,
    ServiceFailing,
    Unavailable,
)
from seedream_cli.models import Accepted, Task

NOW = 1_800_000_000.0


def response(
    body: object, status: int = 200, headers: dict[str, str] | None = None, secret: str | None = None
) -> RawResponse:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return RawResponse(status, headers or {}, content, NOW, secret)


def success(data: object, code: object = 200) -> dict[str, object]:
    return {"code": code, "message": "success", "data": data}


def create(body: object, status: int = 200, headers: dict[str, str] | None = None) -> Accepted:
    return read_accepted(response(body, status, headers), model="seedream-v4.5")


def status_of(data: object, code: object = 200) -> Task:
    return read_task(response(success(data, code)), task_id="task_1")


def refusal(body: object, status: int = 200, headers: dict[str, str] | None = None) -> SeedreamError:
    with pytest.raises(SeedreamError) as caught:
        create(body, status, headers)
    return caught.value


# Accepted create requests


# 0 is the older dialect, 200 the current one. The others, and unknown fields, are tolerated.
@pytest.mark.parametrize("code", [0, 200, "200", 200.0, 201, None])
def test_read_accepted_with_success_code(code: object) -> None:
    body = success({"task_id": "task_abc123xyz", "queue": [1, {"place": None}]}, code) | {"trace": {}}
    assert create(body) == Accepted("task_abc123xyz")


@pytest.mark.parametrize("task_id", ["img_0f", "a/b?c d%2F", "任务"])
def test_read_accepted_keeps_task_id_as_it_is(task_id: str) -> None:
    assert create(success({"task_id": task_id})).task_id == task_id


def test_read_accepted_keeps_request_id_and_cost() -> None:
    created = create(success({"task_id": "t"}), headers={"x-request-id": "req_1", "x-request-cost": "0.0350"})
    assert (created.request_id, created.cost) == ("req_1", "0.0350")


@pytest.mark.parametrize(
    ("header", "replayed"), [("true", True), ("True", True), ("false", False), ("", False), (None, False)]
)
def test_read_accepted_replayed_header(header: str | None, replayed: bool) -> None:
    headers = {} if header is None else {"x-idempotent-replay": header}
    assert create(success({"task_id": "t"}), headers=headers).replayed is replayed


@pytest.mark.parametrize(
    ("field", "found"),
    [
        *[("data.task_id", data) for data in ({}, {"task_id": None}, {"task_id": 7}, {"task_id": ""})],
        *[("data: expected an object", data) for data in (None, "task_1", [{"task_id": "t"}])],
    ],
)
def test_read_accepted_names_invalid_field(field: str, found: object) -> None:
    error = refusal(success(found))
    assert type(error) is InvalidResponse
    assert field in error.message


# State of a task


@pytest.mark.parametrize(
    ("words", "finished", "has_failed"),
    [
        ("pending processing queued running submitted warming_up", False, False),
        ("completed COMPLETED", True, False),
        ("failed cancelled rejected Failed", True, True),
    ],
)
def test_read_task_status(words: str, finished: bool, has_failed: bool) -> None:
    for word in words.split():
        task = status_of({"task_id": "task_1", "status": word, "result": ["https://img.test/1.png"]})
        assert (task.status, task.finished, task.has_failed) == (word, finished, has_failed)


def test_read_task_names_invalid_field() -> None:
    for status in (None, 3, "", ["x"]):
        with pytest.raises(InvalidResponse, match=r"data\.status"):
            status_of({"status": status})
    with pytest.raises(InvalidResponse, match=r"data\.status"):
        status_of({})
    for result in (7, [None], [["https://a/1"]], {"href": "https://a/1"}, [{"url": 3}]):
        with pytest.raises(InvalidResponse, match=r"data\.result"):
            status_of({"status": "completed", "result": result})
        # It is ignored until the task is completed.
        assert status_of({"status": "processing", "result": result}).results == ()


@pytest.mark.parametrize(
    ("result", "urls"),
    [
        (["https://a/1", "https://a/2"], ("https://a/1", "https://a/2")),
        ("https://a/1", ("https://a/1",)),
        ([{"url": "https://a/1", "size": 3}, "https://a/2"], ("https://a/1", "https://a/2")),
        ({"url": "https://a/1"}, ("https://a/1",)),
        ([], ()),
        ("", ()),
        (None, ()),
        (..., ()),
    ],
)
def test_read_task_result_urls(result: object, urls: tuple[str, ...]) -> None:
    task = status_of({"status": "completed", **({} if result is ... else {"result": result})})
    assert (task.results, task.finished) == (urls, bool(urls))


@pytest.mark.parametrize(
    ("progress", "read"),
    [
        *[(0, 0), (42, 42), (100, 100), (42.0, 42), ("42", 42)],
        *[(other, None) for other in (42.5, -1, 101, "42%", True, None, [1])],
    ],
)
def test_read_task_progress(progress: object, read: int | None) -> None:
    assert status_of({"status": "processing", "progress": progress}).progress == read


@pytest.mark.parametrize(
    ("data", "message", "code"),
    [
        ({"error_message": "no capacity", "error_code": "UPSTREAM"}, "no capacity", "UPSTREAM"),
        # The older field.
        ({"error": "no capacity"}, "no capacity", None),
        ({"error": {"message": "no capacity"}}, "no capacity", None),
        ({"error_message": "new", "error": "old"}, "new", None),
        ({"error_message": 3, "error_code": 4}, None, None),
        ({}, None, None),
    ],
)
def test_read_task_error_message_and_code(
    data: dict[str, object], message: str | None, code: str | None
) -> None:
    task = status_of({"status": "failed", **data})
    assert (task.error_message, task.error_code) == (message, code)


@pytest.mark.parametrize(
    ("value", "read"),
    [
        (1_800_000_000, 1_800_000_000),
        ("1800000000", 1_800_000_000),
        *[(other, None) for other in (None, "yesterday", -5, 10**400)],
    ],
)
def test_read_task_completed_at(value: object, read: int | None) -> None:
    assert status_of({"status": "completed", "completed_at": value}).completed_at == read


# Errors

#: HTTP status, error class, exit code and transient, as the API's table of errors has them.
STATUSES: list[tuple[int, type[SeedreamError], ExitCode, bool]] = [
    *[(status, RequestRefused, ExitCode.USAGE, False) for status in (400, 405, 409, 422)],
    *[(status, KeyRefused, ExitCode.AUTHENTICATION, False) for status in (401, 403)],
    (402, QuotaExceeded, ExitCode.QUOTA, False),
    (404, NotFound, ExitCode.NOT_FOUND, False),
    (429, RateLimited, ExitCode.UNAVAILABLE, True),
    *[(status, ServiceFailing, ExitCode.UNAVAILABLE, True) for status in (408, 500, 502, 503, 504)],
]
each_status = pytest.mark.parametrize(("status", "kind", "exit_code", "transient"), STATUSES)

ENVELOPES: dict[str, Callable[[int], object]] = {
    "error object": lambda status: {"error": {"message": "their words", "type": "t", "code": "their_code"}},
    "code with data": lambda status: {
        "code": status,
        "message": "their words",
        "data": {"type": "t", "error_code": "their_code"},
    },
    "code without data": lambda status: {"code": status, "message": "their words", "data": None},
}


@each_status
def test_error_class_by_http_status(
    status: int, kind: type[SeedreamError], exit_code: ExitCode, transient: bool
) -> None:
    for name, envelope in ENVELOPES.items():
        error = refusal(envelope(status), status, {"x-request-id": "req_7"})
        assert (type(error), error.exit_code, error.transient) == (kind, exit_code, transient)
        assert (error.detail, error.http_status, error.request_id) == ("their words", status, "req_7")
        assert str(status) in error.message
        assert name == "code without data" or error.code == "their_code"
    # The status alone is enough.
    for body in (b"", b"<html>Bad Gateway</html>", b"[]", b"null", b"\xff\xfe"):
        error = refusal(body, status)
        assert (type(error), error.exit_code, error.transient) == (kind, exit_code, transient)
        assert error.detail is None
    # Inside HTTP 200, the number in the envelope decides.
    for name in ("code with data", "code without data"):
        error = refusal(ENVELOPES[name](status))
        assert (type(error), error.exit_code, error.transient) == (kind, exit_code, transient)
        assert error.http_status == 200
        assert str(status) in error.message


#: Error class by machine code, for envelopes without a number.
CODES: dict[str, type[SeedreamError]] = {
    "invalid_api_key": KeyRefused,
    "invalid_request": RequestRefused,
    "invalid_parameter": RequestRefused,
    "insufficient_quota": QuotaExceeded,
    "rate_limit_exceeded": RateLimited,
    "model_not_available": NotFound,
    "internal_error": ServiceFailing,
    "invalid_idempotency_key": RequestRefused,
    "idempotency_conflict": RequestRefused,
    "idempotency_in_progress": IdempotencyKeyInUse,
    "idempotency_unavailable": ServiceFailing,
}


@pytest.mark.parametrize("code", CODES)
def test_error_inside_http_200_by_machine_code(code: str) -> None:
    for number in (None, 0, 200, 1001):
        error = refusal({"error": {"message": "their words", "code": code}, "code": number})
        assert type(error) is CODES[code]
        assert (error.code, error.detail) == (code, "their words")
    assert set(STATUS_OF_CODE) == set(CODES)


def test_error_inside_http_200_of_unknown_kind_is_unavailable() -> None:
    for body in (
        {"error": {"message": "their words", "code": "something_new"}},
        {"error": "their words"},
        {"code": 1001, "message": "their words", "data": {"error_code": "something_new"}},
        {"code": -1, "message": "their words", "data": None},
        {"code": 600, "message": "their words"},
    ):
        error = refusal(body)
        assert (type(error), error.transient, error.detail) == (Unavailable, False, "their words")
        assert error.exit_code == ExitCode.UNAVAILABLE


def test_error_status_precedes_machine_code() -> None:
    error = refusal({"error": {"message": "busy", "code": "UPSTREAM_CAPACITY_EXHAUSTED"}}, 503)
    assert (type(error), error.code) == (ServiceFailing, "UPSTREAM_CAPACITY_EXHAUSTED")
    # The status precedes a known code, and a code that is a number counts as a status.
    assert type(refusal({"error": {"message": "?", "code": "invalid_api_key"}}, 500)) is ServiceFailing
    assert type(refusal({"error": {"message": "no", "code": 404}})) is NotFound
    assert refusal({"error": {"code": "first"}, "data": {"error_code": "second"}}, 400).code == "first"


@pytest.mark.parametrize(
    ("code", "words", "kind"),
    [
        ("insufficient_quota", "no", QuotaExceeded),
        (None, "insufficient balance", QuotaExceeded),
        (None, "Your Quota is used up", QuotaExceeded),
        (None, "not enough credits", QuotaExceeded),
        ("permission_denied", "this key may not create images", KeyRefused),
        (None, "insufficient permissions", KeyRefused),
        (None, None, KeyRefused),
    ],
)
def test_error_403_means_balance_or_permission(
    code: str | None, words: str | None, kind: type[SeedreamError]
) -> None:
    assert type(refusal({"error": {"code": code, "message": words}}, 403)) is kind


@pytest.mark.parametrize("status", [200, 409])
def test_error_409_in_progress_is_transient_and_conflict_is_not(status: int) -> None:
    body = {"code": 409, "message": "running", "data": {"error_code": "idempotency_in_progress"}}
    error = refusal(body, status, {"retry-after": "1"})
    assert (type(error), error.transient, error.retry_after) == (IdempotencyKeyInUse, True, 1.0)
    error = refusal({**body, "data": {"error_code": "idempotency_conflict"}}, status)
    assert (type(error), error.transient, error.code) == (RequestRefused, False, "idempotency_conflict")


def test_error_404_names_model_or_task_and_401_has_a_hint() -> None:
    assert "seedream-v4.5" in refusal(b"", 404).message
    with pytest.raises(NotFound, match="task_1"):
        read_task(response(b"", 404), task_id="task_1")
    assert refusal(b"", 401).hint == "seedream config set api_key"


@pytest.mark.parametrize(
    "body", [b"", b"  \n", b"<html>", b'{"code": 0', b"[1]", b'"x"', b"3", b"null", b"NaN", b"\x00\xff"]
)
def test_success_without_json_object_is_invalid_response(body: bytes) -> None:
    error = refusal(body, 200, {"x-request-id": "req_9"})
    assert (type(error), error.transient) == (InvalidResponse, True)
    assert (error.http_status, error.request_id) == (200, "req_9")


# Sanitized text


def test_read_data_replaces_lone_surrogates() -> None:
    body = b'{"code": 200, "data": {"status": "odd\\ud83d", "error_message": "\\udc00!", "x\\ud800": 1}}'
    task = read_task(response(body), task_id="t")
    assert (task.status, task.error_message) == ("odd?", "?!")
    for key in read_data(response(body)):
        key.encode()
    # A byte order mark is tolerated.
    assert create(b'\xef\xbb\xbf{"code": 0, "data": {"task_id": "\\ud83e\\udd8a"}}').task_id == "🦊"


@pytest.mark.parametrize("echo", ["sk-a/b\\\\c", "sk-a\\/b\\\\c", "\\u0073k-a/b\\u005cc"])
def test_read_data_redacts_escaped_key(echo: str) -> None:
    body = f'{{"error": {{"message": "bad key {echo}!", "code": "{echo}"}}}}'.encode()
    with pytest.raises(KeyRefused) as caught:
        read_data(response(body, 401, secret="sk-a/b\\c"))
    assert caught.value.detail == "bad key ***!"
    assert caught.value.code == "***"


# Arbitrary bytes

JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text()
    | st.sampled_from(["completed", "failed", "https://a/1"]),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                ["code", "message", "data", "error", "task_id", "status", "result", "url", "progress"]
            )
            | st.sampled_from(["completed_at", "error_message", "error_code", "type"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=12,
)
ENVELOPE = st.fixed_dictionaries({}, optional={"code": JSON, "message": JSON, "data": JSON, "error": JSON})
READERS: list[Callable[[RawResponse], Any]] = [
    read_data,
    lambda answer: read_accepted(answer, model="m"),
    lambda answer: read_task(answer, task_id="t"),
]
BOUNDED = 10 * 365 * 86400


def check_readers(answer: RawResponse) -> None:
    """Check that readers return a value or raise a SeedreamError, with bounded and encodable texts."""
    for reader in READERS:
        try:
            value = reader(answer)
        except SeedreamError as error:
            texts = [error.message, error.code, error.detail]
            assert error.retry_after is None or 0 <= error.retry_after <= BOUNDED
            assert len(error.request_id or "") <= 100
            assert len(error.code) <= 100
        else:
            texts = []
            if isinstance(value, Accepted):
                assert len(value.cost or "") <= 64
            if isinstance(value, Task):
                texts = [value.status, *value.results, value.error_message]
                assert len(value.status) <= 100
                assert len(value.error_code or "") <= 100
        for text in texts:
            if text is not None:
                text.encode()


@given(body=st.binary(max_size=200), status=st.integers(100, 999))
@example(b"[" * 100_000, 200)
@example(b'{"data":' * 50_000, 200)
@example(b'{"code":200,"data":{"status":"completed","completed_at":1e999,"result":[]}}', 200)
@example(b'{"code":NaN,"data":{"status":"x","progress":-Infinity}}', 200)
@example(b'{"code":' + b"9" * 5000 + b"}", 200)
@example(b'{"code":' + b"9" * 4000 + b',"error":{"code":' + b"9" * 4000 + b"}}", 200)
@example(b'{"error":{"message":"\\ud800","code":"\\udfff"}}', 400)
@example(b'{"code":200,"data":{"status":"\\ud800","error":"\\udfff"}}', 200)
def test_readers_accept_any_bytes(body: bytes, status: int) -> None:
    check_readers(response(body, status))


HEADERS = st.dictionaries(
    st.sampled_from(
        ["retry-after", "x-request-id", "x-request-cost", "x-idempotent-replay", "content-type", "location"]
    ),
    st.text(max_size=300) | st.sampled_from(["-1", "1e999", "nan", "9" * 400, "\udcff", "true", "Infinity"]),
)


@settings(max_examples=60)
@given(
    body=JSON | ENVELOPE,
    encoding=st.sampled_from(["utf-8", "utf-8", "utf-8-sig", "utf-16", "utf-32", "latin-1"]),
    headers=HEADERS,
    status=st.sampled_from([200, 302, 400, 401, 409, 429, 503]),
)
def test_readers_accept_any_json_encoding_and_headers(
    body: object, encoding: str, headers: dict[str, str], status: int
) -> None:
    content = json.dumps(body, ensure_ascii=False).encode(encoding, "replace")
    check_readers(response(content, status, headers))


@pytest.mark.parametrize(
    "body",
    [
        b'{"code": 0, "code": 500, "data": {"task_id": "a"}}',
        b'{"code": 0, "data": [], "data": {"task_id": 1}}',
        json.dumps(success({"task_id": "t"})).encode("utf-16"),
        b'{"code": 0, "data": {"task_id": "t", "x": NaN}}',
        b'{"code": -Infinity, "data": {"task_id": "t"}}',
        pytest.param(b'{"code": 0, "data": {"task_id": ' + b"9" * 5000 + b"}}", id="5000 digits"),
        pytest.param(b'{"code": 0, "data": ' + b'{"x":' * 900 + b"1" + b"}" * 901, id="many levels"),
        pytest.param(b'{"code": 0, "data": ' + b"[" * 500_000, id="too many levels"),
    ],
)
def test_readers_refuse_ambiguous_json(body: bytes) -> None:
    assert refusal(body).exit_code == ExitCode.UNAVAILABLE
    # Infinity would not be valid JSON in our own output.
    data = read_data(response(b'{"code": 0, "data": {"balance": 1e999, "all": [-1e999, {"x": 1.5}]}}'))
    assert data == {"balance": None, "all": [None, {"x": 1.5}]}


def test_readers_cut_long_words() -> None:
    """They would fill the screen, and the history with each poll."""
    long = "x" * 5000
    task = status_of({"status": long, "error_code": long})
    assert (len(task.status), len(task.error_code or "")) == (100, 100)
    assert create(success({"task_id": "t"}), headers={"x-request-cost": long}).cost == "x" * 64
    error = refusal({"error": {"code": long}}, 400, {"x-request-id": long})
    assert (len(error.code), len(error.request_id or "")) == (100, 100)


# Retry-After


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        *[("1", 1.0), ("0", 0.0), (" 7 ", 7.0), ("1.5", 1.5)],
        (formatdate(NOW + 90, usegmt=True), 90.0),
        pytest.param(time.strftime("%A, %d-%b-%y %H:%M:%S GMT", time.gmtime(NOW + 90)), 90.0, id="RFC 850"),
        pytest.param(time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(NOW + 90)), 90.0, id="asctime"),
        pytest.param(formatdate(NOW - 90, usegmt=True), 0.0, id="a date in the past"),
        ("99999999999999999999", BOUNDED),
        ("Fri, 31 Dec 9999 23:59:59 GMT", BOUNDED),
        *[(other, None) for other in ("9" * 400, "-5", "1e5", "٣", "inf", "soon", "", None)],
    ],
)
def test_retry_after_seconds_or_date(
    text: str | None, seconds: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    # A date without a time zone must not be read as local time.
    monkeypatch.setenv("TZ", "Asia/Shanghai")
    time.tzset()
    try:
        headers = {} if text is None else {"retry-after": text}
        assert response(b"", 429, headers).retry_after == seconds
    finally:
        monkeypatch.undo()
        time.tzset()


DATE = st.lists(
    st.sampled_from(
        [
            *("Mon", "Mon,", "Sunday,", "06", "31", "99", "0", "Nov", "Feb", "1994", "9999", "10000"),
            *("08:49:37", "24:00:00", "99:99", "1:2:3:4", "GMT", "EST", "+0000", "-9999", "+99999999999"),
            *(" ", "\t", ",", ":", "-", "/", "(", ")", '"', "@", "\0", "é", "٣", "²", "1e999", "9" * 30),
        ]
    ),
    max_size=9,
).flatmap(lambda words: st.sampled_from(["", " "]).map(lambda gap: gap.join(words)))


@given(st.text(max_size=60) | DATE)
@example("Mon, 99 Foo 99999999999999999999 99:99:99 GMT")
@example("Mon, 01 Jan 2026 00:00:00 +999999999999")
def test_retry_after_of_any_text_is_bounded_or_none(text: str) -> None:
    seconds = response(b"", 429, {"retry-after": text}).retry_after
    assert seconds is None or 0 <= seconds <= 10 * 365 * 86400
