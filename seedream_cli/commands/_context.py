"""The context of one call: its options, settings and resources, each created on first use."""

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
from ..events import Event, TaskFinished
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

#: Default timeout in seconds of qualities that need more than the default of the setting.
#: A 4K task may take minutes.
_DEFAULT_TIMEOUT_BY_QUALITY = {"4K": 300.0}


class CommandContext:
    """The options, settings and resources of one call, and the state of its tasks.

    ``flags`` maps the name of a setting to its value on the command line. ``overwrite``: images may replace
    existing files.
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
        #: Failures without an operation, such as those of the images of `sync`.
        self.other_failures: list[Failure] = []
        #: The manifest whose [defaults] apply to this call. None: seedream.toml in the current folder.
        self.project: Path | None = None
        self._flags = flags
        self._resources = ExitStack()
        self._placed: set[Path] = set()

    @cached_property
    def settings(self) -> resolve.Settings:
        service_flags = self.options.flags() if isinstance(self.options, ServiceOptions) else {}
        flags = {**service_flags, **self._flags}
        settings = resolve.load(profile=self.options.profile, flags=flags, project=self.project)
        for notice in settings.notices:
            self.reporter.notice(notice)
        return settings

    @cached_property
    def service(self) -> str:
        """Return the name of the service in use. The history stores operations under it."""
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

        # Evaluated first, because it rejects options that contradict each other.
        service = self.service
        base_url = self._start_sandbox() if self.sandboxed else self.settings.value("base_url")
        client = Client(base_url, self.api_key, observe=self.reporter.trace)
        self._close_at_end(client.close)
        self.reporter.service = (
            "the sandbox" if service == locations.SANDBOX_SERVICE else urlsplit(base_url).netloc
        )
        return client

    @cached_property
    def bodies(self) -> RequestBodyStore:
        from ..history.request_bodies import RequestBodyStore

        return RequestBodyStore(Path(locations.state_folder(), "bodies"))

    def make_task_context(
        self, *, output: OutputTemplate | None = None, overwrite: bool = False, quality: str | None = None
    ) -> TaskContext:
        """Build the context of the tasks of this call from its settings."""
        from ..tasks.context import TaskContext

        timeout = self.settings.get("timeout")
        longer = _DEFAULT_TIMEOUT_BY_QUALITY.get(quality or "") if timeout.origin == "default" else None
        return TaskContext(
            client=self.client,
            history=self.history,
            timeout=longer or timeout.value,
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
        """Report one event, and track the state of its operation."""
        if not isinstance(event, TaskFinished):
            self.tracker.update(event.operation)
            self.reporter.handle(event)
            return
        # A signal must not interrupt the report, which ends with the command that resumes the operation.
        with self.shutdown.defer_signals():
            error, operation = event.error, event.operation
            failure = self.failures.for_operation(error, operation) if error is not None else None
            self.tracker.end(operation, failure)
            self.reporter.handle(event)
            if failure is None:
                return
            # `status` prints an unfinished task as its result, so do not also report it as an error.
            if failure.task_id is None or not self.reporter.presenter.is_result(failure.error):
                self.reporter.fail(failure)

    def end(self, operation: Operation, error: SeedreamError | None = None) -> TaskFinished:
        """Report the end of an operation that needs no call of the API."""
        ended = TaskFinished(operation, error)
        self.handle(ended)
        return ended

    def fail_part(self, failure: Failure) -> None:
        """Report the failure of one part of the call. The call continues."""
        self.other_failures.append(failure)
        self.reporter.fail(failure)

    def close(self) -> None:
        self._resources.close()

    def _key_origin(self) -> str:
        return (self.settings.api_key_source or ("", ""))[1]

    def _is_known(self, operation: Operation) -> bool:
        try:
            # After a signal, do not wait for the history: a worker thread may hold it, and itself wait for
            # another process. Assume that the task was recorded.
            if self.shutdown.is_requested and self.history.is_in_use:
                return True
            return self.history.find(operation.service, operation.task_id or "") is not None
        except HistoryUnusable:
            return False

    @cached_property
    def _scratch(self) -> Path:
        """Return a private temporary folder for the images that are written to stdout."""
        return Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="seedream-")))

    def _start_sandbox(self) -> str:
        """Start the fake API inside this process and return its base URL."""
        from ._embedded_sandbox import sandbox_from_environment

        sandbox = sandbox_from_environment()
        self._close_at_end(sandbox.close)
        sandbox.start()
        return sandbox.base_url

    def _close_at_end(self, close: Callable[[], None]) -> None:
        """Close a resource that threads use at the end of the call, unless a signal ended it.

        After a signal, worker threads may still wait on its connections, and end with the process.
        """
        self._resources.callback(lambda: None if self.shutdown.is_requested else close())


def read_bytes_of_stdin(most: int = -1) -> bytes:
    """Read stdin, at most ``most`` bytes. Raises UsageError if it is closed."""
    if sys.stdin is None:
        raise UsageError("stdin is closed")
    return sys.stdin.buffer.read(most)


def read_stdin() -> str:
    """Read all of stdin as text. Raises UsageError if it is closed or not UTF-8."""
    try:
        return read_bytes_of_stdin().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageError("stdin is not UTF-8 text") from None
