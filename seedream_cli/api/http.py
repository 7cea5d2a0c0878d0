"""HTTP through httpx, which no other module imports.

Every exception of httpx, or of a library below it, leaves this module as a SeedreamError. A library's own
message is shown only where it cannot contain a header or a URL: those may hold the key, a signature or the
password of a proxy.

Time limits are httpx's timeouts for each connect, read and write, plus a total deadline per call, which is
checked before and between the chunks of a body. That deadline does not bound a server that sends its headers,
or reads a request, a few bytes at a time, nor a slow name look-up.
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

#: Seconds to connect.
CONNECT_TIMEOUT = 10.0
#: Seconds without a byte in either direction.
READ_TIMEOUT = 30.0
#: The number of idle connections is not limited: httpcore could then close one that it has just assigned (its
#: issue 1110). Idle connections expire before the 60 s after which common servers close them.
_LIMITS = httpx.Limits(max_connections=None, max_keepalive_connections=None, keepalive_expiry=50.0)
_PROXY_SCHEMES = ("http", "https", "socks5", "socks5h")


class Response:
    """A response whose headers have been read. ``chunks`` are the bytes of its body, not decompressed."""

    def __init__(self, status: int, headers: Mapping[str, str], chunks: Iterator[bytes]) -> None:
        self.status = status
        self.headers = headers
        self.chunks = chunks


class HttpClient:
    """An HTTP client that neither follows redirects nor keeps cookies. Threads may share it.

    ``headers`` are sent with every request. Requests to loopback hosts never use a proxy.
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
        """Raise UsageError if a proxy or certificate setting that ``url`` needs cannot be used."""
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
        """Send a request and yield its response. Raises Unreachable, and UsageError as ``prepare`` does."""
        deadline = time.monotonic() + seconds
        connect = min(CONNECT_TIMEOUT, seconds)
        with self._errors(url):
            request = self._client.build_request(
                method,
                url,
                content=content,
                headers=headers,
                timeout=httpx.Timeout(min(READ_TIMEOUT, seconds), connect=connect),
                extensions={"trace": _socks_trace(connect)},
            )
            response = self._client.send(request, stream=True)
        try:
            yield Response(response.status_code, response.headers, self._chunks(response, url, deadline))
        finally:
            # An error while closing does not matter: the response has been read.
            with suppress(Unreachable), self._errors(url):
                response.close()

    def _chunks(self, response: httpx.Response, url: str, deadline: float) -> Iterator[bytes]:
        with self._errors(url):
            _check_deadline(deadline)
            for chunk in response.iter_raw():
                _check_deadline(deadline)
                yield chunk

    @contextmanager
    def _errors(self, url: str) -> Iterator[None]:
        """Turn any exception of the libraries, expected or not, into a SeedreamError."""
        try:
            yield
        except SeedreamError:
            # Already translated, or Stopped by a signal.
            raise
        except Exception as error:
            raise _translate(error, _host(url) + self._router.describe_proxy(url)) from None


class _Router(httpx.BaseTransport):
    """Sends each request directly or through the proxy that the environment sets for its host."""

    def __init__(self) -> None:
        #: Transport and host of the proxy ("" without one) by scheme, host and port.
        self._routes: dict[tuple[str, str, int | None], tuple[httpx.HTTPTransport, str]] = {}
        self._lock = threading.Lock()

    def route(self, url: httpx.URL) -> httpx.HTTPTransport:
        """Return the transport for ``url``. Raises UsageError if its proxy or certificates cannot be used."""
        with self._lock:
            origin = (url.scheme, url.host, url.port)
            if origin not in self._routes:
                proxy = _proxy_for(url)
                uses_tls = url.scheme == "https" or (proxy is not None and proxy.url.scheme == "https")
                # Only for TLS: reading the certificates takes as long as starting Python.
                context = _trusted_context() if uses_tls else ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                if proxy is not None and proxy.url.scheme == "https":
                    proxy.ssl_context = context
                transport = httpx.HTTPTransport(verify=context, limits=_LIMITS, proxy=proxy)
                self._routes[origin] = (transport, _host(str(proxy.url)) if proxy is not None else "")
            return self._routes[origin][0]

    def describe_proxy(self, url: str) -> str:
        """Return " through the proxy HOST" for a message; "" if ``url`` has no proxy."""
        # Not all exceptions: Stopped, which a signal raises, must pass.
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
    """Return host and port of ``url`` for a message, without a password."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]


def _check_deadline(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise httpx.ReadTimeout("the call took longer than it may")


# Errors


def _translate(error: Exception, host: str) -> Unreachable:
    """Return the SeedreamError for an exception of a library.

    ``host`` names the host in the message, and its proxy if there is one. ``unsent`` is set only if the
    request surely never left: on a reused connection, a read or write can fail after the server has received
    the request.
    """
    text = str(error)
    problem = Unreachable(f"the call to {host} could not be made ({type(error).__name__})")
    # Unknown failures are retried, which the idempotency key makes safe. These would only happen again.
    permanent = (httpx.InvalidURL, httpx.UnsupportedProtocol, httpx.LocalProtocolError, ImportError)
    problem.transient = not isinstance(error, permanent)
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
        # A retry would get the same certificate. Only a setting such as SSL_CERT_FILE helps.
        problem.transient = False
    elif isinstance(error, httpx.ConnectError):
        problem = Unreachable(f"no connection to {host}", detail=text or None)
    elif isinstance(error, httpx.NetworkError | httpx.RemoteProtocolError):
        problem = Unreachable(f"the connection to {host} broke before its answer was complete")
    problem.unsent = isinstance(error, httpx.ProxyError | httpx.ConnectTimeout | httpx.ConnectError)
    return problem


def _proxy_refusal(text: str) -> tuple[str, bool]:
    """Return the detail to show for a proxy's refusal, and True if a retry may succeed.

    ``text`` is httpcore's message. For an HTTP proxy it is "407 Proxy Authentication Required": status and
    reason, of which the reason is not shown because it can repeat a password. For a SOCKS proxy it is a
    sentence of httpcore.
    """
    if status := re.match(r"(\d{3})\b", text):
        code = int(status[1])
        detail = f"it answered with HTTP {code} {responses.get(code, '')}".rstrip()
        return detail, code >= 500 or code in (408, 429)
    return text, "could not connect" in text


def _socks_trace(seconds: float) -> Callable[[str, Mapping[str, Any]], None]:
    """Return a trace function for httpcore that bounds the handshake with a SOCKS proxy.

    httpcore reads the proxy's replies without a timeout, and leaves the socket open if they are unexpected.
    SO_RCVTIMEO, the operating system's timeout, applies only while Python has set none.
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
    """Return the proxy for ``url``. Variables for other schemes and hosts are not checked.

    Uses urllib, which reads the environment, and the system's settings on Windows and macOS. httpx's own
    reading fails for entries of NO_PROXY that other programs accept.
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
    """Return the proxy that the variable ``name`` sets. Raises UsageError, which does not show its value."""
    text = text if "://" in text else f"http://{text}"
    try:
        # Desktops and curl write "socks" for SOCKS 5.
        url = httpx.URL(re.sub(r"^socks://", "socks5://", text, flags=re.IGNORECASE))
    except (httpx.InvalidURL, ValueError):
        raise _unusable(name, "it is no URL of a proxy") from None
    if url.scheme not in _PROXY_SCHEMES:
        raise _unusable(name, f"its scheme is none of {', '.join(_PROXY_SCHEMES)}")
    # An @ after the host means that the "host" is a part of an unescaped user name or password.
    has_stray_at = b"@" in url.raw_path or "@" in url.fragment
    if has_stray_at or not re.fullmatch(rb"[a-z0-9._-]+|[0-9a-f:.]+", url.raw_host, re.IGNORECASE):
        raise _unusable(name, "it is no URL of a proxy")
    if url.port is not None and not 0 < url.port < 65536:
        raise _unusable(name, "its port is not from 1 to 65535")
    return httpx.Proxy(url)


def _trusted_context() -> ssl.SSLContext:
    """Return a context that trusts SSL_CERT_FILE, else SSL_CERT_DIR, else the certificates of certifi."""
    file, folders = os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")
    # OpenSSL accepts a folder that does not exist, and then trusts no certificate.
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
