"""A lean stand-in of the API, for measurements: ``python -m benchmarks.service --help``.

It speaks the documented API on loopback, images on a port of their own, and does so little for a request
that it bounds nothing: answers are put together from bytes that lie ready, and the image goes from its file
to the socket without passing through Python. What was asked of it, and when, is told at ``/measurements``
(`serving.Measurements`); that is not counted, and no rate limit meets it.

It says where it is in a line of JSON, and ends when its stdin does.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from seedream_cli.sandbox.rate import RateLimit

from .pictures import write_png

_HEAD = b"HTTP/1.1 %b\r\nContent-Type: %b\r\nContent-Length: %d\r\n%b\r\n"
_JSON = b"application/json"
_LIMITED = json.dumps(
    {"error": {"message": "Rate limit exceeded", "type": "rate_limit_error", "code": "rate_limit_exceeded"}}
).encode()
_UNKNOWN = json.dumps({"error": {"message": "There is no such thing", "code": "not_found"}}).encode()


class Task:
    """One task; its times are of the monotonic clock, which all processes of a machine share."""

    def __init__(self, name: str, seconds: float) -> None:
        self.name = name
        self.seconds = seconds
        self.created = time.monotonic()
        self.completes = time.time() + seconds
        self.polls: list[float] = []
        self.refused = 0
        self.downloads: list[tuple[float, float]] = []

    @property
    def finished(self) -> bool:
        return time.monotonic() >= self.created + self.seconds

    def measured(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "seconds": self.seconds,
            "created": self.created,
            "polls": self.polls,
            "refused": self.refused,
            "downloads": self.downloads,
        }


class Service:
    """What both ports know. ``draw`` tells how long the next task takes, in seconds."""

    def __init__(self, draw: Callable[[], float], rate: float, *, progress: bool, image: BinaryIO) -> None:
        self._draw = draw
        self._limit = RateLimit(rate, time.monotonic)
        self._progress = progress
        self._tasks: dict[str, Task] = {}
        self._of_key: dict[bytes, Task] = {}
        self._requests = self._refused = 0
        self.connections = {"api": 0, "images": 0}
        self.image = image
        self.image_size = os.fstat(image.fileno()).st_size
        #: The address of the images, once there is one.
        self.images = ""

    def answer(self, method: bytes, path: bytes, head: bytes) -> bytes:
        if path == b"/measurements":
            # It comes by a connection of its own, which is not counted either.
            self.connections["api"] -= 1
            return _answer(b"200 OK", json.dumps(self._measured()).encode())
        self._requests += 1
        task = self._tasks.get(path.rpartition(b"/")[2].decode("latin-1"))
        if not self._limit.allows(""):
            self._refused += 1
            if task is not None:
                task.refused += 1
            return _answer(b"429 Too Many Requests", _LIMITED, b"Retry-After: 1\r\n")
        if method == b"POST" and path == b"/v1/images/generations":
            task = self._created(_header(head, b"idempotency-key"))
            return _answer(
                b"200 OK", b'{"code":200,"message":"success","data":{"task_id":"%b"}}' % task.name.encode()
            )
        if method == b"GET" and task is not None and path.startswith(b"/v1/images/status/"):
            task.polls.append(time.monotonic())
            return _answer(b"200 OK", self._status(task))
        return _answer(b"404 Not Found", _UNKNOWN)

    def image_of(self, path: bytes) -> Task | None:
        return self._tasks.get(path.rpartition(b"/")[2].removesuffix(b".png").decode("latin-1"))

    def _created(self, key: bytes) -> Task:
        if key and key in self._of_key:
            return self._of_key[key]
        task = Task(f"task_{len(self._tasks):06}", self._draw())
        self._tasks[task.name] = self._of_key[key] = task
        return task

    def _status(self, task: Task) -> bytes:
        data: dict[str, Any] = {"task_id": task.name, "status": "processing"}
        if task.finished:
            data |= {
                "status": "completed",
                "result": [f"{self.images}/images/{task.name}.png"],
                "completed_at": int(task.completes),
            }
        if self._progress:
            done = (time.monotonic() - task.created) / task.seconds if task.seconds else 1.0
            data["progress"] = min(100, int(100 * done))
        return json.dumps({"code": 200, "message": "success", "data": data}).encode()

    def _measured(self) -> dict[str, Any]:
        return {
            "tasks": [task.measured() for task in self._tasks.values()],
            "requests": self._requests,
            "refused": self._refused,
            "connections": self.connections,
        }


class _Connection(asyncio.Protocol):
    """Requests of one connection, one behind the other."""

    name = "api"

    def __init__(self, service: Service) -> None:
        self._service = service
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)  # noqa: S101
        self._transport = transport
        self._service.connections[self.name] += 1

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := self._received.find(b"\r\n\r\n")) >= 0:
            head = self._received[:end]
            end += 4 + int(_header(head, b"content-length") or 0)
            if len(self._received) < end:
                return
            self._received = self._received[end:]
            method, path, _ = head.partition(b"\r\n")[0].split(b" ", 2)
            self.respond(method, path, head)

    def respond(self, method: bytes, path: bytes, head: bytes) -> None:
        self._transport.write(self._service.answer(method, path, head))
        self._ended(head)

    def _ended(self, head: bytes) -> None:
        if _header(head, b"connection") == b"close":
            self._transport.close()


class _ImageConnection(_Connection):
    name = "images"
    #: Kept, because the loop itself has only a weak reference to it.
    _sending: asyncio.Task[None]

    def respond(self, method: bytes, path: bytes, head: bytes) -> None:
        self._sending = asyncio.get_running_loop().create_task(self._send(path, head))

    async def _send(self, path: bytes, head: bytes) -> None:
        service, began = self._service, time.monotonic()
        self._transport.write(_HEAD % (b"200 OK", b"image/png", service.image_size, b""))
        try:
            # A file of its own: several are sent at a time, and each has a place where it is.
            with open(service.image.name, "rb") as image:
                await asyncio.get_running_loop().sendfile(self._transport, image)
        except (ConnectionError, RuntimeError):
            # The reader has left; it tells why, if that matters.
            return
        if (task := service.image_of(path)) is not None:
            task.downloads.append((began, time.monotonic()))
        self._ended(head)


def _answer(status: bytes, body: bytes, headers: bytes = b"") -> bytes:
    return _HEAD % (status, _JSON, len(body), headers) + body


def _header(head: bytes, name: bytes) -> bytes:
    for line in head.split(b"\r\n")[1:]:
        key, _, value = line.partition(b":")
        if key.lower() == name:
            return value.strip()
    return b""


async def _serve(service: Service) -> None:
    loop = asyncio.get_running_loop()
    # A queue for as many as come at once: one that is full makes them wait for a second.
    api = await loop.create_server(lambda: _Connection(service), "127.0.0.1", 0, backlog=1024)
    images = await loop.create_server(lambda: _ImageConnection(service), "127.0.0.1", 0, backlog=1024)
    service.images = f"http://127.0.0.1:{images.sockets[0].getsockname()[1]}"
    port = api.sockets[0].getsockname()[1]
    print(json.dumps({"base_url": f"http://127.0.0.1:{port}/v1", "images": service.images}), flush=True)
    ended = asyncio.Event()
    loop.add_reader(sys.stdin.fileno(), ended.set)
    await ended.wait()


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.service", description=(__doc__ or "")[:72])
    parser.add_argument(
        "--seconds",
        nargs="+",
        type=float,
        default=[0.0],
        metavar="S",
        help="how long a task takes; of two, evenly between them, in the order of creation",
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--skip", type=int, default=0, metavar="N", help="so many draws, unused")
    parser.add_argument("--image-bytes", type=int, default=1000, metavar="N")
    parser.add_argument("--rate", type=float, default=0.0, help="API calls a second; 0 is no limit")
    parser.add_argument("--progress", action="store_true", help="tell how far a task is")
    options = parser.parse_args()
    chance = random.Random(options.seed)  # noqa: S311 - nothing here is a secret.
    with tempfile.TemporaryDirectory(prefix="seedream-service-") as folder:
        path = Path(folder, "image.png")
        write_png(path, options.image_bytes)
        with path.open("rb") as image:
            low, high = options.seconds[0], options.seconds[-1]

            def draw() -> float:
                return chance.uniform(low, high)

            for _ in range(options.skip):
                draw()
            service = Service(draw, options.rate, progress=options.progress, image=image)
            asyncio.run(_serve(service))


if __name__ == "__main__":
    main()
