"""Task contexts with a real client, a real history, and a clock that advances only in pauses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.clock import Clock, shortest
from support.raw import RawServer
from support.scene import Scene

from seedream_cli.api.client import Client
from seedream_cli.history.request_bodies import RequestBodyStore
from seedream_cli.history.store import History
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.tasks.context import TaskContext

KEY = "sk-test-0123456789"


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def history(tmp_path: Path, clock: Clock) -> Iterator[History]:
    history = History(tmp_path / "state" / "history.sqlite3", now=clock)
    yield history
    history.close()


@pytest.fixture
def make_context(history: History, clock: Clock, tmp_path: Path) -> Iterator[Callable[..., TaskContext]]:
    """Return a function that makes contexts for a base URL. Random pauses are the shortest possible."""
    with ExitStack() as opened:

        def make(base_url: str, **options: Any) -> TaskContext:
            client = Client(base_url, KEY, now=clock)
            opened.callback(client.close)
            fields: dict[str, Any] = {
                "client": client,
                "history": history,
                "timeout": 120.0,
                "poll_interval": 2.0,
                "max_bytes": 10_000_000,
                "pause": clock.pause,
                "bodies": RequestBodyStore(tmp_path / "bodies", now=clock),
                "scratch": tmp_path,
                "clock": clock,
                "now": clock,
                "jitter": shortest,
                **options,
            }
            return TaskContext(**fields)

        yield make


@pytest.fixture
def scene(
    tmp_path: Path,
    history: History,
    clock: Clock,
    make_context: Callable[..., TaskContext],
    start_raw: Callable[..., RawServer],
    start_sandbox: Callable[..., Sandbox],
) -> Scene:
    return Scene(tmp_path, history, clock, make_context, start_raw, start_sandbox)
