"""`seedream download`: save the images of existing tasks."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from ..errors import InvalidOutput, UsageError
from ..models import Operation
from ..output.outcome import TaskOutcome
from ..output.presenters import SavedImages
from ._command import CommandResult, command
from ._context import CommandContext
from ._operations import print_targets, resolve_operations, unanswered
from ._options import MaxBytes, NoWait, OutputTemplate, Overwrite, PollInterval, TaskOptions, Timeout
from ._output import Open, Preview, check_not_taken, output_template, prepare_folder, show_images

if TYPE_CHECKING:
    from ..files.output_path import OutputTemplate as Template

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
    context: CommandContext,
    tasks: Tasks = None,
    pending: Pending = False,
    output: OutputTemplate = None,
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
    show_images(context, preview=preview, opened=open_, moved=output, placed=True)
    if bool(tasks) == pending:
        raise UsageError("name tasks, or ask for --pending", hint="seedream download --pending")
    moved = output_template(context) if output is not None else None
    operations = _pending(context, moved) if pending else resolve_operations(context, tasks or [])
    return CommandResult(_download(context, operations, output=output, overwrite=overwrite, wait=not no_wait))


def _pending(context: CommandContext, moved: Template | None) -> list[Operation]:
    from ..tasks.submit import KEY_LIFETIME

    operations = context.history.pending(context.service)
    context.reporter.say(f"{len(operations)} task{'' if len(operations) == 1 else 's'} with images to save")
    print_targets(context, operations, moved)
    # A request without an answer may have created a task that is paid for.
    for left in context.history.unanswered(context.service, since=time.time() - KEY_LIFETIME):
        context.reporter.say(f"{left.id} has had no answer yet: {context.next.resume(left)}")
    return operations


def _download(
    context: CommandContext, operations: list[Operation], *, output: str | None, overwrite: bool, wait: bool
) -> list[TaskOutcome]:
    from ..tasks.run import download_task

    targets = [_target(context, operation, flagged=output is not None) for operation in operations]
    if len(operations) > 1 and any(where is not None and where.stdout for where in targets):
        raise InvalidOutput("-o - takes one task")
    for operation, where in zip(operations, targets, strict=True):
        if where is not None and operation.task_id is not None:
            check_not_taken(where, operation, overwrite=overwrite)
            prepare_folder(context, where, operation)
    operations = [
        _moved(context, operation, where) for operation, where in zip(operations, targets, strict=True)
    ]
    context.tracker.expect(operations)
    for operation, where in zip(operations, targets, strict=True):
        if operation.task_id is None:
            context.end(operation, unanswered(operation))
            continue
        quality = operation.request.quality if operation.request else None
        task_context = context.make_task_context(output=where, overwrite=overwrite, quality=quality)
        download_task(task_context, operation, wait=wait)
    return context.tracker.outcomes_of(operations)


def _moved(context: CommandContext, operation: Operation, where: Template | None) -> Operation:
    """Return the operation with the output of this call, recorded for a later resume."""
    if where is None or where.stdout or operation.task_id is None:
        return operation
    moved = replace(operation, output=where.template)
    # A task of another machine is recorded when an image of it is saved.
    return context.history.record(moved) if moved.request is not None else moved


def _target(context: CommandContext, operation: Operation, *, flagged: bool) -> Template | None:
    """Return the output of this call, or None to use the operation's own."""
    has_no_output = operation.request is None and not operation.files
    return output_template(context) if flagged or has_no_output else None
