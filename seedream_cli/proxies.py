"""Proxies and certificates from the usual variables, each of which is judged on its own.

They mean what they mean to httpx: HTTPS_PROXY, HTTP_PROXY, ALL_PROXY and NO_PROXY, before which
their lower-case forms come, and SSL_CERT_FILE, before SSL_CERT_DIR.
"""

from __future__ import annotations

import os
import re
import ssl
from functools import cache

from .errors import UsageProblem
from .http_library import get_environment_proxies, httpx
from .socks import LONGEST

SOCKS = ("socks5", "socks5h")
_SCHEMES = ("http", "https", *SOCKS)
_HOST = rb"(?:[a-z0-9._-]+|[0-9a-f.]*:[0-9a-f.:]+(?:%[\w.-]+)?)"


def proxies() -> dict[str, httpx.Proxy | None]:
    """The proxies by the pattern of the URLs that they are for, as httpx mounts them; None: no proxy.

    Raises UsageProblem for a variable that cannot be used. Its value is not repeated: even where it is
    no URL there may be a password in it.
    """
    found: dict[str, httpx.Proxy | None] = {}
    for pattern, text in get_environment_proxies().items():
        if text is None:
            url = _url("no_proxy", pattern)
            if not re.fullmatch(rb"\**" + _HOST + rb"?", url.raw_host, re.IGNORECASE):
                raise _unusable("no_proxy", "one of its entries is no host")
            found[pattern] = None
        else:
            found[pattern] = _proxy(f"{pattern.removesuffix('://')}_proxy", text)
    return found


def _proxy(name: str, text: str) -> httpx.Proxy:
    url = _url(name, text)
    if url.scheme not in _SCHEMES:
        raise _unusable(name, f"its scheme is none of {', '.join(_SCHEMES)}")
    # Behind a host, an @ tells that what looks like the host is a part of a user name or password.
    hidden = b"@" in url.raw_path or "@" in url.fragment
    if hidden or not re.fullmatch(_HOST, url.raw_host, re.IGNORECASE):
        raise _unusable(name, "it is no URL of a proxy")
    if url.port is not None and not 0 < url.port < 65536:
        raise _unusable(name, "its port is not from 1 to 65535")
    proxy = httpx.Proxy(url)
    if url.scheme in SOCKS and any(len(part) > LONGEST for part in proxy.raw_auth or ()):
        raise _unusable(name, f"SOCKS takes no user name or password of more than {LONGEST} bytes")
    return proxy


def _url(name: str, text: str) -> httpx.URL:
    if any(char.isspace() for char in text):
        raise _unusable(name, "there is a blank in it")
    try:
        return httpx.URL(text)
    except (httpx.InvalidURL, ValueError):
        raise _unusable(
            name, "one of its entries is no host" if name == "no_proxy" else "it is no URL of a proxy"
        ) from None


def certificates() -> ssl.SSLContext:
    """What trusts the certificates that the environment names, or else those that come with the program.

    Raises UsageProblem for a file or folder that cannot be used.
    """
    folders = os.environ.get("SSL_CERT_DIR")
    # OpenSSL takes any folder, also one that is not there: every host would then be one not to trust.
    if folders and not any(os.path.isdir(folder) for folder in folders.split(os.pathsep)):
        raise _unusable("SSL_CERT_DIR", f"there is no folder {folders}")
    file = os.environ.get("SSL_CERT_FILE")
    try:
        return _read(file, folders)
    except ssl.SSLError:
        if not file:
            raise
        raise _unusable("SSL_CERT_FILE", f"there are no certificates in {file}") from None
    except OSError as error:
        if not file:
            raise
        raise _unusable("SSL_CERT_FILE", f"{file}: {error.strerror}") from None


@cache
def _read(file: str | None, folders: str | None) -> ssl.SSLContext:
    """Once for all clients: reading the bundle takes as long as starting Python does."""
    context = httpx.create_ssl_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _unusable(name: str, why: str) -> UsageProblem:
    shown = name if os.environ.get(name) else name.upper()
    return UsageProblem(f"{shown} in the environment cannot be used: {why}", code="invalid_environment")
