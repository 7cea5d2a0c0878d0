"""Wires settings, client, history and reporter for one call, and turns its errors into an exit code."""

from __future__ import annotations

import os
import shlex
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import typer

from .. import config
from ..errors import PRECEDENCE, ExitCode, SeedreamError, Stopped, UsageProblem
from ..events import Ended, Event
from ..models import Operation
from ..output import reporter
from ..output.plain import Kind
from ..output.report import Failure
from ._options import Options, ServiceOptions, TaskOptions
from ._signals import Stop, obeyed

if TYPE_CHECKING:
    from ..client import Client
    from ..history import History
    from ..jobs import Work
    from ..naming import Output

#: A 4K task may take minutes.
_TIMEOUT_OF_QUALITY = {"4K": 300.0}


#: Commands whose documents have no tasks.
_WITHOUT_TASKS = ("config", "sandbox")


class Session:
    """One call of the program. Client, history and sandbox are made when they are first used."""

    def __init__(self, options: Options, kind: Kind, flags: Mapping[str, str | None]) -> None:
        self.options = options
        self.sandboxed = isinstance(options, TaskOptions) and options.sandbox
        self.reporter = reporter(
            kind, json=options.json, quiet=options.quiet, verbose=options.verbose, environment=os.environ
        )
        self._flags = flags
        self.stop = Stop()
        self._resources = ExitStack()
        self._outcomes: dict[str, tuple[Operation, Failure | None]] = {}
        self._failure: Failure | None = None

    @cached_property
    def settings(self) -> config.Settings:
        shared = self.options.flags() if isinstance(self.options, ServiceOptions) else {}
        settings = config.load(profile=self.options.profile, flags={**shared, **self._flags})
        for notice in settings.notices:
            self.reporter.notice(notice)
        return settings

    @cached_property
    def service(self) -> str:
        """The name of the service in use, as the history has it."""
        if self.sandboxed:
            if self.settings.flags.get("base_url") is not None:
                raise UsageProblem("--sandbox and --base-url name two services: choose one")
            return config.SANDBOX_SERVICE
        return config.service_of(self.settings.value("base_url"))

    @cached_property
    def history(self) -> History:
        from ..history import History

        history = History(config.state_folder() / "history.sqlite3", now=time.time)
        self._resources.callback(history.close)
        return history

    @cached_property
    def api_key(self) -> str:
        return config.SANDBOX_SERVICE if self.sandboxed else self.settings.api_key(read_stdin)

    @cached_property
    def client(self) -> Client:
        from ..client import Client

        # The name is settled first: it refuses what contradicts itself.
        where = self.service
        base_url = self._sandbox() if self.sandboxed else self.settings.value("base_url")
        client = Client(base_url, self.api_key, observe=self.reporter.trace)
        self._resources.callback(client.close)
        self.reporter.service = (
            "the sandbox" if where == config.SANDBOX_SERVICE else urlsplit(base_url).netloc
        )
        return client

    def work(
        self, *, output: Output | None = None, overwrite: bool = False, quality: str | None = None
    ) -> Work:
        """What jobs work with, from the settings."""
        from ..jobs import Work

        timeout = self.settings.get("timeout")
        patience = _TIMEOUT_OF_QUALITY.get(quality or "") if timeout.origin == "default" else None
        return Work(
            client=self.client,
            history=self.history,
            timeout=patience or timeout.value,
            poll_interval=self.settings.value("poll_interval"),
            max_bytes=self.settings.value("max_bytes"),
            pause=self.stop.pause,
            output=output,
            overwrite=overwrite,
            deliver=self.reporter.answer.file,
            scratch=Path(tempfile.gettempdir()),
        )

    def report(self, events: Iterable[Event]) -> None:
        """Show events as they come, and keep how each operation ended."""
        for event in events:
            operation, failure = event.operation, None
            if isinstance(event, Ended) and event.error is not None:
                failure = self._failed(event.error, operation)
            self._outcomes[operation.id] = (operation, failure)
            self.reporter.handle(event)
            if failure is not None and not self._is_answer(failure):
                self.reporter.fail(failure)

    def resume_command(self, *operations: Operation) -> str:
        """The command that carries these operations on, with this call's choice of service."""
        tasks = [operation.task_id for operation in operations if operation.task_id]
        if tasks:
            words = ["seedream", "download", *(["--"] if tasks[0].startswith("-") else []), *tasks]
        else:
            words = ["seedream", "generate", "--resume", operations[0].id]
        return shlex.join([*words[:2], *self._choice_of_service(), *words[2:]])

    def _choice_of_service(self) -> list[str]:
        words = ["--profile", self.options.profile] if self.options.profile else []
        if self.sandboxed:
            words.append("--sandbox")
        elif isinstance(self.options, ServiceOptions):
            for name, value in self.options.flags().items():
                words += [f"--{name.replace('_', '-')}", value] if value is not None else []
        return words

    def _failed(self, error: SeedreamError, operation: Operation | None = None) -> Failure:
        """The error with the next command: its own remedy, then what carries the operation on."""
        commands = [error.hint] if error.hint else []
        if operation is not None and operation.task_id and error.exit_code == ExitCode.NOT_FOUND:
            # What does not exist cannot be resumed; the list has what does.
            commands.append(shlex.join(["seedream", "status", *self._choice_of_service()]))
        elif operation is not None and not operation.settled:
            commands.append(self.resume_command(operation))
        return Failure(error, operation, " && ".join(commands) or None)

    def _is_answer(self, failure: Failure) -> bool:
        """`status` tells these states on stdout: they are what was asked for, not a failure to answer."""
        told = failure.operation is not None and failure.operation.task_id is not None
        return (
            told
            and self.reporter.kind == "states"
            and failure.error.exit_code in (ExitCode.PENDING, ExitCode.TASK_FAILED)
        )

    def fail(self, error: SeedreamError) -> None:
        """An error that ends the call."""
        self._failure = self._failed(error)
        if isinstance(error, Stopped):
            self._failure = self._stopped(error)
        self.reporter.fail(self._failure)

    def _stopped(self, error: Stopped) -> Failure:
        """Tell what goes on without us, and how to come back to it."""
        left = [operation for operation, failure in self._outcomes.values() if not operation.settled]
        if not left:
            return Failure(error)
        tasks = [operation for operation in left if operation.task_id]
        if len(tasks) > 1:
            error.message = f"stopped; {len(tasks)} tasks go on at the service, nothing is lost"
        elif tasks:
            error.message = f"stopped; {tasks[0].task_id} goes on at the service, nothing is lost"
        else:
            error.message = f"stopped before {left[0].id} was answered; sending it again is safe"
        for operation in left:
            self._outcomes[operation.id] = (operation, self._failed(error, operation))
        return Failure(error, left[0] if len(left) == 1 else None, self.resume_command(*(tasks or left[:1])))

    def crash(self, error: Exception) -> None:
        """A bug: one line and how to report it, the traceback only where it was asked for."""
        if self.options.verbose:
            for line in "".join(traceback.format_exception(error)).splitlines():
                self.reporter.say(line)
        unforeseen = SeedreamError(
            f"unforeseen {type(error).__name__}: {str(error)[:200]}",
            code="unforeseen",
            detail="This is a bug: please report it with what the same command prints with --verbose.",
        )
        self.fail(unforeseen)

    def finish(self) -> ExitCode:
        """Close what was opened, print the end of the answer, and tell the exit code."""
        try:
            failures = [failure for _, failure in self._outcomes.values() if failure is not None]
            if self._failure is not None:
                failures.append(self._failure)
            worst = min(failures, key=lambda failure: PRECEDENCE.index(failure.error.exit_code), default=None)
            self.reporter.finish(list(self._outcomes.values()), worst)
            # Only now has stdout been given everything.
            if (full := self.reporter.answer.failure) is not None:
                self.reporter.fail(Failure(full))
                failures.append(Failure(full))
            return min(
                (failure.error.exit_code for failure in failures), key=PRECEDENCE.index, default=ExitCode.OK
            )
        finally:
            self._resources.close()

    def _sandbox(self) -> str:
        """Start the stand-in of the API inside this process; its base URL."""
        from ._sandbox import embedded

        return self._resources.enter_context(embedded()).base_url


@contextmanager
def session(
    options: Options, *, kind: Kind = "paths", flags: Mapping[str, str | None] | None = None
) -> Iterator[Session]:
    """One call of the program, from its options to its exit code (raised as typer.Exit)."""
    run = Session(options, kind, flags or {})
    with obeyed(run.stop):
        try:
            yield run
        except SeedreamError as error:
            run.fail(error)
        except KeyboardInterrupt:
            run.fail(Stopped())
        except Exception as error:
            run.crash(error)
        code = run.finish()
    raise typer.Exit(code)


def refuse(error: SeedreamError, arguments: list[str]) -> ExitCode:
    """Report a command line that could not be understood, in the form that it asked for."""
    before_dashes = arguments[: arguments.index("--")] if "--" in arguments else arguments
    kind: Kind = "values" if arguments and arguments[0] in _WITHOUT_TASKS else "paths"
    quiet = reporter(kind, json="--json" in before_dashes, quiet=True, verbose=False, environment=os.environ)
    failure = Failure(error, None, error.hint)
    quiet.fail(failure)
    quiet.finish([], failure)
    return error.exit_code


def read_stdin() -> str:
    """All of stdin as text. Raises UsageProblem where it is no UTF-8 or there is none."""
    if sys.stdin is None:
        raise UsageProblem("stdin is closed")
    try:
        return sys.stdin.buffer.read().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageProblem("stdin is not UTF-8 text") from None
