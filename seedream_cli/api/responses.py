"""Reading what the API answers, in both of its dialects: bytes in, typed values or errors out.

Two descriptions of the service are alive: the older one answers success with ``code`` 0, the
current reference with ``code`` 200; errors come in three envelopes, on any HTTP status, 200
included. Any bytes at all lead to a value or to a SeedreamError, never to another exception.
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

#: No server is believed when it asks to come back later than this.
_LONGEST_RETRY_AFTER = 10 * 365 * 86400.0

#: Characters of a state, a code or a request's id: more are none, and would fill a screen.
MAX_WORD = 100


class RawResponse(Struct, frozen=True):
    """An HTTP answer as it came. Header names are lower case; ``at`` is its time in Unix seconds.

    ``secret`` is masked wherever the body's text holds it.
    """

    status: int
    headers: Mapping[str, str]
    body: bytes
    at: float
    secret: str | None = None

    @property
    def request_id(self) -> str | None:
        return read_request_id(self.headers)

    @property
    def retry_after(self) -> float | None:
        return read_retry_after(self.headers.get("retry-after"), self.at)


def read_request_id(headers: Mapping[str, str], secret: str | None = None) -> str | None:
    """The id under which the service knows a request. Source: ``X-Request-ID``, of every answer."""
    return redact(headers.get("x-request-id", ""), secret)[:MAX_WORD] or None


def read_retry_after(text: str | None, now: float) -> float | None:
    """Seconds to wait from a ``Retry-After`` header (seconds or an HTTP date); None if it says nothing."""
    if text is None:
        return None
    text = text.strip()
    if re.fullmatch(r"[0-9]{1,20}(\.[0-9]{0,9})?", text):
        return min(float(text), _LONGEST_RETRY_AFTER)
    # Only dates are left: their parser is loaded for them alone.
    from datetime import UTC
    from email.utils import parsedate_to_datetime

    try:
        date = parsedate_to_datetime(text)
        # HTTP dates are in GMT, also in the old form that does not say so.
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (TypeError, ValueError, OverflowError, IndexError):
        return None
    return min(max(seconds, 0.0), _LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None


def parse(answer: RawResponse) -> dict[str, Any] | InvalidResponse:
    try:
        # Not as "utf-8-sig": Python opens a file for that, which the system may refuse just now.
        text = answer.body.removeprefix(codecs.BOM_UTF8).decode("utf-8", "replace")
        document = json.loads(text, parse_constant=_refuse_constant)
        document = _plain(document, answer.secret)
    except (ValueError, RecursionError):
        what = "empty" if not answer.body.strip() else "no JSON"
        return unreadable(answer, f"the answer is {what}")
    if not isinstance(document, dict):
        return unreadable(answer, "expected a JSON object")
    return document


def _plain(value: Any, secret: str | None) -> Any:
    """The value with text and numbers that can be kept and shown.

    JSON's escapes can write lone surrogates, which neither a file nor a terminal takes, and can hide
    the key from a search in the bytes.
    """
    if isinstance(value, str):
        text = value.encode("utf-8", "replace").decode("utf-8")
        return redact(text, secret)
    if isinstance(value, float) and not math.isfinite(value):
        # 1e999 is JSON, and what Python makes of it is not.
        return None
    if isinstance(value, list):
        return [_plain(item, secret) for item in value]
    if isinstance(value, dict):
        return {_plain(name, secret): _plain(item, secret) for name, item in value.items()}
    return value


def _refuse_constant(name: str) -> None:
    """NaN and Infinity are Python's, not JSON's."""
    raise ValueError(name)


def unreadable(answer: RawResponse, what: str) -> InvalidResponse:
    return InvalidResponse(
        f"the API's answer could not be read: {what}",
        http_status=answer.status,
        request_id=answer.request_id,
        retry_after=answer.retry_after,
    )


#: Which HTTP status a machine code stands for, where an error comes without a number.
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

#: The end of the year 9999 in Unix seconds: what lies behind it is no time.
_LATEST_TIME = 253_402_300_799


def read_data(answer: RawResponse, *, not_found: str = "not found") -> Mapping[str, Any]:
    """The ``data`` object of a successful answer.

    Raises the error that an error envelope or the HTTP status stands for; ``not_found`` is the
    message for 404. Raises UnreadableAnswer where the answer is neither success nor error.
    """
    document = parse(answer)
    if answer.status >= 400:
        raise _error(answer, answer.status, document, not_found)
    if isinstance(document, InvalidResponse):
        raise document
    number = _number(document.get("code"))
    succeeded = number is None or number == 0 or 200 <= number < 300
    if document.get("error") or not succeeded:
        raise _error(answer, _named_status(number, document), document, not_found)
    data = document.get("data")
    if not isinstance(data, dict):
        raise unreadable(answer, "data: expected an object")
    return data


def read_account(answer: RawResponse) -> Mapping[str, Any]:
    """What the account probe holds: its body is not documented, so the HTTP status decides."""
    try:
        return read_data(answer)
    except InvalidResponse:
        if not 200 <= answer.status < 300:
            raise
        document = parse(answer)
        if isinstance(document, InvalidResponse):
            return {}
    return {name: value for name, value in document.items() if name not in ("code", "message", "data")}


def read_accepted(answer: RawResponse, *, model: str) -> Accepted:
    """The accepted create. Source: ``POST /images/generations``, ``data.task_id``."""
    data = read_data(answer, not_found=f"the model is not available: {model}")
    task_id = data.get("task_id")
    if not isinstance(task_id, str) or not task_id:
        raise unreadable(answer, "data.task_id: expected a string")
    cost = answer.headers.get("x-request-cost")
    replayed = answer.headers.get("x-idempotent-replay", "").lower() == "true"
    return Accepted(task_id, answer.request_id, cost[:64] if cost else None, replayed)


def read_task(answer: RawResponse, *, task_id: str) -> Task:
    """The state of a task. Source: ``GET /images/status/{task_id}``. Unknown fields are ignored."""
    data = read_data(answer, not_found=f"no such task: {task_id}")
    status = data.get("status")
    if not isinstance(status, str) or not status:
        raise unreadable(answer, "data.status: expected a string")
    completed = status.lower() == TaskStatus.COMPLETED
    return Task(
        status=status[:MAX_WORD],
        progress=_progress(data.get("progress")),
        results=_results(answer, data.get("result")) if completed else (),
        completed_at=_time(data.get("completed_at")),
        error_message=_first_text(data, "error_message", "error"),
        error_code=(_first_text(data, "error_code") or "")[:MAX_WORD] or None,
        request_id=answer.request_id,
    )


def _number(value: object) -> int | None:
    """An integer, also when it came as digits in a string."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,15}", value):
        return int(value)
    return None


def _progress(value: object) -> int | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= 100 else None


def _time(value: object) -> int | None:
    number = _number(value)
    return number if number is not None and 0 <= number <= _LATEST_TIME else None


def _first_text(data: Mapping[str, Any], *names: str) -> str | None:
    for name in names:
        value = data.get(name)
        if isinstance(value, dict):
            value = value.get("message")
        if isinstance(value, str) and value:
            return value
    return None


def _results(answer: RawResponse, value: object) -> tuple[str, ...]:
    """Result URLs: an array of strings by the reference; one string, and objects with a ``url``, occur."""
    if value is None:
        return ()
    items = value if isinstance(value, list) else [value]
    urls = []
    for item in items:
        url = item.get("url") if isinstance(item, dict) else item
        if not isinstance(url, str):
            raise unreadable(answer, "data.result: expected URLs")
        if url:
            urls.append(url)
    return tuple(urls)


def _named_status(number: int | None, document: Mapping[str, Any]) -> int | None:
    """The HTTP status that an error inside HTTP 200 stands for: by its number, else by its known code."""
    if number is not None and 400 <= number <= 599:
        return number
    code, _ = _code_and_message(document)
    named = _number(code)
    if named is not None and 400 <= named <= 599:
        return named
    return STATUS_OF_CODE.get(code or "")


def _code_and_message(document: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """The machine code (``error.code``, else ``data.error_code``) and the server's words."""
    error = document.get("error")
    data = document.get("data")
    error = {"message": error} if isinstance(error, str) else error if isinstance(error, dict) else {}
    data = data if isinstance(data, dict) else {}
    code = next((value for value in (error.get("code"), data.get("error_code")) if value), None)
    message = next(
        (
            value
            for value in (error.get("message"), document.get("message"))
            if isinstance(value, str) and value
        ),
        None,
    )
    return (str(code)[:MAX_WORD] if isinstance(code, str | int) else None), message


def _error(
    answer: RawResponse, status: int | None, document: dict[str, Any] | InvalidResponse, not_found: str
) -> SeedreamError:
    code, words = (None, None) if isinstance(document, InvalidResponse) else _code_and_message(document)
    kind, message = _kind(status, code, words, not_found)
    if kind.exit_code == KeyRefused.exit_code and status == 403 and code is None:
        code = "forbidden"
    return kind(
        message if status is None else f"{message} (HTTP {status})",
        code=code,
        detail=words,
        http_status=answer.status,
        request_id=answer.request_id,
        retry_after=answer.retry_after,
    )


def _kind(
    status: int | None, code: str | None, words: str | None, not_found: str
) -> tuple[type[SeedreamError], str]:
    """Which error a status stands for, and what to call it. The status decides; the code refines."""
    if status is None:
        return Unavailable, "the API reported an error of an unknown kind"
    if status == 401:
        return KeyRefused, "the API refused the key"
    # 403 means permission or balance: the words in its code or message tell which.
    if status == 402 or (status == 403 and re.search(r"(?i:balance|quota|credit|funds)", f"{code} {words}")):
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
