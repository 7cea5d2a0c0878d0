"""`seedream download`: the images of tasks that exist."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from ..errors import InvalidOutput, UsageProblem
from ..models import Operation
from ..output.outcome import TaskOutcome
from ..output.presenters import SavedImages
from ._command import CommandResult, command
from ._context import CommandContext
from ._operations import announce, known_or_foreign, unanswered
from ._options import MaxBytes, NoWait, Output, Overwrite, PollInterval, TaskOptions, Timeout
from ._output import Open, Preview, prepare_folder, refuse_taken, show_images, wanted_output

if TYPE_CHECKING:
    from ..files.output_path import Output as Target

Tasks = Annotated[list[str] | None, typer.Argument(metavar="[TASK]...", help="Ids of tasks or operations.")]
Pending = Annotated[
    bool,
    typer.Option(
        "--pending",
        help="Every task of this machine whose images are not saved yet.",
        rich_help_panel="Tasks",
    ),
]


@command(TaskOptions, lambda values: SavedImages())
def download(
    run: CommandContext,
    tasks: Tasks = None,
    pending: Pending = False,
    output: Output = None,
    overwrite: Overwrite = False,
    max_bytes: MaxBytes = None,
    preview: Preview = False,
    open_: Open = False,
    no_wait: NoWait = False,
    timeout: Timeout = None,
    poll_interval: PollInterval = None,
) -> CommandResult:
    """Save the images of tasks, waiting for their end if needed.

    \b
    seedream download TASK
    seedream download --pending
    seedream download TASK -o - > fox.png

    An image goes where its generate wanted it, unless -o says otherwise. One that
    is on disk unchanged is not fetched again.
    """
    show_images(run, preview=preview, opened=open_, moved=output, placed=True)
    if bool(tasks) == pending:
        raise UsageProblem("name tasks, or ask for --pending", hint="seedream download --pending")
    moved = wanted_output(run) if output is not None else None
    operations = _pending(run, moved) if pending else known_or_foreign(run, tasks or [])
    return CommandResult(_download(run, operations, output=output, overwrite=overwrite, wait=not no_wait))


def _pending(run: CommandContext, moved: Target | None) -> list[Operation]:
    from ..tasks.submit import KEY_LIFETIME

    operations = run.history.pending(run.service)
    run.reporter.say(f"{len(operations)} task{'' if len(operations) == 1 else 's'} with images to save")
    announce(run, operations, moved)
    # They may be tasks that are paid for, of which nobody here knows.
    for left in run.history.unanswered(run.service, since=time.time() - KEY_LIFETIME):
        run.reporter.say(f"{left.id} has had no answer yet: {run.next.resume(left)}")
    return operations


def _download(
    run: CommandContext, operations: list[Operation], *, output: str | None, overwrite: bool, wait: bool
) -> list[TaskOutcome]:
    from ..tasks import run

    targets = [_target(run, operation, flagged=output is not None) for operation in operations]
    if len(operations) > 1 and any(where is not None and where.stdout for where in targets):
        raise InvalidOutput("-o - takes one task")
    for operation, where in zip(operations, targets, strict=True):
        if where is not None and operation.task_id is not None:
            refuse_taken(where, operation, overwrite=overwrite)
            prepare_folder(run, where, operation)
    operations = [_moved(run, operation, where) for operation, where in zip(operations, targets, strict=True)]
    run.tracker.expect(operations)
    for operation, where in zip(operations, targets, strict=True):
        if operation.task_id is None:
            run.end(operation, unanswered(operation))
            continue
        quality = operation.request.quality if operation.request else None
        work = run.work(output=where, overwrite=overwrite, quality=quality)
        run.download(work, operation, wait=wait)
    return run.tracker.outcomes_of(operations)


def _moved(run: CommandContext, operation: Operation, where: Target | None) -> Operation:
    """The operation with the place that was asked for, also for whoever carries it on after this call."""
    if where is None or where.stdout or operation.task_id is None:
        return operation
    moved = replace(operation, output=where.template)
    # A task of another machine is recorded when an image of it is saved.
    return run.history.record(moved) if moved.request is not None else moved


def _target(run: CommandContext, operation: Operation, *, flagged: bool) -> Target | None:
    """Where the images go: only a flag moves those that have a place of their own (None) already."""
    placeless = operation.request is None and not operation.files
    return wanted_output(run) if flagged or placeless else None
