"""Which hosts may be reached: what is this machine, and from where an image may be fetched."""

from __future__ import annotations

import ipaddress
from urllib.parse import urlsplit

from .errors import NotSaved

#: Networks whose addresses end in one of IPv4: NAT64, and an old form of compatibility.
_WITH_IPV4 = (ipaddress.ip_network("64:ff9b::/96"), ipaddress.ip_network("::/96"))
_DOTS = str.maketrans(dict.fromkeys("\u3002\uff0e\uff61", "."))
#: Not on the public internet, whatever Python's table says: site-local, and NAT64 of one's own.
_OF_A_SITE = (ipaddress.ip_network("fec0::/10"), ipaddress.ip_network("64:ff9b:1::/48"))


def is_loopback(host: str) -> bool:
    """Whether a URL's host is this machine."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def without_query(url: str) -> str:
    """The URL as it may be shown, without its secrets: a signature's query, a password before an @."""
    shown = url.partition("?")[0].partition("#")[0]
    scheme, separator, rest = shown.partition("://")
    if not separator:
        return shown
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path}"


def check_image_url(url: str, *, local: bool) -> None:
    """Refuse an image's URL that may not be fetched: only https, unless the API itself is on this machine.

    An address in the URL is judged here, a name by the addresses that it resolves to, as it is
    connected. Raises NotSaved.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        _ = parts.port  # Raises ValueError where it is none.
    except ValueError:
        raise NotSaved("the image's address is no URL") from None
    if local and parts.scheme in ("http", "https") and host:
        return
    if parts.scheme != "https" or not host:
        raise NotSaved(f"the image's address is not https: {without_query(url)}")
    # What IDNA takes for a dot, a proxy gets as one.
    name = host.translate(_DOTS).rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        raise NotSaved(f"the image's address is on a private network: {host}")
    if (address := _address_in(name)) is not None:
        refuse_private(host, address)


def _address_in(name: str) -> str | None:
    """The address that a host's name is, in any form that a look-up takes: 127.1 is 127.0.0.1.

    Behind a proxy this is all there is to judge: it gets names, and looks them up itself.
    """
    # Only where something is fetched: settings need this module too, but no sockets.
    import socket

    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(name))
    except (OSError, ValueError):
        return None


def refuse_private(host: str, address: str) -> None:
    """Raises NotSaved where ``host`` is, or resolved to, an address that is not on the public internet."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        # Gateways carry these on to the IPv4 address inside.
        ends_in_ipv4 = any(ip in network for network in _WITH_IPV4)
        ip = ip.sixtofour or (ipaddress.IPv4Address(ip.packed[12:]) if ends_in_ipv4 else ip)
    if ip.is_multicast or not ip.is_global or any(ip in network for network in _OF_A_SITE):
        raise NotSaved(f"the image's address is on a private network: {host}")
