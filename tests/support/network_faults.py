"""Faults of the network and of the API, which replace a response byte for byte.

Calling ``honest`` performs the requested step and returns the correct response. A fault that does not call it
rejects the request before anything is done.
"""

from __future__ import annotations

import email.utils
import socket
import struct
import time
from collections.abc import Callable

from .raw import Exchange, answer
from .service import Fault, Honest, Service, refusal


def reset(service: Service, exchange: Exchange, honest: Honest) -> None:
    """Perform the step, and reset the connection without a response."""
    honest()
    _reset(exchange)


def reset_before(service: Service, exchange: Exchange, honest: Honest) -> None:
    """Reset the connection without performing the step."""
    _reset(exchange)


def drop(service: Service, exchange: Exchange, honest: Honest) -> None:
    """Perform the step, and close the connection without a response."""
    honest()


def hang(service: Service, exchange: Exchange, honest: Honest) -> None:
    """Perform the step, and never respond."""
    honest()
    exchange.closed.wait(5)


def truncated(service: Service, exchange: Exchange, honest: Honest) -> None:
    """Send half of the bytes that Content-Length announces."""
    whole = honest()
    exchange.connection.sendall(whole[: len(whole) - len(_body(whole)) // 2])


def reset_midway(service: Service, exchange: Exchange, honest: Honest) -> None:
    """Send half of the bytes, then reset the connection."""
    truncated(service, exchange, honest)
    _reset(exchange)


def hang_midway(service: Service, exchange: Exchange, honest: Honest) -> None:
    """Send half of the bytes, then nothing more."""
    truncated(service, exchange, honest)
    exchange.closed.wait(5)


def cut(service: Service, exchange: Exchange, honest: Honest) -> None:
    """Send half of the bytes, without Content-Length."""
    body = _body(honest())
    exchange.connection.sendall(answer(200, body[: len(body) // 2], length=None))


def chunks_cut(service: Service, exchange: Exchange, honest: Honest) -> None:
    """Send a chunked body that ends within a chunk."""
    body = _body(honest())
    head = answer(200, b"", headers={"Transfer-Encoding": "chunked"}, length=None)
    exchange.connection.sendall(head + f"{len(body):x}\r\n".encode() + body[: len(body) // 2])


def replaced(*body: bytes, status: int = 200) -> Fault:
    """Return a fault that performs the step, and sends another body."""

    def fault(service: Service, exchange: Exchange, honest: Honest) -> None:
        honest()
        exchange.connection.sendall(answer(status, b"".join(body)))

    return fault


html = replaced(b"<!doctype html><title>Welcome to the hotel's network</title>")
invalid_json = replaced(b'{"code": 0, "data": {"task_id"')
empty = replaced(b"")
wrong_types = replaced(b'{"code": 0, "message": "success", "data": {"task_id": 7, "status": ["completed"]}}')
no_object = replaced(b"[1, 2, 3]")
endless = replaced(b'{"code": 0, "message": "', b"a" * (2 * 1024 * 1024), b'"}')


def refused(
    status: int, code: str = "internal_error", *, done: bool = False, headers: dict[str, str] | None = None
) -> Fault:
    """Return a fault that sends an error. ``done``: the step is performed, as after a gateway's timeout."""

    def fault(service: Service, exchange: Exchange, honest: Honest) -> None:
        if done:
            honest()
        exchange.connection.sendall(refusal(status, code, headers=headers))

    return fault


in_progress = refused(409, "idempotency_in_progress", done=True, headers={"Retry-After": "1"})


def rate_limited(retry_after: str | Callable[[], str] | None) -> Fault:
    """Return a fault that sends a 429, with this Retry-After or without one."""

    def fault(service: Service, exchange: Exchange, honest: Honest) -> None:
        value = retry_after() if callable(retry_after) else retry_after
        headers = {"Retry-After": value} if value is not None else None
        exchange.connection.sendall(refusal(429, "rate_limit_exceeded", headers=headers))

    return fault


def in_a_while() -> str:
    """Return a Retry-After as an HTTP date, 20 s ahead because the program's clock may be ahead too."""
    return email.utils.formatdate(time.time() + 20, usegmt=True)


def redirected(location: str, status: int = 302) -> Fault:
    """Return a fault that redirects. ``location`` may contain {origin} and {path} of the request."""

    def fault(service: Service, exchange: Exchange, honest: Honest) -> None:
        to = location.format(origin=service.origin, path=exchange.request.path)
        exchange.connection.sendall(answer(status, headers={"Location": to}))

    return fault


def _body(whole: bytes) -> bytes:
    return whole.partition(b"\r\n\r\n")[2]


def _reset(exchange: Exchange) -> None:
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.connection.close()
