"""From names on the command line to operations of the history, or tasks of another machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import StillPending, UsageError
from ..models import Operation, TaskStatus
from ..text import format_age, short_path, truncate
from ._context import CommandContext

if TYPE_CHECKING:
    from ..files.output_path import OutputTemplate

#: Characters of a prompt that are shown to recognise it.
_PROMPT_LENGTH = 40


def resolve_operations(context: CommandContext, names: Iterable[str]) -> list[Operation]:
    """Return the operations of these names, each once. An unknown name is the id of an external task."""
    found: dict[str, Operation] = {}
    for name in names:
        operation = context.history.find(context.service, name) or _external_task(context, name)
        found[operation.id] = operation
    return list(found.values())


def _external_task(context: CommandContext, task_id: str) -> Operation:
    from ..files.output_path import external_operation_id, parse_output

    if not task_id.strip():
        raise UsageError("a task's id is empty")
    return Operation(
        id=external_operation_id(task_id),
        service=context.service,
        created=time.time(),
        output=parse_output(None, cwd=os.getcwd()).template,
        task_id=task_id,
        status=TaskStatus.UNKNOWN,
    )


def print_targets(
    context: CommandContext, operations: Iterable[Operation], moved: OutputTemplate | None = None
) -> None:
    """Print a line for each operation to resume: id, age, start of the prompt, and target.

    ``moved`` is the output of this call, if it overrides that of the operation.
    """
    for operation in operations:
        prompt = operation.request.prompt if operation.request else ""
        facts = [
            operation.task_id or operation.id,
            format_age(time.time() - operation.created),
            truncate(" ".join(prompt.split()), _PROMPT_LENGTH),
            f"to {short_path(_target(operation, moved), os.getcwd()) or './'}",
        ]
        context.reporter.say(" · ".join(filter(None, facts)))


def _target(operation: Operation, moved: OutputTemplate | None) -> str:
    """Return where the image goes, as far as it is known."""
    from ..files.output_path import OutputTemplate, fields_of

    where = moved or OutputTemplate(operation.output)
    if where.stdout:
        return "stdout"
    target = str(where.target(fields_of(operation), number=1, several=False, extension="png"))
    if operation.task_id is None and not where.possible_targets(fields_of(operation)):
        # The name contains the task id, which does not exist yet.
        return os.path.join(where.folder(fields_of(operation)), "")
    # The extension is known once the bytes are.
    return f"{target.removesuffix('png')}{{ext}}" if where.template.endswith(".{ext}") else target


def unanswered(operation: Operation) -> StillPending | UsageError:
    """Return the error for an operation that has no task to query or download."""
    if operation.has_failed:
        return UsageError(f"{operation.id} was refused by the API: {operation.error_message}", code="refused")
    return StillPending(f"{operation.id} has had no answer yet", code="unanswered")
