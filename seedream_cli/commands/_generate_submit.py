"""Creation of the tasks of one call of `generate`: a single task, or several in parallel."""

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
from ._output import (
    check_sidecar_not_taken,
    conflicting_file,
    output_template,
    prepare_folder,
    report_kept_file,
)

if TYPE_CHECKING:
    from ..files.output_path import OutputTemplate
    from ..tasks.context import TaskContext

#: Maximum of --count. All tasks run in parallel, and a typo would pay for all of them. `seedream sync` is for
#: larger sets: it shows its plan and has a spending cap.
MOST_TASKS = 50

#: An operation and the output of its images.
_Target = tuple[Operation, "OutputTemplate"]


class OverwritePolicy(Struct, frozen=True):
    """The treatment of existing files, and whether this call waits for images to save."""

    overwrite: bool
    skip_existing: bool
    wait: bool
    sidecar: bool = False


def create(
    context: CommandContext,
    request: GenerationRequest,
    parts: PromptParts | None,
    count: int,
    policy: OverwritePolicy,
) -> list[TaskOutcome]:
    """Create ``count`` tasks and return their outcomes. Everything is checked before the first is sent."""
    targets = [
        (replace(operation, parts=parts, sidecar=policy.sidecar), output)
        for operation, output in _new_operations(context, request, count, policy)
    ]
    existing = {
        operation.id: file
        for operation, output in targets
        if (file := _existing_file(operation, output, policy))
    }
    todo = [(operation, output) for operation, output in targets if operation.id not in existing]
    task_context = None
    if todo:
        task_context = context.make_task_context(overwrite=policy.overwrite, quality=request.quality)
        for operation, output in todo:
            prepare_folder(context, output, operation)
    for operation, output in targets:
        if operation.id in existing:
            report_kept_file(context, operation, output, existing[operation.id])
    if task_context is not None and count > 1:
        _in_parallel(context, task_context, todo, wait=policy.wait)
    elif task_context is not None:
        from ..tasks.run import generate_task

        [(operation, output)] = todo
        generate_task(replace(task_context, output=output), operation, wait=policy.wait)
    return context.tracker.outcomes


def _new_operations(
    context: CommandContext, request: GenerationRequest, count: int, policy: OverwritePolicy
) -> list[_Target]:
    from ..files.output_path import new_operation_id, parse_output

    template = output_template(context, wait=policy.wait)
    if template.stdout and count > 1:
        raise InvalidOutput("-o - takes one image: it does not go with --count")
    if template.stdout and policy.sidecar:
        raise InvalidOutput("--sidecar writes beside a file: it does not go with -o -")
    now = time.time()
    targets = []
    for number in range(1, count + 1):
        output = template.for_batch_item(number) if count > 1 else template
        operation = Operation(
            id=new_operation_id(),
            service=context.service,
            created=now,
            # An image for stdout gets the default name if it is downloaded by a later call.
            output=output.template or parse_output(None, cwd=os.getcwd()).template,
            request=request,
            idempotency_key=str(uuid.uuid4()),
            key_id=resolve.fingerprint(context.api_key),
        )
        targets.append((operation, output))
    return targets


def _existing_file(operation: Operation, output: OutputTemplate, policy: OverwritePolicy) -> Path | None:
    """Return the existing file that --skip-existing keeps, or None. Raises InvalidOutput for other files."""
    from ..files.output_path import fields_of

    if policy.skip_existing and not output.possible_targets(fields_of(operation)):
        raise InvalidOutput("--skip-existing needs a name that is known beforehand: -o without {task}")
    conflict = conflicting_file(output, operation, overwrite=policy.overwrite)
    if conflict is not None and not policy.skip_existing:
        raise InvalidOutput(
            f"{output.display_path(str(conflict))} exists: --overwrite replaces it, --skip-existing keeps it",
            code="output_exists",
        )
    if conflict is None:
        check_sidecar_not_taken(output, operation, overwrite=policy.overwrite)
    return conflict


def _in_parallel(
    context: CommandContext, task_context: TaskContext, todo: Sequence[_Target], *, wait: bool
) -> None:
    from ..tasks.batch import TaskBatch
    from ..tasks.run import generate_task

    outputs = {operation.id: output for operation, output in todo}
    batch = TaskBatch(
        task_context,
        [operation for operation, _ in todo],
        lambda shared, operation: generate_task(
            replace(shared, output=outputs[operation.id]), operation, wait=wait
        ),
        on_event=context.handle,
        shield=context.shutdown.defer_signals,
    )
    context.reporter.start_batch(len(todo))
    try:
        batch.run()
    finally:
        if unsent := len(batch.not_begun):
            context.reporter.notice(f"{unsent} of {len(todo)} {'was' if unsent == 1 else 'were'} not sent")


def show_requests(context: CommandContext, request: GenerationRequest, count: int) -> None:
    """Print the requests that would be sent, as JSON."""
    from ..output.json_reporter import to_json

    base_url = "http://127.0.0.1/sandbox/v1" if context.sandboxed else context.settings.value("base_url")
    model = MODELS.get(request.model)
    limit = model.prompt_limit if model else None
    url = f"{base_url}/images/generations"
    document = DryRun([RequestDocument("POST", url, request.body(), len(request.prompt), limit)] * count)
    of_limit = f" of {limit}" if limit is not None else ""
    context.reporter.say(f"the prompt, {len(request.prompt)}{of_limit} characters: {request.prompt}")
    context.reporter.result(to_json(document).split("\n"), document)
