"""The context of one call: its options, and its resources, each created when it is first used."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from ..errors import HistoryUnusable, SeedreamError, UsageError
from ..events import Event, HttpCall, TaskFinished
from ..models import Operation
from ..output import reporter
from ..output.outcome import Failure
from ..output.presenters import Presenter
from ..settings import locations, resolve
from ..urls import is_loopback
from ._failures import FailureBuilder
from ._hints import NextCommand
from ._options import Options, ServiceOptions, TaskOptions
from ._signals import Shutdown
from ._tracker import TaskTracker

if TYPE_CHECKING:
    from ..api.client import Client
    from ..files.output_path import OutputTemplate
    from ..history.request_bodies import RequestBodyStore
    from ..history.store import History
    from ..tasks.context import TaskContext

#: Seconds to wait by default for a task of this quality: a 4K task may take minutes.
_TIMEOUT_OF_QUALITY = {"4K": 300.0}


class CommandContext:
    """The options, settings and resources of one call, and the state of its tasks.

    ``flags`` are the settings given as options, by name. ``overwrite``: images may replace files.
    """

    def __init__(
        self,
        options: Options,
        presenter: Presenter,
        *,
        flags: Mapping[str, str | None],
        overwrite: bool = False,
    ) -> None:
        self.options = options
        self.sandboxed = isinstance(options, TaskOptions) and options.sandbox
        self.reporter = reporter(
            presenter, json=options.json, quiet=options.quiet, verbose=options.verbose, environment=os.environ
        )
        self.shutdown = Shutdown()
        self.next = NextCommand(options, overwrite=overwrite)
        self.tracker = TaskTracker()
        self.failures = FailureBuilder(self.next, key_origin=self._key_origin, is_known=self._is_known)
        #: Failures that do not belong to an operation, such as those of the images of `sync`.
        self.other_failures: list[Failure] = []
        #: The file whose [defaults] apply to this call; None: seedream.toml in the current folder.
        self.project: Path | None = None
        self._flags = flags
        self._resources = ExitStack()
        self._placed: set[Path] = set()

    @cached_property
    def settings(self) -> resolve.Settings:
        shared = self.options.flags() if isinstance(self.options, ServiceOptions) else {}
        flags = {**shared, **self._flags}
        settings = resolve.load(profile=self.options.profile, flags=flags, project=self.project)
        for notice in settings.notices:
            self.reporter.notice(notice)
        return settings

    @cached_property
    def service(self) -> str:
        """Return the name of the service in use, under which the history keeps its operations."""
        if self.sandboxed:
            if self.settings.flags.get("base_url") is not None:
                raise UsageError("--sandbox and --base-url name two services: choose one")
            return locations.SANDBOX_SERVICE
        return resolve.service_of(self.settings.value("base_url"))

    @property
    def service_is_local(self) -> bool:
        """Return True if the API is on this machine."""
        return self.sandboxed or is_loopback(urlsplit(self.settings.value("base_url")).hostname or "")

    @cached_property
    def history(self) -> History:
        from ..history.store import History

        history = History(Path(locations.history_path()), now=time.time)
        self._resources.callback(history.close)
        return history

    @cached_property
    def api_key(self) -> str:
        return locations.SANDBOX_SERVICE if self.sandboxed else self.settings.api_key(read_stdin)

    @cached_property
    def client(self) -> Client:
        from ..api.client import Client

        # Evaluated first, because it refuses contradicting options.
        service = self.service
        base_url = self._start_sandbox() if self.sandboxed else self.settings.value("base_url")
        client = Client(base_url, self.api_key, observe=self._trace_http_call)
        self._close_at_end(client.close)
        self.reporter.service = (
            "the sandbox" if service == locations.SANDBOX_SERVICE else urlsplit(base_url).netloc
        )
        return client

    @cached_property
    def bodies(self) -> RequestBodyStore:
        from ..history.request_bodies import RequestBodyStore

        return RequestBodyStore(Path(locations.state_folder(), "bodies"))

    def work(
        self, *, output: OutputTemplate | None = None, overwrite: bool = False, quality: str | None = None
    ) -> TaskContext:
        """Return the context of the tasks of this call, built from the settings."""
        from ..tasks.context import TaskContext

        timeout = self.settings.get("timeout")
        default = _TIMEOUT_OF_QUALITY.get(quality or "") if timeout.origin == "default" else None
        return TaskContext(
            client=self.client,
            history=self.history,
            timeout=default or timeout.value,
            poll_interval=self.settings.value("poll_interval"),
            max_bytes=self.settings.value("max_bytes"),
            pause=self.shutdown.pause,
            bodies=self.bodies,
            output=output,
            overwrite=overwrite,
            deliver=self.reporter.stdout.file,
            scratch=self._scratch if output is not None and output.stdout else Path(os.curdir),
            placed=self._placed,
            key_id=resolve.fingerprint(self.api_key),
            shield=self.shutdown.defer_signals,
            on_event=self.handle,
        )

    def handle(self, event: Event) -> None:
        """Report one event, and remember how each operation ended."""
        if not isinstance(event, TaskFinished):
            self.tracker.update(event.operation)
            self.reporter.handle(event)
            return
        # A signal must not cut off the report, which ends with the command that resumes the operation.
        with self.shutdown.defer_signals():
            error, operation = event.error, event.operation
            failure = self.failures.for_operation(error, operation) if error is not None else None
            self.tracker.end(operation, failure)
            self.reporter.handle(event)
            if failure is not None and not self._is_result(failure):
                self.reporter.fail(failure)

    def end(self, operation: Operation, error: SeedreamError | None = None) -> TaskFinished:
        """Report the end of an operation that needs no work."""
        ended = TaskFinished(operation, error)
        self.handle(ended)
        return ended

    def fail_part(self, failure: Failure) -> None:
        """Report the failure of a part of the call; the call continues."""
        self.other_failures.append(failure)
        self.reporter.fail(failure)

    def close(self) -> None:
        self._resources.close()

    def _is_result(self, failure: Failure) -> bool:
        return failure.task_id is not None and self.reporter.presenter.is_result(failure.error)

    def _key_origin(self) -> str:
        return (self.settings.api_key_source or ("", ""))[1]

    def _is_known(self, operation: Operation) -> bool:
        try:
            # A worker that a signal left behind may hold the history for as long as another program does. The
            # task is in it, unless recording it failed.
            if self.shutdown.is_requested and self.history.is_in_use:
                return True
            return self.history.find(operation.service, operation.task_id or "") is not None
        except HistoryUnusable:
            return False

    def _trace_http_call(self, exchange: HttpCall) -> None:
        self.reporter.trace(exchange)

    @cached_property
    def _scratch(self) -> Path:
        """Return a private folder of this call, for images on their way to stdout."""
        return Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="seedream-")))

    def _start_sandbox(self) -> str:
        """Start the fake API inside this process and return its base URL."""
        from ._embedded_sandbox import embedded

        sandbox = embedded()
        self._close_at_end(sandbox.close)
        sandbox.start()
        return sandbox.base_url

    def _close_at_end(self, close: Callable[[], None]) -> None:
        """Close something that threads use, unless a signal ends the program.

        They may then still wait at its connections, or draw: all of that ends with the process.
        """
        self._resources.callback(lambda: None if self.shutdown.is_requested else close())


def read_bytes_of_stdin(most: int = -1) -> bytes:
    """Read stdin, at most ``most`` bytes. Raises UsageProblem if it is closed."""
    if sys.stdin is None:
        raise UsageError("stdin is closed")
    return sys.stdin.buffer.read(most)


def read_stdin() -> str:
    """Read all of stdin as text. Raises UsageProblem if it is closed or not UTF-8."""
    try:
        return read_bytes_of_stdin().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("stdin is not UTF-8 text") from None
