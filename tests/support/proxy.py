"""HTTP and SOCKS proxies on loopback, which resolve only given names, and record what they received."""

from __future__ import annotations

import base64
import select
import socket
import ssl
from collections.abc import Callable, Mapping
from urllib.parse import quote, urlsplit

from .threaded_server import ThreadedServer


def relay(
    one: socket.socket, other: socket.socket, saw: Callable[[bytes], object] = lambda data: None
) -> None:
    """Forward bytes in both directions until one side closes. ``saw`` is called with those of ``one``."""
    opposite = {one: other, other: one}
    while True:
        ready = [side for side in opposite if isinstance(side, ssl.SSLSocket) and side.pending()]
        for side in ready or select.select(list(opposite), [], [])[0]:
            data = side.recv(65536)
            if not data:
                return
            if side is one:
                saw(data)
            opposite[side].sendall(data)


class Proxy(ThreadedServer):
    """Base of the proxies. ``hosts`` maps the known names to local ports. ``login`` is required if set.

    ``asked`` are the requested targets. ``received`` are all bytes that clients sent.
    """

    scheme = "http"

    def __init__(self, hosts: Mapping[str, int], login: tuple[str, str] | None = None) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.received = bytearray()
        self._hosts = hosts
        self._login = login

    def url(self, scheme: str | None = None, login: tuple[str, str] | None = None) -> str:
        """Return the proxy's URL for an environment variable, with its own login or another."""
        user = login or self._login
        before = f"{quote(user[0], safe='')}:{quote(user[1], safe='')}@" if user else ""
        return f"{scheme or self.scheme}://{before}127.0.0.1:{self.port}"

    def _connect(self, host: str) -> socket.socket | None:
        port = self._hosts.get(host)
        return socket.create_connection(("127.0.0.1", port)) if port is not None else None

    def _receive(self, connection: socket.socket, count: int) -> bytes:
        data = connection.recv(count)
        if not data:
            raise ConnectionError("the client closed the connection")
        self.received += data
        return data


class HttpProxy(Proxy):
    """HTTP proxy with CONNECT and absolute-form requests."""

    def serve(self, connection: socket.socket) -> None:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive(connection, 65536)
        head, _, rest = data.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        method, target, _ = first.split(" ")
        self.asked.append(target)
        if self._login is not None:
            expected = base64.b64encode(":".join(self._login).encode()).decode()
            if headers.get("proxy-authorization") != f"Basic {expected}":
                # Some proxies repeat the rejected login in their response.
                given = base64.b64decode(headers.get("proxy-authorization", "").removeprefix("Basic "))
                return connection.sendall(b"HTTP/1.1 407 No %b\r\nContent-Length: 0\r\n\r\n" % given)
        host = target.rpartition(":")[0] if method == "CONNECT" else urlsplit(target).hostname or ""
        upstream = self._connect(host)
        if upstream is None:
            return connection.sendall(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\n\r\n")
        with upstream:
            if method == "CONNECT":
                connection.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            else:
                parts = urlsplit(target)
                kept = [line for line in lines if not line.lower().startswith(("proxy-", "connection:"))]
                request_line = f"{method} {parts.path}?{parts.query} HTTP/1.1"
                upstream.sendall(
                    "\r\n".join([request_line, *kept, "Connection: close", "", ""]).encode() + rest
                )
            relay(connection, upstream, self.received.extend)
        return None


class SocksProxy(Proxy):
    """SOCKS5 proxy."""

    scheme = "socks5"

    def serve(self, connection: socket.socket) -> None:
        _, count = self._exactly(connection, 2)
        offered = self._exactly(connection, count)
        method = 2 if self._login else 0
        if method not in offered:
            return connection.sendall(b"\x05\xff")
        connection.sendall(bytes([5, method]))
        if self._login is not None:
            self._exactly(connection, 1)
            given = tuple(
                self._exactly(connection, self._exactly(connection, 1)[0]).decode() for _ in range(2)
            )
            connection.sendall(b"\x01\x00" if given == self._login else b"\x01\x01")
            if given != self._login:
                return None
        kind = self._exactly(connection, 4)[3]
        if kind == 3:
            host = self._exactly(connection, self._exactly(connection, 1)[0]).decode()
        else:
            address = self._exactly(connection, 4 if kind == 1 else 16)
            host = socket.inet_ntop(socket.AF_INET if kind == 1 else socket.AF_INET6, address)
        port = int.from_bytes(self._exactly(connection, 2), "big")
        self.asked.append(f"{host}:{port}")
        upstream = self._connect(host)
        if upstream is None:
            return connection.sendall(b"\x05\x04\x00\x01" + bytes(6))
        with upstream:
            connection.sendall(b"\x05\x00\x00\x01" + bytes(6))
            relay(connection, upstream, self.received.extend)
        return None

    def _exactly(self, connection: socket.socket, count: int) -> bytes:
        data = b""
        while len(data) < count:
            data += self._receive(connection, count - len(data))
        return data


class Scripted(ThreadedServer):
    """Server that answers each message with the next reply. None: wait until the client closes."""

    def __init__(self, *replies: bytes | None) -> None:
        super().__init__()
        self._replies = replies

    def serve(self, connection: socket.socket) -> None:
        for reply in self._replies:
            connection.recv(65536)
            if reply is None:
                connection.recv(65536)
                return
            connection.sendall(reply)
