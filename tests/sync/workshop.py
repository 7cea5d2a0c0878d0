"""A project, a history and a client in this process: what `seedream sync` is made of, without the command."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from msgspec.structs import replace
from support.clock import Clock

from seedream_cli.api.client import Client
from seedream_cli.errors import SeedreamError, UsageError
from seedream_cli.events import Event
from seedream_cli.history.request_bodies import RequestBodyStore
from seedream_cli.history.store import History
from seedream_cli.sync import lockfile as lock
from seedream_cli.sync import manifest
from seedream_cli.sync.executor import SyncEvent, SyncExecutor
from seedream_cli.sync.hash_cache import HashCache
from seedream_cli.sync.image_task import ImageResult, SyncContext, fetch_image, generate_image, remembered
from seedream_cli.sync.lockfile import Entry, text_of
from seedream_cli.sync.lockfile_writer import LockfileWriter
from seedream_cli.sync.plan import Plan, plan
from seedream_cli.sync.plan_items import Action, PlanItem
from seedream_cli.sync.project_files import Project
from seedream_cli.sync.spending_cap import SpendingCap
from seedream_cli.tasks.context import TaskContext
from seedream_cli.tasks.worker_pool import CancelToken

KEY = "sk-test-0123456789"
KEY_ID = "fingerprint"
SERVICE = "api.test"


@dataclass
class Played:
    """A life that came to its end: what happened, and the image or the error."""

    events: list[Event] = field(default_factory=list)
    given: ImageResult | None = None
    error: SeedreamError | None = None

    @property
    def came(self) -> ImageResult:
        """The image, where there is one."""
        assert self.given is not None, self.error
        return self.given


class Workshop(ExitStack):
    """One machine with a project, at the service of ``base_url``. With a ``clock``, nobody waits really."""

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

    def write_lock(self, *entries: Entry) -> None:
        self.lock_file.write_bytes(text_of(entries))

    def entries(self) -> list[Entry]:
        return list(lock.read(self.lock_file).entries)

    def plan(self, **options: Any) -> Plan:
        """What `seedream sync` would plan."""
        wanted = manifest.load(self.manifest)
        known = HashCache(self.manifest, self._state / "files", now=time.time_ns)
        memory = remembered(self.history, SERVICE, wanted.folder, sandbox=False)
        return plan(wanted, lock.read(self.lock_file), known, remembered=memory, **options)

    def work(self, **options: Any) -> TaskContext:
        client = Client(self.base_url, KEY, now=self._now)
        self.callback(client.close)
        given: dict[str, Any] = {
            "client": client,
            "history": self.history,
            "timeout": 120.0,
            "poll_interval": 0.01,
            "max_bytes": 10_000_000,
            "key_id": KEY_ID,
            # The shortest pause of all that may be drawn: a moment in which others get their turn.
            "spread": lambda low, high: low,
            "pause": time.sleep,
            "bodies": RequestBodyStore(self._state / "bodies"),
        }
        if self.clock is not None:
            given |= {"pause": self.clock.pause, "clock": self.clock, "now": self.clock, "poll_interval": 2.0}
        return TaskContext(**{**given, **options})

    def context(self, work: TaskContext | None = None, **options: Any) -> SyncContext:
        """Keywords as for Means; ``most`` tasks may be paid for."""
        work = work or self.work()
        most = options.pop("most", None)
        given: dict[str, Any] = {
            "work_of": lambda quality: work,
            "history": work.history,
            "service": SERVICE,
            "key_id": KEY_ID,
            "project": Project(self.folder),
            "spending_cap": SpendingCap(most, lambda: UsageError("no more than that", code="spending_cap")),
            "now": self._now,
        }
        return SyncContext(**{**given, **options})

    def live(
        self, item: PlanItem | None = None, context: SyncContext | None = None, **options: Any
    ) -> Played:
        """The life of one image, by default of the only one of the plan. Keywords as for Means."""
        if item is None:
            [item] = self.plan().of(Action.GENERATE, Action.FETCH)
        context = context or self.context(**options)
        context.project.prepare(item)
        result = Played()
        context = replace(context, on_event=result.events.append)
        try:
            result.given = (
                fetch_image(context, item) if item.action == Action.FETCH else generate_image(context, item)
            )
        except SeedreamError as error:
            result.error = error
        return result

    def run(
        self,
        made: Plan | None = None,
        *,
        jobs: int = 4,
        work: Mapping[str, Any] | None = None,
        context: Mapping[str, Any] | None = None,
        **options: Any,
    ) -> SyncExecutor:
        """A run of the plan. Keywords as for SyncExecutor; ``work`` and ``context`` override fields."""
        cancel_token = CancelToken()
        shared = self.work(**{"pause": cancel_token.pause, "shield": cancel_token.shield, **(work or {})})
        made = made if made is not None else self.plan()
        lockfile_writer = LockfileWriter(lock.read(self.lock_file), made.entries)
        return SyncExecutor(
            plan=made,
            context=self.context(shared, **(context or {})),
            lockfile_writer=lockfile_writer,
            cancel_token=cancel_token,
            jobs=jobs,
            **{"on_event": lambda event: None, **options},
        )

    def told(self, **options: Any) -> list[SyncEvent]:
        """All that a run tells. Keywords as for :meth:`run`."""
        return executed(self.run(**options))


def executed(run: SyncExecutor) -> list[SyncEvent]:
    """Execute the run; return all that it tells."""
    told: list[SyncEvent] = []
    run.on_event = told.append
    run.execute()
    return told
