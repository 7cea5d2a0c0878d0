"""Submitting: create a task exactly once, whatever happens on the way."""

from __future__ import annotations

from functools import partial

from msgspec.structs import replace

from ..api.client import API_TIMEOUT
from ..errors import ExitCode, HistoryUnusable, RateLimited, SeedreamError, Unreachable, UsageError
from ..events import Retrying, Sending, SubmitRejected, Submitted
from ..models import IDEMPOTENCY_KEY_LIFETIME, Accepted, Operation, TaskStatus
from .context import TaskContext, record_or_warn

#: Attempts of one create request.
ATTEMPTS = 5
#: Seconds in which these attempts are made, plus the time to upload the source images.
SECONDS = 60.0
#: Bytes per second that even a slow connection uploads (two megabits per second). The time that source images
#: need at this speed is added to the budget and to the timeout of a call.
UPLOAD_SPEED = 250_000
#: Seconds during which a request may be repeated. One hour is left for retries and wrong clocks.
KEY_LIFETIME = IDEMPOTENCY_KEY_LIFETIME - 3600.0
#: Seconds by which an operation may lie in the future, because the clock has been set back since.
CLOCK_SLACK = 300.0


def submit(context: TaskContext, operation: Operation) -> Submitted:
    """Create the task. The same key and body are sent until a response is read or the budget is spent.

    Raises the error of the last attempt, and UsageError for an operation that cannot be sent.
    """
    request, key = operation.request, operation.idempotency_key
    if request is None or key is None:
        raise UsageError(f"{operation.id} holds no request that could be sent")
    recorded = context.history.find(operation.service, operation.id)
    # True if a create with this key may have arrived although its response was never read.
    ambiguous = recorded is not None and recorded.idempotency_key == key
    operation, content = _record_intent(context, operation, is_new=recorded is None)
    if operation.task_id is not None:
        # Another run has submitted this operation meanwhile.
        submitted = Submitted(operation, replayed=True)
        context.on_event(submitted)
        return submitted
    upload = len(content) / UPLOAD_SPEED if content is not None else 0.0
    context.on_event(Sending(operation))
    retries = context.retries(ATTEMPTS, SECONDS + upload)
    while True:
        try:
            seconds = min(API_TIMEOUT + upload, max(retries.remaining, 1.0))
            create = partial(context.client.submit, request.body(), key, content=content, seconds=seconds)
            accepted = context.call(create, max_wait=retries.remaining, retries=retries)
            break
        except SeedreamError as error:
            if _is_rejection(error, ambiguous=ambiguous):
                operation = _mark_refused(operation, error)
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
    submitted = Submitted(operation, accepted.replayed)
    context.on_event(submitted)
    return submitted


def _record_intent(
    context: TaskContext, operation: Operation, *, is_new: bool
) -> tuple[Operation, bytes | None]:
    """Record the operation and keep its body. Return both; the body is None if the request describes it.

    Must be called before the request is sent: a crash after that must leave something to resume.
    """
    try:
        content = context.bodies.load_or_store(operation)
    except UsageError:
        recorded = context.history.find(operation.service, operation.id)
        if recorded is None or recorded.task_id is None:
            raise
        # The task exists, so its body is no longer needed.
        return recorded, None
    try:
        return context.history.record(operation), content
    except HistoryUnusable:
        if is_new:
            # The request was never sent and cannot be resumed.
            context.bodies.delete(operation)
        raise


def check_can_resubmit(operation: Operation, *, now: float, key_id: str) -> None:
    """Raise UsageError if sending an unanswered create request again could be billed again."""
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


def _mark_refused(operation: Operation, error: SeedreamError) -> Operation:
    return replace(
        operation,
        status=TaskStatus.REFUSED,
        request_id=error.request_id,
        error_code=error.code,
        error_message=error.detail or error.message,
    )


def _may_have_arrived(error: SeedreamError) -> bool:
    """Return True if the request may have created a task although it failed.

    It has surely not if it was never sent, or was turned away by the rate limit.
    """
    return not (isinstance(error, RateLimited) or (isinstance(error, Unreachable) and error.unsent))


def _is_rejection(error: SeedreamError, *, ambiguous: bool) -> bool:
    """Return True if the API has rejected this create request for good, so that it has no task.

    ``ambiguous``: an earlier attempt may have arrived. A rejection of the API key, the balance or the
    idempotency key then proves nothing: the earlier attempt may have spent the last of the balance. An
    invalid request or an unknown model was rejected the first time too.
    """
    if error.http_status is None:
        return False
    if error.exit_code == ExitCode.NOT_FOUND or (
        error.exit_code == ExitCode.USAGE and error.http_status != 409
    ):
        return True
    rejections = (ExitCode.USAGE, ExitCode.AUTHENTICATION, ExitCode.QUOTA)
    return error.exit_code in rejections and not ambiguous
