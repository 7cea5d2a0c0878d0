"""A service, a history and a clock for tests of `tasks`, with a real client behind them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedream_cli.events import Event, TaskFinished
from seedream_cli.history.store import History
from seedream_cli.models import Operation
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.tasks.context import TaskContext
from seedream_cli.tasks.run import generate_task

from .clock import Clock
from .raw import RawServer, Reply
from .tasks import SERVICE, operation, run_task


@dataclass
class Scene:
    """Environment of one test. The service that was started last is used."""

    folder: Path
    history: History
    clock: Clock
    make_context: Callable[..., TaskContext]
    start_raw: Callable[..., RawServer]
    start_sandbox: Callable[..., Sandbox]
    base_url: str = "http://127.0.0.1:9/v1"

    def serve(self, *replies: Reply) -> RawServer:
        """Start a server that sends these replies, the last one again and again."""
        server = self.start_raw(*replies)
        self.base_url = server.base_url
        return server

    def sandbox(self, *faults: str, **options: Any) -> Sandbox:
        """Start a sandbox whose tasks complete at once."""
        sandbox = self.start_sandbox(seconds=0, faults=faults, **options)
        self.base_url = sandbox.base_url
        return sandbox

    def context(self, **options: Any) -> TaskContext:
        """Return a context for the server that was started last; ``options`` are fields of TaskContext."""
        return self.make_context(self.base_url, **options)

    def generate(
        self,
        requested: Operation | None = None,
        *,
        wait: bool = False,
        on_event: Callable[[Event], None] = lambda event: None,
        context: TaskContext | None = None,
        **options: Any,
    ) -> tuple[list[Event], TaskFinished]:
        """Submit the operation, or resume it; ``options`` are fields of TaskContext."""
        requested = requested or operation(self.folder)
        context = context or self.context(**options)
        return run_task(generate_task, context, requested, wait=wait, on_event=on_event)

    @property
    def unfinished(self) -> Operation:
        """Return the operation that `--resume last` would resume."""
        found = self.history.last_unfinished(SERVICE)
        assert found is not None
        return found
