"""The shapes of the API's answers, in both dialects.

``seed`` is the shape of the first public description (success is code 0, errors sit under
``error``); ``live`` is the shape of the present reference (success is code 200, errors carry
``data.error_code``, every answer has an ``X-Request-ID``).
"""

from __future__ import annotations

from enum import Enum
from typing import Any

from msgspec import Struct, field

SEED = "seed"
LIVE = "live"
DIALECTS = (LIVE, SEED)

#: HTTP status → the error's ``type``; statuses that are not here are the server's own fault.
_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "idempotency_error",
    429: "rate_limit_error",
}

#: Codes of a request that failed validation, which the live dialect answers without any data.
_VALIDATION_CODES = frozenset({"invalid_request", "invalid_parameter"})


class Mishap(Enum):
    """What happens to an answer on its way out; the value is the word for it in the log."""

    DROP = "dropped"
    DROP_BEFORE = "dropped, nothing done"
    HANG = "hung"
    HTML = "200 text/html"
    EMPTY = "200 empty"
    TRUNCATED = "200 truncated"
    CUT = "200 cut"


class Refusal(Struct, frozen=True):
    """Why the service says no. ``retry_after`` is in seconds."""

    status: int
    code: str
    message: str
    retry_after: int | None = None


class ApiError(Exception):
    """Raised where the judgement falls; becomes an error envelope in one place."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.refusal = Refusal(status, code, message, retry_after)


class ApiResponse(Struct, frozen=True):
    """What the API says. With a ``mishap``, it does not arrive as said."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    mishap: Mishap | None = None


def success(dialect: str, data: dict[str, Any]) -> dict[str, Any]:
    return {"code": 0 if dialect == SEED else 200, "message": "success", "data": data}


def error(dialect: str, refusal: Refusal) -> dict[str, Any]:
    kind = _TYPES.get(refusal.status, "server_error")
    if dialect == SEED:
        return {"error": {"message": refusal.message, "type": kind, "code": refusal.code}}
    validation = refusal.status == 400 and refusal.code in _VALIDATION_CODES
    data = None if validation else {"type": kind, "error_code": refusal.code}
    return {"code": refusal.status, "message": refusal.message, "data": data}
