"""`generate --resume`: continues an operation from its current state, without paying twice."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ..errors import InvalidOutput, UsageError
from ..models import Operation, TaskStatus
from ..output.outcome import TaskOutcome
from ..settings import resolve
from ._context import CommandContext
from ._operations import print_targets
from ._output import check_not_taken, prepare_folder

if TYPE_CHECKING:
    from ..files.output_path import OutputTemplate


def check_resume_options(*given: object) -> None:
    """Reject options that cannot be combined with --resume."""
    if any(value is not None for value in given):
        raise UsageError(
            "--resume sends the request as it was: no prompt, no option of the picture, "
            "--dry-run or --skip-existing goes with it"
        )


def resume_operation(
    context: CommandContext,
    name: str,
    *,
    output: OutputTemplate | None,
    overwrite: bool,
    new_key: bool,
    wait: bool,
    sidecar: bool = False,
) -> list[TaskOutcome]:
    """Resume the operation with this name: its id, its task id, or "last".

    ``output`` overrides the output of the operation. Raises UsageError if there is nothing to resume.
    """
    from ..files.output_path import OutputTemplate
    from ..tasks.run import download_task, generate_task

    operation = (
        _last_unfinished(context, output) if name == "last" else context.history.find(context.service, name)
    )
    if operation is None:
        problem = "nothing is left to resume" if name == "last" else f"no operation is called {name!r}"
        raise UsageError(f"{problem} at this service", code="unknown_operation", hint="seedream status")
    if operation.task_id is None:
        operation = _prepare_resend(context, operation, new_key=new_key)
    elif new_key:
        raise UsageError(f"{operation.id} was answered: its task is {operation.task_id}", code="answered")
    if sidecar and operation.request is None:
        raise UsageError(f"{operation.id} was asked for by another machine: what describes it is there")
    unchanged = operation
    operation = replace(operation, sidecar=operation.sidecar or sidecar)
    if output is not None:
        check_not_taken(output, operation, overwrite=overwrite)
        if not output.stdout:
            operation = replace(operation, output=output.template)
    if operation != unchanged and operation.task_id is not None:
        # Record the new output, so that a later resume saves to the same place.
        operation = context.history.record(operation)
    try:
        prepare_folder(context, output or OutputTemplate(operation.output), operation)
    except InvalidOutput as error:
        # Suggest the current folder: the idempotency key may expire before this folder is repaired.
        error.hint = error.hint or context.next.command("generate", "-o", "./", "--resume", operation.id)
        raise
    quality = operation.request.quality if operation.request else None
    task_context = context.make_task_context(output=output, overwrite=overwrite, quality=quality)
    # With --no-wait, generate_task only reports a task that exists.
    run_task = generate_task if operation.task_id is None or not wait else download_task
    run_task(task_context, operation, wait=wait)
    return context.tracker.outcomes_of([operation])


def _last_unfinished(context: CommandContext, output: OutputTemplate | None) -> Operation | None:
    """Return the newest unfinished operation, or None. Print it, and the number of the others."""
    from ..tasks.submit import KEY_LIFETIME

    since = time.time() - KEY_LIFETIME
    operation = context.history.last_unfinished(context.service, since=since)
    if operation is None:
        return None
    print_targets(context, [operation], output)
    unfinished = context.history.pending(context.service) + context.history.unanswered(
        context.service, since=since
    )
    if count := sum(other.id != operation.id for other in unfinished):
        more = f"{count} more {'is' if count == 1 else 'are'} left"
        context.reporter.say(f"{more}: {context.next.command('download', '--pending')}")
    return operation


def _prepare_resend(context: CommandContext, operation: Operation, *, new_key: bool) -> Operation:
    """Return the operation in the state to send it again. Raises UsageError if that could pay twice."""
    from ..tasks.submit import check_can_resubmit

    if new_key:
        return replace(
            operation,
            idempotency_key=str(uuid.uuid4()),
            key_id=resolve.fingerprint(context.api_key),
            created=time.time(),
            status=TaskStatus.UNANSWERED,
            request_id=None,
            error_code=None,
            error_message=None,
        )
    hint = context.next.resume(operation) + " --new-key"
    if operation.has_failed:
        raise UsageError(f"{operation.id} was refused by the API: {operation.error_message}", hint=hint)
    try:
        check_can_resubmit(operation, now=time.time(), key_id=resolve.fingerprint(context.api_key))
    except UsageError as error:
        error.hint = hint
        raise
    return operation
