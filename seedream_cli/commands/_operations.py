"""Names on the command line → operations of the history, or tasks of another machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..errors import StillPending, UsageProblem
from ..models import Operation, Status
from ..text import ago, short_path, shortened
from ._context import CommandContext

if TYPE_CHECKING:
    from ..files.output_path import Output

#: Characters of a prompt that tell which one it is.
_BEGINNING = 40


def known_or_foreign(run: CommandContext, names: Iterable[str]) -> list[Operation]:
    """The operations that are meant, each once; a name that the history does not know is a task's id."""
    found: dict[str, Operation] = {}
    for name in names:
        operation = run.history.find(run.service, name) or _foreign(run, name)
        found[operation.id] = operation
    return list(found.values())


def _foreign(run: CommandContext, task_id: str) -> Operation:
    from ..files.output_path import foreign_operation_id, parse_output

    if not task_id.strip():
        raise UsageProblem("a task's id is empty")
    return Operation(
        id=foreign_operation_id(task_id),
        service=run.service,
        created=time.time(),
        output=parse_output(None, cwd=os.getcwd()).template,
        task_id=task_id,
        status=Status.UNKNOWN,
    )


def announce(run: CommandContext, operations: Iterable[Operation], moved: Output | None = None) -> None:
    """What is about to be carried on, a line each: its id, age, the prompt's beginning, and where to.

    ``moved`` is where this call puts it instead of where its operation wanted it.
    """
    for operation in operations:
        prompt = operation.request.prompt if operation.request else ""
        facts = [
            operation.task_id or operation.id,
            ago(time.time() - operation.created),
            shortened(" ".join(prompt.split()), _BEGINNING),
            f"to {short_path(_place(operation, moved), os.getcwd()) or './'}",
        ]
        run.reporter.say(" · ".join(filter(None, facts)))


def _place(operation: Operation, moved: Output | None) -> str:
    """Where its image is going, as far as it is known."""
    from ..files.output_path import Output, fields_of

    where = moved or Output(operation.output)
    if where.stdout:
        return "stdout"
    target = str(where.target(fields_of(operation), number=1, several=False, extension="png"))
    if operation.task_id is None and not where.known_targets(fields_of(operation)):
        # Its name has an id that does not exist yet.
        return os.path.join(where.folder(fields_of(operation)), "")
    # The kind of an image is known from its bytes.
    return f"{target.removesuffix('png')}{{ext}}" if where.template.endswith(".{ext}") else target


def unanswered(operation: Operation) -> StillPending | UsageProblem:
    """Why an operation without a task can be neither asked for nor downloaded."""
    if operation.unsuccessful:
        return UsageProblem(
            f"{operation.id} was refused by the API: {operation.error_message}", code="refused"
        )
    return StillPending(f"{operation.id} has had no answer yet", code="unanswered")
