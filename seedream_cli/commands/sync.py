"""`seedream sync`: a set of named images, kept in step with a manifest."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from msgspec import Struct
from msgspec.structs import replace

from ..errors import Drift, SeedreamError, Stopped, UsageError
from ..output.presenters import SyncedImages
from ..settings import resolve
from ._command import CommandResult, command
from ._context import CommandContext
from ._options import MaxBytes, PollInterval, TaskOptions, Timeout

if TYPE_CHECKING:
    from ..sync.assets import Image
    from ..sync.lockfile import Entry, Lock
    from ..sync.lockfile_writer import LockfileWriter
    from ..sync.manifest import Manifest
    from ..sync.plan import Plan
    from ..tasks.context import TaskContext
    from ..tasks.worker_pool import CancelToken
    from ._sync_report import SyncReport


def _flag(name: str, what: str, panel: str) -> Any:
    return typer.Option(name, help=what, rich_help_panel=panel)


_PLAN, _MONEY, _IMAGES, _FILES = "Plan only", "Money", "Images", "Files"
File = Annotated[str, typer.Argument(metavar="[FILE]", help="The manifest.")]
DryRun = Annotated[bool, _flag("--dry-run", "Print what would be done and paid for, and do nothing.", _PLAN)]
Check = Annotated[bool, _flag("--check", "Exit 10 on any drift; offline, without a key.", _PLAN)]
Most = Annotated[
    int | None,
    typer.Option(
        "--max",
        metavar="N",
        min=0,
        help="Begin only if at most N tasks would be paid for.",
        show_default=False,
        rich_help_panel=_MONEY,
    ),
]
Frozen = Annotated[bool, _flag("--frozen", "Exit 10 rather than pay for a task.", _MONEY)]
Only = Annotated[
    list[str] | None,
    typer.Option(
        "--only",
        metavar="GLOB",
        help="Only assets whose names match; repeatable.",
        show_default=False,
        rich_help_panel=_IMAGES,
    ),
]
Shard = Annotated[
    str | None,
    typer.Option(
        "--shard",
        metavar="I/N",
        help="Only part I of N; auto: as GitLab or Kubernetes numbers this job.",
        show_default=False,
        rich_help_panel=_IMAGES,
    ),
]
Jobs = Annotated[
    int,
    typer.Option(
        "-j", "--jobs", metavar="N", min=1, max=256, help="Tasks in flight at once.", rich_help_panel=_IMAGES
    ),
]
Force = Annotated[
    bool,
    _flag("--force", "Overwrite edited files; pay again where the fate of a request is unknown.", _FILES),
]
Accept = Annotated[bool, _flag("--accept", "Keep edited files: the lock takes them as they are.", _FILES)]
Prune = Annotated[bool, _flag("--prune", "Remove images that the manifest does not name any more.", _FILES)]
Rehash = Annotated[
    bool, _flag("--rehash", "Read every file, also those whose size and times are known.", _FILES)
]


class _Choice(Struct, frozen=True):
    """What was asked for, besides what every command takes."""

    only: tuple[str, ...]
    shard: str | None
    dry_run: bool
    check: bool
    rehash: bool
    frozen: bool
    most: int | None
    jobs: int
    prune: bool
    force: bool
    accept: bool

    def refuse_contradictions(self) -> None:
        flags = {"--dry-run": self.dry_run, "--frozen": self.frozen, "--prune": self.prune}
        flags |= {"--force": self.force, "--accept": self.accept}
        if self.check and (given := [name for name, is_given in flags.items() if is_given]):
            raise UsageError(f"--check only looks: {given[0]} does not go with it")
        if self.force and self.accept:
            raise UsageError("--force and --accept contradict each other")

    @property
    def again(self) -> list[str]:
        """The options for another run over the same images."""
        flags = {"--prune": self.prune, "--force": self.force, "--accept": self.accept}
        words = [name for name, is_given in flags.items() if is_given]
        for glob in self.only:
            words += ["--only", glob]
        return [*words, "--shard", self.shard] if self.shard is not None else words


@command(TaskOptions, lambda values: SyncedImages())
def sync(
    context: CommandContext,
    file: File = resolve.PROJECT_FILE,
    dry_run: DryRun = False,
    check: Check = False,
    most: Most = None,
    frozen: Frozen = False,
    only: Only = None,
    shard: Shard = None,
    jobs: Jobs = 4,
    force: Force = False,
    accept: Accept = False,
    prune: Prune = False,
    rehash: Rehash = False,
    max_bytes: MaxBytes = None,
    timeout: Timeout = None,
    poll_interval: PollInterval = None,
) -> CommandResult:
    """Keep the images of a project in step with its manifest, seedream.toml.

    \b
    seedream sync --dry-run
    seedream sync --max 20
    seedream sync --check
    seedream sync --only 'icon-*' --jobs 8

    Generates what is new or changed, fetches what is missing, and leaves all else
    alone.

    The lock beside the manifest, seedream.lock, says what came. Ctrl-C is safe:
    the same command goes on.
    """
    choice = _Choice(
        tuple(only or ()), shard, dry_run, check, rehash, frozen, most, jobs, prune, force, accept
    )
    choice.refuse_contradictions()
    context.project = Path(file)
    _sync(context, Path(file), choice)
    return CommandResult(failures=context.other_failures)


def _sync(context: CommandContext, file: Path, choice: _Choice) -> None:
    from ..sync import manifest
    from ..sync.lockfile import read
    from ..sync.lockfile_writer import LockfileWriter
    from ._sync_report import SyncReport

    wanted = manifest.load(file)
    lock = read(wanted.lock_path)
    todo = _plan(context, wanted, lock, choice)
    report = SyncReport(context, wanted, todo, choice.again)
    if choice.check or choice.dry_run:
        report.show_plan()
        if choice.check and todo.drift:
            raise report.drift()
        return
    if choice.frozen and todo.to_pay:
        raise report.frozen()
    if choice.most is not None and todo.to_pay > choice.most:
        raise report.too_many(choice.most)
    lockfile_writer = LockfileWriter(lock, todo.entries)
    if todo.acts:
        _carry_out(context, wanted, todo, lockfile_writer, report, choice)
    else:
        lockfile_writer.tidy()
        report.close()


def _plan(context: CommandContext, wanted: Manifest, lock: Lock, choice: _Choice) -> Plan:
    from ..sync import sharding
    from ..sync.hash_cache import HashCache
    from ..sync.plan import plan

    folder = resolve.state_folder() / "files"
    known = HashCache(wanted.path, folder, now=time.time_ns, trust=not choice.rehash)
    todo = plan(
        wanted,
        lock,
        known,
        # What is checked is the same on every machine.
        remembered=_memory(context, wanted) if not choice.check else lambda image: None,
        only=choice.only,
        shard=sharding.shard_of(choice.shard, os.environ) if choice.shard is not None else sharding.WHOLE,
        force=choice.force,
        accept=choice.accept,
        prune=choice.prune,
        sandbox=context.service == resolve.SANDBOX_SERVICE,
    )
    known.save()
    return todo


def _memory(context: CommandContext, wanted: Manifest) -> Callable[[Image], Entry | None]:
    """What the history knows of an image; it is opened for the first that it is asked for."""

    def remembered(image: Image) -> Entry | None:
        from ..sync.image_task import remembered

        sandbox = context.service == resolve.SANDBOX_SERVICE
        return remembered(context.history, context.service, wanted.folder, sandbox=sandbox)(image)

    return remembered


def _carry_out(
    context: CommandContext,
    wanted: Manifest,
    todo: Plan,
    lockfile_writer: LockfileWriter,
    report: SyncReport,
    choice: _Choice,
) -> None:
    from ..sync.executor import REMOTE, SyncExecutor
    from ..sync.image_task import SyncContext
    from ..sync.project_files import Project
    from ..sync.spending_cap import SpendingCap
    from ..tasks.worker_pool import CancelToken

    remote, cancel_token, project = todo.of(*REMOTE), CancelToken(), Project(wanted.folder)
    project.prepare_lock(wanted.lock_path, context.shutdown.defer_signals)
    context.bodies.attach(image for asset in wanted.assets for image in asset.sources)
    sync_context = SyncContext(
        work_of=_works(
            context, cancel_token, {item.image.request.quality for item in remote if item.image}
        ).__getitem__,
        history=context.history,
        service=context.service,
        key_id=resolve.fingerprint(context.api_key) if remote else "",
        project=project,
        spending_cap=SpendingCap(*_allowance(choice)),
        force=choice.force,
    )
    executor = SyncExecutor(
        plan=todo,
        context=sync_context,
        lockfile_writer=lockfile_writer,
        cancel_token=cancel_token,
        jobs=choice.jobs,
        on_event=report.take,
        shield=context.shutdown.defer_signals,
        sandbox=context.service == resolve.SANDBOX_SERVICE,
    )
    context.reporter.start_batch(len(remote))
    try:
        executor.execute()
    except Exception as error:
        if isinstance(error, Stopped):
            error.message = report.stopped([one for one in executor.under_way.values() if one.task_id])
            error.hint = report.again
        report.close(executor.not_begun)
        raise
    report.close(executor.not_begun)


def _works(
    context: CommandContext, cancel_token: CancelToken, qualities: set[str]
) -> Mapping[str, TaskContext]:
    """The work for each quality. Workers get no signals, and share what the rate limit allows."""
    from ..tasks.rate_limiter import RateLimiter

    limiter = RateLimiter()
    return {
        quality: replace(
            context.work(quality=quality),
            pause=cancel_token.pause,
            shield=cancel_token.shield,
            rate_limiter=limiter,
        )
        for quality in qualities
    }


def _allowance(choice: _Choice) -> tuple[int | None, Callable[[], SeedreamError]]:
    """How many tasks may be paid for, and what is wrong with one more."""
    if choice.frozen:
        return 0, lambda: Drift("its task gives no image any more, and --frozen generates none")
    most = choice.most
    return most, lambda: UsageError(f"--max {most} tasks are paid for already", code="spending_cap")
