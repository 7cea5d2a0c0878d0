"""`seedream sync`: keep a set of named images in step with a manifest."""

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
from ..settings import locations, resolve
from ._command import CommandResult, command
from ._context import CommandContext
from ._options import MaxBytes, PollInterval, TaskOptions, Timeout

if TYPE_CHECKING:
    from ..sync.assets import Image
    from ..sync.lockfile import Entry, Lockfile
    from ..sync.lockfile_writer import LockfileWriter
    from ..sync.manifest import Manifest
    from ..sync.plan import Plan
    from ..tasks.context import TaskContext
    from ..tasks.worker_pool import CancelToken
    from ._sync_report import SyncReport


_PLAN = "Plan only"
_MONEY = "Money"
_IMAGES = "Images"
_FILES = "Files"


def _flag(name: str, help_: str, panel: str) -> Any:
    return typer.Option(name, help=help_, rich_help_panel=panel)


def _option(*names: str, help_: str, metavar: str, panel: str, minimum: int | None = None) -> Any:
    return typer.Option(
        *names, help=help_, metavar=metavar, min=minimum, show_default=False, rich_help_panel=panel
    )


File = Annotated[str, typer.Argument(metavar="[FILE]", help="The manifest.")]
DryRun = Annotated[bool, _flag("--dry-run", "Print what would be done and paid for, and do nothing.", _PLAN)]
Check = Annotated[bool, _flag("--check", "Exit 10 on any drift; offline, without a key.", _PLAN)]
MaxTasks = Annotated[
    int | None,
    _option(
        "--max",
        help_="Begin only if at most N tasks would be paid for.",
        metavar="N",
        panel=_MONEY,
        minimum=0,
    ),
]
Frozen = Annotated[bool, _flag("--frozen", "Exit 10 rather than pay for a task.", _MONEY)]
Only = Annotated[
    list[str] | None,
    _option("--only", help_="Only assets whose names match; repeatable.", metavar="GLOB", panel=_IMAGES),
]
Shard = Annotated[
    str | None,
    _option(
        "--shard",
        help_="Only part I of N; auto: as GitLab or Kubernetes numbers this job.",
        metavar="I/N",
        panel=_IMAGES,
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


class _SyncArgs(Struct, frozen=True):
    """The options that only `sync` has; ``max_tasks`` is `--max`."""

    only: tuple[str, ...]
    shard: str | None
    dry_run: bool
    check: bool
    rehash: bool
    frozen: bool
    max_tasks: int | None
    jobs: int
    prune: bool
    force: bool
    accept: bool

    def validate(self) -> None:
        """Raise UsageError for options that contradict each other."""
        flags = {"--dry-run": self.dry_run, "--frozen": self.frozen, "--prune": self.prune}
        flags |= {"--force": self.force, "--accept": self.accept}
        if self.check and (given := [name for name, is_given in flags.items() if is_given]):
            raise UsageError(f"--check only looks: {given[0]} does not go with it")
        if self.force and self.accept:
            raise UsageError("--force and --accept contradict each other")

    @property
    def options_to_repeat(self) -> list[str]:
        """Return the options for another run on the same images."""
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
    max_tasks: MaxTasks = None,
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
    args = _SyncArgs(
        tuple(only or ()), shard, dry_run, check, rehash, frozen, max_tasks, jobs, prune, force, accept
    )
    args.validate()
    context.project = Path(file)
    _sync(context, Path(file), args)
    return CommandResult(failures=context.other_failures)


def _sync(context: CommandContext, file: Path, args: _SyncArgs) -> None:
    """Plan, and execute the plan unless an option forbids that. Raise Drift or UsageError if one does."""
    from ..sync.lockfile import read_lockfile
    from ..sync.lockfile_writer import LockfileWriter
    from ..sync.manifest import load_manifest
    from ._sync_report import SyncReport

    manifest = load_manifest(file)
    lockfile = read_lockfile(manifest.lockfile_path)
    plan = _plan(context, manifest, lockfile, args)
    report = SyncReport(context, manifest, plan, args.options_to_repeat)
    if args.check or args.dry_run:
        report.show_plan()
        if args.check and plan.has_drift:
            raise report.drift_error()
        return
    if args.frozen and plan.to_pay:
        raise report.frozen_error()
    if args.max_tasks is not None and plan.to_pay > args.max_tasks:
        raise report.spending_cap_error(args.max_tasks)
    lockfile_writer = LockfileWriter(lockfile, plan.entries)
    if plan.has_actions:
        _execute(context, manifest, plan, lockfile_writer, report, args)
    else:
        lockfile_writer.tidy()
        report.close()


def _plan(context: CommandContext, manifest: Manifest, lockfile: Lockfile, args: _SyncArgs) -> Plan:
    """Return the plan, and save the hashes of files that were read for it."""
    from ..sync import sharding
    from ..sync.hash_cache import HashCache
    from ..sync.plan import plan

    sandbox = context.service == locations.SANDBOX_SERVICE

    def find_in_history(image: Image) -> Entry | None:
        # The import and the history cost start-up time: few runs come across a file that needs them.
        from ..sync.image_task import history_lookup

        return history_lookup(context.history, context.service, manifest.folder, sandbox=sandbox)(image)

    hashes = HashCache(
        manifest.path, Path(locations.state_folder(), "files"), now=time.time_ns, trust=not args.rehash
    )
    result = plan(
        manifest,
        lockfile,
        hashes,
        # --check must give the same result on every machine, and only this one has this history.
        history_lookup=find_in_history if not args.check else lambda image: None,
        only=args.only,
        shard=sharding.shard_of(args.shard, os.environ) if args.shard is not None else sharding.WHOLE,
        force=args.force,
        accept=args.accept,
        prune=args.prune,
        sandbox=sandbox,
    )
    hashes.save()
    return result


def _execute(
    context: CommandContext,
    manifest: Manifest,
    plan: Plan,
    lockfile_writer: LockfileWriter,
    report: SyncReport,
    args: _SyncArgs,
) -> None:
    """Execute the plan and report it. Raise the error that ended it early, if one did."""
    from ..sync.executor import REMOTE, SyncExecutor
    from ..sync.image_task import SyncContext
    from ..sync.project_files import Project
    from ..sync.spending_cap import SpendingCap
    from ..tasks.worker_pool import CancelToken

    remote = plan.with_action(*REMOTE)
    cancel_token = CancelToken()
    project = Project(manifest.folder)
    project.prepare_lockfile(manifest.lockfile_path, context.shutdown.defer_signals)
    context.bodies.attach(image for asset in manifest.assets for image in asset.sources)
    qualities = {item.image.request.quality for item in remote if item.image}
    sync_context = SyncContext(
        task_context_for=_task_contexts(context, cancel_token, qualities).__getitem__,
        history=context.history,
        service=context.service,
        key_id=resolve.fingerprint(context.api_key) if remote else "",
        project=project,
        spending_cap=SpendingCap(*_spending_cap(args)),
        force=args.force,
    )
    executor = SyncExecutor(
        plan=plan,
        context=sync_context,
        lockfile_writer=lockfile_writer,
        cancel_token=cancel_token,
        jobs=args.jobs,
        on_event=report.handle,
        shield=context.shutdown.defer_signals,
        sandbox=context.service == locations.SANDBOX_SERVICE,
    )
    context.reporter.start_batch(len(remote))
    try:
        executor.execute()
    except Exception as error:
        if isinstance(error, Stopped):
            running = sum(bool(operation.task_id) for operation in executor.in_progress.values())
            error.message = report.stopped_message(running)
            error.hint = report.repeat_command
        report.close(executor.not_begun)
        raise
    report.close(executor.not_begun)


def _task_contexts(
    context: CommandContext, cancel_token: CancelToken, qualities: set[str]
) -> Mapping[str, TaskContext]:
    """Return a task context for each quality, because the default timeout depends on it.

    Worker threads receive no signals, so the cancel token ends their pauses. They share one rate limiter.
    """
    from ..tasks.rate_limiter import RateLimiter

    limiter = RateLimiter()
    return {
        quality: replace(
            context.make_task_context(quality=quality),
            pause=cancel_token.pause,
            shield=cancel_token.shield,
            rate_limiter=limiter,
        )
        for quality in qualities
    }


def _spending_cap(args: _SyncArgs) -> tuple[int | None, Callable[[], SeedreamError]]:
    """Return how many tasks may be paid for (None: any number), and a factory of the error for one more."""
    if args.frozen:
        return 0, lambda: Drift("its task gives no image any more, and --frozen generates none")
    most = args.max_tasks
    return most, lambda: UsageError(f"--max {most} tasks are paid for already", code="spending_cap")
