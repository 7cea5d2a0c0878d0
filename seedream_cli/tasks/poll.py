"""Waiting for a task's end."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec.structs import replace

from ..api.client import API_TIMEOUT
from ..errors import HistoryUnusable, NotFound, SeedreamError, StillPending, TaskFailed
from ..events import Asking, Polled, Retrying, Waited
from ..models import Operation, Task, TaskStatus
from .context import TaskContext, record_or_warn
from .poll_schedule import NEWEST, PollSchedule, estimate_duration
from .retry import Retries, backoff, come_back_later

#: The budget of one status call outside a wait: attempts and seconds.
ATTEMPTS, SECONDS = 5, 60.0
#: Results can be fetched for about a day (API reference); seconds.
RESULT_LIFETIME = 86400.0
#: A wait as long as this is worth a word.
LONG_WAIT = 120.0


def poll(context: TaskContext, operation: Operation, *, just_submitted: bool) -> Operation:
    """Poll until the task ends. ``fresh``: it was created just now, so the first poll waits a little.

    Raises TaskFailed; StillPending when ``timeout`` seconds have gone by and the last poll was
    answered; what made polling fail when it was not.
    """
    if not just_submitted:
        context.on_event(Asking(operation))
    began = context.clock()
    age = 0.0 if just_submitted else _age(context, operation)
    known = _known_durations(context, operation) if age is not None else ()
    schedule = PollSchedule(known, context.poll_interval, context.spread, age=age or 0.0)
    #: When the last poll was due that found the task unfinished, in seconds since its acceptance.
    unfinished_at = 0.0 if just_submitted else None
    failures = 0
    noticed = False
    # One try is always made, however short the wait.
    pause = min(schedule.first_pause(), context.timeout) if just_submitted else 0.0
    while True:
        if pause > 0:
            context.pause(pause)
        polled = context.clock() - began
        try:
            # An answer that takes longer than the wait may last is of no use.
            task = _task_of(operation, context, max(context.timeout - polled, context.poll_interval))
        except SeedreamError as error:
            if not error.transient:
                _mark_expired(context, operation, error)
                raise
            pause = max(error.retry_after or backoff(failures, context.spread), context.poll_interval)
            failures += 1
            context.on_event(Retrying(operation, error, pause, "polling"))
            pause = _clip_to_timeout(context, operation, pause, began, error)
            continue
        failures = 0
        answered = context.clock() - began
        seconds = None
        if age is not None and task.finished:
            seconds = estimate_duration(
                _reported(operation, task),
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
        if answered >= LONG_WAIT and not noticed:
            noticed = True
            context.on_event(Waited(operation, answered))
        pause = _clip_to_timeout(
            context, operation, schedule.next_pause(context.clock() - began), began, None
        )


def _age(context: TaskContext, operation: Operation) -> float | None:
    """Return the seconds since the task was accepted, as far as this machine knows."""
    return None if operation.accepted is None else max(context.now() - operation.accepted, 0.0)


def _known_durations(context: TaskContext, operation: Operation) -> Sequence[float]:
    if operation.request is None:
        return ()
    try:
        return context.history.durations(operation.service, operation.request.kind, limit=NEWEST)
    except HistoryUnusable:
        # The next write to it reports that.
        return ()


def _reported(operation: Operation, task: Task) -> float | None:
    """Return the seconds from the acceptance to the completion that the service reports."""
    if task.completed_at is None or operation.accepted is None:
        return None
    return task.completed_at - operation.accepted


def poll_once(context: TaskContext, operation: Operation) -> Operation:
    """Ask once where the task stands. Raises TaskFailed or StillPending where it is not completed."""
    context.on_event(Asking(operation))
    task = get_status(context, operation)
    seconds = None
    if task.finished and (age := _age(context, operation)) is not None:
        reported = _reported(operation, task)
        seconds = estimate_duration(
            reported, unfinished_at=None, polled_at=age, answered_at=age, interval=context.poll_interval
        )
    operation = _apply_status(context, operation, task, seconds)
    if not task.finished:
        raise StillPending(f"{operation.task_id} is not finished: {task.status}", request_id=task.request_id)
    return operation


def get_status(context: TaskContext, operation: Operation) -> Task:
    """One status answer, with retries."""
    retries = context.retries(ATTEMPTS, SECONDS)
    while True:
        try:
            return _task_of(operation, context, max(retries.remaining, 1.0), retries)
        except SeedreamError as error:
            _mark_expired(context, operation, error)
            pause = retries.pause_after(error)
            context.on_event(Retrying(operation, error, pause, "asking for the status"))
            context.pause(pause)


def _mark_expired(context: TaskContext, operation: Operation, error: SeedreamError) -> None:
    """Note that the service has this task no longer, so that no list of open tasks has it for ever.

    A young task may only not be known everywhere yet, and with another key than its own, a 404 may
    mean that it is another account's: neither is given up.
    """
    old = operation.accepted is not None and context.now() - operation.accepted > RESULT_LIFETIME
    own = operation.request is not None and operation.key_id == context.key_id
    if isinstance(error, NotFound) and old and own:
        gone = replace(operation, status=TaskStatus.GONE)
        record_or_warn(context, gone)
        context.on_event(Polled(gone))


def _clip_to_timeout(
    context: TaskContext, operation: Operation, pause: float, started: float, failure: SeedreamError | None
) -> float:
    """The pause, cut so that the last poll falls into the wait; raises when no further poll does."""
    elapsed = context.clock() - started
    left = context.timeout - elapsed
    if pause <= left:
        return pause
    if failure is not None and (failure.retry_after or 0.0) > left:
        raise come_back_later(failure)
    if left >= context.poll_interval:
        return left
    if failure is not None:
        raise failure
    far = f" {operation.progress}%" if operation.progress is not None else ""
    raise StillPending(
        f"{operation.task_id} is not finished after {elapsed:.1f} s: {operation.status}{far}",
        request_id=operation.request_id,
    )


def _task_of(
    operation: Operation, context: TaskContext, patience: float, retries: Retries | None = None
) -> Task:
    task_id = operation.task_id
    assert task_id is not None, "an operation without a task cannot be asked for"  # noqa: S101
    return context.call(
        lambda: context.client.get_task(task_id, seconds=min(API_TIMEOUT, patience)),
        patience=patience,
        retries=retries,
    )


def _apply_status(context: TaskContext, operation: Operation, task: Task, seconds: float | None) -> Operation:
    """The operation with the task's state; raises TaskFailed where the task ended without an image.

    ``seconds`` is how long it took, if it has ended and that is known.
    """
    seen = replace(
        operation,
        status=task.status,
        progress=task.progress,
        results=task.results or operation.results,
        seconds=seconds if operation.seconds is None else operation.seconds,
        error_code=task.error_code,
        error_message=task.error_message,
    )
    # A task of another machine is recorded when an image of it is saved, not when it is looked at.
    if seen != operation and seen.request is not None:
        record_or_warn(context, seen)
    context.on_event(Polled(seen))
    if task.has_failed:
        raise TaskFailed(
            f"{operation.task_id} {task.status}",
            code=task.error_code,
            detail=task.error_message,
            request_id=task.request_id or operation.request_id,
        )
    return seen
