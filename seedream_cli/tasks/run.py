"""Running a task: submit, poll, save. Clock, pauses and the listener for events are passed in.

Every step takes an operation and returns its new state. Whatever may cost money is recorded in the history
before it happens. After a failure the same functions resume the operation, from another terminal too.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from ..errors import SeedreamError, Stopped
from ..events import Event, FileKept, TaskFinished
from ..models import Operation
from .context import TaskContext
from .download import is_on_disk, save_results
from .poll import poll, poll_once
from .sidecar import write_sidecar
from .submit import submit


def generate_task(context: TaskContext, operation: Operation, *, wait: bool = True) -> TaskFinished:
    """Submit the operation, or resume it, and save its images. Without ``wait`` only submit it."""

    def steps(context: TaskContext) -> Operation:
        current = operation
        just_submitted = current.task_id is None
        if just_submitted:
            current = submit(context, current).operation
        if not wait:
            return current
        return save_results(context, poll(context, current, just_submitted=just_submitted))

    return _run(context, operation, steps)


def download_task(context: TaskContext, operation: Operation, *, wait: bool = True) -> TaskFinished:
    """Save the images of a task. No request is sent if they are on disk unchanged."""

    def steps(context: TaskContext) -> Operation:
        if context.output is None and is_on_disk(operation):
            for file in operation.files:
                context.on_event(FileKept(operation, file, file.path))
                write_sidecar(context, operation, file)
            return operation
        return save_results(context, _query(context, operation, wait=wait))

    return _run(context, operation, steps)


def query_task(context: TaskContext, operation: Operation, *, wait: bool = False) -> TaskFinished:
    """Ask for the state of the task, or ``wait`` until it ends."""
    return _run(context, operation, lambda context: _query(context, operation, wait=wait))


def _query(context: TaskContext, operation: Operation, *, wait: bool) -> Operation:
    return poll(context, operation, just_submitted=False) if wait else poll_once(context, operation)


def _run(
    context: TaskContext, operation: Operation, steps: Callable[[TaskContext], Operation]
) -> TaskFinished:
    """Run the steps and report the result. An error is part of it, and so does not stop other tasks."""
    latest = operation

    def on_event(event: Event) -> None:
        nonlocal latest
        latest = event.operation
        context.on_event(event)

    try:
        finished = TaskFinished(steps(replace(context, on_event=on_event)))
    except Stopped:
        raise
    except SeedreamError as error:
        finished = TaskFinished(latest, error)
    context.on_event(finished)
    return finished
