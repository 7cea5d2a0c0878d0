"""Reporters with events fed by hand, and what they wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pytest

from seedream_cli.errors import SeedreamError
from seedream_cli.events import Ended, Event
from seedream_cli.models import Operation
from seedream_cli.output import reporter
from seedream_cli.output.plain import Kind
from seedream_cli.output.report import Failure

#: :func:`told` with its first argument in place.
Tell = Callable[..., tuple[str, str]]


def told(
    capfd: pytest.CaptureFixture[str],
    events: Iterable[Event],
    *,
    kind: Kind = "paths",
    json: bool = False,
    quiet: bool = False,
    verbose: bool = False,
    failure: SeedreamError | None = None,
) -> tuple[str, str]:
    """Let a reporter tell these events, as a session would; stdout and stderr."""
    teller = reporter(kind, json=json, quiet=quiet, verbose=verbose, environment={})
    teller.service = "api.apipod.ai"
    outcomes: dict[str, tuple[Operation, Failure | None]] = {}
    for event in events:
        error = event.error if isinstance(event, Ended) else None
        failed = Failure(error, event.operation, error.hint) if error else None
        outcomes[event.operation.id] = (event.operation, failed)
        teller.handle(event)
        if failed:
            teller.fail(failed)
    last = Failure(failure) if failure else next((one for _, one in outcomes.values() if one), None)
    teller.finish(list(outcomes.values()), last)
    found = capfd.readouterr()
    return found.out, found.err
