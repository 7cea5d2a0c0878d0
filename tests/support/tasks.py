"""Operations that were not sent yet, and their events when they are run."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from msgspec.structs import replace

from seedream_cli.events import Event, TaskFinished
from seedream_cli.models import GenerationRequest, Operation
from seedream_cli.tasks.context import TaskContext

SERVICE = "api.test"

E = TypeVar("E", bound=Event)


def operation(folder: Path, name: str = "fox.png", **values: Any) -> Operation:
    """Return an operation whose image will be saved as ``name`` in ``folder``."""
    given: dict[str, Any] = {
        "id": "op_abcd1234",
        "service": SERVICE,
        "created": 1_800_000_000.0,
        "output": str(folder / name),
        "request": GenerationRequest(prompt="a red fox in snow"),
        "idempotency_key": "key-1",
        "key_id": "fingerprint",
        **values,
    }
    return Operation(**given)


def played(
    act: Callable[..., TaskFinished],
    work: TaskContext,
    operation: Operation,
    *,
    on_event: Callable[[Event], None] = lambda event: None,
    **options: Any,
) -> tuple[list[Event], TaskFinished]:
    """Run a task; return its events, and the last one again. ``on_event`` is called with each event."""
    seen: list[Event] = []

    def note(event: Event) -> None:
        seen.append(event)
        on_event(event)

    ended = act(replace(work, on_event=note), operation, **options)
    assert seen[-1] == ended
    assert not any(isinstance(event, TaskFinished) for event in seen[:-1])
    return seen, ended


def of_kind(events: Iterable[Event], kind: type[E]) -> list[E]:
    """Return the events of one class."""
    return [event for event in events if isinstance(event, kind)]
