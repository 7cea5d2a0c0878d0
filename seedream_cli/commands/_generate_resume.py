"""`generate --resume`: an operation carried on from where it stands, never paid twice."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING

from msgspec.structs import replace

from ..errors import InvalidOutput, UsageProblem
from ..models import Operation, Status
from ..output.outcome import TaskOutcome
from ..settings import resolve
from ._context import CommandContext
from ._operations import announce
from ._output import prepare_folder, refuse_taken

if TYPE_CHECKING:
    from ..files.output_path import Output


def refuse_with_resume(*given: object) -> None:
    """Refuse what would make the request another one, or keep it from being sent."""
    if any(value is not None for value in given):
        raise UsageProblem(
            "--resume sends the request as it was: no prompt, no option of the picture, "
            "--dry-run or --skip-existing goes with it"
        )


def carry_on(
    run: CommandContext,
    name: str,
    *,
    output: Output | None,
    overwrite: bool,
    new_key: bool,
    wait: bool,
    sidecar: bool = False,
) -> list[TaskOutcome]:
    """Resume the operation of this name; ``output`` moves its images."""
    from ..files.output_path import Output
    from ..tasks import run

    operation = _last(run, output) if name == "last" else run.history.find(run.service, name)
    if operation is None:
        what = "nothing is left to resume" if name == "last" else f"no operation is called {name!r}"
        raise UsageProblem(f"{what} at this service", code="unknown_operation", hint="seedream status")
    if operation.task_id is None:
        operation = _sendable(run, operation, new_key=new_key)
    elif new_key:
        raise UsageProblem(f"{operation.id} was answered: its task is {operation.task_id}", code="answered")
    where = output
    if sidecar and operation.request is None:
        raise UsageProblem(f"{operation.id} was asked for by another machine: what describes it is there")
    before, operation = operation, replace(operation, sidecar=operation.sidecar or sidecar)
    if where is not None:
        refuse_taken(where, operation, overwrite=overwrite)
        if not where.stdout:
            operation = replace(operation, output=where.template)
    if operation != before and operation.task_id is not None:
        # Also for whoever carries it on after this call.
        operation = run.history.record(operation)
    try:
        prepare_folder(run, where or Output(operation.output), operation)
    except InvalidOutput as error:
        # Its key grows old: it need not wait for the folder.
        error.hint = error.hint or run.next.command("generate", "-o", "./", "--resume", operation.id)
        raise
    quality = operation.request.quality if operation.request else None
    work = run.work(output=where, overwrite=overwrite, quality=quality)
    # Without waiting, all that is left of a known task is to name it.
    act = run.generate if operation.task_id is None or not wait else run.download
    act(work, operation, wait=wait)
    return run.tracker.outcomes_of([operation])


def _last(run: CommandContext, output: Output | None) -> Operation | None:
    """The newest operation that is left, told before it is carried on; it may be one of several."""
    from ..tasks.submit import KEY_LIFETIME

    since = time.time() - KEY_LIFETIME
    operation = run.history.last_unsettled(run.service, since=since)
    if operation is None:
        return None
    announce(run, [operation], output)
    left = run.history.pending(run.service) + run.history.unanswered(run.service, since=since)
    if count := sum(one.id != operation.id for one in left):
        more = f"{count} more {'is' if count == 1 else 'are'} left"
        run.reporter.say(f"{more}: {run.next.command('download', '--pending')}")
    return operation


def _sendable(run: CommandContext, operation: Operation, *, new_key: bool) -> Operation:
    """The operation as it may be sent again without paying twice; raises UsageProblem otherwise."""
    from ..tasks.run import refuse_repetition

    if new_key:
        return replace(
            operation,
            idempotency_key=str(uuid.uuid4()),
            key_id=resolve.fingerprint(run.api_key),
            created=time.time(),
            status=Status.UNANSWERED,
            request_id=None,
            error_code=None,
            error_message=None,
        )
    hint = run.next.resume(operation) + " --new-key"
    if operation.unsuccessful:
        raise UsageProblem(f"{operation.id} was refused by the API: {operation.error_message}", hint=hint)
    try:
        refuse_repetition(operation, now=time.time(), key_id=resolve.fingerprint(run.api_key))
    except UsageProblem as error:
        error.hint = hint
        raise
    return operation
