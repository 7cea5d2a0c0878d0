"""The same operation sent twice, as the live dialect judges it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

import pytest

from seedream_cli.sandbox.envelopes import Answer
from seedream_cli.sandbox.service import Service

KEY = {"authorization": "Bearer sk-test"}
Make = Callable[..., Service]


def create(service: Service, headers: Mapping[str, str] = KEY, **body: Any) -> Answer:
    return service.create(headers, json.dumps({"prompt": "a fox", **body}).encode())


def idempotent(key: str) -> dict[str, str]:
    return {**KEY, "idempotency-key": key}


def test_the_same_operation_is_replayed(make: Make) -> None:
    service = make("live", ("task-failed=1",))
    first = service.create(idempotent("a"), b'{"prompt": "fox", "quality": "4K"}')
    again = service.create(idempotent("a"), b' {"quality":"4K",\n "prompt":"f\\u006fx"}')
    assert again.body == first.body
    assert again.headers["X-Idempotent-Replay"] == "true"
    assert again.headers["X-Request-Cost"] == first.headers["X-Request-Cost"] == "0.07"
    assert "X-Idempotent-Replay" not in first.headers


def test_a_replay_spends_no_fault_of_a_task(make: Make, clock: Any) -> None:
    service = make("live", ("task-failed=1",), seconds=0)
    settled = make("live", seconds=0)
    settled.create(idempotent("a"), b'{"prompt": "fox"}')
    service.create(idempotent("a"), b'{"prompt": "fox"}')
    assert service.status(KEY, create(service).body["data"]["task_id"]).body["data"]["status"] == "failed"


def test_another_body_under_the_same_key_conflicts(make: Make) -> None:
    service = make("live")
    create(service, idempotent("a"))
    answer = create(service, idempotent("a"), quality="4K")
    assert answer.status == 409
    assert answer.body["data"] == {"type": "idempotency_error", "error_code": "idempotency_conflict"}
    # It is scoped to its caller, and to its name.
    other_caller = {"authorization": "Bearer sk-other", "idempotency-key": "a"}
    assert create(service, other_caller, quality="4K").status == 200
    assert create(service, idempotent("b"), quality="4K").status == 200


def test_an_idempotency_key_is_forgotten_after_seven_days(make: Make, clock: Any) -> None:
    service = make("live")
    first = create(service, idempotent("a")).body
    clock.now += 7 * 24 * 3600 - 1
    assert create(service, idempotent("a")).body == first
    clock.now += 2
    assert create(service, idempotent("a")).body != first


@pytest.mark.parametrize(("key", "status"), [("", 400), ("k" * 256, 400), ("k" * 255, 200)])
def test_an_idempotency_key_has_a_length(make: Make, key: str, status: int) -> None:
    answer = create(make("live"), idempotent(key))
    assert answer.status == status
    if status == 400:
        assert answer.body["data"]["error_code"] == "invalid_idempotency_key"


def test_seed_knows_no_idempotency(make: Make) -> None:
    service = make("seed")
    assert create(service, idempotent("a")).body != create(service, idempotent("a")).body
    assert create(service, idempotent("k" * 256)).status == 200
