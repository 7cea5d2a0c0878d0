"""`seedream download`: the images of tasks that exist."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from ..errors import InvalidOutput, UsageProblem
from ..events import Ended
from ..models import Operation
from ._options import MaxBytes, NoWait, Output, Overwrite, PollInterval, TaskOptions, Timeout, with_options
from ._session import Session, session
from ._target import existing, prepare_folder, wanted_output
from ._tasks import known_or_foreign, unanswered

if TYPE_CHECKING:
    from ..naming import Output as Target

Tasks = Annotated[list[str] | None, typer.Argument(metavar="TASK...", help="Ids of tasks or operations.")]
Pending = Annotated[
    bool, typer.Option("--pending", help="Every task of this machine whose images are not saved yet.")
]


@with_options(TaskOptions)
def download(
    options: TaskOptions,
    tasks: Tasks = None,
    pending: Pending = False,
    output: Output = None,
    overwrite: Overwrite = False,
    max_bytes: MaxBytes = None,
    no_wait: NoWait = False,
    timeout: Timeout = None,
    poll_interval: PollInterval = None,
) -> None:
    """Save the images of tasks, waiting for their end if needed.

    \b
    seedream download TASK
    seedream download --pending
    seedream download TASK -o - > fox.png

    An image goes where its generate wanted it, unless -o says otherwise. One that is on disk
    unchanged is not fetched again.
    """
    flags = {"output": output, "max_bytes": max_bytes, "timeout": timeout, "poll_interval": poll_interval}
    with session(options, flags=flags) as run:
        if bool(tasks) == pending:
            raise UsageProblem("name tasks, or ask for --pending", hint="seedream download --pending")
        operations = _pending(run) if pending else known_or_foreign(run, tasks or [])
        _download(run, operations, output=output, overwrite=overwrite, wait=not no_wait)


def _pending(run: Session) -> list[Operation]:
    operations = run.history.pending(run.service)
    run.reporter.say(f"{len(operations)} task{'' if len(operations) == 1 else 's'} with images to save")
    return operations


def _download(
    run: Session, operations: list[Operation], *, output: str | None, overwrite: bool, wait: bool
) -> None:
    from .. import jobs

    # Only a flag moves images that have a place of their own already.
    flagged = wanted_output(run) if output is not None else None
    if flagged is not None:
        if flagged.stdout and len(operations) > 1:
            raise InvalidOutput("-o - takes one task")
        for operation in operations:
            _refuse_taken(flagged, operation, overwrite=overwrite)
            prepare_folder(flagged, operation)
    for operation in operations:
        if operation.task_id is None:
            run.report([Ended(operation, unanswered(operation))])
            continue
        placeless = operation.request is None and not operation.files
        where = wanted_output(run) if placeless else flagged
        quality = operation.request.quality if operation.request else None
        work = run.work(output=where, overwrite=overwrite, quality=quality)
        run.report(jobs.download(work, operation, wait=wait))


def _refuse_taken(where: Target, operation: Operation, *, overwrite: bool) -> None:
    taken = existing(where, operation, overwrite=overwrite)
    if taken is not None and str(taken) not in [file.path for file in operation.files]:
        raise InvalidOutput(f"{where.shown(str(taken))} exists (--overwrite)", code="output_exists")
