"""An HTTP server with keep-alive, and with the ways in which a response can fail to arrive."""

from __future__ import annotations

import os
import select
import socket
import socketserver
import sys
import threading
from collections.abc import Callable, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from msgspec import Struct

from .responses import HttpResponse, Mishap

_HOST = "127.0.0.1"
#: In bytes: 14 source images as data, with room to spare.
_MAX_BODY = 256 * 1024 * 1024
#: What a captive portal or a misconfigured proxy may return in place of JSON.
_HTML_PAGE = (
    b"<!DOCTYPE html>\n<html><head><title>Welcome</title></head><body><h1>It works!</h1></body></html>\n"
)


class HttpRequest(Struct, frozen=True):
    """An HTTP request. ``target`` is the path with its query; header names are lower case."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes


class HttpServer(ThreadingHTTPServer):
    """Listens on 127.0.0.1 once constructed, and answers from :meth:`start` to :meth:`stop`.

    Raises OSError if the port is taken. ``log`` gets one line for each request, without the query.
    """

    daemon_threads = True
    request_queue_size = 128
    # On Windows this option would let two servers share a port instead of refusing the second.
    allow_reuse_address = os.name != "nt"
    allow_reuse_port = False

    def __init__(
        self, port: int, respond: Callable[[HttpRequest], HttpResponse], log: Callable[[str], None]
    ) -> None:
        self.respond = respond
        self.log = log
        self.stopping = threading.Event()
        self._connections_changed = threading.Condition()
        self._connections: set[socket.socket] = set()
        self._thread: threading.Thread | None = None
        super().__init__((_HOST, port), _Connection)

    @property
    def origin(self) -> str:
        return f"http://{_HOST}:{self.server_address[1]}"

    def server_bind(self) -> None:
        # HTTPServer's method would look up the host name, which may cause network traffic.
        socketserver.TCPServer.server_bind(self)
        self.server_name, self.server_port = _HOST, self.server_address[1]

    def start(self) -> None:
        self._thread = threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop answering, also on connections that are kept alive."""
        self.stopping.set()
        if self._thread is not None:
            self.shutdown()
            self._thread.join()
        self.server_close()
        with self._connections_changed:
            for connection in self._connections:
                _shut_down(connection)
            # A thread that is drawing may take longer; it is a daemon thread.
            self._connections_changed.wait_for(lambda: not self._connections, timeout=2.0)

    def process_request(self, request: Any, client_address: Any) -> None:
        with self._connections_changed:
            self._connections.add(request)
        super().process_request(request, client_address)

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            with self._connections_changed:
                self._connections.discard(request)
                self._connections_changed.notify_all()

    def handle_error(self, request: Any, client_address: Any) -> None:
        # Broken connections are normal. Anything else is a bug and must be visible.
        if not isinstance(sys.exception(), OSError) and not self.stopping.is_set():
            super().handle_error(request, client_address)


def _shut_down(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        return  # The client closed it first.


class _Connection(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "seedream-sandbox"
    sys_version = ""
    disable_nagle_algorithm = True
    # Head and body leave in one write. With two, a delayed acknowledgement can delay the second.
    wbufsize = 1 << 16
    server: HttpServer

    def _handle(self) -> None:
        """Handle a request of any method."""
        body = self._read_body()
        if body is None:
            return
        headers: dict[str, str] = {}
        for name, value in self.headers.items():
            lower = name.lower()
            headers[lower] = f"{headers[lower]}, {value}" if lower in headers else value
        response = self.server.respond(HttpRequest(self.command, self.path, headers, body))
        outcome = str(response.status) if response.mishap is None else response.mishap.value
        # Control characters of a path must not reach the terminal.
        path = "".join(char if char.isprintable() else "?" for char in self.path.partition("?")[0])
        self.server.log(f"{self.command} {path} {outcome}")
        self._deliver(response)

    do_GET = do_HEAD = do_POST = do_PUT = do_PATCH = do_DELETE = do_OPTIONS = _handle

    def _read_body(self) -> bytes | None:
        """Read the request body. Return None if there is nothing more to answer on this connection."""
        length = self.headers.get("Content-Length", "0")
        refused_status = 0
        if "Transfer-Encoding" in self.headers:
            refused_status = 411
        elif not (length.isascii() and length.isdecimal()):
            refused_status = 400
        elif len(length) > 12 or int(length) > _MAX_BODY:
            refused_status = 413
        if refused_status:
            self.close_connection = True
            self._send(HttpResponse(refused_status, {"Connection": "close"}, b""))
            return None
        body = self.rfile.read(int(length))
        if len(body) < int(length):
            self.close_connection = True
            return None
        return body

    def _deliver(self, response: HttpResponse) -> None:
        mishap = response.mishap
        if mishap is None:
            self._send(response)
        elif mishap in _PAGES:
            self._send(HttpResponse(200, {"Content-Type": "text/html; charset=utf-8"}, _PAGES[mishap]))
        else:
            self.close_connection = True
            _MISHAPS[mishap](self, response)

    def _send(self, response: HttpResponse, body: bytes | None = None) -> None:
        """Send the head of ``response`` with ``body``, or with its own body if none is given."""
        self._send_head(response.status, {**response.headers, "Content-Length": str(len(response.body))})
        if self.command != "HEAD":
            self.wfile.write(response.body if body is None else body)

    def _send_head(self, status: int, headers: Mapping[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def _send_truncated(self, response: HttpResponse) -> None:
        self._send(response, response.body[: len(response.body) // 2])

    def _send_cut(self, response: HttpResponse) -> None:
        self._send_head(response.status, {**response.headers, "Connection": "close"})
        self.wfile.write(response.body[: len(response.body) // 2])

    def _drop(self, response: HttpResponse) -> None:
        _shut_down(self.connection)

    def _hang(self, response: HttpResponse) -> None:
        while not self.server.stopping.wait(0.02):
            readable, _, _ = select.select([self.connection], [], [], 0.05)
            if readable and not self.connection.recv(1, socket.MSG_PEEK):
                return

    def handle_expect_100(self) -> bool:
        proceed = super().handle_expect_100()
        # Flush: the client waits for this before it sends the body.
        self.wfile.flush()
        return proceed

    def log_message(self, format: str, *args: object) -> None:
        """Suppress the log of http.server, which would write each request with its query to stderr."""


_PAGES: Mapping[Mishap, bytes] = {Mishap.HTML: _HTML_PAGE, Mishap.EMPTY: b""}

_MISHAPS: Mapping[Mishap, Callable[[_Connection, HttpResponse], None]] = {
    Mishap.DROP: _Connection._drop,
    Mishap.DROP_BEFORE: _Connection._drop,
    Mishap.HANG: _Connection._hang,
    Mishap.TRUNCATED: _Connection._send_truncated,
    Mishap.CUT: _Connection._send_cut,
}
