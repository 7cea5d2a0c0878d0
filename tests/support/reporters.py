"""Reporters that are fed with events directly, and examples of an operation and a file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import pytest
from msgspec.structs import replace

from seedream_cli.errors import SeedreamError
from seedream_cli.events import Event, TaskFinished
from seedream_cli.models import GenerationRequest, Operation, SavedFile
from seedream_cli.output import reporter
from seedream_cli.output.outcome import Failure, TaskOutcome
from seedream_cli.output.presenters import Presenter, SavedImages, TaskStates

FILE = SavedFile(
    number=1,
    path="/home/ada/red-fox.png",
    sha256="ab" * 32,
    bytes=1234,
    media_type="image/png",
    width=4,
    height=3,
)

SENT = Operation(
    id="op_12345678",
    service="https://api.apipod.ai/v1",
    created=1_800_000_000.0,
    output="/home/ada/{slug}-{task}.{ext}",
    request=GenerationRequest(prompt="A red fox [bold]"),
    idempotency_key="0c9f",
)


def operation(**changes: Any) -> Operation:
    """Return the operation after the API accepted it, with changes."""
    return replace(SENT, **{"task_id": "img_1", "status": "pending", **changes})


PRESENTERS: dict[str, Callable[[], Presenter]] = {"paths": SavedImages, "states": TaskStates}

#: :func:`report_events` without its first argument.
Report = Callable[..., tuple[str, str]]


def report_events(
    capfd: pytest.CaptureFixture[str],
    events: Iterable[Event],
    *,
    kind: str = "paths",
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
) -> tuple[str, str]:
    """Pass events to a reporter as a command does. Return stdout and stderr."""
    used = reporter(PRESENTERS[kind](), json=json, quiet=quiet, verbose=verbose, environment={})
    used.service = "api.apipod.ai"
    outcomes: dict[str, TaskOutcome] = {}
    for event in events:
        error: SeedreamError | None = event.error if isinstance(event, TaskFinished) else None
        failure = Failure(error, event.operation, error.hint) if error else None
        outcomes[event.operation.id] = TaskOutcome(event.operation, failure)
        used.handle(event)
        if failure:
            used.fail(failure)
    first = next((outcome.failure for outcome in outcomes.values() if outcome.failure), None)
    used.finish(list(outcomes.values()), first)
    captured = capfd.readouterr()
    return captured.out, captured.err
