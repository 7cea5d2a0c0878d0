"""What one call of the program works with, each made when it is first used."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from .. import config
from ..addresses import is_loopback
from ..errors import UsageProblem
from ..output import reporter
from ..output.plain import Kind
from ._options import Options, ServiceOptions, TaskOptions
from ._signals import Stop

if TYPE_CHECKING:
    from ..bodies import Bodies
    from ..client import Client
    from ..history import History
    from ..jobs import Work
    from ..naming import Output

#: A 4K task may take minutes.
_TIMEOUT_OF_QUALITY = {"4K": 300.0}


class Means:
    """The means of one call, from its options; ``close`` gives back what was opened."""

    def __init__(self, options: Options, kind: Kind, flags: Mapping[str, str | None]) -> None:
        self.options = options
        self.sandboxed = isinstance(options, TaskOptions) and options.sandbox
        self.reporter = reporter(
            kind, json=options.json, quiet=options.quiet, verbose=options.verbose, environment=os.environ
        )
        self.stop = Stop()
        #: Who is told of each HTTP call.
        self.observe = self.reporter.trace
        #: The file whose [defaults] are settings of this call; None: the one of the current folder.
        self.project: Path | None = None
        #: Whether images may replace files, once there is work.
        self.overwrite = False
        self._flags = flags
        self._resources = ExitStack()
        self._placed: set[Path] = set()

    @cached_property
    def settings(self) -> config.Settings:
        shared = self.options.flags() if isinstance(self.options, ServiceOptions) else {}
        flags = {**shared, **self._flags}
        settings = config.load(profile=self.options.profile, flags=flags, project=self.project)
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

    @property
    def service_is_local(self) -> bool:
        """Whether the API is on this machine."""
        return self.sandboxed or is_loopback(urlsplit(self.settings.value("base_url")).hostname or "")

    @cached_property
    def history(self) -> History:
        from ..history import History

        history = History(config.history_path(), now=time.time)
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
        client = Client(base_url, self.api_key, observe=lambda exchange: self.observe(exchange))
        # After a signal, worker threads may still wait at its connections, which end with the process.
        self._resources.callback(lambda: None if self.stop.asked else client.close())
        self.reporter.service = (
            "the sandbox" if where == config.SANDBOX_SERVICE else urlsplit(base_url).netloc
        )
        return client

    @cached_property
    def bodies(self) -> Bodies:
        from ..bodies import Bodies

        return Bodies(config.state_folder() / "bodies")

    def work(
        self, *, output: Output | None = None, overwrite: bool = False, quality: str | None = None
    ) -> Work:
        """What jobs work with, from the settings."""
        from ..jobs import Work

        self.overwrite = overwrite
        timeout = self.settings.get("timeout")
        patience = _TIMEOUT_OF_QUALITY.get(quality or "") if timeout.origin == "default" else None
        return Work(
            client=self.client,
            history=self.history,
            timeout=patience or timeout.value,
            poll_interval=self.settings.value("poll_interval"),
            max_bytes=self.settings.value("max_bytes"),
            pause=self.stop.pause,
            bodies=self.bodies,
            output=output,
            overwrite=overwrite,
            deliver=self.reporter.answer.file,
            scratch=self._scratch if output is not None and output.stdout else Path(os.curdir),
            placed=self._placed,
            key_id=config.fingerprint(self.api_key),
            shield=self.stop.shield,
        )

    def close(self) -> None:
        self._resources.close()

    @cached_property
    def _scratch(self) -> Path:
        """A folder of this call's own: an image on its way to stdout is nobody else's to read."""
        return Path(self._resources.enter_context(tempfile.TemporaryDirectory(prefix="seedream-")))

    def _sandbox(self) -> str:
        """Start the stand-in of the API inside this process; its base URL."""
        from ._sandbox import embedded

        return self._resources.enter_context(embedded()).base_url


def read_bytes_of_stdin(most: int = -1) -> bytes:
    """Stdin's bytes, at most so many. Raises UsageProblem where there is none."""
    if sys.stdin is None:
        raise UsageProblem("stdin is closed")
    return sys.stdin.buffer.read(most)


def read_stdin() -> str:
    """All of stdin as text. Raises UsageProblem where it is no UTF-8 or there is none."""
    try:
        return read_bytes_of_stdin().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise UsageProblem("stdin is not UTF-8 text") from None
