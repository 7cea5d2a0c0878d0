"""What can be made to go wrong, by name: one row a fault, in the order in which a request meets them."""

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

_LONG = 3600  # Seconds: longer than any client should wait without being asked to.


class Fault(Struct, frozen=True):
    """One row. A fault with neither refusal nor mishap is known to its stage by its name."""

    name: str
    what: str
    stage: str
    refusal: Refusal | None = None
    mishap: Mishap | None = None


def _refusals(stage: str, *rows: tuple[str, Refusal]) -> list[Fault]:
    """Rows that answer with an HTTP error instead of doing what was asked."""
    faults = []
    for suffix, refusal in rows:
        what = f"HTTP {refusal.status}: {refusal.message}"
        if refusal.retry_after is not None:
            what += f" (Retry-After: {refusal.retry_after})"
        faults.append(Fault(f"{stage}-{suffix}", what, stage, refusal=refusal))
    return faults


_KEY = ("401", Refusal(401, "invalid_api_key", "Invalid API key"))
_RATE = ("429", Refusal(429, "rate_limit_exceeded", "Rate limit exceeded", 1))
_LONG_RATE = ("429-long", Refusal(429, "rate_limit_exceeded", "Rate limit exceeded", _LONG))
_SERVER = (
    ("500", Refusal(500, "internal_error", "Internal server error")),
    ("502", Refusal(502, "internal_error", "Bad gateway")),
    ("503", Refusal(503, "internal_error", "Service temporarily unavailable")),
    ("504", Refusal(504, "internal_error", "Gateway timeout")),
)

_ROWS = (
    *_refusals(
        SUBMIT,
        ("400", Refusal(400, "invalid_parameter", "Invalid aspect_ratio value")),
        _KEY,
        ("402", Refusal(402, "insufficient_quota", "Insufficient quota")),
        ("403", Refusal(403, "permission_denied", "Insufficient balance or permission")),
        ("404", Refusal(404, "model_not_available", "Model not available")),
        ("409", Refusal(409, "idempotency_conflict", "Idempotency-Key was used with another body")),
        ("in-progress", Refusal(409, "idempotency_in_progress", "The first request is still running", 1)),
        _RATE,
        _LONG_RATE,
        *_SERVER,
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
        _KEY,
        ("403", Refusal(403, "permission_denied", "Permission denied")),
        ("404", Refusal(404, "task_not_found", "Task not found")),
        _RATE,
        _LONG_RATE,
        *_SERVER,
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
    *_refusals(ACCOUNT, _KEY, _SERVER[0]),
)

#: Name → row.
ROWS: Mapping[str, Fault] = {row.name: row for row in _ROWS}

#: Name → one line for people.
FAULTS: Mapping[str, str] = {row.name: row.what for row in _ROWS}


def _always(fault: Fault) -> bool:
    return True


class _Charge(Struct):
    fault: Fault
    left: int | None  # None: every time.


class Faults:
    """The requested faults. Safe to share between threads.

    A spec is ``name`` (every time) or ``name=2`` (the first two times). The faults of one stage happen in the
    given order: the first until its count is used up, then the next. Raises ValueError, with a suggestion,
    for an unknown name or an invalid count.
    """

    def __init__(self, specs: Iterable[str] = ()) -> None:
        self._lock = threading.Lock()
        self._charges = [_parse(spec) for spec in specs]

    def take(self, stage: str, ready: Callable[[Fault], bool] = _always) -> Fault | None:
        """Return the next fault of this stage and use it up once, or None.

        A fault for which ``ready`` returns False waits, and so do the faults after it.
        """
        with self._lock:
            for charge in self._charges:
                if charge.fault.stage != stage or charge.left == 0:
                    continue
                if not ready(charge.fault):
                    return None
                if charge.left is not None:
                    charge.left -= 1
                return charge.fault
        return None

    def strikes(self, name: str) -> bool:
        """Return True, and use it up once, if the fault of this name is next."""
        return self.take(ROWS[name].stage, lambda fault: fault.name == name) is not None


def _parse(spec: str) -> _Charge:
    name, equals, count = spec.strip().partition("=")
    fault = ROWS.get(name)
    if fault is None:
        close = difflib.get_close_matches(name, ROWS, n=1, cutoff=0.5)
        meant = f"did you mean {close[0]}?" if close else f"known are: {', '.join(ROWS)}"
        raise ValueError(f"no fault is called {name!r}; {meant}")
    if not equals:
        return _Charge(fault, None)
    if not (count.isascii() and count.isdecimal() and 0 < len(count) < 10 and int(count) > 0):
        raise ValueError(f"{spec!r}: the count must be a whole number from 1; did you mean {name}=1?")
    return _Charge(fault, int(count))
