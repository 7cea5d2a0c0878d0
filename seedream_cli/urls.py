"""Checks of URLs: loopback hosts, URLs without secrets, and hosts that images may be fetched from."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from .errors import NotSaved

#: IPv6 networks whose addresses end in an IPv4 address: NAT64, and the deprecated IPv4-compatible form.
_EMBEDS_IPV4 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
#: Not public, although Python calls them global: site-local addresses, and a network's own NAT64.
_SITE_LOCAL = (ipaddress.ip_network("fec0::/10"), ipaddress.ip_network("64:ff9b:1::/48"))
#: Characters that IDNA treats as a dot.
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))


def is_loopback(host: str) -> bool:
    """Return True if a URL's host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def without_query(url: str) -> str:
    """Return the URL without its secrets: the query, which may be a signature, and a password before an @."""
    shown = url.partition("?")[0].partition("#")[0]
    scheme, separator, rest = shown.partition("://")
    if not separator:
        return shown
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def check_image_url(url: str, *, local: bool) -> None:
    """Raise NotSaved for an image URL that may not be fetched.

    Only https is allowed, and no host that is written as a loopback, private or link-local address. Both are
    allowed if the API itself is on this machine (``local``). The addresses that a name resolves to are not
    checked: TUN proxies answer every name with 198.18.0.0/15, company networks with 10.0.0.0/8.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # Raises ValueError for an invalid port.
    except ValueError:
        raise NotSaved("the image's address is no URL") from None
    if local and parts.scheme in ("http", "https") and host:
        return
    if parts.scheme != "https" or not host:
        raise NotSaved(f"the image's address is not https: {without_query(url)}")
    name = host.translate(_DOTS).rstrip(".")
    if name == "localhost" or name.endswith(".localhost") or _is_private(name):
        raise NotSaved(f"the image's address is on a private network: {host}")


def _is_private(name: str) -> bool:
    """Return True if ``name`` is an address, in any spelling, that is not on the public internet."""
    # Imported here because the settings need this module, but no sockets.
    import socket

    try:
        ip = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        try:
            # Reads what a look-up would: 127.1, 0x7f.1 and 2130706433 are all 127.0.0.1.
            ip = ipaddress.ip_address(socket.inet_aton(name))
        except (OSError, ValueError):
            return False
    if isinstance(ip, ipaddress.IPv6Address):
        embedded = ipaddress.IPv4Address(ip.packed[12:]) if any(ip in net for net in _EMBEDS_IPV4) else None
        ip = ip.ipv4_mapped or ip.sixtofour or embedded or ip
    return ip.is_multicast or not ip.is_global or any(ip in net for net in _SITE_LOCAL)
