"""The responses of the sandbox, and those of the API in both of its dialects.

``seed`` follows the first public description: success has code 0, errors are under ``error``. ``live``
follows the current reference: success has code 200, errors have ``data.error_code``, and every response has
an ``X-Request-ID``.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any

from msgspec import Struct, field

SEED = "seed"
LIVE = "live"
DIALECTS = (LIVE, SEED)

#: HTTP status → ``type`` of the error. Other statuses are server errors.
_ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    402: "insufficient_quota_error",
    403: "permission_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "idempotency_error",
    429: "rate_limit_error",
}

#: Codes of failed validation, for which the live dialect sends no data.
_VALIDATION_CODES = frozenset({"invalid_request", "invalid_parameter"})


class Mishap(Enum):
    """What goes wrong with a response on its way out. The value is its name in the log."""

    DROP = "dropped"
    DROP_BEFORE = "dropped, nothing done"
    HANG = "hung"
    HTML = "200 text/html"
    EMPTY = "200 empty"
    TRUNCATED = "200 truncated"
    CUT = "200 cut"


class Refusal(Struct, frozen=True):
    """An error of the API. ``retry_after`` is in seconds."""

    status: int
    code: str
    message: str
    retry_after: int | None = None


class ApiError(Exception):
    """Raised to refuse a request. The API and the image server each turn it into an error response."""

    def __init__(self, status: int, code: str, message: str, retry_after: int | None = None) -> None:
        super().__init__(message)
        self.refusal = Refusal(status, code, message, retry_after)


class ApiResponse(Struct, frozen=True):
    """A response of the API. With a ``mishap``, it does not arrive like this."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    body: dict[str, Any] = field(default_factory=dict)
    mishap: Mishap | None = None


class HttpResponse(Struct, frozen=True):
    """An HTTP response with its bytes. With a ``mishap``, it does not arrive like this."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    mishap: Mishap | None = None


def success(dialect: str, data: dict[str, Any]) -> dict[str, Any]:
    """Return the body of a successful response."""
    return {"code": 0 if dialect == SEED else 200, "message": "success", "data": data}


def error(dialect: str, refusal: Refusal) -> dict[str, Any]:
    """Return the body of an error response."""
    kind = _ERROR_TYPES.get(refusal.status, "server_error")
    if dialect == SEED:
        return {"error": {"message": refusal.message, "type": kind, "code": refusal.code}}
    validation = refusal.status == 400 and refusal.code in _VALIDATION_CODES
    data = None if validation else {"type": kind, "error_code": refusal.code}
    return {"code": refusal.status, "message": refusal.message, "data": data}
