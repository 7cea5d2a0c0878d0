"""The fake API without sockets: validation, error responses, idempotency, states of a task."""

from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from sandbox.caller import IMAGE, KEY, Make, create
from support.clock import Clock

from seedream_cli.catalog import ASPECT_RATIOS, MODELS
from seedream_cli.request_fields import REQUEST_FIELDS
from seedream_cli.sandbox.fake_api import COSTS, FakeApi
from seedream_cli.sandbox.faults import FAULTS_BY_NAME, STATUS, SUBMIT
from seedream_cli.sandbox.responses import ApiResponse


def task_id(api: FakeApi, **body: Any) -> str:
    return str(create(api, **body).body["data"]["task_id"])


@pytest.mark.parametrize(
    ("dialect", "code", "form"), [("seed", 0, r"task_[0-9a-f]{16}"), ("live", 200, r"img_[0-9a-f]{24}")]
)
def test_create_accepted(make: Make, dialect: str, code: int, form: str) -> None:
    response = create(make(dialect))
    assert (response.status, response.body["code"], response.body["message"]) == (200, code, "success")
    assert re.fullmatch(form, response.body["data"]["task_id"])


def test_create_live_headers(make: Make) -> None:
    api = make("live")
    for quality, cost in COSTS.items():
        model = "seedream-5.0-lite" if quality == "3K" else "seedream-v4.5"
        assert create(api, model=model, quality=quality).headers["X-Request-Cost"] == cost
    responses = [create(api), create(api), api.account(KEY), api.account({})]
    ids = {response.headers["X-Request-ID"] for response in responses}
    assert len(ids) == 4
    assert all(name.startswith("req_") for name in ids)
    assert "X-Request-Cost" not in api.account(KEY).headers


@pytest.mark.parametrize(
    "sent", [None, "", "Bearer", "Bearer ", "sk-test", "Basic sk-test", "Bearer sk-invalid"]
)
@pytest.mark.parametrize("dialect", ["seed", "live"])
def test_api_key_required(make: Make, dialect: str, sent: str | None) -> None:
    api = make(dialect)
    headers = {} if sent is None else {"authorization": sent}
    for response in (create(api, headers), api.status(headers, "none"), api.account(headers)):
        assert response.status == 401
        error = response.body["error"] if dialect == "seed" else response.body["data"]
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
    api = make(dialect)
    headers = {"authorization": f"Bearer {key}"}
    response = create(api, headers)
    assert response.status == status
    assert code in json.dumps(response.body)
    assert message in json.dumps(response.body)
    assert api.account(headers).status == 200


@pytest.mark.parametrize("dialect", ["seed", "live"])
def test_status_pending_processing_completed(make: Make, clock: Clock, dialect: str) -> None:
    api = make(dialect)
    name, began = task_id(api), clock.time
    seen = []
    for after in (0.0, 1.5, 2.5, 9.9921875, 10.0):
        clock.time = began + after
        data = api.status(KEY, name).body["data"]
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
def test_status_failed_cancelled_rejected(make: Make, clock: Clock, dialect: str, outcome: str) -> None:
    api = make(dialect, (f"task-{outcome}=1",))
    unlucky, lucky = task_id(api), task_id(api)
    assert api.status(KEY, unlucky).body["data"]["status"] == "pending"
    clock.time += 10
    data = api.status(KEY, unlucky).body["data"]
    assert data["status"] == outcome
    assert "result" not in data
    assert data.keys() >= ({"error"} if dialect == "seed" else {"error_code", "error_message"})
    assert api.status(KEY, lucky).body["data"]["status"] == "completed"


@pytest.mark.parametrize("seconds", [10.0, 0.0])
def test_status_never_completes(make: Make, clock: Clock, seconds: float) -> None:
    api = make(faults=("never-completes",), seconds=seconds)
    name = task_id(api)
    clock.time += 1e6
    data = api.status(KEY, name).body["data"]
    assert (data["status"], data["progress"]) == ("processing", 99)


def test_status_of_other_key_is_404(make: Make) -> None:
    api = make()
    name = task_id(api)
    other = api.status({"authorization": "Bearer sk-other"}, name)
    assert other.status == 404
    assert other.body == api.status(KEY, "none").body


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


def test_rate_limit(make: Make, clock: Clock) -> None:
    api = make("live", rate=2.0)
    statuses = [api.account(KEY).status for _ in range(5)]
    assert statuses == [200, 200, 200, 200, 429]
    refused = create(api)
    assert refused.headers["Retry-After"] == "1"
    assert refused.body["data"] == {"type": "rate_limit_error", "error_code": "rate_limit_exceeded"}
    assert api.account({"authorization": "Bearer sk-other"}).status == 200
    clock.time += 0.5
    assert [api.account(KEY).status for _ in range(2)] == [200, 429]
    clock.time -= 1000
    assert api.account(KEY).status == 429
    clock.time += 0.5
    assert api.account(KEY).status == 200


REFUSALS = [
    fault for fault in FAULTS_BY_NAME.values() if fault.refusal is not None and fault.stage != "image"
]


@pytest.mark.parametrize("fault", REFUSALS, ids=lambda fault: fault.name)
@pytest.mark.parametrize("dialect", ["seed", "live"])
def test_fault_refusal_has_envelope_of_dialect(make: Make, dialect: str, fault: Any) -> None:
    name = task_id(make(dialect))
    api = make(dialect, (f"{fault.name}=1",))

    def ask() -> ApiResponse:
        if fault.stage == SUBMIT:
            return create(api)
        return api.status(KEY, name) if fault.stage == STATUS else api.account(KEY)

    response, after = ask(), ask()
    assert (response.status, after.status) == (fault.refusal.status, 200)
    retry_after = None if fault.refusal.retry_after is None else str(fault.refusal.retry_after)
    assert response.headers.get("Retry-After") == retry_after
    if dialect == "seed":
        assert response.body["error"]["code"] == fault.refusal.code
    elif fault.name == "submit-400":
        assert response.body == {"code": 400, "message": fault.refusal.message, "data": None}
    else:
        assert response.body["data"]["error_code"] == fault.refusal.code


def test_fault_completed_without_result(make: Make, clock: Clock) -> None:
    api = make(faults=("no-result-yet=1",))
    name = task_id(api)
    assert api.status(KEY, name).body["data"]["status"] == "pending"
    clock.time += 10
    first, second = (api.status(KEY, name).body["data"] for _ in range(2))
    assert (first["status"], first["result"]) == ("completed", [])
    assert len(second["result"]) == 1


def test_fault_unknown_status(make: Make) -> None:
    api = make(faults=("strange-status=1",), seconds=0)
    name = task_id(api)
    assert api.status(KEY, name).body["data"] == {"task_id": name, "status": "warming_up"}
    assert api.status(KEY, name).body["data"]["status"] == "completed"


# Idempotency keys


def idempotent(key: str) -> dict[str, str]:
    return {**KEY, "idempotency-key": key}


def test_idempotency_replay(make: Make) -> None:
    api = make("live", ("task-failed=1",))
    first = api.create(idempotent("a"), b'{"prompt": "fox", "quality": "4K"}')
    again = api.create(idempotent("a"), b' {"quality":"4K",\n "prompt":"f\\u006fx"}')
    assert again.body == first.body
    assert again.headers["X-Idempotent-Replay"] == "true"
    assert again.headers["X-Request-Cost"] == first.headers["X-Request-Cost"] == "0.07"
    assert "X-Idempotent-Replay" not in first.headers


def test_idempotency_replay_uses_up_no_task_fault(make: Make, clock: Clock) -> None:
    api = make("live", ("task-failed=1",), seconds=0)
    settled = make("live", seconds=0)
    settled.create(idempotent("a"), b'{"prompt": "fox"}')
    api.create(idempotent("a"), b'{"prompt": "fox"}')
    assert api.status(KEY, create(api).body["data"]["task_id"]).body["data"]["status"] == "failed"


def test_idempotency_conflict(make: Make) -> None:
    api = make("live")
    create(api, idempotent("a"))
    response = create(api, idempotent("a"), quality="4K")
    assert response.status == 409
    assert response.body["data"] == {"type": "idempotency_error", "error_code": "idempotency_conflict"}
    # It is scoped to its caller, and to its name.
    other_caller = {"authorization": "Bearer sk-other", "idempotency-key": "a"}
    assert create(api, other_caller, quality="4K").status == 200
    assert create(api, idempotent("b"), quality="4K").status == 200


def test_idempotency_key_expires(make: Make, clock: Clock) -> None:
    api = make("live")
    first = create(api, idempotent("a")).body
    clock.time += 7 * 24 * 3600 - 1
    assert create(api, idempotent("a")).body == first
    clock.time += 2
    assert create(api, idempotent("a")).body != first


@pytest.mark.parametrize(("key", "status"), [("", 400), ("k" * 256, 400), ("k" * 255, 200)])
def test_idempotency_key_length(make: Make, key: str, status: int) -> None:
    response = create(make("live"), idempotent(key))
    assert response.status == status
    if status == 400:
        assert response.body["data"]["error_code"] == "invalid_idempotency_key"


def test_idempotency_absent_in_seed(make: Make) -> None:
    api = make("seed")
    assert create(api, idempotent("a")).body != create(api, idempotent("a")).body
    assert create(api, idempotent("k" * 256)).status == 200


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
    response = create(make("live"), **body)
    assert (response.status, response.body["code"], response.body["data"]) == (400, 400, None)
    assert re.search(message, response.body["message"])


@pytest.mark.parametrize(
    "raw", [b"", b"{", b"[]", b'"a"', b"null", b"\xff", b'{"prompt": NaN}', b"[" * 100_000]
)
@pytest.mark.parametrize("dialect", ["seed", "live"])
def test_body_without_json_object(make: Make, dialect: str, raw: bytes) -> None:
    response = make(dialect).create(KEY, raw)
    assert response.status == 400
    if dialect == "seed":
        assert response.body["error"]["code"] == "invalid_request"
        assert response.body["error"]["type"] == "invalid_request_error"
    else:
        assert response.body["data"] is None


@pytest.mark.parametrize("model", MODELS.values(), ids=lambda model: model.name)
def test_body_with_every_catalog_value(make: Make, model: Any) -> None:
    api = make("live")
    for quality, ratio in itertools.product(model.qualities, ASPECT_RATIOS):
        body: dict[str, Any] = {"model": model.name, "aspect_ratio": ratio, "quality": quality}
        if model.needs_images:
            body["image_urls"] = [IMAGE] * 13 + ["data:image/png;base64,AAAA"]
        if model.name in (REQUEST_FIELDS["callback_url"].models or ()):
            body["callback_url"] = "https://example.com/hook"
        assert create(api, prompt="狐" * model.prompt_limit, **body).status == 200


@pytest.mark.parametrize(
    ("dialect", "model"), [("live", "dall-e"), ("seed", "dall-e"), ("seed", "seedream-5.0-lite")]
)
def test_model_unknown(make: Make, dialect: str, model: str) -> None:
    response = create(make(dialect), model=model)
    assert response.status == 404
    found = response.body["error"]["code"] if dialect == "seed" else response.body["data"]["error_code"]
    assert found == "model_not_available"
