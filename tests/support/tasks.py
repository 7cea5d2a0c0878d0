"""Operations that were not submitted yet, and running them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from seedream_cli.errors import SeedreamError
from seedream_cli.events import Event, TaskFinished
from seedream_cli.models import GenerationRequest, Operation
from seedream_cli.tasks.context import TaskContext

SERVICE = "api.test"

E = TypeVar("E", bound=Event)


def operation(folder: Path, name: str = "fox.png", **values: Any) -> Operation:
    """Return an operation whose image goes to ``name`` in ``folder``."""
    fields: dict[str, Any] = {
        "id": "op_abcd1234",
        "service": SERVICE,
        "created": 1_800_000_000.0,
        "output": str(folder / name),
        "request": GenerationRequest(prompt="a red fox in snow"),
        "idempotency_key": "key-1",
        "key_id": "fingerprint",
        **values,
    }
    return Operation(**fields)


def run_task(
    function: Callable[..., TaskFinished],
    context: TaskContext,
    operation: Operation,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    **options: Any,
) -> tuple[list[Event], TaskFinished]:
    """Call a function of `tasks.run`. Return its events and its result; ``on_event`` gets each event too."""
    events: list[Event] = []

    def note(event: Event) -> None:
        events.append(event)
        on_event(event)

    finished = function(replace(context, on_event=note), operation, **options)
    assert events[-1] == finished
    assert not any(isinstance(event, TaskFinished) for event in events[:-1])
    return events, finished


def of_kind(events: Iterable[Event], kind: type[E]) -> list[E]:
    """Return the events of one class."""
    return [event for event in events if isinstance(event, kind)]


def error_of(finished: TaskFinished) -> SeedreamError:
    assert finished.error is not None
    return finished.error
