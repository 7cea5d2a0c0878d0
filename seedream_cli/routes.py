"""Ways to a host: straight, through an HTTP proxy, or through a SOCKS proxy."""

from __future__ import annotations

import ssl
from base64 import b64encode
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.client import responses
from typing import NamedTuple, Protocol

from . import socks
from .http1 import Conversation, Headers, Request
from .http_library import httpx
from .network import Deadline, Guard, Stream, connect
from .proxies import SOCKS

_PORTS = {"http": 80, "https": 443}
_SOCKS_PORT = 1080


class Host(NamedTuple):
    """Where a request goes: its scheme is "http" or "https", its name without brackets."""

    scheme: str
    name: str
    port: int

    def __str__(self) -> str:
        return f"[{self.name}]:{self.port}" if ":" in self.name else f"{self.name}:{self.port}"


def host_of(url: httpx.URL) -> Host:
    """Raises UnsupportedProtocol for a URL that is none of HTTP."""
    if url.scheme not in _PORTS or not url.raw_host:
        raise httpx.UnsupportedProtocol("the URL is none of HTTP")
    return Host(url.scheme, url.raw_host.decode("ascii"), url.port or _PORTS[url.scheme])


class ProxyUnreachable(httpx.ConnectError):
    """No connection to ``proxy``, or it broke before a call was let through."""

    def __init__(self, proxy: str, text: str) -> None:
        super().__init__(text)
        self.proxy = proxy


class ProxyTimeout(httpx.ConnectTimeout):
    """The same, because it took too long."""

    def __init__(self, proxy: str, text: str) -> None:
        super().__init__(text)
        self.proxy = proxy


@contextmanager
def _blamed_on(proxy: Host) -> Iterator[None]:
    """What fails before a proxy has let a call through is the proxy's failure, and nothing was sent."""
    try:
        yield
    except httpx.TimeoutException as error:
        raise ProxyTimeout(str(proxy), str(error)) from error
    except (httpx.NetworkError, httpx.RemoteProtocolError) as error:
        raise ProxyUnreachable(str(proxy), str(error)) from error


class Means:
    """What every way needs. ``context`` is for TLS; without it, there is none."""

    def __init__(self, deadline: Deadline, context: ssl.SSLContext | None) -> None:
        self.deadline = deadline
        self._context = context

    def context_for(self, host: Host) -> ssl.SSLContext | None:
        """What TLS with the host takes, where its scheme wants that. Raises UnsupportedProtocol."""
        if host.scheme == "https" and self._context is None:
            raise httpx.UnsupportedProtocol("TLS was not expected here")
        return self._context if host.scheme == "https" else None

    def secured(self, stream: Stream, host: Host, timeout: float | None) -> Stream:
        """The stream with TLS over it, where the host's scheme wants that."""
        context = self.context_for(host)
        return stream if context is None else stream.start_tls(context, host.name, timeout)


class Route(Protocol):
    def end(self, host: Host) -> Host:
        """At the other end of the connections that requests for this host can share."""

    def form(self, url: httpx.URL) -> tuple[bytes, Headers]:
        """What the first line of a request asks for, and the headers that it needs on this way."""

    def open(self, host: Host, *, connect: float | None, read: float | None) -> Stream:
        """A connection over which the host can be asked. ``connect`` and ``read``: seconds for each step."""


class Direct:
    """Straight to the host, if the guard lets its addresses pass."""

    def __init__(self, means: Means, guard: Guard | None = None) -> None:
        self._means = means
        self._guard = guard

    def end(self, host: Host) -> Host:
        return host

    def form(self, url: httpx.URL) -> tuple[bytes, Headers]:
        return url.raw_path, []

    def open(self, host: Host, *, connect: float | None, read: float | None) -> Stream:
        with ExitStack() as undo:
            stream = _connected(host, self._means, connect, undo, self._guard)
            stream = self._means.secured(stream, host, connect)
            undo.pop_all()
            return stream


class ThroughHttp:
    """Through an HTTP proxy, which passes on what is http and connects us to what is https."""

    def __init__(self, means: Means, proxy: httpx.Proxy) -> None:
        self._means = means
        self._proxy = host_of(proxy.url)
        login = proxy.raw_auth
        self._login: Headers = (
            [(b"Proxy-Authorization", b"Basic " + b64encode(b":".join(login)))] if login else []
        )

    def end(self, host: Host) -> Host:
        return self._proxy if host.scheme == "http" else host

    def form(self, url: httpx.URL) -> tuple[bytes, Headers]:
        if url.scheme == "https":
            return url.raw_path, []
        return b"http://%b%b" % (url.netloc, url.raw_path), self._login

    def open(self, host: Host, *, connect: float | None, read: float | None) -> Stream:
        with ExitStack() as undo:
            with _blamed_on(self._proxy):
                stream = _connected(self._proxy, self._means, connect, undo)
                stream = self._means.secured(stream, self._proxy, connect)
                if host.scheme == "https":
                    self._ask(stream, host, read)
            if host.scheme == "https":
                stream = self._means.secured(stream, host, connect)
            undo.pop_all()
            return stream

    def _ask(self, stream: Stream, host: Host, timeout: float | None) -> None:
        """Have the proxy connect to the host. Raises Refused where it does not."""
        there = str(host).encode("ascii")
        headers = [(b"Host", there), (b"Accept", b"*/*"), *self._login]
        request = Request(b"CONNECT", there, headers)
        status = Conversation(stream).ask(request, write=timeout, read=timeout).status
        if not 200 <= status < 300:
            # The words behind its status are the proxy's, which may repeat a password.
            raise socks.Refused(
                f"it answered with HTTP {status} {responses.get(status, '')}".rstrip(),
                passing=status >= 500 or status in (408, 429),
            )


class ThroughSocks:
    """Through a SOCKS proxy, which gets the host's name and connects us."""

    def __init__(self, means: Means, proxy: httpx.Proxy) -> None:
        self._means = means
        # What it speaks is no HTTP, and has no TLS.
        self._proxy = Host("http", proxy.url.raw_host.decode("ascii"), proxy.url.port or _SOCKS_PORT)
        self._login = proxy.raw_auth

    def end(self, host: Host) -> Host:
        return host

    def form(self, url: httpx.URL) -> tuple[bytes, Headers]:
        return url.raw_path, []

    def open(self, host: Host, *, connect: float | None, read: float | None) -> Stream:
        with ExitStack() as undo:
            with _blamed_on(self._proxy):
                stream = _connected(self._proxy, self._means, connect, undo)
                socks.connect(stream, host.name, host.port, self._login, connect)
            stream = self._means.secured(stream, host, connect)
            undo.pop_all()
            return stream


def through(proxy: httpx.Proxy, means: Means) -> Route:
    """The way through this proxy, whose own certificate is judged as any other."""
    return ThroughSocks(means, proxy) if proxy.url.scheme in SOCKS else ThroughHttp(means, proxy)


def _connected(
    host: Host, means: Means, timeout: float | None, undo: ExitStack, guard: Guard | None = None
) -> Stream:
    """A connection that is closed again unless all goes well."""
    # Nothing is connected to in vain.
    means.context_for(host)
    stream = connect(host.name, host.port, means.deadline, timeout, guard)
    undo.callback(stream.close)
    return stream
