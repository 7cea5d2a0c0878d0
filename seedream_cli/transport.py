"""httpx set up so that every call ends in time and reaches only the host that it should.

httpx has no total deadline: a server that sends a byte a second defeats its read timeout. The
network backend below gives every read, write and connect what is left of the call's deadline.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from http.cookiejar import CookieJar, DefaultCookiePolicy
from queue import Empty, SimpleQueue
from typing import Any

import httpcore
import httpx

from .errors import UsageProblem

#: Seconds: to connect, and without a byte in either direction.
TIMEOUT = httpx.Timeout(30.0, connect=10.0)

_PIECE = 64 * 1024

#: Raises when a host may not be connected to; gets the host's name and one of its addresses.
Guard = Callable[[str, str], None]


class Deadline(threading.local):
    """The time by which the current thread's call must have ended (monotonic seconds)."""

    at: float | None = None

    @contextmanager
    def within(self, seconds: float) -> Iterator[None]:
        before, self.at = self.at, time.monotonic() + seconds
        try:
            yield
        finally:
            self.at = before

    def cut(self, timeout: float | None, expired: type[Exception]) -> float | None:
        """``timeout``, or what is left until the deadline if that is less."""
        if self.at is None:
            return timeout
        left = self.at - time.monotonic()
        if left <= 0:
            raise expired("the call took longer than it may")
        return left if timeout is None else min(timeout, left)


class _Stream(httpcore.NetworkStream):
    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline) -> None:
        self._inner = inner
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self._inner.read(max_bytes, self._deadline.cut(timeout, httpcore.ReadTimeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        # In pieces: for a peer that reads a byte now and then, each write may take its whole timeout.
        for start in range(0, len(buffer), _PIECE):
            piece = buffer[start : start + _PIECE]
            self._inner.write(piece, self._deadline.cut(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        timeout = self._deadline.cut(timeout, httpcore.ConnectTimeout)
        return _Stream(self._inner.start_tls(ssl_context, server_hostname, timeout), self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class _Backend(httpcore.NetworkBackend):
    def __init__(self, inner: httpcore.NetworkBackend, deadline: Deadline, guard: Guard | None) -> None:
        self._inner = inner
        self._deadline = deadline
        self._guard = guard

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.NetworkStream:
        problem: Exception | None = None
        addresses = self._resolve(host, port, self._deadline.cut(timeout, httpcore.ConnectTimeout))
        # Each address gets its share: one that is out of reach must not use up the others' time.
        share = timeout / len(addresses) if timeout is not None and addresses else timeout
        for address in addresses:
            left = self._deadline.cut(share, httpcore.ConnectTimeout)
            try:
                stream = self._inner.connect_tcp(address, port, left, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as error:
                problem = error
            else:
                return _Stream(stream, self._deadline)
        raise problem or httpcore.ConnectError(f"{host} has no address")

    def _resolve(self, host: str, port: int, timeout: float | None = None) -> list[str]:
        """The host's addresses, all of which passed the guard.

        Connecting to the very address that was judged leaves no second look-up to answer otherwise;
        trying each of them leaves no host out of reach whose first one is IPv6 where only IPv4 is.
        """
        addresses = _addresses_of(host, port, timeout)
        if self._guard is not None:
            for address in addresses:
                self._guard(host, address)
        return addresses


def _addresses_of(host: str, port: int, timeout: float | None) -> list[str]:
    """Look the host up, in a thread: getaddrinfo knows no time limit, and signals wait until it returns."""
    found: SimpleQueue[list[str] | Exception] = SimpleQueue()

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.put(list(dict.fromkeys(str(entry[4][0]) for entry in entries)))
        except (OSError, UnicodeError) as error:
            found.put(error)

    threading.Thread(target=look_up, daemon=True).start()
    try:
        outcome = found.get(timeout=timeout)
    except Empty:
        raise httpcore.ConnectTimeout(f"looking up {host} took too long") from None
    if isinstance(outcome, Exception):
        raise httpcore.ConnectError(str(outcome)) from outcome
    return outcome


def build(
    *, deadline: Deadline, headers: dict[str, str], loopback: bool = False, guard: Guard | None = None
) -> httpx.Client:
    """An HTTP client that follows no redirects and keeps no cookies.

    ``loopback``: all of its calls go to this machine in plain http, so neither proxies (they
    would see the key) nor certificates concern it. A proxy from the environment is otherwise used
    as httpx reads it, never for loopback hosts. Raises UsageProblem for a proxy or certificate
    setting that cannot be used.
    """
    try:
        client = httpx.Client(
            headers=headers,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            timeout=TIMEOUT,
            follow_redirects=False,
            trust_env=not loopback,
            # With no TLS ahead, loading the certificate bundle would be for nothing.
            verify=False if loopback else httpx.create_ssl_context(),
            mounts={f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")},
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=64),
        )
    except (ImportError, ValueError, OSError, httpx.InvalidURL) as error:
        raise UsageProblem(
            "a proxy or certificate setting in the environment cannot be used "
            "(HTTP_PROXY, HTTPS_PROXY, ALL_PROXY, NO_PROXY, SSL_CERT_FILE, SSL_CERT_DIR)",
            code="invalid_environment",
            # What cannot be parsed may have a password in it, and is not repeated.
            detail=str(error) if isinstance(error, OSError | ImportError) else None,
        ) from None
    _bound(client._transport, deadline, guard)
    for transport in client._mounts.values():
        # The peer of a proxied connection is the proxy, so there is no address for the guard to judge.
        _bound(transport, deadline, None)
    return client


def _bound(transport: httpx.BaseTransport | None, deadline: Deadline, guard: Guard | None) -> None:
    if isinstance(transport, httpx.HTTPTransport):
        # httpx offers no public way to hand in a network backend; pyproject.toml caps it for this.
        pool: Any = transport._pool
        pool._network_backend = _Backend(pool._network_backend, deadline, guard)
