"""Every way in which the program can fail, each with its exit code.

SeedreamError
├── UsageProblem (2)         wrong arguments or configuration
│   ├── InvalidRequest       what the model's row does not allow
│   ├── InvalidOutput        a name that cannot be used, a file that exists
│   ├── ProblemsFound        what is wrong with a manifest or a lock, all of it
│   ├── KeyringProblem       the desktop's keyring, where it was asked to keep a key
│   └── RequestRefused       the API answered 400, 409 or another 4xx
├── TaskFailed (3)           the task ended failed, cancelled or rejected
├── AuthenticationProblem (4)
│   ├── MissingKey
│   │   └── KeyringUnusable  the desktop's keyring, where the key should be in it
│   ├── MalformedKey
│   └── KeyRefused           401, 403
├── QuotaExceeded (5)        402, 403 that speaks of balance or quota
├── NotFound (6)             404
├── Unavailable (7)
│   ├── Unreachable          no connection, or it broke
│   ├── RateLimited          429
│   ├── ServiceFailing       5xx
│   ├── KeyBusy              409: the first request with this idempotency key still runs
│   ├── UnreadableAnswer     an answer that is not what the API's reference says
│   └── RedirectRefused      the API pointed elsewhere
├── StillPending (8)         the wait ended before the task did
├── NotSaved (9)             an image could not be fetched, verified or written
│   ├── ImageRefused         the image's host answered with an HTTP error
│   ├── ImageUnreachable     no connection to the image's host, or it broke
│   ├── ImageDamaged         what came is not a whole image
│   └── HistoryUnusable      the history cannot be read or written
├── Drift (10)               files, lock and manifest are not in step
└── Stopped (130, 143)       SIGINT, SIGTERM
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum
from typing import ClassVar, Self

from msgspec import Struct


class ExitCode(IntEnum):
    """The exit codes of the program. README's table is checked against this one."""

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


#: With several tasks in one call, the first of these that occurred is returned.
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
    """An outcome that is not success, with what a person and a script need to know.

    ``code`` is one machine-readable word: the server's own where it sent one. ``detail`` is the
    server's own words. ``hint`` is a command that can be copied. ``retry_after`` is in seconds.
    ``transient`` tells whether the same call may succeed a moment later.
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
        #: Options without which resuming would fail in the same way.
        self.resume_with: tuple[str, ...] = ()


class UsageError(SeedreamError):
    exit_code = ExitCode.USAGE
    default_code = "usage"


class InvalidRequest(UsageError):
    default_code = "invalid_request"


class InvalidOutput(UsageError):
    default_code = "invalid_output"


class RequestRefused(UsageError):
    default_code = "invalid_request"


class Diagnostic(Struct, frozen=True):
    """``line`` counts from 1; ``key`` is a dotted key, "" where the problem is not one key's."""

    file: str
    line: int
    key: str
    what: str

    def __str__(self) -> str:
        return ": ".join(filter(None, (f"{self.file}:{self.line}", self.key, self.what)))


class InvalidFile(UsageError):
    """``problems`` has every one, in order of line; ``detail`` has them as lines of text.

    A single one is the message itself.
    """

    def __init__(self, file: str, problems: Iterable[Diagnostic]) -> None:
        # A wrong default is every asset's problem, and told once.
        self.problems = tuple(sorted(dict.fromkeys(problems), key=lambda problem: problem.line))
        lines = [str(problem) for problem in self.problems]
        if len(lines) == 1:
            super().__init__(lines[0])
        else:
            super().__init__(f"{file} has {len(lines)} problems", detail="\n".join(lines))


class KeyringError(UsageError):
    """``hint`` is the way out, for the default profile."""

    default_code = "keyring_unusable"


class TaskFailed(SeedreamError):
    exit_code = ExitCode.TASK_FAILED
    default_code = "task_failed"


class AuthenticationError(SeedreamError):
    exit_code = ExitCode.AUTHENTICATION
    default_code = "invalid_api_key"
    default_hint = "seedream config set api_key"


class MissingKey(AuthenticationError):
    default_code = "missing_api_key"


class KeyringUnusable(MissingKey):
    """``hint`` is the way out, for the default profile."""

    default_code = "keyring_unusable"


class MalformedKey(AuthenticationError):
    default_code = "malformed_api_key"


class KeyRefused(AuthenticationError):
    pass


class QuotaExceeded(SeedreamError):
    exit_code = ExitCode.QUOTA
    default_code = "insufficient_quota"


class NotFound(SeedreamError):
    exit_code = ExitCode.NOT_FOUND
    default_code = "not_found"


class Unavailable(SeedreamError):
    exit_code = ExitCode.UNAVAILABLE
    default_code = "unavailable"


class Unreachable(Unavailable):
    """No connection, or it broke. ``unsent``: surely before any of the request had left."""

    default_code = "unreachable"
    transient = True
    unsent = False


class RateLimited(Unavailable):
    default_code = "rate_limit_exceeded"
    transient = True


class ServiceFailing(Unavailable):
    default_code = "internal_error"
    transient = True


class IdempotencyKeyInUse(Unavailable):
    default_code = "idempotency_in_progress"
    transient = True


class InvalidResponse(Unavailable):
    """The answer's fate is ambiguous: a create is sent again with the same key and body."""

    default_code = "unreadable_answer"
    transient = True


class RedirectRefused(Unavailable):
    default_code = "redirect_refused"


class StillPending(SeedreamError):
    exit_code = ExitCode.PENDING
    default_code = "pending"


class NotSaved(SeedreamError):
    exit_code = ExitCode.NOT_SAVED
    default_code = "not_saved"


class ImageRefused(NotSaved):
    """The image's host answered with an HTTP error."""

    default_code = "image_refused"

    def __init__(self, message: str, *, http_status: int, retry_after: float | None = None) -> None:
        super().__init__(message, http_status=http_status, retry_after=retry_after)
        self.transient = http_status in (408, 429) or http_status >= 500

    @property
    def stale(self) -> bool:
        """The signed URL may have died: asking the status again may give a fresh one."""
        return self.http_status in (400, 403, 404, 410)


class ImageUnreachable(NotSaved):
    """The network's failure, seen from an image that is paid for already."""

    default_code = "image_unreachable"

    def __init__(self, cause: Unreachable) -> None:
        super().__init__(f"the image could not be fetched: {cause.message}", detail=cause.detail)
        self.transient = cause.transient


class ImageDamaged(NotSaved):
    default_code = "image_damaged"
    transient = True


class HistoryUnusable(NotSaved):
    default_code = "history_unusable"


class Drift(SeedreamError):
    exit_code = ExitCode.DRIFT
    default_code = "drift"


class Stopped(SeedreamError):
    """A signal asked the program to end."""

    exit_code = ExitCode.INTERRUPTED
    default_code = "stopped"

    def __init__(self, exit_code: ExitCode = ExitCode.INTERRUPTED) -> None:
        super().__init__("stopped")
        self.exit_code = exit_code
