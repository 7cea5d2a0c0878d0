"""The life of a task: submit, watch, collect; a stream of events with clock and pause handed in.

Every step takes an operation as it stands and returns it as it stands afterwards. What may cost
money is in the history before it happens; what fails later leaves an operation that the same
functions carry on, from another terminal too.
"""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing

from ..errors import SeedreamError, Stopped
from ..events import Ended, Event, Kept
from ..models import Operation
from .collect import collect, described, fetch, on_disk
from .sidecar import is_own, put_beside
from .submit import refuse_repetition, submit
from .watch import RESULT_LIFETIME, ask, inspect, watch
from .work import Steps, Work, remember

Events = Generator[Event, None, None]

__all__ = [
    "RESULT_LIFETIME",
    "Steps",
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


def generate(work: Work, operation: Operation, *, wait: bool = True) -> Events:
    """Send the operation, or carry it on from where it stands; without ``wait`` only send it."""

    def steps() -> Steps:
        current = operation
        fresh = current.task_id is None
        if fresh:
            current = yield from submit(work, current)
        if wait:
            current = yield from watch(work, current, fresh=fresh)
            current = yield from collect(work, current)
        return current

    return _concluded(steps(), operation)


def download(work: Work, operation: Operation, *, wait: bool = True) -> Events:
    """Save the images of a task; nothing is asked of anyone if they are on disk unchanged."""

    def steps() -> Steps:
        if work.output is None and on_disk(operation):
            for file in operation.files:
                yield Kept(operation, file, file.path)
                yield from put_beside(work, operation, file)
            return operation
        looked = watch(work, operation, fresh=False) if wait else inspect(work, operation)
        current = yield from looked
        return (yield from collect(work, current))

    return _concluded(steps(), operation)


def status(work: Work, operation: Operation, *, wait: bool = False) -> Events:
    """Ask where the task stands, or ``wait`` for its end."""
    looked = watch(work, operation, fresh=False) if wait else inspect(work, operation)
    return _concluded(looked, operation)


def _concluded(steps: Steps, operation: Operation) -> Events:
    """The events of one operation, closed by Ended: one failing task does not stop the others."""
    latest = operation
    try:
        # Whoever stops listening ends the steps at once, with what they have open.
        with closing(steps):
            while True:
                event = next(steps)
                latest = event.operation
                yield event
    except StopIteration as end:
        # What the last step did may have no event of its own.
        yield Ended(end.value)
    except Stopped:
        raise
    except SeedreamError as error:
        yield Ended(latest, error)
