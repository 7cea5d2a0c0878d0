"""`seedream status`: where tasks stand."""

from __future__ import annotations

import os
import time
from typing import Annotated

import typer

from ..errors import UsageProblem
from ..models import Status
from ..output.report import task_document
from ..output.streams import terminal_width
from ..settings import did_you_mean
from ._options import PollInterval, TaskOptions, Timeout, with_options
from ._session import Session, session
from ._task_list import task_lines
from ._tasks import ended, known_or_foreign, unanswered

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


@with_options(TaskOptions)
def status(
    options: TaskOptions,
    tasks: Tasks = None,
    watch: Watch = False,
    timeout: Timeout = None,
    poll_interval: PollInterval = None,
    limit: Limit = 20,
    state: State = None,
) -> None:
    """Show where tasks stand: exit code 0 completed, 8 not finished, 3 failed.

    \b
    seedream status
    seedream status --state completed --limit 5
    seedream status TASK --watch

    Without a task, list the recent ones of this machine; that asks nobody.
    """
    with session(options, kind="states", flags={"timeout": timeout, "poll_interval": poll_interval}) as run:
        if tasks:
            _ask(run, tasks, watch=watch)
        elif watch:
            raise UsageProblem("--watch needs a task", hint="seedream status")
        else:
            _list(run, limit=limit, state=state)


def _ask(run: Session, tasks: list[str], *, watch: bool) -> None:
    from .. import jobs

    work = run.work()
    operations = known_or_foreign(run, tasks)
    run.expect(operations)
    # A wait that ended too early is told on stderr too, with the way back; a state that was asked for is not.
    run.told_by_answer = not watch
    for operation in operations:
        if operation.task_id is None:
            run.report(ended(operation, unanswered(operation)))
        else:
            run.report(jobs.status(work, operation, wait=watch))


def _list(run: Session, *, limit: int, state: str | None) -> None:
    if state == "":
        raise UsageProblem("a state is a word, such as completed", hint="seedream status")
    operations = run.history.recent(run.service, limit=limit, status=state)
    lines = task_lines(operations, width=terminal_width(), now=time.time(), cwd=os.getcwd())
    document = {"tasks": [task_document(operation, with_result=True) for operation in operations]}
    run.reporter.tell(lines, document)
    if not operations:
        run.reporter.say(
            f"no task is {state}{_meant(state)}"
            if state
            else 'no tasks yet: seedream generate "a red fox in snow"'
        )


def _meant(state: str) -> str:
    """A known state that is nearly this one: the service may have others."""
    return "" if state.lower() in Status.ALL else did_you_mean(state.lower(), Status.ALL)
