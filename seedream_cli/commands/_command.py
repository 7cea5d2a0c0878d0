"""The command decorator: from parameters to result, report and exit code.

A command is a function that takes a :class:`~._context.CommandContext` and its own parameters, and returns a
:class:`CommandResult`. The decorator :func:`command` adds the options that it shares with other commands.
Every error is reported here, once, with the command to run next.
"""

from __future__ import annotations

import errno
import functools
import inspect
import os
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, get_type_hints

import typer
from msgspec import Struct

from ..errors import PRECEDENCE, ExitCode, NotSaved, SeedreamError, Stopped
from ..models import Operation
from ..output import reporter
from ..output.outcome import Failure, TaskOutcome
from ..output.presenters import Presenter, SavedImages, SyncedImages
from ..settings.schema import SETTINGS
from ._context import CommandContext
from ._options import OptionGroup, Options
from ._signals import signal_handlers

#: errno values of a machine that is out of resources. They are not reported as bugs.
_OUT_OF_RESOURCES = {
    errno.EMFILE,
    errno.ENFILE,
    errno.ENOSPC,
    errno.EFBIG,
    errno.EIO,
    errno.EROFS,
    errno.ENOMEM,
    getattr(errno, "EDQUOT", errno.ENOSPC),
}

#: Presenters of the commands whose JSON document has no tasks, for usage errors.
_PRESENTERS_WITHOUT_TASKS: Mapping[str, type[Presenter]] = {
    "config": Presenter,
    "sandbox": Presenter,
    "completion": Presenter,
    "help": Presenter,
    "sync": SyncedImages,
}


class CommandResult(Struct, frozen=True):
    """The result of a command.

    ``failures`` are those that belong to no task, such as the images of `sync`. ``exit_code`` applies if
    nothing failed. ``next_command`` is the command that continues the work.
    """

    outcomes: Sequence[TaskOutcome] = ()
    failures: Sequence[Failure] = ()
    exit_code: ExitCode = ExitCode.OK
    next_command: str | None = None

    @property
    def all_failures(self) -> list[Failure]:
        return [
            *(outcome.failure for outcome in self.outcomes if outcome.failure is not None),
            *self.failures,
        ]


Body = Callable[..., CommandResult | None]
#: Chooses the presenter of a command from the values of its parameters.
ChoosePresenter = Callable[[Mapping[str, Any]], Presenter]


def command(
    options: type[Options], choose_presenter: ChoosePresenter = lambda values: Presenter()
) -> Callable[[Body], Callable[..., None]]:
    """Make a function a command: add the shared ``options``, run it, and exit with its code.

    A parameter with the name of a setting is the flag of that setting. A parameter that is annotated with an
    OptionGroup is replaced by the options of the group.
    """
    hints = get_type_hints(options, include_extras=True)
    shared = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hints[name])
        for name, default in zip(options.__struct_fields__, options.__struct_defaults__, strict=True)
    ]

    def decorate(body: Body) -> Callable[..., None]:
        own: list[inspect.Parameter] = []
        groups: dict[str, OptionGroup] = {}
        for parameter in list(inspect.signature(body, eval_str=True).parameters.values())[1:]:
            group = next(iter(getattr(parameter.annotation, "__metadata__", ())), None)
            if isinstance(group, OptionGroup):
                groups[parameter.name] = group
                own.extend(
                    inspect.Parameter(name, parameter.KEYWORD_ONLY, default=None, annotation=annotation)
                    for name, annotation in group.options.items()
                )
            else:
                own.append(parameter.replace(kind=parameter.KEYWORD_ONLY))

        @functools.wraps(body)
        def run(**values: Any) -> None:
            context = CommandContext(
                options(**{name: values.pop(name) for name in options.__struct_fields__}),
                choose_presenter(values),
                flags={name: value for name, value in values.items() if name in SETTINGS},
                overwrite=bool(values.get("overwrite")),
            )
            for name, group in groups.items():
                values[name] = {option: values.pop(option) for option in group.options}
            raise typer.Exit(_run(context, lambda: body(context, **values)))

        # Typer reads a command's parameters from its signature, and their types from its annotations.
        parameters = [*own, *shared]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        return run

    return decorate


def _run(context: CommandContext, body: Callable[[], CommandResult | None]) -> ExitCode:
    problem: Exception | None = None
    result = CommandResult()
    with signal_handlers(context.shutdown):
        try:
            result = body() or result
        except KeyboardInterrupt:
            problem = Stopped()
        except Exception as error:
            problem = error
        context.shutdown.is_finishing = True
        try:
            if problem is not None:
                failure = _report_end(context, _as_error(context, problem))
                result = CommandResult(context.tracker.outcomes, [*context.other_failures, failure])
            return _finish(context, result)
        finally:
            context.close()


def _finish(context: CommandContext, result: CommandResult) -> ExitCode:
    """Print the rest of the result, and return the exit code."""
    failures = result.all_failures
    worst = min(failures, key=lambda failure: PRECEDENCE.index(failure.error.exit_code), default=None)
    context.reporter.finish(result.outcomes, worst)
    if result.next_command is not None:
        context.reporter.say(f"  {result.next_command}")
    codes = [failure.error.exit_code for failure in failures]
    # Checked last: only now has everything been written to stdout.
    if (full := context.reporter.stdout.failure) is not None:
        # The result is lost to the reader of stdout, but the tasks can still be resumed.
        resumable = [outcome.operation for outcome in result.outcomes if not outcome.operation.is_done]
        hint = context.failures.resume_command(*resumable) if resumable else None
        context.reporter.fail(Failure(full, None, hint))
        codes.append(full.exit_code)
    return min(codes, key=PRECEDENCE.index, default=result.exit_code)


def _report_end(context: CommandContext, error: SeedreamError) -> Failure:
    """Report the error that ends the call, with the commands that resume unfinished operations."""
    unfinished = context.tracker.unfinished
    if isinstance(error, Stopped) and unfinished:
        error.message = _stopped_message(unfinished)
    for operation in unfinished:
        if not context.tracker.has_ended(operation):
            context.tracker.fail(operation, context.failures.for_operation(error, operation))
    failure = context.failures.for_call(error, unfinished)
    context.reporter.fail(failure)
    return failure


def _as_error(context: CommandContext, problem: Exception) -> SeedreamError:
    """Return the SeedreamError for any exception of a command. An unexpected exception is a bug."""
    if isinstance(problem, SeedreamError):
        return problem
    if context.options.verbose:
        for line in _redact_key(context, "".join(traceback.format_exception(problem))).splitlines():
            context.reporter.say(line)
    if isinstance(problem, OSError) and problem.errno in _OUT_OF_RESOURCES:
        file = f" ({problem.filename})" if problem.filename else ""
        return NotSaved(f"system error: {problem.strerror}{file}", code="system")
    return SeedreamError(
        f"unforeseen {type(problem).__name__}: {_redact_key(context, str(problem))[:200]}",
        code="unforeseen",
        detail="This is a bug: please report it with what the same command prints with --verbose.",
    )


def _redact_key(context: CommandContext, text: str) -> str:
    """Redact the API key in the text of an exception."""
    from ..text import redact

    # Do not resolve the settings here: that may be the step that has just failed.
    keys = [vars(context).get("api_key"), *map(os.environ.get, SETTINGS["api_key"].variables)]
    for key in keys:
        text = redact(text, key)
    return text


def _stopped_message(unfinished: Sequence[Operation]) -> str:
    """Return the message of Stopped: the tasks that still run, and the requests without a response."""
    tasks = [operation for operation in unfinished if operation.task_id]
    unanswered = [operation for operation in unfinished if not operation.task_id]
    requests = unanswered[0].id if len(unanswered) == 1 else f"{len(unanswered)} requests"
    verb = "was" if len(unanswered) == 1 else "were"
    if not tasks:
        promise = "resuming sends the same request, with the same key"
        return f"stopped before {requests} {verb} answered; {promise}"
    running = f"{tasks[0].task_id} goes" if len(tasks) == 1 else f"{len(tasks)} tasks go"
    rest = f", {requests} {verb} not answered yet" if unanswered else ""
    return f"stopped; {running} on at the service{rest}, nothing is lost"


def refuse(error: SeedreamError, arguments: Sequence[str]) -> ExitCode:
    """Report a command line that could not be parsed, as JSON if it contains --json."""
    before_dashes = arguments[: arguments.index("--")] if "--" in arguments else arguments
    presenter = _PRESENTERS_WITHOUT_TASKS.get(arguments[0] if arguments else "", SavedImages)()
    quiet_reporter = reporter(
        presenter, json="--json" in before_dashes, quiet=True, verbose=False, environment=os.environ
    )
    failure = Failure(error, None, error.hint)
    quiet_reporter.fail(failure)
    quiet_reporter.finish([], failure)
    return error.exit_code
