"""HTTP through httpx, which no other module imports.

Whatever httpx or a library below it raises leaves this module as one of our errors. A library's own text is
shown only where it cannot hold a header or a URL: those have the key, a signature or a proxy's password.

The time limits are httpx's, for each connect, read and write, and the total deadline of a call, which is
checked before and between the chunks of a body. A server that sends its headers, or takes a request, a few
bytes at a time is not bounded by that deadline, nor is a slow name look-up.
"""

from __future__ import annotations

import os
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from functools import cache
from http.client import responses
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any
from urllib.request import getproxies, proxy_bypass

import httpx

from ..errors import SeedreamError, Unreachable, UsageError
from ..urls import is_loopback

#: Seconds to connect, and seconds without a byte in either direction.
CONNECT_SECONDS = 10.0
READ_SECONDS = 30.0
#: httpcore can close a connection that it has just assigned if the number of idle ones is limited (its issue
#: 1110). Idle connections end before the 60 s after which common servers close them.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=50.0)
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


class Response:
    """A response whose head has been read; ``chunks`` are the bytes of its body, not decompressed."""

    def __init__(self, status: int, headers: Mapping[str, str], chunks: Iterator[bytes]) -> None:
        self.status = status
        self.headers = headers
        self.chunks = chunks


class HttpClient:
    """An HTTP client without redirects and cookies. Threads may share it.

    ``headers`` go with every request. Requests to loopback hosts never use a proxy.
    """

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._router = _Router()
        self._client = httpx.Client(
            headers=headers,
            cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
            follow_redirects=False,
            trust_env=False,
            transport=self._router,
        )

    def close(self) -> None:
        self._client.close()

    def prepare(self, url: str) -> None:
        """Raise UsageProblem if a proxy or certificate setting that ``url`` needs cannot be used."""
        with self._errors(url):
            self._router.route(httpx.URL(url))

    @contextmanager
    def stream(
        self,
        method: str,
        url: str,
        *,
        seconds: float,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Iterator[Response]:
        """Send a request and yield its response. Raises Unreachable, and UsageProblem as ``prepare`` does."""
        deadline = time.monotonic() + seconds
        connect = min(CONNECT_SECONDS, seconds)
        with self._errors(url):
            request = self._client.build_request(
                method,
                url,
                content=content,
                headers=headers,
                timeout=httpx.Timeout(min(READ_SECONDS, seconds), connect=connect),
                extensions={"trace": _socks_trace(connect)},
            )
            response = self._client.send(request, stream=True)
        try:
            yield Response(response.status_code, response.headers, self._chunks(response, url, deadline))
        finally:
            # A connection that ends badly takes nothing from a response that was read.
            with suppress(Unreachable), self._errors(url):
                response.close()

    def _chunks(self, response: httpx.Response, url: str, deadline: float) -> Iterator[bytes]:
        with self._errors(url):
            _check(deadline)
            for chunk in response.iter_raw():
                _check(deadline)
                yield chunk

    @contextmanager
    def _errors(self, url: str) -> Iterator[None]:
        """Raise whatever the libraries raise, expected or not, as one of our errors."""
        try:
            yield
        except SeedreamError:
            # Ours already, or the signal that ends the program.
            raise
        except Exception as error:
            raise _translated(error, _host(url) + self._router.through(url)) from None


class _Router(httpx.BaseTransport):
    """Sends each request directly or through a proxy, as the environment has it for the URL's host."""

    def __init__(self) -> None:
        #: A transport, and the proxy's host, for each host and port.
        self._routes: dict[tuple[str, str, int | None], tuple[httpx.HTTPTransport, str]] = {}
        self._lock = threading.Lock()

    def route(self, url: httpx.URL) -> httpx.HTTPTransport:
        with self._lock:
            origin = (url.scheme, url.host, url.port)
            if origin not in self._routes:
                proxy = _proxy_for(url)
                uses_tls = url.scheme == "https" or (proxy is not None and proxy.url.scheme == "https")
                # Reading the certificates takes as long as starting Python does.
                context = _trusted() if uses_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                if proxy is not None and proxy.url.scheme == "https":
                    proxy.ssl_context = context
                transport = httpx.HTTPTransport(verify=context, limits=_LIMITS, proxy=proxy)
                self._routes[origin] = (transport, _host(str(proxy.url)) if proxy is not None else "")
            return self._routes[origin][0]

    def through(self, url: str) -> str:
        """Return the words that name the proxy of ``url`` in a message; "" without one."""
        # Not every exception: one may be the signal that ends the program.
        with suppress(httpx.InvalidURL, KeyError, ValueError):
            parts = httpx.URL(url)
            proxy = self._routes[(parts.scheme, parts.host, parts.port)][1]
            return f" through the proxy {proxy}" if proxy else ""
        return ""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        return self.route(request.url).handle_request(request)

    def close(self) -> None:
        for transport, _ in list(self._routes.values()):
            transport.close()


def _host(url: str) -> str:
    """Return host and port of ``url`` for a message."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]


def _check(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise httpx.ReadTimeout("the call took longer than it may")


# Errors


def _translated(error: Exception, host: str) -> Unreachable:
    """Return our error for one of the libraries'; ``host`` names the host, and its proxy if there is one.

    ``unsent`` is set only if the request surely never left: on a connection that is used again, a failed read
    or write can follow a request that was received.
    """
    text = str(error)
    problem = Unreachable(f"the call to {host} could not be made ({type(error).__name__})")
    # An unknown failure is tried again, which the idempotency key makes safe. These would only come again.
    lasting = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ImportError)
    problem.transient = not isinstance(error, lasting)
    if isinstance(error, httpx.ProxyError):
        detail, transient = _proxy_refusal(text)
        problem = Unreachable("the proxy does not let the call through", code="proxy_error", detail=detail)
        problem.transient = transient
    elif isinstance(error, httpx.ConnectTimeout):
        problem = Unreachable(f"no connection to {host} in time", code="timeout")
    elif isinstance(error, httpx.TimeoutException):
        problem = Unreachable(f"{host} did not answer in time", code="timeout")
    elif "CERTIFICATE_VERIFY_FAILED" in text and isinstance(error, httpx.ConnectError):
        problem = Unreachable(f"the certificate of {host} is not trusted", code="tls_error", detail=text)
        # The same certificate comes again: only a setting such as SSL_CERT_FILE helps.
        problem.transient = False
    elif isinstance(error, httpx.ConnectError):
        problem = Unreachable(f"no connection to {host}", detail=text or None)
    elif isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        problem = Unreachable(f"the connection to {host} broke before its answer was complete")
    problem.unsent = isinstance(error, httpx.ProxyError | httpx.ConnectTimeout | httpx.ConnectError)
    return problem


def _proxy_refusal(text: str) -> tuple[str, bool]:
    """Return what to show of a proxy's refusal, and whether a later try may succeed.

    ``text`` is httpcore's: "407 Proxy Authentication Required" of an HTTP proxy, whose reason can repeat a
    password, or a sentence of its own about a SOCKS proxy.
    """
    if status := re.match(r"(\d{3})\b", text):
        code = int(status[1])
        detail = f"it answered with HTTP {code} {responses.get(code, '')}".rstrip()
        return detail, code >= 500 or code in (408, 429)
    return text, "could not connect" in text


def _socks_trace(seconds: float) -> Callable[[str, Mapping[str, Any]], None]:
    """Return a trace function for httpcore that bounds the handshake with a SOCKS proxy.

    httpcore reads the proxy's replies without a timeout, and leaves the socket open if they are unexpected.
    The system's own timeout for a socket applies only while Python has none.
    """
    milliseconds = max(1, int(seconds * 1000))
    whole, rest = divmod(milliseconds, 1000)
    limit = struct.pack("ll", whole, rest * 1000) if os.name != "nt" else struct.pack("L", milliseconds)
    connected: list[socket.socket] = []

    def trace(event: str, info: Mapping[str, Any]) -> None:
        if event == "socks.connect_tcp.complete":
            connected.append(info["return_value"].get_extra_info("socket"))
            with suppress(OSError):
                connected[-1].setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
        elif event == "socks.setup_socks5_connection.failed":
            connected.pop().close()

    return trace


# The environment


def _proxy_for(url: httpx.URL) -> httpx.Proxy | None:
    """Return the proxy for ``url``. Variables for other schemes and hosts are not judged.

    urllib reads the environment, and the system's settings on Windows and macOS. httpx itself fails on
    entries of NO_PROXY that other programs accept.
    """
    host, port = url.host, url.port or {"http": 80, "https": 443}.get(url.scheme)
    if is_loopback(host):
        return None
    forms = (host, f"[{host}]", f"[{host}]:{port}") if ":" in host else (host, f"{host}:{port}")
    if any(proxy_bypass(form) for form in forms):
        return None
    settings = getproxies()
    for name in (url.scheme, "all"):
        if text := settings.get(name, "").strip():
            return _proxy(f"{name}_proxy", text)
    return None


def _proxy(name: str, text: str) -> httpx.Proxy:
    """Return the proxy that the variable ``name`` holds. Raises UsageProblem, without its value."""
    text = text if "://" in text else f"http://{text}"
    try:
        # "socks" is what desktops and curl call SOCKS 5.
        url = httpx.URL(re.sub(r"^socks://", "socks5://", text, flags=re.IGNORECASE))
    except (httpx.InvalidURL, ValueError):
        raise _unusable(name, "it is no URL of a proxy") from None
    if url.scheme not in _PROXY_SCHEMES:
        raise _unusable(name, f"its scheme is none of {', '.join(_PROXY_SCHEMES)}")
    # An @ after the host: what looks like the host is a part of a user name or password.
    hidden = b"@" in url.raw_path or "@" in url.fragment
    if hidden or not re.fullmatch(rb"[a-z0-9._-]+|[0-9a-f:.]+", url.raw_host, re.IGNORECASE):
        raise _unusable(name, "it is no URL of a proxy")
    if url.port is not None and not 0 < url.port < 65536:
        raise _unusable(name, "its port is not from 1 to 65535")
    return httpx.Proxy(url)


def _trusted() -> ssl.SSLContext:
    """Return a context that trusts SSL_CERT_FILE, else SSL_CERT_DIR, else the certificates of certifi."""
    file, folders = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    # OpenSSL accepts a folder that does not exist, and then trusts nobody.
    if folders and not file and not any(map(os.path.isdir, folders.split(os.pathsep))):
        raise _unusable("SSL_CERT_DIR", f"there is no folder {folders}")
    try:
        return _read_certificates(file, folders)
    except OSError as error:
        if not file:
            raise UsageError(f"TLS cannot be used: {error}", code="invalid_environment") from None
        has_no_certificates = isinstance(error, ssl.SSLError)
        why = f"there are no certificates in {file}" if has_no_certificates else f"{file}: {error.strerror}"
        raise _unusable("SSL_CERT_FILE", why) from None


@cache
def _read_certificates(file: str | None, folders: str | None) -> ssl.SSLContext:
    return httpx.create_ssl_context()


def _unusable(name: str, why: str) -> UsageError:
    shown = name if os.environ.get(name) else name.upper()
    return UsageError(f"{shown} in the environment cannot be used: {why}", code="invalid_environment")
