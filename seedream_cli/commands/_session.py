"""Carries one call from its events to its exit code; every error is told here, once, with what to do next."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from typing import Any

import typer

from ..errors import (
    PRECEDENCE,
    AuthenticationProblem,
    ExitCode,
    HistoryUnusable,
    KeyringUnusable,
    NotSaved,
    SeedreamError,
    Stopped,
)
from ..events import Ended, Event, Exchange
from ..models import Operation
from ..output import reporter
from ..output.plain import Kind
from ..output.report import Failure
from ..output.text import clean
from ..settings import KEYS
from ._ci import key_settings
from ._means import Means
from ._next import Next
from ._options import Options
from ._signals import obeyed

#: What a machine answers that is out of means; nothing is wrong with the program.
_OUT_OF_MEANS = {
    *(errno.EMFILE, errno.ENFILE, errno.ENOSPC, errno.EFBIG, errno.EIO, errno.EROFS, errno.ENOMEM),
    getattr(errno, "EDQUOT", errno.ENOSPC),
}

#: Commands whose documents have no tasks.
_KINDS_WITHOUT_TASKS: Mapping[str, Kind] = {
    **dict.fromkeys(("config", "sandbox", "completion", "help"), "values"),
    "sync": "images",
}


class Session(Means):
    """One call of the program: its means, what becomes of its operations, and its exit code."""

    def __init__(self, options: Options, kind: Kind, flags: Mapping[str, str | None]) -> None:
        super().__init__(options, kind, flags)
        #: Operations of this call, in their order, and how each fell short; those that came to their end.
        self._outcomes: dict[str, tuple[Operation, Failure | None]] = {}
        self._ended: set[str] = set()
        #: An unfinished task is what stdout was to tell, not a failure to tell.
        self.told_by_answer = True
        #: The exit code of a command that does not end by itself.
        self.ends_with: ExitCode | None = None
        self._failure: Failure | None = None
        #: How what is no operation of this call fell short.
        self._others: list[Failure] = []

    def expect(self, operations: Iterable[Operation]) -> None:
        """These are about to be worked on: whatever ends the call tells how to come back to each."""
        for operation in operations:
            self._outcomes[operation.id] = (operation, None)

    def report(self, events: Generator[Event | Exchange, None, None] | Generator[Event, None, None]) -> None:
        """Show events as they come, and keep how each operation ended."""
        # Whatever ends this ends the work behind it too, with what it has open.
        with closing(events):
            for event in events:
                self.take(event)

    def take(self, event: Event | Exchange) -> None:
        """Show one of them."""
        if isinstance(event, Exchange):
            self.reporter.trace(event)
        elif isinstance(event, Ended):
            # How an operation ended is told whole, with the command that carries it on.
            with self.stop.shield():
                self._note(event)
        else:
            self._note(event)

    def _note(self, event: Event) -> None:
        operation, failure = event.operation, None
        if isinstance(event, Ended):
            self._ended.add(operation.id)
            failure = self._failed(event.error, operation) if event.error is not None else None
        self._outcomes[operation.id] = (operation, failure)
        self.reporter.handle(event)
        if failure is not None and not self._is_answer(failure):
            self.reporter.fail(failure)

    @property
    def next(self) -> Next:
        """Commands to run next, with this call's choice of service."""
        return Next(self.options, overwrite=self.overwrite)

    def remedy(self, error: SeedreamError) -> str | None:
        """The command that helps against the error itself."""
        if not isinstance(error, AuthenticationProblem) or isinstance(error, KeyringUnusable):
            return self.next.remedy(error)
        return None if self._key_settings(error) else self.next.store_key(self._key_origin)

    @property
    def _key_origin(self) -> str:
        return (self.settings.key_place or ("", ""))[1]

    def _key_settings(self, error: SeedreamError) -> Sequence[str]:
        return key_settings(os.environ, self._key_origin) if isinstance(error, AuthenticationProblem) else ()

    def failure(
        self, error: SeedreamError, operation: Operation | None, hint: str | None, **more: Any
    ) -> Failure:
        """The error with what to do about it, which is not only commands where keys are a CI service's."""
        return Failure(error, operation, hint, settings=self._key_settings(error), **more)

    def _resume(self, *operations: Operation, error: SeedreamError | None = None) -> str:
        """The command that carries these operations on, to the same place."""
        output = self._place_of(operations[0]) if len(operations) == 1 else None
        return self.next.resume(*operations, error=error, output=output)

    def _place_of(self, operation: Operation) -> str | None:
        """Where the images go, if a command has to say so.

        That is for a task that the history does not know: it is another machine's, or its answer could not
        be recorded. A name that is taken, or that a message cannot show as it is, is left out.
        """
        from ..naming import parse_output

        if operation.task_id is None or operation.output == parse_output(None, cwd=os.getcwd()).template:
            return None
        try:
            known = self.history.find(operation.service, operation.task_id) is not None
        except HistoryUnusable:
            known = False
        shows = operation.output == clean(operation.output)
        return operation.output if shows and not known and not os.path.lexists(operation.output) else None

    def _failed(self, error: SeedreamError, operation: Operation | None = None) -> Failure:
        """The error with the next command: its own remedy, then what carries the operation on."""
        commands = [remedy] if (remedy := self.remedy(error)) else []
        if operation is not None and operation.request is None and error.exit_code == ExitCode.NOT_FOUND:
            # What does not exist cannot be resumed; the list has what does.
            commands.append(self.next.command("status"))
        elif operation is not None and _can_be_resumed(operation, error):
            commands.append(self._resume(operation, error=error))
        return self.failure(error, operation, " && ".join(commands) or None)

    def _is_answer(self, failure: Failure) -> bool:
        """`status` tells these states on stdout: they are what was asked for, not a failure to answer."""
        if self.reporter.kind != "states" or failure.task_id is None:
            return False
        if failure.error.exit_code == ExitCode.PENDING:
            return self.told_by_answer
        return failure.error.exit_code == ExitCode.TASK_FAILED

    def fail(self, error: SeedreamError) -> None:
        """An error that ends the call: tell it, and how to come back to what was not finished by then."""
        left = [
            operation
            for operation, failure in self._outcomes.values()
            if not operation.over and (failure is not None or operation.id not in self._ended)
        ]
        tasks = [operation for operation in left if operation.task_id]
        unanswered = [operation for operation in left if not operation.task_id]
        if isinstance(error, Stopped) and left:
            error.message = _stopped_at(tasks, unanswered)
        for operation in left:
            if operation.id not in self._ended:
                self._outcomes[operation.id] = (operation, self._failed(error, operation))
        commands = [remedy] if (remedy := self.remedy(error)) else []
        if tasks:
            commands.append(self._resume(*tasks))
        commands += [self._resume(operation) for operation in unanswered]
        only = left[0] if len(left) == 1 else None
        self._failure = self.failure(error, only, " && ".join(commands) or None)
        self.reporter.fail(self._failure)

    def fell_short(self, failure: Failure) -> None:
        """Part of the call fell short, and the call goes on."""
        self._others.append(failure)
        self.reporter.fail(failure)

    def crash(self, error: Exception) -> None:
        """A bug: one line and how to report it."""
        self._trace(error)
        unforeseen = SeedreamError(
            f"unforeseen {type(error).__name__}: {self._without_key(str(error))[:200]}",
            code="unforeseen",
            detail="This is a bug: please report it with what the same command prints with --verbose.",
        )
        self.fail(unforeseen)

    def _trace(self, error: Exception) -> None:
        """The traceback, where it was asked for."""
        if self.options.verbose:
            for line in self._without_key("".join(traceback.format_exception(error))).splitlines():
                self.reporter.say(line)

    def _without_key(self, text: str) -> str:
        """The text of an exception, which may hold what was in someone's hands."""
        from ..received import masked

        # Nothing more is resolved here: that may be what has just failed.
        keys = [vars(self).get("api_key"), *map(os.environ.get, KEYS["api_key"].variables)]
        for key in keys:
            text = masked(text, key)
        return text

    def conclude(self, problem: Exception | None) -> None:
        """Tell what ended the call before its work was done."""
        if isinstance(problem, SeedreamError):
            self.fail(problem)
        elif isinstance(problem, OSError) and problem.errno in _OUT_OF_MEANS:
            what = f" ({problem.filename})" if problem.filename else ""
            reason = f"the system does not let the program go on: {problem.strerror}{what}"
            self._trace(problem)
            self.fail(NotSaved(reason, code="system"))
        elif problem is not None:
            self.crash(problem)

    def finish(self) -> ExitCode:
        """Close what was opened, print the end of the answer, and tell the exit code."""
        try:
            failures = [failure for _, failure in self._outcomes.values() if failure is not None]
            failures += self._others
            if self._failure is not None:
                failures.append(self._failure)
            worst = min(failures, key=lambda failure: PRECEDENCE.index(failure.error.exit_code), default=None)
            self.reporter.finish(list(self._outcomes.values()), worst)
            if self.reporter.kind == "ids" and (submitted := self._submitted()):
                # Nobody waits for them: this is how to come back.
                self.reporter.say(f"  {self._resume(*submitted)}")
            # Only now has stdout been given everything.
            if (full := self.reporter.answer.failure) is not None:
                self._fail_for_stdout(full)
                failures.append(Failure(full))
            codes = [failure.error.exit_code for failure in failures]
            return min(codes, key=PRECEDENCE.index, default=self.ends_with or ExitCode.OK)
        finally:
            self.close()

    def _submitted(self) -> list[Operation]:
        return [one for one, failure in self._outcomes.values() if one.task_id and failure is None]

    def _fail_for_stdout(self, full: SeedreamError) -> None:
        """Stdout did not take the answer: what was to be in it can be had again."""
        left = [operation for operation, _ in self._outcomes.values() if not operation.settled]
        self.reporter.fail(Failure(full, None, self._resume(*left) if left else None))


@contextmanager
def session(
    options: Options, *, kind: Kind = "paths", flags: Mapping[str, str | None] | None = None
) -> Iterator[Session]:
    """One call of the program, from its options to its exit code (raised as typer.Exit)."""
    run = Session(options, kind, flags or {})
    problem: Exception | None = None
    with obeyed(run.stop):
        try:
            yield run
        except KeyboardInterrupt:
            problem = Stopped()
        except Exception as error:
            problem = error
        run.stop.answering = True
        run.conclude(problem)
        code = run.finish()
    raise typer.Exit(code)


def _can_be_resumed(operation: Operation, error: SeedreamError) -> bool:
    """Whether a command carries the operation on from where ``error`` left it."""
    if operation.task_id is None and isinstance(error, HistoryUnusable):
        # What the history could not take was not sent.
        return False
    return not operation.over and error.code != "source_images_gone"


def _stopped_at(tasks: list[Operation], unanswered: list[Operation]) -> str:
    which = unanswered[0].id if len(unanswered) == 1 else f"{len(unanswered)} requests"
    verb = "was" if len(unanswered) == 1 else "were"
    if not tasks:
        same = "resuming sends the same request, with the same key"
        return f"stopped before {which} {verb} answered; {same}"
    go_on = f"{tasks[0].task_id} goes" if len(tasks) == 1 else f"{len(tasks)} tasks go"
    rest = f", {which} {verb} not answered yet" if unanswered else ""
    return f"stopped; {go_on} on at the service{rest}, nothing is lost"


def refuse(error: SeedreamError, arguments: list[str]) -> ExitCode:
    """Report a command line that could not be understood, in the form that it asked for."""
    before_dashes = arguments[: arguments.index("--")] if "--" in arguments else arguments
    kind = _KINDS_WITHOUT_TASKS.get(arguments[0], "paths") if arguments else "paths"
    quiet = reporter(kind, json="--json" in before_dashes, quiet=True, verbose=False, environment=os.environ)
    failure = Failure(error, None, error.hint)
    quiet.fail(failure)
    quiet.finish([], failure)
    return error.exit_code
