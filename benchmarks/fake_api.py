"""A fake API on loopback: asyncio in a thread of the benchmark, so that it is never the bottleneck."""

from __future__ import annotations

import asyncio
import json
import re
import struct
import threading
import time
import zlib
from collections.abc import Iterable
from typing import Any

_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: {}\r\nContent-Length: {}\r\n\r\n"


class FakeAPI:
    """A server whose tasks take ``seconds``, in the order of creation, each with a PNG of ``image_bytes``.

    Use as a context manager. ``requests`` counts creates, polls and downloads.
    """

    def __init__(self, seconds: Iterable[float], image_bytes: int = 1000) -> None:
        self._seconds = iter(seconds)
        self._image_bytes = image_bytes
        self._ends: dict[str, float] = {}
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self.requests = 0

    def __enter__(self) -> FakeAPI:
        self._thread.start()
        self._ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    async def _run(self) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        # The backlog holds all clients that connect at once; a full one delays them by a second.
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self._origin = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        self.base_url = f"{self._origin}/v1"
        self._ready.set()
        await self._stop.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = re.search(rb"content-length: *(\d+)", head, re.IGNORECASE)
                await reader.readexactly(int(length[1]) if length else 0)
                self.requests += 1
                method, path, _ = head.decode("latin-1").split(" ", 2)
                name = path.rpartition("/")[2]
                if name.endswith(".png"):
                    await self._send_image(writer)
                else:
                    body = json.dumps({"code": 200, "data": self._data(method, name)})
                    writer.write((_HEAD.format("application/json", len(body)) + body).encode())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def _data(self, method: str, task: str) -> dict[str, Any]:
        if method == "POST":
            task = f"task_{len(self._ends):06}"
            self._ends[task] = time.time() + next(self._seconds)
            return {"task_id": task}
        end = self._ends[task]
        if time.time() < end:
            return {"task_id": task, "status": "processing"}
        url = f"{self._origin}/images/{task}.png"
        return {"task_id": task, "status": "completed", "result": [url], "completed_at": int(end)}

    async def _send_image(self, writer: asyncio.StreamWriter) -> None:
        """Send one pixel, and comments until the size is reached."""
        header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0))
        pixel = _chunk(b"IDAT", zlib.compress(bytes(4)))
        comment = _chunk(b"noIs", bytes(min(self._image_bytes, 65536)))
        parts = [b"\x89PNG\r\n\x1a\n", header, pixel]
        parts += [comment] * (self._image_bytes // len(comment)) + [_chunk(b"IEND", b"")]
        writer.write(_HEAD.format("image/png", sum(map(len, parts))).encode())
        for part in parts:
            writer.write(part)
            await writer.drain()


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
