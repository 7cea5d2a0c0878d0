"""Connections that end in time, reach only allowed addresses, and can be broken off.

Nothing below a call knows a total deadline: a server that sends a byte a second defeats any time limit for
a read. Every read, write and connect here gets what is left of the call's deadline. What fails is raised as
httpx's error for it.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any
from weakref import WeakSet

from .http_library import httpx

_RECORD = 16 * 1024

#: Raises when a host may not be connected to; gets the host's name and one of its addresses.
Guard = Callable[[str, str], None]


class Connections:
    """All open connections of a client, whichever thread waits for them."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._open: WeakSet[Stream] = WeakSet()
        self._broken = False

    def add(self, stream: Stream) -> None:
        """Also for one that is in the set already, once it has another socket."""
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

    def cut(self, timeout: float | None, expired: type[httpx.TimeoutException]) -> float | None:
        """``timeout``, or what is left until the deadline if that is less."""
        if self.at is None:
            return timeout
        left = self.at - time.monotonic()
        if left <= 0:
            raise expired("the call took longer than it may")
        return left if timeout is None else min(timeout, left)


class Stream:
    """One connection: bytes in both directions, each step within the deadline of the thread's call.

    ``timeout``: the seconds that a step may take without a byte.
    """

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline
        deadline.connections.add(self)

    def read(self, most: int, timeout: float | None = None) -> bytes:
        """What has come, at most so many bytes; none at the connection's end."""
        left = self._deadline.cut(timeout, httpx.ReadTimeout)
        try:
            self._socket.settimeout(left)
            return self._socket.recv(most)
        except TimeoutError as error:
            raise httpx.ReadTimeout(str(error)) from error
        except OSError as error:
            raise httpx.ReadError(str(error)) from error

    def write(self, data: bytes, timeout: float | None = None) -> None:
        view = memoryview(data)
        # As much at a time as the system takes: one call for all would hide how slowly a peer reads.
        while view:
            left = self._deadline.cut(timeout, httpx.WriteTimeout)
            try:
                self._socket.settimeout(left)
                view = view[self._socket.send(view) :]
            except TimeoutError as error:
                raise httpx.WriteTimeout(str(error)) from error
            except OSError as error:
                raise httpx.WriteError(str(error)) from error

    def start_tls(self, context: ssl.SSLContext, host: str, timeout: float | None = None) -> Stream:
        """What carries TLS with ``host`` over this connection, which is then no more to be used itself."""
        if isinstance(self._socket, ssl.SSLSocket):
            return _Nested(self, context, host, timeout)
        left = self._deadline.cut(timeout, httpx.ConnectTimeout)
        try:
            self._socket.settimeout(left)
            self._socket = secure = context.wrap_socket(
                self._socket, server_hostname=host, do_handshake_on_connect=False
            )
            # The socket is another object now: whoever broke off meanwhile had the one before.
            self._deadline.connections.add(self)
            secure.do_handshake()
        except TimeoutError as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except (OSError, ValueError) as error:
            raise httpx.ConnectError(str(error)) from error
        return self

    @property
    def stirring(self) -> bool:
        """Whether there is something to read: where nothing was asked, this is the connection's end."""
        try:
            if not hasattr(select, "poll"):
                return bool(select.select([self._socket], [], [], 0)[0])
            # Beyond 1024 files, select() knows no more of them.
            poll = select.poll()
            poll.register(self._socket, select.POLLIN)
            return bool(poll.poll(0))
        except (OSError, ValueError):
            return True

    def close(self) -> None:
        with suppress(OSError):
            self._socket.close()

    def break_off(self) -> None:
        # Closing it would wake nobody who waits at it. TLS knows nothing of this, and needs not.
        with suppress(OSError):
            socket.socket.shutdown(self._socket, socket.SHUT_RDWR)


class _Nested(Stream):
    """TLS with a host within TLS with a proxy, for which ssl has no socket."""

    def __init__(self, outer: Stream, context: ssl.SSLContext, host: str, timeout: float | None) -> None:
        self._outer = outer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        try:
            self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=host)
            self._carry(self._tls.do_handshake, timeout)
        except httpx.TimeoutException as error:
            raise httpx.ConnectTimeout(str(error)) from error
        except (httpx.NetworkError, OSError, ValueError) as error:
            raise httpx.ConnectError(str(error)) from error

    def read(self, most: int, timeout: float | None = None) -> bytes:
        try:
            data: bytes = self._carry(lambda: self._tls.read(most), timeout)
            return data
        except OSError as error:
            raise httpx.ReadError(str(error)) from error

    def write(self, data: bytes, timeout: float | None = None) -> None:
        try:
            while data:
                data = data[self._carry(partial(self._tls.write, data), timeout) :]
        except OSError as error:
            raise httpx.WriteError(str(error)) from error

    def _carry(self, step: Callable[[], Any], timeout: float | None) -> Any:
        while True:
            try:
                result = step()
            except ssl.SSLWantReadError:
                self._outer.write(self._outgoing.read(), timeout)
                if data := self._outer.read(_RECORD, timeout):
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            else:
                self._outer.write(self._outgoing.read(), timeout)
                return result

    @property
    def stirring(self) -> bool:
        return self._outer.stirring

    def close(self) -> None:
        self._outer.close()

    def break_off(self) -> None:
        self._outer.break_off()


def connect(
    host: str, port: int, deadline: Deadline, timeout: float | None, guard: Guard | None = None
) -> Stream:
    """A connection to one of the host's addresses, all of which passed the guard.

    Connecting to the very address that was judged leaves no second look-up to answer otherwise; trying
    each of them leaves no host out of reach whose first one is IPv6 where only IPv4 is.
    """
    addresses = _addresses_of(host, port, deadline.cut(timeout, httpx.ConnectTimeout))
    if guard is not None:
        for address in addresses:
            guard(host, address)
    problem: httpx.TransportError | None = None
    # Each address gets its share: one that is out of reach must not use up the others' time.
    share = timeout / len(addresses) if timeout is not None and addresses else timeout
    for address in addresses:
        left = deadline.cut(share, httpx.ConnectTimeout)
        try:
            connected = socket.create_connection((address, port), left)
            # What is written leaves at once: no request waits until the one before is acknowledged.
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except TimeoutError as error:
            problem = httpx.ConnectTimeout(str(error))
        except (OSError, OverflowError) as error:
            problem = httpx.ConnectError(str(error))
        else:
            return Stream(connected, deadline)
    raise problem or httpx.ConnectError(f"{host} has no address")


def _addresses_of(host: str, port: int, timeout: float | None) -> list[str]:
    """Look the host up, in a thread: getaddrinfo knows no time limit, and signals wait until it returns."""
    for family in (socket.AF_INET, socket.AF_INET6):
        # An address is its own: there is nothing to look up.
        with suppress(OSError, ValueError):
            socket.inet_pton(family, host)
            return [host]
    found: list[list[str] | Exception] = []

    def look_up() -> None:
        try:
            entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            found.append(list(dict.fromkeys(str(entry[4][0]) for entry in entries)))
        except (OSError, UnicodeError, OverflowError) as error:
            found.append(error)

    looking = threading.Thread(target=look_up, daemon=True)
    looking.start()
    looking.join(timeout)
    if not found:
        raise httpx.ConnectTimeout(f"looking up {host} took too long")
    if isinstance(found[0], Exception):
        raise httpx.ConnectError(str(found[0])) from found[0]
    return found[0]
