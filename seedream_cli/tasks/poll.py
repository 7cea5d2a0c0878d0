"""Polling: asking for the state of a task, once or until it ends."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ..api.client import API_TIMEOUT
from ..errors import HistoryUnusable, NotFound, SeedreamError, StillPending, TaskFailed
from ..events import Asking, Polled, Retrying, Waited
from ..models import Operation, Task, TaskStatus
from .context import TaskContext, record_or_warn
from .poll_schedule import NEWEST, PollSchedule, estimate_duration
from .retry import Retries, backoff, requested_wait

#: Attempts of one status call outside a wait.
ATTEMPTS = 5
#: Seconds in which these attempts are made.
SECONDS = 60.0
#: Results can be fetched for about a day (API reference); seconds.
RESULT_LIFETIME = 86400.0
#: Seconds of waiting after which the user is told, once, that nothing is lost by stopping.
LONG_WAIT = 120.0


def poll(context: TaskContext, operation: Operation, *, just_submitted: bool) -> Operation:
    """Poll until the task ends. At least one poll is made, however short the timeout.

    A task that was ``just_submitted`` is not polled at once. Raises TaskFailed; StillPending if ``timeout``
    seconds have passed and the last poll was answered; the error of the last poll if it was not.
    """
    if not just_submitted:
        context.on_event(Asking(operation))
    began = context.clock()
    age = 0.0 if just_submitted else _age(context, operation)
    durations = _known_durations(context, operation) if age is not None else ()
    schedule = PollSchedule(durations, context.poll_interval, context.jitter, age=age or 0.0)
    #: When the last poll that found the task unfinished was due, in seconds since the acceptance.
    unfinished_at = 0.0 if just_submitted else None
    failures = 0
    long_wait_reported = False
    pause = min(schedule.first_pause(), context.timeout) if just_submitted else 0.0
    while True:
        if pause > 0:
            context.pause(pause)
        polled = context.clock() - began
        try:
            # A response that arrives after the timeout would be of no use.
            max_wait = max(context.timeout - polled, context.poll_interval)
            task = _call_status(context, operation, max_wait=max_wait)
        except SeedreamError as error:
            if not error.transient:
                _mark_expired(context, operation, error)
                raise
            requested = requested_wait(error, context.timeout - (context.clock() - began))
            pause = max(requested or backoff(failures, context.jitter), context.poll_interval)
            failures += 1
            context.on_event(Retrying(operation, error, pause, "polling"))
            pause = _clip_to_timeout(context, operation, pause, began, error)
            continue
        failures = 0
        answered = context.clock() - began
        seconds = None
        if age is not None and task.finished:
            seconds = estimate_duration(
                _reported_duration(operation, task),
                unfinished_at=unfinished_at,
                polled_at=age + polled,
                answered_at=age + answered,
                interval=context.poll_interval,
            )
        operation = _apply_status(context, operation, task, seconds)
        if task.finished:
            return operation
        if age is not None:
            unfinished_at = age + polled
        if answered >= LONG_WAIT and not long_wait_reported:
            long_wait_reported = True
            context.on_event(Waited(operation, answered))
        pause = schedule.next_pause(context.clock() - began)
        pause = _clip_to_timeout(context, operation, pause, began, None)


def poll_once(context: TaskContext, operation: Operation) -> Operation:
    """Ask once for the state of the task. Raises TaskFailed, or StillPending if it is not finished."""
    context.on_event(Asking(operation))
    task = get_status(context, operation)
    seconds = None
    if task.finished and (age := _age(context, operation)) is not None:
        reported = _reported_duration(operation, task)
        seconds = estimate_duration(
            reported, unfinished_at=None, polled_at=age, answered_at=age, interval=context.poll_interval
        )
    operation = _apply_status(context, operation, task, seconds)
    if not task.finished:
        raise StillPending(f"{operation.task_id} is not finished: {task.status}", request_id=task.request_id)
    return operation


def get_status(context: TaskContext, operation: Operation) -> Task:
    """Return the state of the task. Repeats the call within its budget."""
    retries = context.retries(ATTEMPTS, SECONDS)
    while True:
        try:
            return _call_status(context, operation, max_wait=max(retries.remaining, 1.0), retries=retries)
        except SeedreamError as error:
            _mark_expired(context, operation, error)
            pause = retries.pause_after(error)
            context.on_event(Retrying(operation, error, pause, "asking for the status"))
            context.pause(pause)


def _call_status(
    context: TaskContext, operation: Operation, *, max_wait: float, retries: Retries | None = None
) -> Task:
    task_id = operation.task_id
    assert task_id is not None, "an operation without a task has no status"  # noqa: S101
    return context.call(
        lambda: context.client.get_task(task_id, seconds=min(API_TIMEOUT, max_wait)),
        max_wait=max_wait,
        retries=retries,
    )


def _age(context: TaskContext, operation: Operation) -> float | None:
    """Return the seconds since the task was accepted, or None if this machine does not know."""
    return None if operation.accepted is None else max(context.now() - operation.accepted, 0.0)


def _known_durations(context: TaskContext, operation: Operation) -> Sequence[float]:
    if operation.request is None:
        return ()
    try:
        return context.history.durations(operation.service, operation.request.kind, limit=NEWEST)
    except HistoryUnusable:
        # The next write to the history reports the problem.
        return ()


def _reported_duration(operation: Operation, task: Task) -> float | None:
    """Return the seconds from the acceptance to the completion, as the service reports it."""
    if task.completed_at is None or operation.accepted is None:
        return None
    return task.completed_at - operation.accepted


def _mark_expired(context: TaskContext, operation: Operation, error: SeedreamError) -> None:
    """Record that the service no longer has this task, so that it is not listed as unfinished for ever.

    A 404 proves that only for an old task that was created with this API key: a young task may not be
    known to every server yet, and with another key the task may belong to another account.
    """
    is_old = operation.accepted is not None and context.now() - operation.accepted > RESULT_LIFETIME
    is_own = operation.request is not None and operation.key_id == context.key_id
    if isinstance(error, NotFound) and is_old and is_own:
        gone = replace(operation, status=TaskStatus.GONE)
        record_or_warn(context, gone)
        context.on_event(Polled(gone))


def _clip_to_timeout(
    context: TaskContext, operation: Operation, pause: float, began: float, error: SeedreamError | None
) -> float:
    """Return the pause, shortened so that a last poll is made just before the timeout.

    If no time is left for another poll, raises ``error``, or StillPending if the last poll was answered.
    """
    elapsed = context.clock() - began
    left = context.timeout - elapsed
    if pause <= left:
        return pause
    if left >= context.poll_interval:
        return left
    if error is not None:
        raise error
    progress = f" {operation.progress}%" if operation.progress is not None else ""
    raise StillPending(
        f"{operation.task_id} is not finished after {elapsed:.1f} s: {operation.status}{progress}",
        request_id=operation.request_id,
    )


def _apply_status(context: TaskContext, operation: Operation, task: Task, seconds: float | None) -> Operation:
    """Return the operation with the state of its task, recorded. Raises TaskFailed if the task has failed.

    ``seconds`` is how long the task took; None if it is unfinished or that is not known.
    """
    updated = replace(
        operation,
        status=task.status,
        progress=task.progress,
        results=task.results or operation.results,
        seconds=seconds if operation.seconds is None else operation.seconds,
        error_code=task.error_code,
        error_message=task.error_message,
    )
    # A task of another machine is recorded when an image of it is saved, not when its state is read.
    if updated != operation and updated.request is not None:
        record_or_warn(context, updated)
    context.on_event(Polled(updated))
    if task.has_failed:
        raise TaskFailed(
            f"{operation.task_id} {task.status}",
            code=task.error_code,
            detail=task.error_message,
            request_id=task.request_id or operation.request_id,
        )
    return updated
