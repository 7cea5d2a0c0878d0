"""The judgement without sockets: validations, envelopes, idempotency, the life of a task."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from sandbox.caller import IMAGE, KEY, Make, create

from seedream_cli.catalog import ASPECT_RATIOS, MODELS
from seedream_cli.request_fields import REQUEST_FIELDS
from seedream_cli.sandbox.fake_api import COSTS, FakeApi
from seedream_cli.sandbox.faults import ROWS, STATUS, SUBMIT
from seedream_cli.sandbox.responses import ApiResponse


def task_id(service: FakeApi, **body: Any) -> str:
    return str(create(service, **body).body["data"]["task_id"])


@pytest.mark.parametrize(
    ("dialect", "code", "form"), [("seed", 0, r"task_[0-9a-f]{16}"), ("live", 200, r"img_[0-9a-f]{24}")]
)
def test_create_accepted(make: Make, dialect: str, code: int, form: str) -> None:
    answer = create(make(dialect))
    assert (answer.status, answer.body["code"], answer.body["message"]) == (200, code, "success")
    assert re.fullmatch(form, answer.body["data"]["task_id"])


def test_create_live_headers(make: Make) -> None:
    service = make("live")
    for quality, cost in COSTS.items():
        model = "seedream-5.0-lite" if quality == "3K" else "seedream-v4.5"
        assert create(service, model=model, quality=quality).headers["X-Request-Cost"] == cost
    answers = [create(service), create(service), service.account(KEY), service.account({})]
    ids = {answer.headers["X-Request-ID"] for answer in answers}
    assert len(ids) == 4
    assert all(name.startswith("req_") for name in ids)
    assert "X-Request-Cost" not in service.account(KEY).headers


@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", "Bearer ", "sk-test", "Basic sk-test", "Bearer sk-invalid"]
)
@pytest.mark.parametrize("dialect", ["seed", "live"])
def test_api_key_required(make: Make, dialect: str, sent: str | None) -> None:
    service = make(dialect)
    headers = {} if sent is None else {"authorization": sent}
    for answer in (create(service, headers), service.status(headers, "none"), service.account(headers)):
        assert answer.status == 401
        error = answer.body["error"] if dialect == "seed" else answer.body["data"]
        assert error["type"] == "authentication_error"
        assert "invalid_api_key" in error.values()


@pytest.mark.parametrize(
    ("dialect", "key", "status", "code", "message"),
    [
        ("live", "sk-empty", 402, "insufficient_quota", "quota"),
        ("seed", "sk-empty", 403, "insufficient_quota", "insufficient balance"),
        ("live", "sk-forbidden", 403, "permission_denied", "may not"),
        ("seed", "sk-forbidden", 403, "permission_denied", "may not"),
    ],
)
def test_api_key_without_balance_or_permission(
    make: Make, dialect: str, key: str, status: int, code: str, message: str
) -> None:
    service = make(dialect)
    headers = {"authorization": f"Bearer {key}"}
    answer = create(service, headers)
    assert answer.status == status
    assert code in json.dumps(answer.body)
    assert message in json.dumps(answer.body)
    assert service.account(headers).status == 200


@pytest.mark.parametrize("dialect", ["seed", "live"])
def test_status_pending_processing_completed(make: Make, clock: Any, dialect: str) -> None:
    service = make(dialect)
    name, began = task_id(service), clock.now
    seen = []
    for after in (0.0, 1.5, 2.5, 9.9921875, 10.0):
        clock.now = began + after
        data = service.status(KEY, name).body["data"]
        assert data["task_id"] == name
        seen.append((data["status"], data.get("progress")))
    words = ["pending", "pending", "processing", "processing", "completed"]
    assert [word for word, _ in seen] == words
    progress = [None] * 5 if dialect == "seed" else [0, 15, 25, 99, None]
    assert [number for _, number in seen] == progress
    assert all(number is None or type(number) is int for _, number in seen)
    assert data["completed_at"] == int(began + 10)
    (url,) = data["result"]
    assert url.startswith(f"http://images.test/results/{name}/1.png?expires=")


@pytest.mark.parametrize("dialect", ["seed", "live"])
@pytest.mark.parametrize("outcome", ["failed", "cancelled", "rejected"])
def test_status_failed_cancelled_rejected(make: Make, clock: Any, dialect: str, outcome: str) -> None:
    service = make(dialect, (f"task-{outcome}=1",))
    unlucky, lucky = task_id(service), task_id(service)
    assert service.status(KEY, unlucky).body["data"]["status"] == "pending"
    clock.now += 10
    data = service.status(KEY, unlucky).body["data"]
    assert data["status"] == outcome
    assert "result" not in data
    assert data.keys() >= ({"error"} if dialect == "seed" else {"error_code", "error_message"})
    assert service.status(KEY, lucky).body["data"]["status"] == "completed"


@pytest.mark.parametrize("seconds", [10.0, 0.0])
def test_status_never_completes(make: Make, clock: Any, seconds: float) -> None:
    service = make(faults=("never-completes",), seconds=seconds)
    name = task_id(service)
    clock.now += 1e6
    data = service.status(KEY, name).body["data"]
    assert (data["status"], data["progress"]) == ("processing", 99)


def test_status_of_other_key_is_404(make: Make) -> None:
    service = make()
    name = task_id(service)
    other = service.status({"authorization": "Bearer sk-other"}, name)
    assert other.status == 404
    assert other.body == service.status(KEY, "none").body


def test_store_does_not_contain_api_key(make: Make, tmp_path: Path) -> None:
    create(make(), {"authorization": "Bearer sk-very-secret", "idempotency-key": "idem-1"})
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("tasks.db*"))
    assert b"idem-1" in kept
    assert b"sk-very-secret" not in kept


def test_store_does_not_contain_image_data(make: Make, tmp_path: Path) -> None:
    create(make(), model="seedream-v4.5-edit", image_urls=["data:image/png;base64," + "Zm94" * 10_000, IMAGE])
    kept = b"".join(path.read_bytes() for path in tmp_path.glob("tasks.db*"))
    assert IMAGE.encode() in kept
    assert b"Zm94Zm94" not in kept


def test_rate_limit(make: Make, clock: Any) -> None:
    service = make("live", rate=2.0)
    statuses = [service.account(KEY).status for _ in range(5)]
    assert statuses == [200, 200, 200, 200, 429]
    refused = create(service)
    assert refused.headers["Retry-After"] == "1"
    assert refused.body["data"] == {"type": "rate_limit_error", "error_code": "rate_limit_exceeded"}
    assert service.account({"authorization": "Bearer sk-other"}).status == 200
    clock.now += 0.5
    assert [service.account(KEY).status for _ in range(2)] == [200, 429]
    clock.now -= 1000
    assert service.account(KEY).status == 429
    clock.now += 0.5
    assert service.account(KEY).status == 200


REFUSALS = [row for row in ROWS.values() if row.refusal is not None and row.stage != "image"]


@pytest.mark.parametrize("row", REFUSALS, ids=lambda row: row.name)
@pytest.mark.parametrize("dialect", ["seed", "live"])
def test_fault_refusal_has_envelope_of_dialect(make: Make, dialect: str, row: Any) -> None:
    name = task_id(make(dialect))
    service = make(dialect, (f"{row.name}=1",))

    def ask() -> ApiResponse:
        if row.stage == SUBMIT:
            return create(service)
        return service.status(KEY, name) if row.stage == STATUS else service.account(KEY)

    answer, after = ask(), ask()
    assert (answer.status, after.status) == (row.refusal.status, 200)
    retry_after = None if row.refusal.retry_after is None else str(row.refusal.retry_after)
    assert answer.headers.get("Retry-After") == retry_after
    if dialect == "seed":
        assert answer.body["error"]["code"] == row.refusal.code
    elif row.name == "submit-400":
        assert answer.body == {"code": 400, "message": row.refusal.message, "data": None}
    else:
        assert answer.body["data"]["error_code"] == row.refusal.code


def test_fault_completed_without_result(make: Make, clock: Any) -> None:
    service = make(faults=("no-result-yet=1",))
    name = task_id(service)
    assert service.status(KEY, name).body["data"]["status"] == "pending"
    clock.now += 10
    first, second = (service.status(KEY, name).body["data"] for _ in range(2))
    assert (first["status"], first["result"]) == ("completed", [])
    assert len(second["result"]) == 1


def test_fault_unknown_status(make: Make) -> None:
    service = make(faults=("strange-status=1",), seconds=0)
    name = task_id(service)
    assert service.status(KEY, name).body["data"] == {"task_id": name, "status": "warming_up"}
    assert service.status(KEY, name).body["data"]["status"] == "completed"


# The same operation sent twice, as the live dialect judges it


def idempotent(key: str) -> dict[str, str]:
    return {**KEY, "idempotency-key": key}


def test_idempotency_replay(make: Make) -> None:
    service = make("live", ("task-failed=1",))
    first = service.create(idempotent("a"), b'{"prompt": "fox", "quality": "4K"}')
    again = service.create(idempotent("a"), b' {"quality":"4K",\n "prompt":"f\\u006fx"}')
    assert again.body == first.body
    assert again.headers["X-Idempotent-Replay"] == "true"
    assert again.headers["X-Request-Cost"] == first.headers["X-Request-Cost"] == "0.07"
    assert "X-Idempotent-Replay" not in first.headers


def test_idempotency_replay_uses_up_no_task_fault(make: Make, clock: Any) -> None:
    service = make("live", ("task-failed=1",), seconds=0)
    settled = make("live", seconds=0)
    settled.create(idempotent("a"), b'{"prompt": "fox"}')
    service.create(idempotent("a"), b'{"prompt": "fox"}')
    assert service.status(KEY, create(service).body["data"]["task_id"]).body["data"]["status"] == "failed"


def test_idempotency_conflict(make: Make) -> None:
    service = make("live")
    create(service, idempotent("a"))
    answer = create(service, idempotent("a"), quality="4K")
    assert answer.status == 409
    assert answer.body["data"] == {"type": "idempotency_error", "error_code": "idempotency_conflict"}
    # It is scoped to its caller, and to its name.
    other_caller = {"authorization": "Bearer sk-other", "idempotency-key": "a"}
    assert create(service, other_caller, quality="4K").status == 200
    assert create(service, idempotent("b"), quality="4K").status == 200


def test_idempotency_key_expires(make: Make, clock: Any) -> None:
    service = make("live")
    first = create(service, idempotent("a")).body
    clock.now += 7 * 24 * 3600 - 1
    assert create(service, idempotent("a")).body == first
    clock.now += 2
    assert create(service, idempotent("a")).body != first


@pytest.mark.parametrize(("key", "status"), [("", 400), ("k" * 256, 400), ("k" * 255, 200)])
def test_idempotency_key_length(make: Make, key: str, status: int) -> None:
    answer = create(make("live"), idempotent(key))
    assert answer.status == status
    if status == 400:
        assert answer.body["data"]["error_code"] == "invalid_idempotency_key"


def test_idempotency_absent_in_seed(make: Make) -> None:
    service = make("seed")
    assert create(service, idempotent("a")).body != create(service, idempotent("a")).body
    assert create(service, idempotent("k" * 256)).status == 200


# Bodies


EDIT = {"model": "seedream-v4.5-edit"}


BAD_BODIES: list[tuple[dict[str, Any], str]] = [
    ({"prompt": None}, "prompt is required"),
    ({"prompt": ""}, "prompt is required"),
    ({"prompt": 7}, "prompt must be a string"),
    ({"prompt": ["a"]}, "prompt must be a string"),
    ({"prompt": "狐" * 4001}, "4001 characters, at most 4000"),
    ({"prompt": "a" * 2001, "model": "seedream-5.0-lite"}, "2001 characters, at most 2000"),
    ({"model": 7}, "model must be a string"),
    ({"aspect_ratio": "1:2"}, "Invalid aspect_ratio value"),
    ({"aspect_ratio": None}, "Invalid aspect_ratio value"),
    ({"aspect_ratio": ["1:1"]}, "Invalid aspect_ratio value"),
    ({"quality": "2k"}, "Invalid quality value"),
    ({"quality": "3K"}, "Invalid quality value"),
    ({"quality": "4K", "model": "seedream-5.0-lite"}, "Invalid quality value"),
    ({"quality": 2}, "Invalid quality value"),
    ({"image_urls": [IMAGE]}, "image_urls is not supported by seedream-v4.5"),
    ({"image_urls": [IMAGE], "model": "seedream-5.0-lite"}, "image_urls is not supported"),
    (EDIT, "image_urls is required"),
    ({"model": "seedream-5.0-lite-edit"}, "image_urls is required"),
    ({**EDIT, "image_urls": []}, "array of 1 to 14"),
    ({**EDIT, "image_urls": [IMAGE] * 15}, "array of 1 to 14"),
    ({**EDIT, "image_urls": IMAGE}, "array of 1 to 14"),
    ({**EDIT, "image_urls": [IMAGE, 7]}, r"image_urls\[1\]"),
    ({**EDIT, "image_urls": ["ftp://example.com/a.png"]}, r"image_urls\[0\]"),
    ({**EDIT, "image_urls": ["https://"]}, r"image_urls\[0\]"),
    ({**EDIT, "image_urls": ["http://[::1/a.png"]}, r"image_urls\[0\]"),
    ({**EDIT, "image_urls": ["data:text/plain,hi"]}, r"image_urls\[0\]"),
    ({**EDIT, "image_urls": ["/home/me/a.png"]}, r"image_urls\[0\]"),
    ({"callback_url": "ftp://example.com"}, "callback_url must be"),
    ({"callback_url": None}, "Invalid callback_url value"),
    ({"callback_url": IMAGE, "model": "seedream-5.0-lite"}, "callback_url is not supported"),
]


@pytest.mark.parametrize(("body", "message"), BAD_BODIES)
def test_body_refused(make: Make, body: dict[str, Any], message: str) -> None:
    answer = create(make("live"), **body)
    assert (answer.status, answer.body["code"], answer.body["data"]) == (400, 400, None)
    assert re.search(message, answer.body["message"])


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"a"', b"null", b"\xff", b'{"prompt": NaN}', b"[" * 100_000]
)
@pytest.mark.parametrize("dialect", ["seed", "live"])
def test_body_without_json_object(make: Make, dialect: str, raw: bytes) -> None:
    answer = make(dialect).create(KEY, raw)
    assert answer.status == 400
    if dialect == "seed":
        assert answer.body["error"]["code"] == "invalid_request"
        assert answer.body["error"]["type"] == "invalid_request_error"
    else:
        assert answer.body["data"] is None


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_body_with_every_catalog_value(make: Make, model: Any) -> None:
    service = make("live")
    for quality, ratio in itertools.product(model.qualities, ASPECT_RATIOS):
        body: dict[str, Any] = {"model": model.name, "aspect_ratio": ratio, "quality": quality}
        if model.needs_images:
            body["image_urls"] = [IMAGE] * 13 + ["data:image/png;base64,AAAA"]
        if model.name in (REQUEST_FIELDS["callback_url"].models or ()):
            body["callback_url"] = "https://example.com/hook"
        assert create(service, prompt="狐" * model.prompt_limit, **body).status == 200


@pytest.mark.parametrize(
    ("dialect", "model"), [("live", "dall-e"), ("seed", "dall-e"), ("seed", "seedream-5.0-lite")]
)
def test_model_unknown(make: Make, dialect: str, model: str) -> None:
    answer = create(make(dialect), model=model)
    assert answer.status == 404
    found = answer.body["error"]["code"] if dialect == "seed" else answer.body["data"]["error_code"]
    assert found == "model_not_available"
