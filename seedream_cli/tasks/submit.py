"""Creating a task, exactly once."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from ..api.client import API_TIMEOUT
from ..errors import ExitCode, HistoryUnusable, RateLimited, SeedreamError, Unreachable, UsageError
from ..events import Retrying, Sending, SubmitRejected, Submitted
from ..models import Accepted, Operation, TaskStatus
from .context import TaskContext, record_or_warn

#: The budget of one create: attempts and seconds.
ATTEMPTS, SECONDS = 5, 60.0
#: Bytes of a request that are surely uploaded in a second (two megabits): what source images need is
#: added to both the budget and the time of a call.
UPLOAD_SPEED = 250_000
#: The service keeps idempotency keys for 7 days (API reference): later, a repetition would pay again. An
#: hour is left for clocks that differ and for the retries.
KEY_LIFETIME = 7 * 86400.0 - 3600.0
#: A clock may have been set back by so much that an operation seems to come from the future.
CLOCK_SLACK = 300.0


def submit(context: TaskContext, operation: Operation) -> Submitted:
    """Create the task. The same key and body are sent until an answer is read or the budget ends."""
    request, key = operation.request, operation.idempotency_key
    if request is None or key is None:
        raise UsageError(f"{operation.id} holds no request that could be sent")
    # Whether a create with this key may have arrived although its answer was never read.
    before = context.history.find(operation.service, operation.id)
    ambiguous = before is not None and before.idempotency_key == key
    operation, content = _on_disk(context, operation, is_new=before is None)
    if operation.task_id is not None:
        # Another run of this operation was answered meanwhile.
        return _report(context, Submitted(operation, replayed=True))
    upload = len(content) / UPLOAD_SPEED if content is not None else 0.0
    context.on_event(Sending(operation))
    retries = context.retries(ATTEMPTS, SECONDS + upload)
    while True:
        try:
            seconds = min(API_TIMEOUT + upload, max(retries.remaining, 1.0))
            create = partial(context.client.submit, request.body(), key, content=content, seconds=seconds)
            accepted = context.call(create, patience=retries.remaining, retries=retries)
            break
        except SeedreamError as error:
            if _is_refusal(error, ambiguous=ambiguous):
                operation = _refused(operation, error)
                record_or_warn(context, operation)
                context.bodies.delete(operation)
                context.on_event(SubmitRejected(operation))
                raise
            ambiguous = ambiguous or _may_have_arrived(error)
            pause = retries.pause_after(error)
            context.on_event(Retrying(operation, error, pause, "submitting"))
            context.pause(pause)
    operation = _mark_accepted(operation, accepted, context.now())
    if record_or_warn(context, operation):
        context.bodies.delete(operation)
    return _report(context, Submitted(operation, accepted.replayed))


def _report(context: TaskContext, submitted: Submitted) -> Submitted:
    context.on_event(submitted)
    return submitted


def _on_disk(context: TaskContext, operation: Operation, *, is_new: bool) -> tuple[Operation, bytes | None]:
    """The operation, recorded, and the bytes to send where its request does not say it all.

    Intent first: a crash after the POST must leave something to resume.
    """
    try:
        content = context.bodies.load_or_store(operation)
    except UsageError:
        known = context.history.find(operation.service, operation.id)
        if known is None or known.task_id is None:
            raise
        # Once its task is known, it needs its body no more.
        return known, None
    try:
        return context.history.record(operation), content
    except HistoryUnusable:
        if is_new:
            # It was never sent, and nobody will come back for it.
            context.bodies.delete(operation)
        raise


def check_can_resubmit(operation: Operation, *, now: float, key_id: str) -> None:
    """Refuse to send an unanswered create again where that could pay again. Raises UsageProblem."""
    if not -CLOCK_SLACK <= now - operation.created <= KEY_LIFETIME:
        raise UsageError(
            f"{operation.id} is not from the last 7 days, for which the service keeps idempotency keys: "
            "sending it again could pay again",
            code="idempotency_expired",
        )
    if operation.key_id not in (None, key_id):
        raise UsageError(
            f"{operation.id} was sent with another API key: sending it with this one could pay again",
            code="other_api_key",
        )


def _mark_accepted(operation: Operation, accepted: Accepted, now: float) -> Operation:
    return replace(
        operation,
        task_id=accepted.task_id,
        status=TaskStatus.PENDING,
        cost=accepted.cost,
        request_id=accepted.request_id,
        accepted=now,
        error_code=None,
        error_message=None,
    )


def _refused(operation: Operation, error: SeedreamError) -> Operation:
    return replace(
        operation,
        status=TaskStatus.REFUSED,
        request_id=error.request_id,
        error_code=error.code,
        error_message=error.detail or error.message,
    )


def _may_have_arrived(error: SeedreamError) -> bool:
    """Only what was never sent, or was turned away at the rate limit, has surely created nothing."""
    return not (isinstance(error, RateLimited) or (isinstance(error, Unreachable) and error.unsent))


def _is_refusal(error: SeedreamError, *, ambiguous: bool) -> bool:
    """The API answered that this create makes no task, and that settles it.

    Behind an earlier one that may have arrived, a refusal of the key, of the account or of the
    idempotency key settles nothing: the first may have taken the last of a balance. A request that is
    invalid, or a model that is not there, was so the first time too.
    """
    if error.http_status is None:
        return False
    if error.exit_code == ExitCode.NOT_FOUND or (
        error.exit_code == ExitCode.USAGE and error.http_status != 409
    ):
        return True
    refusals = (ExitCode.USAGE, ExitCode.AUTHENTICATION, ExitCode.QUOTA)
    return error.exit_code in refusals and not ambiguous
