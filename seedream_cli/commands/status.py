"""`seedream status`: where tasks stand."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from ..errors import UsageProblem
from ..models import Status
from ..output.documents import TaskList, task_document
from ..output.presenters import TaskStates
from ..output.streams import terminal_width
from ..settings import did_you_mean
from ._command import CommandResult, command
from ._context import CommandContext
from ._options import PollInterval, TaskOptions, Timeout
from ._task_list import task_lines
from ._tasks import known_or_foreign, unanswered

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
    run: CommandContext,
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
        return _ask(run, tasks, watch=watch)
    if watch:
        raise UsageProblem("--watch needs a task", hint="seedream status")
    _list(run, limit=limit, state=state)
    return CommandResult()


def _ask(run: CommandContext, tasks: list[str], *, watch: bool) -> CommandResult:
    from .. import jobs

    work = run.work()
    operations = known_or_foreign(run, tasks)
    run.tracker.expect(operations)
    for operation in operations:
        if operation.task_id is None:
            run.end(operation, unanswered(operation))
        else:
            jobs.status(work, operation, wait=watch)
    return CommandResult(run.tracker.outcomes_of(operations))


def _list(run: CommandContext, *, limit: int, state: str | None) -> None:
    if state == "":
        raise UsageProblem("a state is a word, such as completed", hint="seedream status")
    operations = run.history.recent(run.service, limit=limit, status=state)
    lines = task_lines(operations, width=terminal_width(), now=time.time(), cwd=os.getcwd())
    run.reporter.tell(lines, TaskList([task_document(one, with_result=True) for one in operations]))
    if not operations:
        run.reporter.say(
            f"no task is {state}{_meant(state)}"
            if state
            else 'no tasks yet: seedream generate "a red fox in snow"'
        )


def _meant(state: str) -> str:
    """A known state that is nearly this one: the service may have others."""
    return "" if state.lower() in Status.ALL else did_you_mean(state.lower(), Status.ALL)
