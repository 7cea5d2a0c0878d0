"""A machine with a project: runs the parts of `seedream sync` in this process, without the command."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from seedream_cli.api.client import Client
from seedream_cli.errors import SeedreamError, UsageError
from seedream_cli.events import Event
from seedream_cli.history.request_bodies import RequestBodyStore
from seedream_cli.history.store import History
from seedream_cli.sync.executor import SyncEvent, SyncExecutor
from seedream_cli.sync.hash_cache import HashCache
from seedream_cli.sync.image_task import ImageResult, SyncContext, fetch_image, generate_image, history_lookup
from seedream_cli.sync.lockfile import Entry, format_lockfile, read_lockfile
from seedream_cli.sync.lockfile_writer import LockfileWriter
from seedream_cli.sync.manifest import load_manifest
from seedream_cli.sync.plan import Plan, plan
from seedream_cli.sync.plan_items import Action, PlanItem
from seedream_cli.sync.project_files import Project
from seedream_cli.sync.spending_cap import SpendingCap
from seedream_cli.tasks.context import TaskContext
from seedream_cli.tasks.worker_pool import CancelToken

from .clock import Clock

#: The type of the fixture `new_machine`.
NewMachine = Callable[..., "Machine"]

KEY = "sk-test-0123456789"
KEY_ID = "fingerprint"
SERVICE = "api.test"


@dataclass
class Outcome:
    """The events of one image's task, and its result or its error."""

    events: list[Event] = field(default_factory=list)
    image: ImageResult | None = None
    error: SeedreamError | None = None

    @property
    def result(self) -> ImageResult:
        """Return the result. Fails the test if there is an error instead."""
        assert self.image is not None, self.error
        return self.image


class Machine(ExitStack):
    """A machine with a project and a history. With a ``clock``, waiting takes no real time."""

    def __init__(self, home: Path, base_url: str, *, clock: Clock | None = None) -> None:
        super().__init__()
        self.base_url = base_url
        self.clock = clock
        self.folder = home / "project"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.manifest = self.folder / "seedream.toml"
        self.lock_file = self.folder / "seedream.lock"
        self._now: Callable[[], float] = clock or time.time
        self.history = History(home / "state" / "history.sqlite3", now=self._now)
        self._state = home / "state"
        self.callback(self.history.close)

    def write(self, text: str) -> None:
        self.manifest.write_text(text, encoding="utf-8")

    def write_lockfile(self, *entries: Entry) -> None:
        self.lock_file.write_bytes(format_lockfile(entries))

    def entries(self) -> list[Entry]:
        return list(read_lockfile(self.lock_file).entries)

    def is_consistent(self) -> bool:
        """Return True if every lockfile entry has its file, with the entry's bytes."""
        return all(
            hashlib.sha256((self.folder / entry.path).read_bytes()).hexdigest() == entry.sha256
            for entry in self.entries()
        )

    def hidden_files(self) -> list[Path]:
        """Return all hidden files of the project; partial files are hidden."""
        return list(self.folder.rglob(".*"))

    def plan(self, **options: Any) -> Plan:
        """Return the plan of `seedream sync`."""
        hashes = HashCache(self.manifest, self._state / "files", now=time.time_ns)
        lookup = history_lookup(self.history, SERVICE, self.folder, sandbox=False)
        return plan(
            load_manifest(self.manifest),
            read_lockfile(self.lock_file),
            hashes,
            history_lookup=lookup,
            **options,
        )

    def task_context(self, **options: Any) -> TaskContext:
        """Keywords as for TaskContext."""
        client = Client(self.base_url, KEY, now=self._now)
        self.callback(client.close)
        given: dict[str, Any] = {
            "client": client,
            "history": self.history,
            "timeout": 120.0,
            "poll_interval": 0.01,
            "max_bytes": 10_000_000,
            "key_id": KEY_ID,
            # The shortest possible pause. It still lets other threads run.
            "jitter": lambda low, high: low,
            "pause": time.sleep,
            "bodies": RequestBodyStore(self._state / "bodies"),
        }
        if self.clock is not None:
            given |= {"pause": self.clock.pause, "clock": self.clock, "now": self.clock, "poll_interval": 2.0}
        return TaskContext(**{**given, **options})

    def sync_context(self, tasks: TaskContext | None = None, **options: Any) -> SyncContext:
        """Keywords as for SyncContext; ``max_tasks`` is the spending cap."""
        tasks = tasks or self.task_context()
        max_tasks = options.pop("max_tasks", None)
        given: dict[str, Any] = {
            "task_context_for": lambda quality: tasks,
            "history": tasks.history,
            "service": SERVICE,
            "key_id": KEY_ID,
            "project": Project(self.folder),
            "spending_cap": SpendingCap(max_tasks, lambda: UsageError("cap reached", code="spending_cap")),
            "now": self._now,
        }
        return SyncContext(**{**given, **options})

    def get_image(
        self, item: PlanItem | None = None, context: SyncContext | None = None, **options: Any
    ) -> Outcome:
        """Generate or fetch one image, by default the only one of the plan. Keywords as for SyncContext."""
        if item is None:
            [item] = self.plan().with_action(Action.GENERATE, Action.FETCH)
        outcome = Outcome()
        context = replace(context or self.sync_context(**options), on_event=outcome.events.append)
        context.project.prepare(item)
        try:
            get_image = fetch_image if item.action == Action.FETCH else generate_image
            outcome.image = get_image(context, item)
        except SeedreamError as error:
            outcome.error = error
        return outcome

    def executor(
        self,
        plan: Plan | None = None,
        *,
        jobs: int = 4,
        tasks: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> SyncExecutor:
        """Keywords as for SyncExecutor; ``tasks`` and ``context`` are those of its task and sync contexts."""
        cancel_token = CancelToken()
        shared = self.task_context(
            **{"pause": cancel_token.pause, "shield": cancel_token.shield, **(tasks or {})}
        )
        plan = plan if plan is not None else self.plan()
        return SyncExecutor(
            plan=plan,
            context=self.sync_context(shared, **(context or {})),
            lockfile_writer=LockfileWriter(read_lockfile(self.lock_file), plan.entries),
            cancel_token=cancel_token,
            jobs=jobs,
            **{"on_event": lambda event: None, **options},
        )

    def sync(self, **options: Any) -> list[SyncEvent]:
        """Execute the plan and return all events. Keywords as for :meth:`executor`."""
        return execute(self.executor(**options))


def execute(executor: SyncExecutor) -> list[SyncEvent]:
    """Execute the plan and return all events."""
    events: list[SyncEvent] = []
    executor.on_event = events.append
    executor.execute()
    return events
