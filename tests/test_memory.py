"""Memory stays flat, and every answer ends, whatever a server sends."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from collections.abc import Callable

import pytest
from support.images import png
from support.program import Program
from support.raw import Exchange, Reply, accepted, success
from support.starting import StartRaw

pytestmark = [pytest.mark.slow, pytest.mark.skipif(sys.platform == "win32", reason="getrusage is POSIX")]

MEGABYTE = 1_000_000
#: The same, between an image and one a hundred times as large.
BOUND_OF_IMAGES = 4 * MEGABYTE

#: Runs a program and tells its peak. What the system counts for a child begins with what its parent had:
#: this parent is small, and a process that runs tests is not.
PEAK = """
import os, sys
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(child, 0)
peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
sys.stderr.write(f"\\n{os.waitstatus_to_exitcode(status)} {peak}\\n")
"""


def peak_of(seedream: Program, *arguments: str) -> tuple[int, str, int]:
    """Exit code, stdout and peak (bytes) of a Python with these arguments."""
    done = subprocess.run(
        [sys.executable, "-IS", "-c", PEAK, *arguments],
        env=seedream.environment,
        cwd=seedream.cwd,
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    code, peak = map(int, done.stderr.splitlines()[-1].split())
    return code, done.stdout, peak


def sent(*pieces: bytes, then: bytes = b"") -> Callable[[Exchange], None]:
    """These bytes, and ``then`` again and again for as long as somebody takes it."""

    def reply(exchange: Exchange) -> None:
        for piece in pieces:
            exchange.connection.sendall(piece)
        block = then * (65536 // len(then)) if then else b""
        while block and not exchange.closed.is_set():
            exchange.connection.sendall(block)

    return reply


def large_png(size: int) -> Callable[[Exchange], None]:
    """A PNG of about ``size`` bytes, most of which are one chunk, sent in pieces."""
    small = png()
    header, end = small[:33], small[-12:]
    count = size // 65536
    head = f"HTTP/1.1 200 OK\r\nContent-Length: {33 + 12 + count * 65536 + 12}\r\nConnection: close\r\n\r\n"

    def reply(exchange: Exchange) -> None:
        exchange.connection.sendall(head.encode() + header + struct.pack(">I", count * 65536) + b"IDAT")
        for _ in range(count):
            exchange.connection.sendall(bytes(65536))
        exchange.connection.sendall(bytes(4) + end)

    return reply


def saving(seedream: Program, start_raw: StartRaw, image: Reply, *more: str) -> int:
    """The peak of a `generate` whose image is this one; 0 where it was refused as too large."""
    host = start_raw(image)
    done = success({"status": "completed", "result": [f"{host.origin}/1.png"]})
    seedream.use(start_raw(accepted(), done).base_url)
    command = ("-m", "seedream_cli", "generate", "fox", "-o", "fox.png", "--overwrite", "--json", *more)
    code, stdout, peak = peak_of(seedream, *command)
    error = json.loads(stdout)["error"]
    assert (code, error and error["code"]) == ((9, "too_large") if more else (0, None))
    return peak


def test_an_image_is_saved_with_flat_memory(seedream: Program, start_raw: StartRaw) -> None:
    small = saving(seedream, start_raw, large_png(MEGABYTE))
    large = saving(seedream, start_raw, large_png(150 * MEGABYTE))
    assert (seedream.cwd / "fox.png").stat().st_size > 149 * MEGABYTE
    assert large - small < BOUND_OF_IMAGES
    (seedream.cwd / "fox.png").unlink()
    # Nobody says how long it is, and it has no end.
    endless = sent(b"HTTP/1.1 200 OK\r\n\r\n", png()[:33], then=b"\0")
    refused = saving(seedream, start_raw, endless, "--max-bytes", str(50 * MEGABYTE))
    assert refused - small < BOUND_OF_IMAGES
    assert list(seedream.cwd.iterdir()) == []
