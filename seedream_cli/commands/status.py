"""`seedream status`: query the state of tasks, or list the recent operations of this machine."""

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
from ._operations import no_task_error, resolve_operations
from ._options import PollInterval, TaskOptions, Timeout

#: Columns that one line must leave for the beginning of a prompt. Without them, an operation gets two lines.
_MIN_PROMPT_COLUMNS = 24
#: Columns below which the end of a path does not identify a file.
_MIN_FILE_COLUMNS = 12
#: Characters of an error message.
_MAX_MESSAGE = 40
#: Seconds for which a time is printed as an age, such as "2 h ago".
_MAX_AGE = 86400.0
_GAP = "  "

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
        return _query(context, tasks, watch=watch)
    if watch:
        raise UsageError("--watch needs a task", hint="seedream status")
    _list(context, limit=limit, state=state)
    return CommandResult()


def _query(context: CommandContext, tasks: list[str], *, watch: bool) -> CommandResult:
    """Ask the service for the state of each task. With ``watch``, wait until it is final."""
    from ..tasks.run import query_task

    task_context = context.make_task_context()
    operations = resolve_operations(context, tasks)
    context.tracker.expect(operations)
    for operation in operations:
        if operation.task_id is None:
            context.end(operation, no_task_error(operation))
        else:
            query_task(task_context, operation, wait=watch)
    return CommandResult(context.tracker.outcomes_of(operations))


def _list(context: CommandContext, *, limit: int, state: str | None) -> None:
    """Print the newest operations of the history, without asking the service."""
    if state == "":
        raise UsageError("a state is a word, such as completed", hint="seedream status")
    operations = context.history.recent(context.service, limit=limit, status=state)
    lines = task_lines(operations, width=terminal_width(), now=time.time(), cwd=os.getcwd())
    documents = [task_document(operation, with_result=True) for operation in operations]
    context.reporter.result(lines, TaskList(documents))
    if operations:
        return
    if not state:
        context.reporter.say('no tasks yet: seedream generate "a red fox in snow"')
        return
    # The service may have states that we do not know, so an unknown one is a suggestion and not an error.
    is_known = state.lower() in TaskStatus.ALL
    suggestion = "" if is_known else did_you_mean(state.lower(), TaskStatus.ALL)
    context.reporter.say(f"no task is {state}{suggestion}")


def task_lines(operations: Sequence[Operation], *, width: int | None, now: float, cwd: str) -> list[str]:
    """Return the lines of the list; ``width`` is the terminal's in columns, None for a pipe.

    In a pipe an operation is one line with tabs. On a terminal it is one line if all of it fits. If not, it
    is two: first age, state and the beginning of the prompt, then the id, which is never cut, and the file.
    """
    if width is None:
        return table([row_of(operation) for operation in operations], width=None)
    rows = [_cells(operation, now, cwd) for operation in operations]
    if not rows:
        return []
    when, state, name, prompt, file = (max(map(display_width, cells)) for cells in zip(*rows, strict=True))
    min_prompt = min(prompt, _MIN_PROMPT_COLUMNS)
    min_width = when + state + name + min_prompt + file + 4 * len(_GAP)
    if min_width <= width:
        sizes = (when, state, name, min(prompt, min_prompt + width - min_width), file)
        return [_join(*map(_pad, row, sizes)) for row in rows]
    lines = []
    for row in rows:
        first = _join(_pad(row[0], when), _pad(row[1], state), row[3])
        lines += [fit_width(first, width), _second_line(row[2], row[4], width)]
    return lines


def row_of(operation: Operation) -> list[str]:
    """Return local time, id, state, prompt, and the files, or the error message of a final state."""
    created = time.strftime("%Y-%m-%d %H:%M", time.localtime(operation.created))
    prompt = operation.request.prompt if operation.request else ""
    files = ", ".join(file.path for file in operation.files)
    last = (operation.error_message or "") if operation.is_final else files
    return [created, operation.task_id or operation.id, operation.status, prompt, last]


def _cells(operation: Operation, now: float, cwd: str) -> tuple[str, str, str, str, str]:
    """Return time or age, state, id, prompt, and file or error message, each as short as it is readable."""
    when, name, state, prompt, last = row_of(operation)
    # A negative age means that the clock was set back.
    if 0 <= now - operation.created < _MAX_AGE:
        when = format_age(now - operation.created)
    if operation.is_final:
        last = truncate(" ".join(last.split()), _MAX_MESSAGE)
    elif operation.files:
        last = short_path(operation.files[0].path, cwd)
        if len(operation.files) > 1:
            last += f" and {len(operation.files) - 1} more"
    return clean(when), clean(state), clean(name), clean(" ".join(prompt.split())), clean(last)


def _second_line(name: str, file: str, width: int) -> str:
    """Return the id, and as much of the end of the path as fits."""
    line = _GAP + name
    room = width - display_width(line) - len(_GAP)
    if not file or room < min(_MIN_FILE_COLUMNS, display_width(file)):
        return line
    while display_width(file) > room:
        file = "…" + file.removeprefix("…")[1:]
    return line + _GAP + file


def _pad(cell: str, size: int) -> str:
    """Return the cell in exactly ``size`` columns."""
    cell = fit_width(cell, size)
    return cell + " " * (size - display_width(cell))


def _join(*cells: str) -> str:
    return _GAP.join(cells).rstrip()
