"""Runs a command: from its parameters to its result, its report and its exit code.

A command is a function that takes a :class:`~._context.CommandContext` and its own parameters and returns a
:class:`CommandResult`; :func:`command` adds the options that it shares with others. Every error is reported
here, once, with the command to run next.
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

#: Errors of a machine that is out of resources; nothing is wrong with the program.
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

#: Commands whose document has no tasks: what a usage error prints with --json.
_PRESENTERS_WITHOUT_TASKS: Mapping[str, type[Presenter]] = {
    "config": Presenter,
    "sandbox": Presenter,
    "completion": Presenter,
    "help": Presenter,
    "sync": SyncedImages,
}


class CommandResult(Struct, frozen=True):
    """What a command did.

    ``failures`` are those of other things than tasks, such as a set's images. ``exit_code`` is for a command
    that nothing failed in. ``next_command`` is how to continue.
    """

    outcomes: Sequence[TaskOutcome] = ()
    failures: Sequence[Failure] = ()
    exit_code: ExitCode = ExitCode.OK
    next_command: str | None = None

    @property
    def all_failures(self) -> list[Failure]:
        return [*(one.failure for one in self.outcomes if one.failure is not None), *self.failures]


Body = Callable[..., CommandResult | None]
#: Chooses a presenter from a command's parameters.
Present = Callable[[Mapping[str, Any]], Presenter]


def command(
    options: type[Options], present: Present = lambda values: Presenter()
) -> Callable[[Body], Callable[..., None]]:
    """Make a command of a function: add the shared ``options``, run it, and exit with its code.

    Parameters that are named as a setting are flags of that setting. A parameter whose annotation has an
    OptionGroup stands for the options of the group.
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
        def parsed(**values: Any) -> None:
            context = CommandContext(
                options(**{name: values.pop(name) for name in options.__struct_fields__}),
                present(values),
                flags={name: value for name, value in values.items() if name in SETTINGS},
                overwrite=bool(values.get("overwrite")),
            )
            for name, group in groups.items():
                values[name] = {option: values.pop(option) for option in group.options}
            raise typer.Exit(_run(context, lambda: body(context, **values)))

        # Typer reads a command's parameters from its signature, and their types from its annotations.
        parameters = [*own, *shared]
        parsed.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        parsed.__annotations__ = {one.name: one.annotation for one in parameters}
        return parsed

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
    """Print what is left of the result, and return the exit code."""
    failures = result.all_failures
    worst = min(failures, key=lambda failure: PRECEDENCE.index(failure.error.exit_code), default=None)
    context.reporter.finish(result.outcomes, worst)
    if result.next_command is not None:
        context.reporter.say(f"  {result.next_command}")
    codes = [failure.error.exit_code for failure in failures]
    # Only now has stdout been given everything.
    if (full := context.reporter.stdout.failure) is not None:
        # stdout did not take the result, but it can be had again.
        left = [one.operation for one in result.outcomes if not one.operation.is_done]
        hint = context.failures.resume_command(*left) if left else None
        context.reporter.fail(Failure(full, None, hint))
        codes.append(full.exit_code)
    return min(codes, key=PRECEDENCE.index, default=result.exit_code)


def _report_end(context: CommandContext, error: SeedreamError) -> Failure:
    """Report the error that ends the call, and how to resume what is unfinished."""
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
    """Return one of our errors for whatever a command raised. An unforeseen one is a bug."""
    if isinstance(problem, SeedreamError):
        return problem
    if context.options.verbose:
        for line in _without_key(context, "".join(traceback.format_exception(problem))).splitlines():
            context.reporter.say(line)
    if isinstance(problem, OSError) and problem.errno in _OUT_OF_RESOURCES:
        what = f" ({problem.filename})" if problem.filename else ""
        return NotSaved(f"system error: {problem.strerror}{what}", code="system")
    return SeedreamError(
        f"unforeseen {type(problem).__name__}: {_without_key(context, str(problem))[:200]}",
        code="unforeseen",
        detail="This is a bug: please report it with what the same command prints with --verbose.",
    )


def _without_key(context: CommandContext, text: str) -> str:
    """Mask the key in the text of an exception."""
    from ..text import redact

    # Nothing more is resolved here: that may be what has just failed.
    keys = [vars(context).get("api_key"), *map(os.environ.get, SETTINGS["api_key"].variables)]
    for key in keys:
        text = redact(text, key)
    return text


def _stopped_message(unfinished: Sequence[Operation]) -> str:
    tasks = [operation for operation in unfinished if operation.task_id]
    unanswered = [operation for operation in unfinished if not operation.task_id]
    which = unanswered[0].id if len(unanswered) == 1 else f"{len(unanswered)} requests"
    verb = "was" if len(unanswered) == 1 else "were"
    if not tasks:
        same = "resuming sends the same request, with the same key"
        return f"stopped before {which} {verb} answered; {same}"
    go_on = f"{tasks[0].task_id} goes" if len(tasks) == 1 else f"{len(tasks)} tasks go"
    rest = f", {which} {verb} not answered yet" if unanswered else ""
    return f"stopped; {go_on} on at the service{rest}, nothing is lost"


def refuse(error: SeedreamError, arguments: Sequence[str]) -> ExitCode:
    """Report a command line that could not be parsed, as JSON if it asked for that."""
    before_dashes = arguments[: arguments.index("--")] if "--" in arguments else arguments
    presenter = _PRESENTERS_WITHOUT_TASKS.get(arguments[0] if arguments else "", SavedImages)()
    quiet = reporter(
        presenter, json="--json" in before_dashes, quiet=True, verbose=False, environment=os.environ
    )
    failure = Failure(error, None, error.hint)
    quiet.fail(failure)
    quiet.finish([], failure)
    return error.exit_code
