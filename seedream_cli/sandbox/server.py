"""The sandbox: the fake API and the image server, each on a port of 127.0.0.1.

Images have an origin of their own, as at the real service, to detect a client that sends its API key with a
download.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Literal

from msgspec import Struct

from . import picture
from .fake_api import FakeApi
from .faults import Faults
from .http_server import HttpRequest, HttpServer
from .image_server import Draw, ImageServer
from .responses import HttpResponse
from .store import Store

#: Where the API lives below its origin. Clients recognise the sandbox by this path.
BASE_PATH = "/sandbox/v1"

Origin = Literal["api", "image"]

# Limits, because a server may run for days.
_MAX_RECORDED_REQUESTS = 10_000
_MAX_RECORDED_BYTES = 64 * 1024 * 1024


class RecordedRequest(Struct, frozen=True):
    """A request as it arrived. ``path`` has its query; header names are lower-case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes
    origin: Origin


class Sandbox:
    """A fake API server. Several sandboxes can share a store of tasks.

    ``seconds`` is how long a task takes, ``rate`` how many requests per second each API key may send (0: no
    limit), ``url_seconds`` how long the URL of a result is valid; ``clock`` returns Unix seconds. ``draw``
    makes the image for a request body; the default needs Pillow.

    The constructor binds both ports, ``close`` releases them. Raises ValueError for an invalid option and
    OSError for a port that is in use.
    """

    def __init__(
        self,
        store_path: Path,
        *,
        port: int = 0,
        dialect: str = "live",
        seconds: float = 3.0,
        faults: Iterable[str] = (),
        rate: float = 20.0,
        url_seconds: float = 86400.0,
        clock: Callable[[], float] = time.time,
        draw: Draw | None = None,
        log: Callable[[str], None] | None = None,
    ) -> None:
        enabled_faults = Faults(faults)
        write_log = log or _discard
        #: The latest requests, oldest first.
        self.requests: list[RecordedRequest] = []
        self._recording = threading.Lock()
        self._recorded_bytes = 0
        with ExitStack() as undo:
            self._store = Store(store_path)
            undo.callback(self._store.close)
            self._fake_api = FakeApi(
                self._store,
                dialect=dialect,
                seconds=seconds,
                rate=rate,
                url_seconds=url_seconds,
                clock=clock,
                faults=enabled_faults,
                image_origin=lambda: self.image_origin,
            )
            self._image_server = ImageServer(
                self._store, clock=clock, faults=enabled_faults, draw=draw or picture.draw
            )
            self._images = HttpServer(0, self._respond_with_image, write_log)
            undo.callback(self._images.stop)
            self._api = HttpServer(port, self._respond_as_api, write_log)
            undo.callback(self._api.stop)
            self._closing = undo.pop_all()

    @property
    def base_url(self) -> str:
        return f"{self._api.origin}{BASE_PATH}"

    @property
    def image_origin(self) -> str:
        return self._images.origin

    def start(self) -> None:
        """Start to answer, in daemon threads."""
        self._images.start()
        self._api.start()

    def close(self) -> None:
        """Stop, and release the ports and the store. The tasks stay on disk."""
        self._closing.close()

    def __enter__(self) -> Sandbox:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def task_count(self) -> int:
        """Return the number of tasks in the store."""
        return self._store.count()

    def _respond_as_api(self, request: HttpRequest) -> HttpResponse:
        self._record(request, "api")
        path = request.target.partition("?")[0]
        # Anything outside the base path is unknown to the API, and so is the empty path.
        inside = path.removeprefix(BASE_PATH) if path.startswith(f"{BASE_PATH}/") else ""
        response = self._fake_api.respond(request.method, inside, request.headers, request.body)
        headers = {"Content-Type": "application/json", **response.headers}
        body = json.dumps(response.body, ensure_ascii=False).encode(errors="replace")
        return HttpResponse(response.status, headers, body, response.mishap)

    def _respond_with_image(self, request: HttpRequest) -> HttpResponse:
        self._record(request, "image")
        return self._image_server.respond(request.method, request.target, request.headers)

    def _record(self, request: HttpRequest, origin: Origin) -> None:
        recorded = RecordedRequest(request.method, request.target, request.headers, request.body, origin)
        with self._recording:
            self.requests.append(recorded)
            self._recorded_bytes += len(recorded.body)
            del self.requests[:-_MAX_RECORDED_REQUESTS]
            if self._recorded_bytes > _MAX_RECORDED_BYTES:
                del self.requests[: len(self.requests) // 2]
                # Computed again, because a test may have cleared the list.
                self._recorded_bytes = sum(len(kept.body) for kept in self.requests)


def _discard(line: str) -> None:
    """Discard a log line."""
