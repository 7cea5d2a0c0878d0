"""All errors that seedream raises on purpose. Each has an exit code and a machine-readable code.

The number in brackets is the exit code (:class:`ExitCode`). Subclasses inherit it.

SeedreamError (1)
├── UsageError (2)              wrong arguments or configuration
│   ├── InvalidRequest          the model does not accept this request
│   ├── InvalidOutput           an unusable file name, or a file that already exists
│   ├── InvalidFile             base of the two below
│   │   ├── InvalidManifest     all problems of a manifest
│   │   └── InvalidLockfile     all problems of a lockfile
│   ├── KeyringError            the desktop keyring cannot store, read or delete a key
│   └── RequestRefused          HTTP 400, 409 or another 4xx
├── TaskFailed (3)              the task failed, or was cancelled or rejected
├── AuthenticationError (4)
│   ├── MissingKey              no API key is configured
│   │   └── KeyringUnusable     the key should be in the desktop keyring, which cannot be used
│   ├── MalformedKey            the text cannot be an API key
│   └── KeyRefused              HTTP 401, or 403 about permissions
├── QuotaExceeded (5)           HTTP 402, or 403 about balance or quota
├── NotFound (6)                HTTP 404
├── Unavailable (7)             an error of the API that is not known
│   ├── Unreachable             no connection, or the connection broke
│   ├── RateLimited             HTTP 429
│   ├── ServiceFailing          HTTP 408 or 5xx
│   ├── IdempotencyKeyInUse     HTTP 409: the first request with this key is still running
│   ├── InvalidResponse         a response that does not match the API reference
│   └── RedirectRefused         HTTP 3xx of the API
├── StillPending (8)            the timeout ended before the task did
├── NotSaved (9)                an image could not be downloaded, verified or written
│   ├── ImageRefused            HTTP error of the image server
│   ├── ImageUnreachable        no connection to the image server, or the connection broke
│   ├── ImageDamaged            the download is not a complete image
│   └── HistoryUnusable         the history cannot be read or written
├── Drift (10)                  files, lockfile and manifest do not match
└── Stopped (130, 143)          SIGINT, SIGTERM
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar, Self

from msgspec import Struct


class ExitCode(IntEnum):
    """Exit codes of the program, with a short label and the cases that each is for.

    A test compares them with the table in README.
    """

    label: str
    when: str

    def __new__(cls, value: int, label: str, when: str) -> Self:
        member = int.__new__(cls, value)
        member._value_ = value
        member.label = label
        member.when = when
        return member

    OK = 0, "ok", "everything asked for is done"
    ERROR = 1, "error", "a bug or anything unforeseen"
    USAGE = 2, "usage", "wrong arguments or configuration, or a request that the API refused as invalid"
    TASK_FAILED = 3, "task failed", "the task ended failed, cancelled or rejected"
    AUTHENTICATION = 4, "authentication", "no key, or the API refused it (401, 403)"
    QUOTA = 5, "quota", "the account's balance or quota does not suffice (402, 403)"
    NOT_FOUND = 6, "not found", "no such task or model (404)"
    UNAVAILABLE = 7, "unavailable", "network, rate limit or service still failing after the retries"
    PENDING = 8, "pending", "the wait ended before the task did; the message says how to resume"
    NOT_SAVED = (
        9,
        "not saved",
        "the image could not be fetched, verified or written; the task stays resumable",
    )
    DRIFT = 10, "drift", "`sync --check` or `--frozen` found work to do, or `sync` left an edited file"
    INTERRUPTED = 130, "stopped", "SIGINT (Ctrl-C); the message says how to resume"
    TERMINATED = 143, "stopped", "SIGTERM; the message says how to resume"


#: Order of importance. A command with several tasks ends with the first of these that occurred.
PRECEDENCE = (
    ExitCode.INTERRUPTED,
    ExitCode.TERMINATED,
    ExitCode.ERROR,
    ExitCode.AUTHENTICATION,
    ExitCode.QUOTA,
    ExitCode.USAGE,
    ExitCode.NOT_SAVED,
    ExitCode.UNAVAILABLE,
    ExitCode.TASK_FAILED,
    ExitCode.NOT_FOUND,
    ExitCode.PENDING,
    ExitCode.DRIFT,
    ExitCode.OK,
)


class SeedreamError(Exception):
    """Base class of all errors that seedream raises on purpose.

    ``code`` is machine-readable: the API's own code if it sent one, else ``default_code``. ``detail`` is the
    API's own message. ``hint`` is a command to run next. ``retry_after`` is in seconds. ``transient`` is True
    if the same call may succeed a moment later.
    """

    exit_code: ExitCode = ExitCode.ERROR
    default_code: ClassVar[str] = "error"
    default_hint: ClassVar[str | None] = None
    transient: bool = False

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        detail: str | None = None,
        hint: str | None = None,
        http_status: int | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.detail = detail
        self.hint = hint or self.default_hint
        self.http_status = http_status
        self.request_id = request_id
        self.retry_after = retry_after
        #: Options that the command in the hint needs, because it would fail in the same way without them.
        self.resume_with: tuple[str, ...] = ()


class UsageError(SeedreamError):
    """Wrong arguments or configuration."""

    exit_code = ExitCode.USAGE
    default_code = "usage"


class InvalidRequest(UsageError):
    """A request that the model does not accept, found before it is sent."""

    default_code = "invalid_request"
    #: The request field that the model does not support, if that is the error.
    unsupported_field: str | None = None


class InvalidOutput(UsageError):
    """An unusable file name, or a file that already exists."""

    default_code = "invalid_output"


class RequestRefused(UsageError):
    """The API refused the request: HTTP 400, 409 or another 4xx."""

    default_code = "invalid_request"


class Diagnostic(Struct, frozen=True):
    """One problem of a file. ``line`` counts from 1; ``key`` is a dotted key, or "" for the line itself."""

    file: str
    line: int
    key: str
    what: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (f"{self.file}:{self.line}", self.key, self.what)))


class InvalidFile(UsageError):
    """All problems of a manifest or a lockfile.

    ``problems`` is sorted by line. A single problem is the message; several are in ``detail``, one per line.
    """

    def __init__(self, file: str, problems: Iterable[Diagnostic]) -> None:
        # Without duplicates: a wrong default is a problem of every asset.
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.line))
        lines = [str(problem) for problem in self.problems]
        if len(lines) == 1:
            super().__init__(lines[0])
        else:
            super().__init__(f"{file} has {len(lines)} problems", detail="\n".join(lines))


class InvalidManifest(InvalidFile):
    """All problems of a manifest."""

    default_code = "invalid_manifest"


class InvalidLockfile(InvalidFile):
    """All problems of a lockfile."""

    default_code = "invalid_lock"


class KeyringError(UsageError):
    """The desktop keyring cannot store, read or delete a key. ``hint`` is for the default profile."""

    default_code = "keyring_unusable"


class TaskFailed(SeedreamError):
    """The task failed, or was cancelled or rejected."""

    exit_code = ExitCode.TASK_FAILED
    default_code = "task_failed"


class AuthenticationError(SeedreamError):
    """No API key, or one that the API refused."""

    exit_code = ExitCode.AUTHENTICATION
    default_code = "invalid_api_key"
    default_hint = "seedream config set api_key"


class MissingKey(AuthenticationError):
    """No API key is configured."""

    default_code = "missing_api_key"


class KeyringUnusable(MissingKey):
    """The key should be in the desktop keyring, which cannot be used. ``hint`` is for the default profile."""

    default_code = "keyring_unusable"


class MalformedKey(AuthenticationError):
    """The text cannot be an API key."""

    default_code = "malformed_api_key"


class KeyRefused(AuthenticationError):
    """The API refused the key: HTTP 401, or 403 about permissions."""


class QuotaExceeded(SeedreamError):
    """Insufficient balance or quota: HTTP 402, or 403 about balance or quota."""

    exit_code = ExitCode.QUOTA
    default_code = "insufficient_quota"


class NotFound(SeedreamError):
    """No such task or model: HTTP 404."""

    exit_code = ExitCode.NOT_FOUND
    default_code = "not_found"


class Unavailable(SeedreamError):
    """The API cannot be used now. Raised itself for an error that is not known."""

    exit_code = ExitCode.UNAVAILABLE
    default_code = "unavailable"


class Unreachable(Unavailable):
    """No connection, or the connection broke. ``unsent`` is True if the request surely never left."""

    default_code = "unreachable"
    transient = True
    unsent = False


class RateLimited(Unavailable):
    """HTTP 429."""

    default_code = "rate_limit_exceeded"
    transient = True


class ServiceFailing(Unavailable):
    """HTTP 408 or 5xx."""

    default_code = "internal_error"
    transient = True


class IdempotencyKeyInUse(Unavailable):
    """HTTP 409: the first request with this idempotency key is still running."""

    default_code = "idempotency_in_progress"
    transient = True


class InvalidResponse(Unavailable):
    """A response that does not match the API reference.

    The request may have succeeded. A create request is therefore sent again with the same key and body.
    """

    default_code = "unreadable_answer"
    transient = True


class RedirectRefused(Unavailable):
    """The API redirected. The key is not sent to another URL."""

    default_code = "redirect_refused"


class StillPending(SeedreamError):
    """The timeout ended before the task did."""

    exit_code = ExitCode.PENDING
    default_code = "pending"


class NotSaved(SeedreamError):
    """An image could not be downloaded, verified or written. Its task can be resumed."""

    exit_code = ExitCode.NOT_SAVED
    default_code = "not_saved"


class ImageRefused(NotSaved):
    """The image server responded with an HTTP error."""

    default_code = "image_refused"

    def __init__(self, message: str, *, http_status: int, retry_after: float | None = None) -> None:
        super().__init__(message, http_status=http_status, retry_after=retry_after)
        self.transient = http_status in (408, 429) or http_status >= 500

    @property
    def stale(self) -> bool:
        """Return True if the signed URL may have expired: polling the task again may return a fresh one."""
        return self.http_status in (400, 403, 404, 410)


class ImageUnreachable(NotSaved):
    """No connection to the image server, or the connection broke."""

    default_code = "image_unreachable"

    def __init__(self, cause: Unreachable) -> None:
        super().__init__(f"the image could not be fetched: {cause.message}", detail=cause.detail)
        self.transient = cause.transient


class ImageDamaged(NotSaved):
    """The download is not a complete image."""

    default_code = "image_damaged"
    transient = True


class HistoryUnusable(NotSaved):
    """The history cannot be read or written."""

    default_code = "history_unusable"


class Drift(SeedreamError):
    """Files, lockfile and manifest do not match."""

    exit_code = ExitCode.DRIFT
    default_code = "drift"


class Stopped(SeedreamError):
    """SIGINT or SIGTERM asked the program to stop."""

    exit_code = ExitCode.INTERRUPTED
    default_code = "stopped"

    def __init__(self, exit_code: ExitCode = ExitCode.INTERRUPTED) -> None:
        super().__init__("stopped")
        self.exit_code = exit_code
