"""The network below httpx: connections that end in time, reach only allowed addresses, and can be broken off.

httpx has no total deadline: a server that sends a byte a second defeats its read timeout. The backends
below give every read, write and connect what is left of the call's deadline.
"""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from queue import Empty, SimpleQueue
from typing import Any
from weakref import WeakSet

import httpcore

from . import socks

_PIECE = 64 * 1024

#: Raises when a host may not be connected to; gets the host's name and one of its addresses.
Guard = Callable[[str, str], None]


class Connections:
    """All open connections of a client, whichever thread waits for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: WeakSet[Stream] = WeakSet()
        self._broken = False

    def add(self, stream: Stream) -> None:
        with self._lock:
            self._open.add(stream)
            broken = self._broken
        if broken:
            stream.break_off()

    def break_off(self) -> None:
        """Whoever waits at one of them finds it at its end, now and from now on."""
        with self._lock:
            self._broken = True
            streams = list(self._open)
        for stream in streams:
            stream.break_off()


class Deadline(threading.local):
    """The time by which the current thread's call must have ended (monotonic seconds).

    ``connections`` are those of all threads.
    """

    at: float | None = None

    def __init__(self, connections: Connections) -> None:
        # Once in every thread, with the same argument.
        self.connections = connections

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


class ProxyUnreachable(httpcore.ConnectError):
    """No connection to ``proxy``, or it broke before a call was let through."""

    def __init__(self, proxy: str, text: str) -> None:
        super().__init__(text)
        self.proxy = proxy


class ProxyTimeout(httpcore.ConnectTimeout):
    """The same, because it took too long."""

    def __init__(self, proxy: str, text: str) -> None:
        super().__init__(text)
        self.proxy = proxy


@contextmanager
def _blamed_on(proxy: str) -> Iterator[None]:
    """What fails before a proxy has let a call through is the proxy's failure, and nothing was sent."""
    try:
        yield
    except httpcore.TimeoutException as error:
        raise ProxyTimeout(proxy, str(error)) from error
    except httpcore.NetworkError as error:
        raise ProxyUnreachable(proxy, str(error)) from error


class Stream(httpcore.NetworkStream):
    """``proxy``: the name of the proxy at the other end, until TLS with a host behind it has begun."""

    def __init__(self, inner: httpcore.NetworkStream, deadline: Deadline, proxy: str | None = None) -> None:
        self._inner = inner
        self._deadline = deadline
        self._proxy = proxy
        #: The proxy that has been asked to let a call through.
        self._asked: str | None = None
        deadline.connections.add(self)

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        if self._asked is None:
            return self._inner.read(max_bytes, self._deadline.cut(timeout, httpcore.ReadTimeout))
        with _blamed_on(self._asked):
            data = self._inner.read(max_bytes, self._deadline.cut(timeout, httpcore.ReadTimeout))
            if not data:
                raise httpcore.ReadError("it closed the connection")
            return data

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        if self._proxy is not None and buffer.startswith(b"CONNECT "):
            self._asked = self._proxy
        # In pieces: for a peer that reads a byte now and then, each write may take its whole timeout.
        for start in range(0, len(buffer), _PIECE):
            piece = buffer[start : start + _PIECE]
            self._inner.write(piece, self._deadline.cut(timeout, httpcore.WriteTimeout))

    def close(self) -> None:
        self._inner.close()

    def break_off(self) -> None:
        # Closing it would wake nobody who waits at it. TLS knows nothing of this, and needs not.
        with suppress(OSError):
            socket.socket.shutdown(self._inner.get_extra_info("socket"), socket.SHUT_RDWR)

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        # TLS with the proxy itself comes before anything is asked of it.
        proxy = self._proxy if self._asked is None else None
        with _blamed_on(proxy) if proxy is not None else nullcontext():
            timeout = self._deadline.cut(timeout, httpcore.ConnectTimeout)
            inner = self._inner.start_tls(ssl_context, server_hostname, timeout)
        return Stream(inner, self._deadline, proxy)

    def get_extra_info(self, info: str) -> Any:
        return self._inner.get_extra_info(info)


class Backend(httpcore.NetworkBackend):
    def __init__(
        self, inner: httpcore.NetworkBackend, deadline: Deadline, guard: Guard | None = None
    ) -> None:
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
                return Stream(stream, self._deadline)
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


class ProxyBackend(Backend):
    """All that it connects to is a proxy, of which httpcore asks the rest."""

    def connect_tcp(self, host: str, port: int, *args: Any, **options: Any) -> httpcore.NetworkStream:
        with _blamed_on(proxy := _named(host, port)):
            return Stream(super().connect_tcp(host, port, *args, **options), self._deadline, proxy)


class SocksBackend(Backend):
    """Connects to everything through a SOCKS proxy, which gets the host's name."""

    def __init__(
        self,
        inner: httpcore.NetworkBackend,
        deadline: Deadline,
        proxy: tuple[str, int],
        login: tuple[bytes, bytes] | None,
    ) -> None:
        super().__init__(inner, deadline)
        self._host, self._port = proxy
        self._login = login

    def connect_tcp(
        self, host: str, port: int, timeout: float | None = None, *args: Any, **options: Any
    ) -> httpcore.NetworkStream:
        with _blamed_on(_named(self._host, self._port)), ExitStack() as undo:
            stream = super().connect_tcp(self._host, self._port, timeout, *args, **options)
            undo.callback(stream.close)
            socks.connect(stream, host, port, self._login, timeout)
            undo.pop_all()
            return stream


def _named(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


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
