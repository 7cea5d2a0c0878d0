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
from ._operations import no_task_error, print_targets, resolve_operations
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
    override = output_template(context) if output is not None else None
    operations = (
        _pending_operations(context, override) if pending else resolve_operations(context, tasks or [])
    )
    return CommandResult(_download(context, operations, output=output, overwrite=overwrite, wait=not no_wait))


def _pending_operations(context: CommandContext, override: Template | None) -> list[Operation]:
    """Return the operations with images to save. Print them, and the requests without a response."""
    from ..tasks.submit import KEY_LIFETIME

    operations = context.history.pending(context.service)
    context.reporter.say(f"{len(operations)} task{'' if len(operations) == 1 else 's'} with images to save")
    print_targets(context, operations, override)
    # A request without a response may have created a task, which is then billed.
    for operation in context.history.unanswered(context.service, since=time.time() - KEY_LIFETIME):
        context.reporter.say(f"{operation.id} has had no answer yet: {context.next.resume(operation)}")
    return operations


def _download(
    context: CommandContext, operations: list[Operation], *, output: str | None, overwrite: bool, wait: bool
) -> list[TaskOutcome]:
    from ..tasks.run import download_task

    overrides = [_output_override(context, operation, flagged=output is not None) for operation in operations]
    if len(operations) > 1 and any(override is not None and override.stdout for override in overrides):
        raise InvalidOutput("-o - takes one task")
    # Check every output before the first operation is changed.
    for operation, override in zip(operations, overrides, strict=True):
        if override is not None and operation.task_id is not None:
            check_not_taken(override, operation, overwrite=overwrite)
            prepare_folder(context, override, operation)
    moved = []
    for operation, override in zip(operations, overrides, strict=True):
        if override is not None and not override.stdout and operation.task_id is not None:
            operation = replace(operation, output=override.template)
            # Record the new output for a later resume. An external task is recorded once its image is saved.
            if operation.request is not None:
                operation = context.history.record(operation)
        moved.append(operation)
    context.tracker.expect(moved)
    for operation, override in zip(moved, overrides, strict=True):
        if operation.task_id is None:
            context.end(operation, no_task_error(operation))
            continue
        quality = operation.request.quality if operation.request else None
        task_context = context.make_task_context(output=override, overwrite=overwrite, quality=quality)
        download_task(task_context, operation, wait=wait)
    return context.tracker.outcomes_of(moved)


def _output_override(context: CommandContext, operation: Operation, *, flagged: bool) -> Template | None:
    """Return the output of this call, or None to use the operation's own."""
    has_no_output = operation.request is None and not operation.files
    return output_template(context) if flagged or has_no_output else None
