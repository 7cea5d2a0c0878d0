"""httpx set up: no redirects, no cookies, and only those proxies that the environment names."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from http.client import responses
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Any

import httpcore

from . import socks
from .http_library import httpx
from .network import Backend, Deadline, Guard, ProxyBackend, SocksBackend
from .proxies import SOCKS, certificates, proxies

#: Seconds: to connect, and without a byte in either direction.
TIMEOUT = httpx.Timeout(30.0, connect=10.0)

_SOCKS_PORT = 1080


def build(
    *, deadline: Deadline, headers: dict[str, str], loopback: bool = False, guard: Guard | None = None
) -> httpx.Client:
    """An HTTP client that follows no redirects and keeps no cookies.

    ``loopback``: all of its calls go to this machine in plain http, so neither proxies (they
    would see the key) nor certificates concern it. A proxy from the environment is otherwise used
    as httpx reads it, never for loopback hosts. Raises UsageProblem for a proxy or certificate
    setting that cannot be used.
    """
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=64)
    # With no TLS ahead, loading the certificate bundle would be for nothing.
    verify: ssl.SSLContext | bool = False if loopback else certificates()
    # The peer of a proxied connection is the proxy, so there is no address for the guard to judge.
    mounts: dict[str, httpx.BaseTransport | None] = {
        pattern: None if proxy is None else _through(proxy, verify, limits, deadline)
        for pattern, proxy in ({} if loopback else proxies()).items()
    }
    direct = httpx.HTTPTransport(verify=verify, trust_env=False, limits=limits)
    _replace_backend(direct, lambda inner: Backend(inner, deadline, guard))
    return httpx.Client(
        headers=headers,
        cookies=CookieJar(DefaultCookiePolicy(allowed_domains=[])),
        timeout=TIMEOUT,
        follow_redirects=False,
        trust_env=False,
        transport=direct,
        mounts=mounts | {f"all://{host}": None for host in ("localhost", "127.0.0.1", "[::1]")},
    )


def _through(
    proxy: httpx.Proxy, verify: ssl.SSLContext | bool, limits: httpx.Limits, deadline: Deadline
) -> httpx.BaseTransport:
    """What carries calls through a proxy, whose own certificate is judged as any other."""
    if proxy.url.scheme in SOCKS:
        address = (proxy.url.host, proxy.url.port or _SOCKS_PORT)
        transport = httpx.HTTPTransport(verify=verify, trust_env=False, limits=limits)
        _replace_backend(transport, lambda inner: SocksBackend(inner, deadline, address, proxy.raw_auth))
        return transport
    if proxy.url.scheme == "https" and isinstance(verify, ssl.SSLContext):
        proxy.ssl_context = verify
    transport = httpx.HTTPTransport(verify=verify, trust_env=False, limits=limits, proxy=proxy)
    _replace_backend(transport, lambda inner: ProxyBackend(inner, deadline))
    return transport


def _replace_backend(
    transport: httpx.HTTPTransport, backend: Callable[[httpcore.NetworkBackend], httpcore.NetworkBackend]
) -> None:
    # httpx offers no public way to hand in a network backend; pyproject.toml caps it for this.
    pool: Any = transport._pool
    pool._network_backend = backend(pool._network_backend)


def refusal_of(error: httpx.ProxyError) -> tuple[str, bool]:
    """Why a proxy lets a call not through, and whether it may do so a moment later."""
    if isinstance(error.__cause__, socks.Refused):
        return str(error.__cause__), error.__cause__.passing
    # httpcore puts the status first; the words behind it are the proxy's, which may repeat a password.
    first = str(error).partition(" ")[0]
    status = int(first) if first.isascii() and first.isdecimal() else 0
    words = f"it answered with HTTP {status} {responses.get(status, '')}".rstrip()
    return words, status >= 500 or status in (408, 429)
