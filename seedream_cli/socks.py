"""SOCKS5 (RFC 1928, with the passwords of RFC 1929): has a proxy connect to a host.

socksio, which httpx's own transport would ask for this, leaves the reading to who calls it, and httpcore
reads there without a limit of time and takes a reply that comes in two pieces for a wrong one.
"""

from __future__ import annotations

import ipaddress
from typing import Protocol

from .http_library import httpx

#: The longest name of a host, of a user, and the longest password: their lengths are sent as a byte.
LONGEST = 255

_NO_LOGIN, _LOGIN = 0, 2
_ADDRESS_LENGTHS = {1: 4, 4: 16}
_NAME = 3
_REPLIES = {
    1: "general failure",
    2: "not allowed by its rules",
    3: "network unreachable",
    4: "host unreachable",
    5: "connection refused",
    6: "time to live expired",
    7: "command not supported",
    8: "kind of address not supported",
}
#: Those that come again however often they are asked for.
_LASTING = (2, 7, 8)


class Refused(httpx.ProxyError):
    """A proxy's no, in words without anything of its own. ``passing``: a moment later it may be a yes."""

    def __init__(self, text: str, *, passing: bool = False) -> None:
        super().__init__(text)
        self.passing = passing


class Stream(Protocol):
    """A connection to a proxy; ``read`` gives nothing once it is at its end."""

    def read(self, most: int, timeout: float | None = None) -> bytes: ...

    def write(self, data: bytes, timeout: float | None = None) -> None: ...


def connect(
    stream: Stream,
    host: str,
    port: int,
    login: tuple[bytes, bytes] | None,
    timeout: float | None,
) -> None:
    """Have the proxy at the other end of the stream connect to the host, which it looks up itself.

    Raises Refused where it does not, and httpx.ReadError where it leaves in the middle.
    ``timeout`` is for each reply.
    """
    methods = bytes([_NO_LOGIN, _LOGIN] if login else [_NO_LOGIN])
    stream.write(bytes([5, len(methods)]) + methods, timeout)
    version, method = _read(stream, 2, timeout)
    _check(version)
    if method == _LOGIN and login:
        stream.write(b"\x01" + _measured(login[0]) + _measured(login[1]), timeout)
        if _read(stream, 2, timeout)[1] != 0:
            raise Refused("it does not accept the user name and password in its URL")
    elif method != _NO_LOGIN:
        raise Refused(
            "it accepts no user name and password" if login else "it asks for a login, and its URL has none"
        )
    stream.write(b"\x05\x01\x00" + _address(host) + port.to_bytes(2, "big"), timeout)
    version, reply, _, kind = _read(stream, 4, timeout)
    _check(version)
    if reply != 0:
        words = _REPLIES.get(reply, f"reply {reply}")
        raise Refused(f"it could not connect to the host: {words}", passing=reply not in _LASTING)
    if kind != _NAME and kind not in _ADDRESS_LENGTHS:
        raise Refused("it does not speak SOCKS5")
    # Where it connects from is of no use, but to its last byte it is none of what the host says.
    _read(stream, (_ADDRESS_LENGTHS.get(kind) or _read(stream, 1, timeout)[0]) + 2, timeout)


def _check(version: int) -> None:
    if version != 5:
        raise Refused("it does not speak SOCKS5")


def _read(stream: Stream, count: int, timeout: float | None) -> bytes:
    data = b""
    while len(data) < count:
        piece = stream.read(count - len(data), timeout)
        if not piece:
            raise httpx.ReadError("it closed the connection")
        data += piece
    return data


def _address(host: str) -> bytes:
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return bytes([_NAME]) + _measured(host.encode("ascii"))
    return bytes([1 if address.version == 4 else 4]) + address.packed


def _measured(text: bytes) -> bytes:
    if len(text) > LONGEST:
        raise Refused(f"SOCKS takes no name of more than {LONGEST} bytes")
    return bytes([len(text)]) + text
