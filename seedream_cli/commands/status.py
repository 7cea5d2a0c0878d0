"""`seedream status`: where tasks stand."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Annotated

import typer

from ..errors import UsageError
from ..models import Operation, TaskStatus
from ..output.documents import TaskList, task_document
from ..output.presenters import TaskStates
from ..output.stdio import terminal_width
from ..output.table import display_width, fit_width, table
from ..settings.schema import did_you_mean
from ..text import clean, format_age, short_path, truncate
from ._command import CommandResult, command
from ._context import CommandContext
from ._operations import resolve_operations, unanswered
from ._options import PollInterval, TaskOptions, Timeout

Tasks = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[TASK]...", help="Ids of tasks or operations; without one, the recent ones are listed."
    ),
]
Watch = Annotated[bool, typer.Option("--watch", help="Wait for the end.", rich_help_panel="Waiting")]
Limit = Annotated[
    int, typer.Option("--limit", help="How many are listed.", metavar="N", min=1, rich_help_panel="List")
]
State = Annotated[
    str | None,
    typer.Option(
        "--state",
        help="List only those in this state.",
        metavar="STATE",
        show_default=False,
        rich_help_panel="List",
    ),
]


@command(TaskOptions, lambda values: TaskStates(watching=values["watch"]))
def status(
    context: CommandContext,
    tasks: Tasks = None,
    watch: Watch = False,
    timeout: Timeout = None,
    poll_interval: PollInterval = None,
    limit: Limit = 20,
    state: State = None,
) -> CommandResult:
    """Show where tasks stand: exit code 0 completed, 8 not finished, 3 failed.

    \b
    seedream status
    seedream status --state completed --limit 5
    seedream status TASK --watch

    Without a task, list the recent ones of this machine; that asks nobody.
    """
    if tasks:
        return _ask(context, tasks, watch=watch)
    if watch:
        raise UsageError("--watch needs a task", hint="seedream status")
    _list(context, limit=limit, state=state)
    return CommandResult()


def _ask(context: CommandContext, tasks: list[str], *, watch: bool) -> CommandResult:
    from ..tasks.run import query_task

    work = context.work()
    operations = resolve_operations(context, tasks)
    context.tracker.expect(operations)
    for operation in operations:
        if operation.task_id is None:
            context.end(operation, unanswered(operation))
        else:
            query_task(work, operation, wait=watch)
    return CommandResult(context.tracker.outcomes_of(operations))


def _list(context: CommandContext, *, limit: int, state: str | None) -> None:
    if state == "":
        raise UsageError("a state is a word, such as completed", hint="seedream status")
    operations = context.history.recent(context.service, limit=limit, status=state)
    lines = task_lines(operations, width=terminal_width(), now=time.time(), cwd=os.getcwd())
    context.reporter.result(lines, TaskList([task_document(one, with_result=True) for one in operations]))
    if not operations:
        context.reporter.say(
            f"no task is {state}{_meant(state)}"
            if state
            else 'no tasks yet: seedream generate "a red fox in snow"'
        )


def _meant(state: str) -> str:
    """A known state that is nearly this one: the service may have others."""
    return "" if state.lower() in TaskStatus.ALL else did_you_mean(state.lower(), TaskStatus.ALL)


#: Columns in which the beginning of a prompt says something, and an end of a path.
_LEAST_PROMPT, _LEAST_FILE = 24, 12
#: Characters of the reason why there is no image.
_MOST_WORDS = 40
_GAP = "  "
_DAY = 86400.0


def task_lines(operations: Sequence[Operation], *, width: int | None, now: float, cwd: str) -> list[str]:
    """Lines of the list; ``width`` is the screen's, None for a pipe.

    On a screen an operation has one line where all of it fits, else two: time, state and the prompt's
    beginning, then its id, which is never cut, and its file.
    """
    if width is None:
        return table([row_of(operation) for operation in operations], width=None)
    rows = [_cells(operation, now, cwd) for operation in operations]
    if not rows:
        return []
    when, state, name, prompt, file = (max(map(display_width, cells)) for cells in zip(*rows, strict=True))
    least = when + state + name + min(prompt, _LEAST_PROMPT) + file + 4 * len(_GAP)
    if least <= width:
        prompt = min(prompt, width - (least - min(prompt, _LEAST_PROMPT)))
        sizes = (when, state, name, prompt, file)
        return [_line([_sized(cell, size) for cell, size in zip(row, sizes, strict=True)]) for row in rows]
    lines = []
    for row in rows:
        first = _line([_sized(row[0], when), _sized(row[1], state), row[3]])
        lines += [fit_width(first, width), _second(row[2], row[4], width)]
    return lines


def row_of(operation: Operation) -> list[str]:
    """Local time, id, state, prompt, and files or why there are none to come back for."""
    created = time.strftime("%Y-%m-%d %H:%M", time.localtime(operation.created))
    prompt = operation.request.prompt if operation.request else ""
    files = ", ".join(file.path for file in operation.files)
    words = (operation.error_message or "") if operation.is_final else files
    return [created, operation.task_id or operation.id, operation.status, prompt, words]


def _cells(operation: Operation, now: float, cwd: str) -> tuple[str, str, str, str, str]:
    """Time, state, id, prompt, and file or why there is none to come back for, as a person reads them."""
    when, name, state, prompt, words = row_of(operation)
    age = now - operation.created
    if 0 <= age < _DAY:
        when = format_age(age)
    files = [short_path(file.path, cwd) for file in operation.files]
    more = f" and {len(files) - 1} more" if len(files) > 1 else ""
    file = (files[0] + more) if files else ""
    if operation.is_final:
        file = truncate(" ".join(words.split()), _MOST_WORDS)
    return clean(when), clean(state), clean(name), clean(" ".join(prompt.split())), clean(file)


def _second(name: str, file: str, width: int) -> str:
    """The second line: the id, and as much of the file's end as there is room for."""
    line = _GAP + name
    room = width - display_width(line) - len(_GAP)
    if not file or room < min(_LEAST_FILE, display_width(file)):
        return line
    while display_width(file) > room:
        file = "…" + file.removeprefix("…")[1:]
    return line + _GAP + file


def _sized(cell: str, size: int) -> str:
    cell = fit_width(cell, size)
    return cell + " " * (size - display_width(cell))


def _line(cells: Sequence[str]) -> str:
    return _GAP.join(cells).rstrip()
