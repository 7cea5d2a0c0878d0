"""Waiting for a task's end."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ..client import CALL_SECONDS
from ..errors import NotFound, SeedreamError, StillPending, TaskFailed
from ..events import Asking, Event, Polled, Retrying, Waited
from ..models import Operation, Status, Task
from ..retry import Retries, backoff, come_back_later
from .pace import Turns
from .work import Steps, Work, remember

if TYPE_CHECKING:
    from .rhythm import Span

#: The budget of one status call outside a wait: attempts and seconds.
ATTEMPTS, SECONDS = 5, 60.0
#: As long as it is not known how long such tasks take, the first this many seconds of a wait are polled
#: every 1 to 1.02 intervals, and so on (API reference: every 2–3 s until 30 s, every 5–10 s until
#: 2 minutes, every 15–30 s after that).
SCHEDULE = ((30.0, 1.0, 1.02), (120.0, 2.5, 5.0), (float("inf"), 7.5, 15.0))
#: Results can be fetched for about a day (API reference); seconds.
RESULT_LIFETIME = 86400.0
#: A wait as long as this is worth a word.
LONG_WAIT = 120.0


def watch(work: Work, operation: Operation, *, fresh: bool) -> Steps:
    """Poll until the task ends. ``fresh``: it was created just now, so the first poll waits a little.

    Raises TaskFailed; StillPending when ``timeout`` seconds have gone by and the last poll was
    answered; what made polling fail when it was not.
    """
    if not fresh:
        yield Asking(operation)
    turns = Turns(work, operation, fresh=fresh)
    try:
        return (yield from _polled(work, operation, turns))
    finally:
        turns.end()


def _polled(work: Work, operation: Operation, turns: Turns) -> Steps:
    failures = 0
    first = turns.next_pause(0.0)
    pause = _schedule(work, 0.0) if first is None else first
    asked = noticed = False
    failure: SeedreamError | None = None
    while True:
        if asked:
            pause = _within(work, operation, pause, turns.began, failure)
            if pause > 0:
                work.pause(pause)
        else:
            # One try is always made, however short the wait.
            asked = True
            turns.wait(min(pause, work.timeout))
        left = work.timeout - turns.waited()
        try:
            # An answer that takes longer than the wait may last is of no use.
            task, departed = _task_of(operation, work, max(left, work.poll_interval))
        except SeedreamError as error:
            if not error.transient:
                yield from _gone(work, operation, error)
                raise
            failure = error
            pause = max(error.retry_after or backoff(failures, work.spread), work.poll_interval)
            failures += 1
            yield Retrying(operation, error, pause, "polling")
            continue
        failure, failures = None, 0
        span = turns.answered(task, departed)
        elapsed = turns.waited()
        operation = yield from _noted(work, operation, task, span)
        if task.finished:
            return operation
        if elapsed >= LONG_WAIT and not noticed:
            noticed = True
            yield Waited(operation, elapsed)
        planned = turns.next_pause(turns.waited())
        pause = _schedule(work, elapsed) if planned is None else planned


def inspect(work: Work, operation: Operation) -> Steps:
    """Ask once where the task stands. Raises TaskFailed or StillPending where it is not completed."""
    yield Asking(operation)
    task = yield from ask(work, operation)
    operation = yield from _noted(work, operation, task, None)
    if not task.finished:
        raise StillPending(f"{operation.task_id} is not finished: {task.status}", request_id=task.request_id)
    return operation


def ask(work: Work, operation: Operation) -> Generator[Event, None, Task]:
    """One status answer, with retries."""
    retries = work.retries(ATTEMPTS, SECONDS)
    while True:
        try:
            return _task_of(operation, work, max(retries.remaining, 1.0), retries)[0]
        except SeedreamError as error:
            yield from _gone(work, operation, error)
            pause = retries.pause_after(error)
            yield Retrying(operation, error, pause, "asking for the status")
            work.pause(pause)


def _gone(work: Work, operation: Operation, error: SeedreamError) -> Iterator[Event]:
    """Note that the service has this task no longer, so that no list of open tasks has it for ever.

    A young task may only not be known everywhere yet, and with another key than its own, a 404 may
    mean that it is another account's: neither is given up.
    """
    old = operation.accepted is not None and work.now() - operation.accepted > RESULT_LIFETIME
    own = operation.request is not None and operation.key_id == work.key_id
    if isinstance(error, NotFound) and old and own:
        gone = replace(operation, status=Status.GONE)
        yield from remember(work, gone)
        yield Polled(gone)


def _schedule(work: Work, elapsed: float) -> float:
    """Seconds until the next poll of a task that has been waited for ``elapsed`` seconds."""
    shortest, longest = next((low, high) for until, low, high in SCHEDULE if elapsed < until)
    return work.spread(shortest * work.poll_interval, longest * work.poll_interval)


def _within(
    work: Work, operation: Operation, pause: float, started: float, failure: SeedreamError | None
) -> float:
    """The pause, cut so that the last poll falls into the wait; raises when no further poll does."""
    elapsed = work.clock() - started
    left = work.timeout - elapsed
    if pause <= left:
        return pause
    if failure is not None and (failure.retry_after or 0.0) > left:
        raise come_back_later(failure)
    if left >= work.poll_interval:
        return left
    if failure is not None:
        raise failure
    far = f" {operation.progress}%" if operation.progress is not None else ""
    raise StillPending(
        f"{operation.task_id} is not finished after {elapsed:.1f} s: {operation.status}{far}",
        request_id=operation.request_id,
    )


def _task_of(
    operation: Operation, work: Work, patience: float, retries: Retries | None = None
) -> tuple[Task, float]:
    """The task, and when the request for it left, which may have waited for its turn."""
    task_id, departed = operation.task_id, 0.0
    assert task_id is not None, "an operation without a task cannot be asked for"  # noqa: S101

    def ask_once() -> Task:
        nonlocal departed
        departed = work.clock()
        return work.client.task(task_id, seconds=min(CALL_SECONDS, patience))

    return work.call(ask_once, patience=patience, retries=retries), departed


def _noted(work: Work, operation: Operation, task: Task, span: Span | None) -> Steps:
    """The operation with the task's state; raises TaskFailed where the task ended without an image.

    ``span`` is between which seconds it ended, where it was waited for from its acceptance on.
    """
    least, seconds = operation.least_seconds, operation.seconds
    if task.finished and seconds is None:
        if span is not None:
            least, seconds = span
        elif task.completed_at is not None and operation.accepted is not None:
            seconds = max(task.completed_at - operation.accepted, 0.0)
    seen = replace(
        operation,
        status=task.status,
        progress=task.progress,
        results=task.results or operation.results,
        seconds=seconds,
        least_seconds=least,
        error_code=task.error_code,
        error_message=task.error_message,
    )
    # A task of another machine is recorded when an image of it is saved, not when it is looked at.
    if seen != operation and seen.request is not None:
        yield from remember(work, seen)
    yield Polled(seen)
    if task.unsuccessful:
        raise TaskFailed(
            f"{operation.task_id} {task.status}",
            code=task.error_code,
            detail=task.error_message,
            request_id=task.request_id or operation.request_id,
        )
    return seen
