"""Environment for tests of tasks: a real client, a real history, a test server and a fake clock."""

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
from .tasks import SERVICE, operation, played


@dataclass
class Scene:
    """Environment of one test. The service that was started last is used."""

    folder: Path
    history: History
    clock: Clock
    work_on: Callable[..., TaskContext]
    start_raw: Callable[..., RawServer]
    start_sandbox: Callable[..., Sandbox]
    base_url: str = ""

    def serve(self, *replies: Reply) -> RawServer:
        """Start a raw server as the service."""
        server = self.start_raw(*replies)
        self.base_url = server.base_url
        return server

    def sandbox(self, *faults: str, **options: Any) -> Sandbox:
        """Start a sandbox as the service."""
        sandbox = self.start_sandbox(seconds=0, faults=faults, **options)
        self.base_url = sandbox.base_url
        return sandbox

    def work(self, **options: Any) -> TaskContext:
        """Return a task context for the service."""
        return self.work_on(self.base_url, **options)

    def generate(
        self,
        asked: Operation | None = None,
        *,
        wait: bool = False,
        on_event: Callable[[Event], None] = lambda event: None,
        work: TaskContext | None = None,
        **options: Any,
    ) -> tuple[list[Event], TaskFinished]:
        """Generate an image. ``options`` are passed to :meth:`work`."""
        asked = asked or operation(self.folder)
        return played(generate_task, work or self.work(**options), asked, wait=wait, on_event=on_event)

    @property
    def unsettled(self) -> Operation:
        """Return the operation that `--resume last` would resume."""
        left = self.history.last_unfinished(SERVICE)
        assert left is not None
        return left
