"""HTTP server that sends any bytes, also invalid ones, and records the requests that it received."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from .threaded_server import ThreadedServer


@dataclass(frozen=True)
class Request:
    """A received request. Names of headers are in lower case."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Exchange:
    """Argument of a reply that is a function, which may send, wait or close.

    ``closed`` is set when the server shuts down.
    """

    connection: socket.socket
    request: Request
    closed: threading.Event = field(default_factory=threading.Event)


#: Bytes to send; None to close the connection without a response; or a function that sends the response.
Reply = bytes | None | Callable[[Exchange], None]


def answer(
    status: int = 200,
    body: object = b"",
    *,
    headers: dict[str, str] | None = None,
    length: int | bool | None = True,
) -> bytes:
    """Return an HTTP response after which the connection is closed.

    ``length`` is the Content-Length: True for the correct one, False or None to omit it.
    """
    content = body if isinstance(body, bytes) else json.dumps(body, ensure_ascii=False).encode()
    lines = [f"HTTP/1.1 {status} Any", "Connection: close"]
    if length is True:
        lines.append(f"Content-Length: {len(content)}")
    elif length is not False and length is not None:
        lines.append(f"Content-Length: {length}")
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + content


def success(data: object, *, code: int = 200, **more: Any) -> bytes:
    """Return a successful response of the API. ``more`` as for :func:`answer`."""
    return answer(200, {"code": code, "message": "success", "data": data}, **more)


def accepted(task_id: str = "task_1", **more: Any) -> bytes:
    """Return the response to an accepted create request."""
    return success({"task_id": task_id}, **more)


class RawServer(ThreadedServer):
    """Server that answers with ``replies`` in turn, and repeats the last one. It closes each connection."""

    def __init__(self, replies: Iterable[Reply] = ()) -> None:
        super().__init__()
        self.replies: list[Reply] = list(replies)
        self.requests: list[Request] = []
        self._lock = threading.Lock()

    @property
    def origin(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    def serve(self, connection: socket.socket) -> None:
        self.answer_one(connection)

    def answer_one(self, connection: socket.socket) -> bool:
        """Answer one request. Return True if another one may follow on this connection."""
        request = _read(connection)
        if request is None:
            return False
        with self._lock:
            self.requests.append(request)
            reply = self.replies.pop(0) if len(self.replies) > 1 else self.replies[0]
        if callable(reply):
            reply(Exchange(connection, request, self.closing))
        elif reply is not None:
            connection.sendall(reply)
        return reply is not None


class KeepAliveServer(RawServer):
    """Server that answers all requests of a connection until the client closes it."""

    def serve(self, connection: socket.socket) -> None:
        while self.answer_one(connection):
            pass


def _read(connection: socket.socket) -> Request | None:
    data = b""
    while b"\r\n\r\n" not in data:
        chunk = connection.recv(65536)
        if not chunk:
            return None
        data += chunk
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
    while len(body) < int(headers.get("content-length", 0)):
        chunk = connection.recv(65536)
        if not chunk:
            return None
        body += chunk
    method, path, _ = first.split(" ", 2)
    return Request(method, path, headers, body)
