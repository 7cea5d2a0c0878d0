"""The faults that the sandbox can simulate, in the order in which a request meets them."""

from __future__ import annotations

import difflib
import threading
from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from .responses import Mishap, Refusal

SUBMIT = "submit"
STATUS = "status"
TASK = "task"
IMAGE = "image"
ACCOUNT = "account"

NO_RESULT_YET = "no-result-yet"
STRANGE_STATUS = "strange-status"
IMAGE_REDIRECT = "image-redirect"
NEVER_COMPLETES = "never-completes"

#: In seconds: longer than a client should wait unless the user asked for it.
_LONG_RETRY_AFTER = 3600


class Fault(Struct, frozen=True):
    """A fault. One with neither refusal nor mishap is implemented where its name is compared."""

    name: str
    description: str
    stage: str
    refusal: Refusal | None = None
    mishap: Mishap | None = None


def _refusals(stage: str, *rows: tuple[str, Refusal]) -> list[Fault]:
    """Return faults that refuse the request with an HTTP error."""
    faults = []
    for suffix, refusal in rows:
        description = f"HTTP {refusal.status}: {refusal.message}"
        if refusal.retry_after is not None:
            description += f" (Retry-After: {refusal.retry_after})"
        faults.append(Fault(f"{stage}-{suffix}", description, stage, refusal=refusal))
    return faults


_INVALID_KEY = ("401", Refusal(401, "invalid_api_key", "Invalid API key"))
_RATE_LIMITED = ("429", Refusal(429, "rate_limit_exceeded", "Rate limit exceeded", 1))
_LONG_RATE_LIMITED = (
    "429-long",
    Refusal(429, "rate_limit_exceeded", "Rate limit exceeded", _LONG_RETRY_AFTER),
)
_SERVER_ERRORS = (
    ("500", Refusal(500, "internal_error", "Internal server error")),
    ("502", Refusal(502, "internal_error", "Bad gateway")),
    ("503", Refusal(503, "internal_error", "Service temporarily unavailable")),
    ("504", Refusal(504, "internal_error", "Gateway timeout")),
)

_FAULTS = (
    *_refusals(
        SUBMIT,
        ("400", Refusal(400, "invalid_parameter", "Invalid aspect_ratio value")),
        _INVALID_KEY,
        ("402", Refusal(402, "insufficient_quota", "Insufficient quota")),
        ("403", Refusal(403, "permission_denied", "Insufficient balance or permission")),
        ("404", Refusal(404, "model_not_available", "Model not available")),
        ("409", Refusal(409, "idempotency_conflict", "Idempotency-Key was used with another body")),
        ("in-progress", Refusal(409, "idempotency_in_progress", "The first request is still running", 1)),
        _RATE_LIMITED,
        _LONG_RATE_LIMITED,
        *_SERVER_ERRORS,
    ),
    Fault(
        "submit-drop",
        "the task is created, the connection closed without an answer",
        SUBMIT,
        mishap=Mishap.DROP,
    ),
    Fault(
        "submit-drop-before",
        "the connection is closed and nothing is created",
        SUBMIT,
        mishap=Mishap.DROP_BEFORE,
    ),
    Fault(
        "submit-html",
        "the task is created, the answer is an HTML page with HTTP 200",
        SUBMIT,
        mishap=Mishap.HTML,
    ),
    Fault(
        "submit-empty", "the task is created, the answer is empty with HTTP 200", SUBMIT, mishap=Mishap.EMPTY
    ),
    Fault("submit-hang", "the task is created, the answer never comes", SUBMIT, mishap=Mishap.HANG),
    *_refusals(
        STATUS,
        _INVALID_KEY,
        ("403", Refusal(403, "permission_denied", "Permission denied")),
        ("404", Refusal(404, "task_not_found", "Task not found")),
        _RATE_LIMITED,
        _LONG_RATE_LIMITED,
        *_SERVER_ERRORS,
    ),
    Fault("status-drop", "the connection is closed without an answer", STATUS, mishap=Mishap.DROP),
    Fault("status-html", "the answer is an HTML page with HTTP 200", STATUS, mishap=Mishap.HTML),
    Fault("status-hang", "the answer never comes", STATUS, mishap=Mishap.HANG),
    Fault(NO_RESULT_YET, "a completed task has an empty result", STATUS),
    Fault(STRANGE_STATUS, "the status is a word that nobody documented: warming_up", STATUS),
    Fault("task-failed", "the task ends as failed", TASK),
    Fault("task-cancelled", "the task ends as cancelled", TASK),
    Fault("task-rejected", "the task ends as rejected", TASK),
    Fault(NEVER_COMPLETES, "the task is processed for ever", TASK),
    *_refusals(
        IMAGE,
        ("403", Refusal(403, "AccessDenied", "Access Denied")),
        ("404", Refusal(404, "NoSuchKey", "The specified key does not exist.")),
        ("410", Refusal(410, "Gone", "The object has been removed.")),
        ("500", Refusal(500, "InternalError", "We encountered an internal error.")),
        ("503", Refusal(503, "SlowDown", "Please reduce your request rate.")),
    ),
    Fault(
        "image-truncated", "half of the bytes that Content-Length promised", IMAGE, mishap=Mishap.TRUNCATED
    ),
    Fault("image-cut", "half of the bytes, without a Content-Length to tell", IMAGE, mishap=Mishap.CUT),
    Fault("image-html", "an HTML page with HTTP 200 instead of the image", IMAGE, mishap=Mishap.HTML),
    Fault(IMAGE_REDIRECT, "HTTP 302 to the same image under another link", IMAGE),
    Fault("image-hang", "the image never comes", IMAGE, mishap=Mishap.HANG),
    *_refusals(ACCOUNT, _INVALID_KEY, _SERVER_ERRORS[0]),
)

FAULTS_BY_NAME: Mapping[str, Fault] = {fault.name: fault for fault in _FAULTS}

#: Name → description.
FAULTS: Mapping[str, str] = {fault.name: fault.description for fault in _FAULTS}


def _always(fault: Fault) -> bool:
    return True


class _RequestedFault(Struct):
    fault: Fault
    #: How many times it still happens. None: every time.
    remaining: int | None


class Faults:
    """The requested faults. Safe to share between threads.

    A spec is ``name`` (every time) or ``name=2`` (the first two times). The faults of one stage happen in the
    given order: the first until its count is used up, then the next. Raises ValueError, with a suggestion,
    for an unknown name or an invalid count.
    """

    def __init__(self, specs: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._requested = [_parse(spec) for spec in specs]

    def next_fault(self, stage: str, applies: Callable[[Fault], bool] = _always) -> Fault | None:
        """Return the next fault of this stage and use it up once, or None.

        A fault for which ``applies`` returns False waits, and so do the faults after it.
        """
        with self._lock:
            for requested in self._requested:
                if requested.fault.stage != stage or requested.remaining == 0:
                    continue
                if not applies(requested.fault):
                    return None
                if requested.remaining is not None:
                    requested.remaining -= 1
                return requested.fault
        return None


def _parse(spec: str) -> _RequestedFault:
    name, equals_sign, count = spec.strip().partition("=")
    fault = FAULTS_BY_NAME.get(name)
    if fault is None:
        close = difflib.get_close_matches(name, FAULTS, n=1, cutoff=0.5)
        suggestion = f"did you mean {close[0]}?" if close else f"known are: {', '.join(FAULTS)}"
        raise ValueError(f"no fault is called {name!r}; {suggestion}")
    if not equals_sign:
        return _RequestedFault(fault, None)
    if not (count.isascii() and count.isdecimal() and 0 < len(count) < 10 and int(count) > 0):
        raise ValueError(f"{spec!r}: the count must be a whole number from 1; did you mean {name}=1?")
    return _RequestedFault(fault, int(count))
