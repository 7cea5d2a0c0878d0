"""Responses of the API: raw bytes in, typed values or errors out.

The service has two dialects: the older description marks success with ``code`` 0, the current reference with
``code`` 200. Errors come in three envelopes, with any HTTP status including 200. Whatever the bytes are, a
reader returns a value or raises a SeedreamError, and no other exception.
"""

from __future__ import annotations

import codecs
import json
import math
import re
from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from ..errors import (
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
from ..models import Accepted, Task, TaskStatus
from ..text import redact

#: Seconds. A Retry-After beyond ten years is cut to this, which every calendar can still show.
_MAX_RETRY_AFTER = 10 * 365 * 86400.0

#: Characters of a status, an error code or a request ID. Longer ones would fill the screen and the history.
MAX_WORD = 100

#: Characters of a cost, which is kept as text.
_MAX_COST = 64

#: The end of the year 9999 in Unix seconds.
_MAX_TIME = 253_402_300_799

#: HTTP status that a machine code stands for, for errors that come without a number.
STATUS_OF_CODE: Mapping[str, int] = {
    "invalid_api_key": 401,
    "invalid_request": 400,
    "invalid_parameter": 400,
    "invalid_idempotency_key": 400,
    "insufficient_quota": 402,
    "rate_limit_exceeded": 429,
    "model_not_available": 404,
    "internal_error": 500,
    "idempotency_conflict": 409,
    "idempotency_in_progress": 409,
    "idempotency_unavailable": 503,
}


class RawResponse(Struct, frozen=True):
    """An HTTP response as it was received.

    Header names are lower case. ``at`` is the time of the response in Unix seconds. ``secret`` is redacted
    wherever the body's text contains it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: float
    secret: str | None = None

    @property
    def request_id(self) -> str | None:
        """Return the service's ID of the request. Source: ``X-Request-ID``, which every response has."""
        return redact(self.headers.get("x-request-id", ""), self.secret)[:MAX_WORD] or None

    @property
    def retry_after(self) -> float | None:
        """Return the seconds to wait before the next attempt, or None if the server does not say.

        Source: ``Retry-After``, in seconds or as an HTTP date. No other code reads this header.
        """
        text = self.headers.get("retry-after", "").strip()
        if not text:
            return None
        if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{0,9})?", text):
            return min(float(text), _MAX_RETRY_AFTER)
        # Imported here because dates are rare, and their parser takes long to load.
        from datetime import UTC
        from email.utils import parsedate_to_datetime

        try:
            date = parsedate_to_datetime(text)
            # HTTP dates are in GMT, also in the old form that has no time zone.
            seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - self.at
        except (TypeError, ValueError, OverflowError, IndexError):
            return None
        return min(max(seconds, 0.0), _MAX_RETRY_AFTER) if math.isfinite(seconds) else None


# Values


def read_data(response: RawResponse, *, not_found: str = "not found") -> Mapping[str, Any]:
    """Return the ``data`` object of a successful response.

    Raises the error that an error envelope or the HTTP status stands for; ``not_found`` is the message for
    404. Raises InvalidResponse if the response is neither a success nor an error.
    """
    document = _parse_json(response)
    if response.status >= 400:
        raise _error(response, response.status, document, not_found)
    if isinstance(document, InvalidResponse):
        raise document
    number = _integer(document.get("code"))
    is_success = number is None or number == 0 or 200 <= number < 300
    if document.get("error") or not is_success:
        raise _error(response, _embedded_status(number, document), document, not_found)
    data = document.get("data")
    if not isinstance(data, dict):
        raise _invalid_response(response, "data: expected an object")
    return data


def read_account(response: RawResponse) -> Mapping[str, Any]:
    """Return the fields of the account probe. Its body is not documented, so the HTTP status decides."""
    try:
        return read_data(response)
    except InvalidResponse:
        if not 200 <= response.status < 300:
            raise
        document = _parse_json(response)
        if isinstance(document, InvalidResponse):
            return {}
    return {name: value for name, value in document.items() if name not in ("code", "message", "data")}


def read_accepted(response: RawResponse, *, model: str) -> Accepted:
    """Return the accepted create request. Source: ``POST /images/generations``, ``data.task_id``."""
    data = read_data(response, not_found=f"the model is not available: {model}")
    task_id = data.get("task_id")
    if not isinstance(task_id, str) or not task_id:
        raise _invalid_response(response, "data.task_id: expected a string")
    cost = response.headers.get("x-request-cost")
    replayed = response.headers.get("x-idempotent-replay", "").lower() == "true"
    return Accepted(task_id, response.request_id, cost[:_MAX_COST] if cost else None, replayed)


def read_task(response: RawResponse, *, task_id: str) -> Task:
    """Return the state of a task. Source: ``GET /images/status/{task_id}``. Unknown fields are ignored."""
    data = read_data(response, not_found=f"no such task: {task_id}")
    status = data.get("status")
    if not isinstance(status, str) or not status:
        raise _invalid_response(response, "data.status: expected a string")
    completed = status.lower() == TaskStatus.COMPLETED
    return Task(
        status=status[:MAX_WORD],
        progress=_integer_up_to(100, data.get("progress")),
        results=_result_urls(response, data.get("result")) if completed else (),
        completed_at=_integer_up_to(_MAX_TIME, data.get("completed_at")),
        # "error" is the older field: text, or an object with a message.
        error_message=_first_text(data.get("error_message"), data.get("error")),
        error_code=(_first_text(data.get("error_code")) or "")[:MAX_WORD] or None,
        request_id=response.request_id,
    )


def _result_urls(response: RawResponse, value: object) -> tuple[str, ...]:
    """Return the URLs of the images.

    The reference documents an array of strings. A single string, and objects with a ``url``, were seen too.
    """
    if value is None:
        return ()
    urls = []
    for item in value if isinstance(value, list) else [value]:
        url = item.get("url") if isinstance(item, dict) else item
        if not isinstance(url, str):
            raise _invalid_response(response, "data.result: expected URLs")
        if url:
            urls.append(url)
    return tuple(urls)


def _integer(value: object) -> int | None:
    """Return an integer, also if it was sent as 42.0 or "42"."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}", value):
        return int(value)
    return None


def _integer_up_to(maximum: int, value: object) -> int | None:
    """Return an integer from 0 to ``maximum``; None for anything else."""
    number = _integer(value)
    return number if number is not None and 0 <= number <= maximum else None


def _first_text(*values: object) -> str | None:
    """Return the first that is text, or an object with a text in ``message``; empty texts do not count."""
    for value in values:
        text = value.get("message") if isinstance(value, dict) else value
        if isinstance(text, str) and text:
            return text
    return None


# JSON


def _parse_json(response: RawResponse) -> dict[str, Any] | InvalidResponse:
    """Return the body's JSON object, or the error to raise where the HTTP status does not decide."""
    try:
        # Not "utf-8-sig": Python imports its codec from a file, which fails without free file descriptors.
        text = response.body.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
        document = _sanitize(json.loads(text, parse_constant=_refuse_constant), response.secret)
    except (ValueError, RecursionError):
        what = "empty" if not response.body.strip() else "no JSON"
        return _invalid_response(response, f"the answer is {what}")
    if not isinstance(document, dict):
        return _invalid_response(response, "expected a JSON object")
    return document


def _sanitize(value: Any, secret: str | None) -> Any:
    """Return the value with texts and numbers that files and terminals accept, and without the secret.

    JSON escapes can write lone surrogates, and can hide the key from a search in the bytes.
    """
    if isinstance(value, str):
        return redact(value.encode("utf-8", "replace").decode("utf-8"), secret)
    if isinstance(value, float) and not math.isfinite(value):
        # 1e999 is valid JSON, which Python reads as infinity. Infinity is not valid JSON.
        return None
    if isinstance(value, list):
        return [_sanitize(item, secret) for item in value]
    if isinstance(value, dict):
        return {_sanitize(name, secret): _sanitize(item, secret) for name, item in value.items()}
    return value


def _refuse_constant(name: str) -> None:
    """Raise ValueError: Python's parser accepts NaN and Infinity, which JSON does not have."""
    raise ValueError(name)


# Errors


def _invalid_response(response: RawResponse, what: str) -> InvalidResponse:
    return InvalidResponse(
        f"the API's answer could not be read: {what}",
        http_status=response.status,
        request_id=response.request_id,
        retry_after=response.retry_after,
    )


def _embedded_status(number: int | None, document: Mapping[str, Any]) -> int | None:
    """Return the HTTP status that an error inside HTTP 200 stands for.

    Its number decides, else a machine code that is a number or that is known.
    """
    code, _ = _code_and_message(document)
    for status in (number, _integer(code)):
        if status is not None and 400 <= status <= 599:
            return status
    return STATUS_OF_CODE.get(code or "")


def _code_and_message(document: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """Return the machine code (``error.code``, else ``data.error_code``) and the server's message."""
    error, data = document.get("error"), document.get("data")
    codes = [
        error.get("code") if isinstance(error, dict) else None,
        data.get("error_code") if isinstance(data, dict) else None,
    ]
    code = next(filter(None, codes), None)
    message = _first_text(error)
    if message is None and isinstance(top := document.get("message"), str):
        message = top or None
    return (str(code)[:MAX_WORD] if isinstance(code, str | int) else None), message


def _error(
    response: RawResponse, status: int | None, document: dict[str, Any] | InvalidResponse, not_found: str
) -> SeedreamError:
    """Return the error for an HTTP status, or for the status that an error inside HTTP 200 stands for."""
    code, detail = (None, None) if isinstance(document, InvalidResponse) else _code_and_message(document)
    error, message = _error_class(status, code, detail, not_found)
    if error is KeyRefused and status == 403 and code is None:
        code = "forbidden"
    return error(
        message if status is None else f"{message} (HTTP {status})",
        code=code,
        detail=detail,
        http_status=response.status,
        request_id=response.request_id,
        retry_after=response.retry_after,
    )


def _error_class(
    status: int | None, code: str | None, detail: str | None, not_found: str
) -> tuple[type[SeedreamError], str]:
    """Return the error class and the message for a status. The status decides; code and detail refine it."""
    if status is None:
        return Unavailable, "the API reported an error of an unknown kind"
    if status == 401:
        return KeyRefused, "the API refused the key"
    # 403 means permission or balance, which only the words of its code or message tell apart.
    if status == 402 or (status == 403 and re.search(r"(?i:balance|quota|credit|funds)", f"{code} {detail}")):
        return QuotaExceeded, "the account's balance or quota does not suffice"
    if status == 403:
        return KeyRefused, "the key has no permission for this"
    if status == 404:
        return NotFound, not_found
    if status == 409 and code == "idempotency_in_progress":
        return IdempotencyKeyInUse, "the first request with this idempotency key is still running"
    if status == 409:
        return RequestRefused, "the idempotency key was used for another request"
    if status == 429:
        return RateLimited, "the API's rate limit is reached"
    if status == 408 or status >= 500:
        return ServiceFailing, "the service is failing"
    return RequestRefused, "the API refused the request as invalid"
