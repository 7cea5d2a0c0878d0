"""Reporters with events fed by hand, and what they wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from seedream_cli.errors import SeedreamError
from seedream_cli.events import Event, TaskFinished
from seedream_cli.output import reporter
from seedream_cli.output.outcome import Failure, TaskOutcome
from seedream_cli.output.presenters import Presenter, SavedImages, SubmittedTasks, SyncedImages, TaskStates

PRESENTERS: dict[str, Callable[[], Presenter]] = {
    "paths": SavedImages,
    "ids": SubmittedTasks,
    "states": TaskStates,
    "values": Presenter,
    "images": SyncedImages,
}
#: :func:`told` with its first argument in place.
Tell = Callable[..., tuple[str, str]]


def told(
    capfd: pytest.CaptureFixture[str],
    events: Iterable[Event],
    *,
    kind: str = "paths",
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    failure: SeedreamError | None = None,
) -> tuple[str, str]:
    """Let a reporter tell these events, as a session would; stdout and stderr."""
    teller = reporter(PRESENTERS[kind](), json=json, quiet=quiet, verbose=verbose, environment={})
    teller.service = "api.apipod.ai"
    outcomes: dict[str, TaskOutcome] = {}
    for event in events:
        error = event.error if isinstance(event, TaskFinished) else None
        failed = Failure(error, event.operation, error.hint) if error else None
        outcomes[event.operation.id] = TaskOutcome(event.operation, failed)
        teller.handle(event)
        if failed:
            teller.fail(failed)
    last = (
        Failure(failure) if failure else next((one.failure for one in outcomes.values() if one.failure), None)
    )
    teller.finish(list(outcomes.values()), last)
    found = capfd.readouterr()
    return found.out, found.err
