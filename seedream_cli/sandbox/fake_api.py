"""The fake API: it turns a request into a response, without sockets."""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import unquote

from msgspec import Struct
from msgspec.structs import replace

from . import faults as fault_names
from .faults import Fault, Faults
from .image_server import signed_url
from .rate_limit import RateLimit
from .responses import DIALECTS, LIVE, SEED, ApiError, ApiResponse, Mishap, Refusal, error, success
from .store import Idempotency, Store, StoredTask, Verdict
from .validation import check, parse

CREATE = "/images/generations"
STATUS = "/images/status/"
ACCOUNT = "/account/status"

#: Quality → cost of an image, as the service reports it.
COSTS: Mapping[str, str] = {"2K": "0.035", "3K": "0.05", "4K": "0.07"}

_COMPLETED = "completed"
#: Share of a task's time in which it is pending.
_PENDING_SHARE = 0.2

#: Outcome → (error code, error message).
_FAILURES: Mapping[str, tuple[str, str]] = {
    "failed": ("UPSTREAM_CAPACITY_EXHAUSTED", "The upstream model has no capacity left"),
    "cancelled": ("TASK_CANCELLED", "The task was cancelled"),
    "rejected": ("CONTENT_POLICY_VIOLATION", "The prompt was rejected by the content policy"),
}


class _Caller(Struct, frozen=True):
    key_id: str
    key: str


class FakeApi:
    """Answers requests like the API. Header names are lower case; ``seconds`` is how long a task takes.

    ``url_seconds`` is how long the URL of a result is valid after its task has completed. Raises ValueError
    for an invalid dialect or duration.
    """

    def __init__(
        self,
        store: Store,
        *,
        dialect: str,
        seconds: float,
        rate: float,
        url_seconds: float,
        clock: Callable[[], float],
        faults: Faults,
        image_origin: Callable[[], str],
    ) -> None:
        if dialect not in DIALECTS:
            raise ValueError(f"dialect: expected one of {', '.join(DIALECTS)}, not {dialect!r}")
        for name, value in (("seconds", seconds), ("url_seconds", url_seconds)):
            if not 0 <= value < float("inf"):
                raise ValueError(f"{name}: expected a number of seconds from 0, not {value}")
        self._store = store
        self._dialect = dialect
        self._seconds = seconds
        self._url_seconds = url_seconds
        self._clock = clock
        self._faults = faults
        self._image_origin = image_origin
        self._rate = RateLimit(rate, clock)

    def respond(self, method: str, path: str, headers: Mapping[str, str], raw: bytes) -> ApiResponse:
        """Route a request. ``path`` is below the base URL and still percent-encoded, without a query."""
        if path == CREATE:
            return self._check_method("POST", method) or self.create(headers, raw)
        if path == ACCOUNT:
            return self._check_method("GET", method) or self.account(headers)
        task_id = path.removeprefix(STATUS)
        if path.startswith(STATUS) and task_id and "/" not in task_id:
            return self._check_method("GET", method) or self.status(headers, unquote(task_id))
        return self._error_response(Refusal(404, "not_found", "No such endpoint"))

    def create(self, headers: Mapping[str, str], raw: bytes) -> ApiResponse:
        """``POST /images/generations``."""
        fault = self._faults.next_fault(fault_names.SUBMIT)
        if fault is not None and fault.mishap is Mishap.DROP_BEFORE:
            return ApiResponse(0, mishap=fault.mishap)
        return self._apply_fault(fault, lambda: self._create(headers, raw))

    def status(self, headers: Mapping[str, str], task_id: str) -> ApiResponse:
        """``GET /images/status/{task_id}``."""
        task = self._store.find(task_id)
        completed = task is not None and self._state(task) == _COMPLETED

        def applies(fault: Fault) -> bool:
            return completed or fault.name != fault_names.NO_RESULT_YET

        fault = self._faults.next_fault(fault_names.STATUS, applies)
        return self._apply_fault(fault, lambda: self._status(headers, task, fault))

    def account(self, headers: Mapping[str, str]) -> ApiResponse:
        """``GET /account/status``."""

        def handle() -> ApiResponse:
            self._authenticate(headers)
            data = {"status": "active", "plan": "sandbox", "balance": "100.00"}
            return ApiResponse(200, self._headers(), success(self._dialect, data))

        return self._apply_fault(self._faults.next_fault(fault_names.ACCOUNT), handle)

    def _apply_fault(self, fault: Fault | None, handle: Callable[[], ApiResponse]) -> ApiResponse:
        """Run ``handle`` and apply the fault. An ApiError becomes an error response."""
        if fault is not None and fault.refusal is not None:
            return self._error_response(fault.refusal)
        try:
            response = handle()
        except ApiError as problem:
            response = self._error_response(problem.refusal)
        return response if fault is None else replace(response, mishap=fault.mishap)

    def _check_method(self, allowed: str, method: str) -> ApiResponse | None:
        """Return an error response if the method is not allowed, otherwise None."""
        if method == allowed:
            return None
        response = self._error_response(Refusal(405, "method_not_allowed", f"Use {allowed}"))
        return replace(response, headers={**response.headers, "Allow": allowed})

    def _error_response(self, refusal: Refusal) -> ApiResponse:
        headers = self._headers()
        if refusal.retry_after is not None:
            headers["Retry-After"] = str(refusal.retry_after)
        return ApiResponse(refusal.status, headers, error(self._dialect, refusal))

    def _headers(self) -> dict[str, str]:
        return {"X-Request-ID": f"req_{secrets.token_hex(12)}"} if self._dialect == LIVE else {}

    def _authenticate(self, headers: Mapping[str, str]) -> _Caller:
        """Return the caller. Any API key is valid, except for endings that simulate errors."""
        scheme, _, key = headers.get("authorization", "").strip().partition(" ")
        key = key.strip()
        if scheme.lower() != "bearer" or not key or key.endswith("-invalid"):
            raise ApiError(401, "invalid_api_key", "Invalid or missing API key")
        caller = _Caller(hashlib.sha256(key.encode()).hexdigest()[:16], key)
        if not self._rate.allows(caller.key_id):
            raise ApiError(429, "rate_limit_exceeded", "Rate limit exceeded", retry_after=1)
        return caller

    def _create(self, headers: Mapping[str, str], raw: bytes) -> ApiResponse:
        caller = self._authenticate(headers)
        idempotency_key = self._idempotency_key(headers)
        document = parse(raw)
        body = check(document, self._dialect)
        self._check_funds(caller)
        idempotency = None
        if idempotency_key is not None:
            idempotency = Idempotency(idempotency_key, caller.key_id, f"POST {CREATE}", _digest(document))

        def new_task() -> tuple[StoredTask, dict[str, Any]]:
            task = self._new_task(body, caller.key_id, idempotency_key)
            return task, success(self._dialect, {"task_id": task.task_id})

        creation = self._store.create(new_task, now=self._clock(), idempotency=idempotency)
        if creation.verdict is Verdict.CONFLICT:
            raise ApiError(409, "idempotency_conflict", "Idempotency-Key was used with another body")
        response_headers = self._headers()
        if self._dialect == LIVE:
            response_headers["X-Request-Cost"] = COSTS[body["quality"]]
        if creation.verdict is Verdict.REPLAYED:
            response_headers["X-Idempotent-Replay"] = "true"
        return ApiResponse(200, response_headers, creation.response)

    def _idempotency_key(self, headers: Mapping[str, str]) -> str | None:
        key = headers.get("idempotency-key")
        if self._dialect == SEED or key is None:
            return None
        if not 1 <= len(key) <= 255:
            raise ApiError(400, "invalid_idempotency_key", "Idempotency-Key must have 1 to 255 characters")
        return key

    def _check_funds(self, caller: _Caller) -> None:
        if caller.key.endswith("-forbidden"):
            raise ApiError(403, "permission_denied", "This key may not create images")
        if caller.key.endswith("-empty"):
            if self._dialect == SEED:
                raise ApiError(403, "insufficient_quota", "insufficient balance")
            raise ApiError(402, "insufficient_quota", "Insufficient quota")

    def _new_task(self, body: dict[str, Any], key_id: str, idempotency_key: str | None) -> StoredTask:
        fault = self._faults.next_fault(fault_names.TASK)
        outcome = _COMPLETED if fault is None else fault.name.removeprefix("task-")
        task_id = f"task_{secrets.token_hex(8)}" if self._dialect == SEED else f"img_{secrets.token_hex(12)}"
        return StoredTask(
            task_id, self._clock(), self._seconds, outcome, _without_image_data(body), key_id, idempotency_key
        )

    def _state(self, task: StoredTask) -> str:
        elapsed = self._clock() - task.created
        if elapsed >= task.seconds and task.outcome != fault_names.NEVER_COMPLETES:
            return task.outcome
        return "pending" if elapsed < task.seconds * _PENDING_SHARE else "processing"

    def _status(
        self, headers: Mapping[str, str], task: StoredTask | None, fault: Fault | None
    ) -> ApiResponse:
        caller = self._authenticate(headers)
        if task is None or task.key_id != caller.key_id:
            raise ApiError(404, "task_not_found", "Task not found")
        data = self._task_data(task)
        if fault is not None and fault.name == fault_names.NO_RESULT_YET:
            data["result"] = []
        if fault is not None and fault.name == fault_names.STRANGE_STATUS:
            data = {"task_id": task.task_id, "status": "warming_up"}
        return ApiResponse(200, self._headers(), success(self._dialect, data))

    def _task_data(self, task: StoredTask) -> dict[str, Any]:
        """Return the `data` of a status response."""
        state = self._state(task)
        data: dict[str, Any] = {"task_id": task.task_id, "status": state}
        if state == _COMPLETED:
            expires = task.ends + self._url_seconds
            data["result"] = [signed_url(self._image_origin(), self._store.secret, task.task_id, 1, expires)]
            data["completed_at"] = int(task.ends)
        elif state in _FAILURES:
            code, message = _FAILURES[state]
            data |= (
                {"error": message}
                if self._dialect == SEED
                else {"error_code": code, "error_message": message}
            )
        elif self._dialect == LIVE:
            # A task that never completes has used up its time, and may have been given none.
            share = (self._clock() - task.created) / task.seconds if task.seconds else 1.0
            data["progress"] = max(0, min(99, int(share * 100)))
        return data


def _digest(body: Mapping[str, Any]) -> str:
    """Return a digest that is equal for equal JSON, whatever the order of keys and the white space."""
    canonical = json.dumps(body, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _without_image_data(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return the body to store, without the source images sent as data, which would fill the disk."""
    urls = [
        f"data:sha256:{hashlib.sha256(url.encode(errors='replace')).hexdigest()}"
        if url.startswith("data:")
        else url
        for url in body.get("image_urls", ())
    ]
    return {**body, "image_urls": urls} if urls else dict(body)
