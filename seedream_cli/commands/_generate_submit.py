"""Creating the tasks of one call of `generate`: one, or several side by side."""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct
from msgspec.structs import replace

from ..catalog import MODELS
from ..errors import InvalidOutput
from ..models import GenerationRequest, Operation
from ..output.documents import DryRun, RequestDocument
from ..output.outcome import TaskOutcome
from ..prompt import PromptParts
from ..settings import resolve
from ._context import CommandContext
from ._output import check_sidecar_not_taken, conflicting_file, keep, output_template, prepare_folder

if TYPE_CHECKING:
    from ..files.output_path import OutputTemplate
    from ..tasks.context import TaskContext

#: Tasks of one call. All of them are under way at once, and a slip of the finger pays for so many; larger
#: sets are for `seedream sync`, which shows its plan and has a spending cap.
MOST_TASKS = 50

#: An operation, and where its images go.
_Wanted = tuple[Operation, "OutputTemplate"]


class OverwritePolicy(Struct, frozen=True):
    """What may become of files that exist, and whether anything is saved by this call."""

    overwrite: bool
    skip_existing: bool
    wait: bool
    sidecar: bool = False


def create(
    context: CommandContext,
    request: GenerationRequest,
    parts: PromptParts | None,
    count: int,
    places: OverwritePolicy,
) -> list[TaskOutcome]:
    """Create ``count`` tasks and return their outcomes. Refuse whatever can be refused before the first."""
    wanted = [
        (replace(operation, parts=parts, sidecar=places.sidecar), where)
        for operation, where in _wanted(context, request, count, places)
    ]
    there = {
        operation.id: taken for operation, where in wanted if (taken := _there(operation, where, places))
    }
    todo = [(operation, where) for operation, where in wanted if operation.id not in there]
    work = None
    if todo:
        work = context.work(overwrite=places.overwrite, quality=request.quality)
        for operation, where in todo:
            prepare_folder(context, where, operation)
    for operation, where in wanted:
        if operation.id in there:
            keep(context, operation, where, there[operation.id])
    if work is not None and count > 1:
        _in_parallel(context, work, todo, wait=places.wait)
    elif work is not None:
        from ..tasks.run import generate_task

        [(operation, where)] = todo
        generate_task(replace(work, output=where), operation, wait=places.wait)
    return context.tracker.outcomes


def _wanted(
    context: CommandContext, request: GenerationRequest, count: int, places: OverwritePolicy
) -> list[_Wanted]:
    from ..files.output_path import new_operation_id, parse_output

    where = output_template(context, wait=places.wait)
    if where.stdout and count > 1:
        raise InvalidOutput("-o - takes one image: it does not go with --count")
    if where.stdout and places.sidecar:
        raise InvalidOutput("--sidecar writes beside a file: it does not go with -o -")
    now = time.time()
    wanted = []
    for number in range(1, count + 1):
        output = where.for_batch_item(number) if count > 1 else where
        operation = Operation(
            id=new_operation_id(),
            service=context.service,
            created=now,
            # Bytes for stdout become a file of the default name when they are fetched again.
            output=output.template or parse_output(None, cwd=os.getcwd()).template,
            request=request,
            idempotency_key=str(uuid.uuid4()),
            key_id=resolve.fingerprint(context.api_key),
        )
        wanted.append((operation, output))
    return wanted


def _there(operation: Operation, where: OutputTemplate, places: OverwritePolicy) -> Path | None:
    """The file that is there already and is to stay. Raises InvalidOutput where that was not asked for."""
    from ..files.output_path import fields_of

    if places.skip_existing and not where.possible_targets(fields_of(operation)):
        raise InvalidOutput("--skip-existing needs a name that is known beforehand: -o without {task}")
    taken = conflicting_file(where, operation, overwrite=places.overwrite)
    if taken is not None and not places.skip_existing:
        raise InvalidOutput(
            f"{where.shown(str(taken))} exists: --overwrite replaces it, --skip-existing keeps it",
            code="output_exists",
        )
    if taken is None:
        check_sidecar_not_taken(where, operation, overwrite=places.overwrite)
    return taken


def _in_parallel(context: CommandContext, work: TaskContext, todo: Sequence[_Wanted], *, wait: bool) -> None:
    from ..tasks.batch import TaskBatch
    from ..tasks.run import generate_task

    outputs = {operation.id: where for operation, where in todo}
    several = TaskBatch(
        work,
        [operation for operation, _ in todo],
        lambda shared, operation: generate_task(
            replace(shared, output=outputs[operation.id]), operation, wait=wait
        ),
        on_event=context.handle,
        shield=context.shutdown.defer_signals,
    )
    context.reporter.start_batch(len(todo))
    try:
        several.run()
    finally:
        if left := len(several.not_begun):
            context.reporter.notice(f"{left} of {len(todo)} {'was' if left == 1 else 'were'} not sent")


def show_requests(context: CommandContext, request: GenerationRequest, count: int) -> None:
    """What would be sent, as JSON."""
    from ..output.json_reporter import to_json

    base_url = "http://127.0.0.1/sandbox/v1" if context.sandboxed else context.settings.value("base_url")
    row = MODELS.get(request.model)
    limit = row.prompt_limit if row else None
    url = f"{base_url}/images/generations"
    document = DryRun([RequestDocument("POST", url, request.body(), len(request.prompt), limit)] * count)
    of = f" of {limit}" if limit is not None else ""
    context.reporter.say(f"the prompt, {len(request.prompt)}{of} characters: {request.prompt}")
    context.reporter.result(to_json(document).split("\n"), document)
