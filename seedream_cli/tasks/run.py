"""The life of a task: submit, poll, save. Clock, pauses and the listener for events are handed in.

Every step takes an operation and returns its new state. What may cost money is in the history before it
happens; after a failure the same functions resume the operation, from another terminal too.
"""

from __future__ import annotations

from collections.abc import Callable

from msgspec.structs import replace

from ..errors import SeedreamError, Stopped
from ..events import Ended, Event, Kept
from ..models import Operation
from .context import Work, remember
from .download import collect, described, fetch, on_disk
from .poll import RESULT_LIFETIME, ask, inspect, watch
from .sidecar import is_own, put_beside
from .submit import refuse_repetition, submit

__all__ = [
    "RESULT_LIFETIME",
    "Work",
    "ask",
    "described",
    "download",
    "fetch",
    "generate",
    "is_own",
    "refuse_repetition",
    "remember",
    "status",
    "submit",
    "watch",
]


def generate(work: Work, operation: Operation, *, wait: bool = True) -> Ended:
    """Send the operation, or resume it; without ``wait`` only send it."""

    def steps(work: Work) -> Operation:
        current = operation
        fresh = current.task_id is None
        if fresh:
            current = submit(work, current).operation
        return collect(work, watch(work, current, fresh=fresh)) if wait else current

    return _conclude(work, operation, steps)


def download(work: Work, operation: Operation, *, wait: bool = True) -> Ended:
    """Save the images of a task. No request is sent if they are on disk unchanged."""

    def steps(work: Work) -> Operation:
        if work.output is None and on_disk(operation):
            for file in operation.files:
                work.on_event(Kept(operation, file, file.path))
                put_beside(work, operation, file)
            return operation
        return collect(work, _look(work, operation, wait=wait))

    return _conclude(work, operation, steps)


def status(work: Work, operation: Operation, *, wait: bool = False) -> Ended:
    """Ask for the state of the task, or ``wait`` for its end."""
    return _conclude(work, operation, lambda work: _look(work, operation, wait=wait))


def _look(work: Work, operation: Operation, *, wait: bool) -> Operation:
    return watch(work, operation, fresh=False) if wait else inspect(work, operation)


def _conclude(work: Work, operation: Operation, steps: Callable[[Work], Operation]) -> Ended:
    """Run the steps and report how they ended: a task that fails does not stop the others."""
    latest = operation

    def on_event(event: Event) -> None:
        nonlocal latest
        latest = event.operation
        work.on_event(event)

    try:
        ended = Ended(steps(replace(work, on_event=on_event)))
    except Stopped:
        raise
    except SeedreamError as error:
        ended = Ended(latest, error)
    work.on_event(ended)
    return ended
