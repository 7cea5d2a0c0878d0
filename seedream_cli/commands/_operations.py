"""Operations by name: those of the history, and tasks of other machines."""

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

#: Maximum length of a printed prompt, in characters: enough to recognise it.
_PROMPT_LENGTH = 40


def resolve_operations(context: CommandContext, names: Iterable[str]) -> list[Operation]:
    """Return the operations with these names, without duplicates.

    A name that is not in the history is the id of an external task, created on another machine.
    Raises UsageError for an empty name.
    """
    from ..files.output_path import external_operation_id, parse_output

    operations: dict[str, Operation] = {}
    for name in names:
        operation = context.history.find(context.service, name)
        if operation is None:
            if not name.strip():
                raise UsageError("a task's id is empty")
            operation = Operation(
                id=external_operation_id(name),
                service=context.service,
                created=time.time(),
                output=parse_output(None, cwd=os.getcwd()).template,
                task_id=name,
                status=TaskStatus.UNKNOWN,
            )
        operations[operation.id] = operation
    return list(operations.values())


def print_targets(
    context: CommandContext, operations: Iterable[Operation], override: OutputTemplate | None = None
) -> None:
    """Print a line for each operation to resume: id, age, start of the prompt, and target.

    ``override`` is the output of this call, which takes precedence over that of the operation.
    """
    for operation in operations:
        prompt = operation.request.prompt if operation.request else ""
        facts = [
            operation.task_id or operation.id,
            format_age(time.time() - operation.created),
            truncate(" ".join(prompt.split()), _PROMPT_LENGTH),
            f"to {short_path(_target(operation, override), os.getcwd()) or './'}",
        ]
        context.reporter.say(" · ".join(filter(None, facts)))


def _target(operation: Operation, override: OutputTemplate | None) -> str:
    """Return the path of the image, as far as it is known before the image is saved."""
    from ..files.output_path import OutputTemplate, fields_of

    output = override or OutputTemplate(operation.output)
    if output.stdout:
        return "stdout"
    target = str(output.target(fields_of(operation), number=1, several=False, extension="png"))
    if operation.task_id is None and not output.possible_targets(fields_of(operation)):
        # The name contains the task id, which is not known yet.
        return os.path.join(output.folder(fields_of(operation)), "")
    # The extension depends on the format of the downloaded image.
    return f"{target.removesuffix('png')}{{ext}}" if output.template.endswith(".{ext}") else target


def no_task_error(operation: Operation) -> StillPending | UsageError:
    """Return the error for an operation without a task, which cannot be queried or downloaded."""
    if operation.has_failed:
        return UsageError(f"{operation.id} was refused by the API: {operation.error_message}", code="refused")
    return StillPending(f"{operation.id} has had no answer yet", code="unanswered")
