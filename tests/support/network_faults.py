"""What a network and a server can do to an answer, byte for byte."""

from __future__ import annotations

import email.utils
import socket
import struct
import time
from collections.abc import Callable

from .raw import HttpCall, answer
from .service import Fault, Honest, Service, refusal


def reset(service: Service, exchange: HttpCall, honest: Honest) -> None:
    """The step is done; the connection is reset without an answer."""
    honest()
    _reset(exchange)


def reset_before(service: Service, exchange: HttpCall, honest: Honest) -> None:
    """Nothing is done; the connection is reset."""
    _reset(exchange)


def drop(service: Service, exchange: HttpCall, honest: Honest) -> None:
    """The step is done; the connection is closed without an answer."""
    honest()


def hang(service: Service, exchange: HttpCall, honest: Honest) -> None:
    """The step is done; nothing ever comes."""
    honest()
    exchange.closed.wait(5)


def truncated(service: Service, exchange: HttpCall, honest: Honest) -> None:
    """Half of the bytes that Content-Length announces."""
    whole = honest()
    exchange.connection.sendall(whole[: len(whole) - len(_body(whole)) // 2])


def reset_midway(service: Service, exchange: HttpCall, honest: Honest) -> None:
    """Half of the bytes, then a reset."""
    truncated(service, exchange, honest)
    _reset(exchange)


def hang_midway(service: Service, exchange: HttpCall, honest: Honest) -> None:
    """Half of the bytes, then nothing."""
    truncated(service, exchange, honest)
    exchange.closed.wait(5)


def cut(service: Service, exchange: HttpCall, honest: Honest) -> None:
    """Half of the bytes, without a length that would tell."""
    body = _body(honest())
    exchange.connection.sendall(answer(200, body[: len(body) // 2], length=None))


def chunks_cut(service: Service, exchange: HttpCall, honest: Honest) -> None:
    """A chunked body that ends within a chunk."""
    body = _body(honest())
    head = answer(200, b"", headers={"Transfer-Encoding": "chunked"}, length=None)
    exchange.connection.sendall(head + f"{len(body):x}\r\n".encode() + body[: len(body) // 2])


def replaced(*body: bytes, status: int = 200) -> Fault:
    """The step is done; the answer has another body."""

    def fault(service: Service, exchange: HttpCall, honest: Honest) -> None:
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
    """An error answer; ``done``: the step was done all the same, as behind a gateway that lost patience."""

    def fault(service: Service, exchange: HttpCall, honest: Honest) -> None:
        if done:
            honest()
        exchange.connection.sendall(refusal(status, code, headers=headers))

    return fault


in_progress = refused(409, "idempotency_in_progress", done=True, headers={"Retry-After": "1"})


def rate_limited(retry_after: str | Callable[[], str] | None) -> Fault:
    def fault(service: Service, exchange: HttpCall, honest: Honest) -> None:
        value = retry_after() if callable(retry_after) else retry_after
        headers = {"Retry-After": value} if value is not None else None
        exchange.connection.sendall(refusal(429, "rate_limit_exceeded", headers=headers))

    return fault


def in_a_while() -> str:
    """A Retry-After as an HTTP date; the program's clock may be ahead by what it has waited."""
    return email.utils.formatdate(time.time() + 20, usegmt=True)


def redirected(location: str, status: int = 302) -> Fault:
    """To ``location``, in which {origin} is the service and {path} is what was asked for."""

    def fault(service: Service, exchange: HttpCall, honest: Honest) -> None:
        to = location.format(origin=service.origin, path=exchange.request.path)
        exchange.connection.sendall(answer(status, headers={"Location": to}))

    return fault


def _body(whole: bytes) -> bytes:
    return whole.partition(b"\r\n\r\n")[2]


def _reset(exchange: HttpCall) -> None:
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.connection.close()
