"""Memory use is bounded, and every response ends, whatever a server sends."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable

import pytest
from support.images import png
from support.program import Program
from support.raw import Exchange, Reply, accepted, answer, success
from support.starting import StartRaw

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="getrusage is POSIX"),
]

MEGABYTE = 1_000_000
#: Bytes by which peaks may differ: buffers, and memory that the allocator keeps.
BOUND = 12 * MEGABYTE
#: The same, for an image and one a hundred times as large.
BOUND_OF_IMAGES = 4 * MEGABYTE

#: Runs a program and prints its exit code and peak memory. A child inherits the peak of its parent, and a
#: process that runs tests is large: hence this small one in between.
PEAK = """
import os, sys
child = os.posix_spawn(sys.executable, [sys.executable, *sys.argv[1:]], os.environ)
_, status, usage = os.wait4(child, 0)
peak = usage.ru_maxrss * (1 if sys.platform == "darwin" else 1024)
sys.stderr.write(f"\\n{os.waitstatus_to_exitcode(status)} {peak}\\n")
"""


def peak_of(seedream: Program, *arguments: str) -> tuple[int, str, int]:
    """Run Python with these arguments. Return its exit code, stdout and peak memory in bytes."""
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
    """Return a reply: these bytes, and ``then`` repeatedly until the client closes the connection."""

    def reply(exchange: Exchange) -> None:
        for piece in pieces:
            exchange.connection.sendall(piece)
        block = then * (65536 // len(then)) if then else b""
        while block and not exchange.closed.is_set():
            exchange.connection.sendall(block)

    return reply


def large_png(size: int) -> Callable[[Exchange], None]:
    """Return a reply: a PNG of about ``size`` bytes, nearly all in one chunk, sent in pieces."""
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
    """Run `generate` for this image. Return its peak memory in bytes."""
    host = start_raw(image)
    done = success({"status": "completed", "result": [f"{host.origin}/1.png"]})
    seedream.use(start_raw(accepted(), done).base_url)
    command = ("-m", "seedream_cli", "generate", "fox", "-o", "fox.png", "--overwrite", "--json", *more)
    code, stdout, peak = peak_of(seedream, *command)
    error = json.loads(stdout)["error"]
    assert (code, error and error["code"]) == ((9, "too_large") if more else (0, None))
    return peak


def test_memory_of_a_download_does_not_grow_with_the_image(seedream: Program, start_raw: StartRaw) -> None:
    small = saving(seedream, start_raw, large_png(MEGABYTE))
    large = saving(seedream, start_raw, large_png(150 * MEGABYTE))
    assert (seedream.cwd / "fox.png").stat().st_size > 149 * MEGABYTE
    assert large - small < BOUND_OF_IMAGES
    (seedream.cwd / "fox.png").unlink()
    # An image without a Content-Length and without an end.
    endless = sent(b"HTTP/1.1 200 OK\r\n\r\n", png()[:33], then=b"\0")
    refused = saving(seedream, start_raw, endless, "--max-bytes", str(50 * MEGABYTE))
    assert refused - small < BOUND_OF_IMAGES
    assert list(seedream.cwd.iterdir()) == []


def gzipped(data: bytes, times: int = 1) -> bytes:
    squeeze = zlib.compressobj(1, wbits=zlib.MAX_WBITS | 16)
    return b"".join(squeeze.compress(data) for _ in range(times)) + squeeze.flush()


OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = OK + b"Content-Encoding: gzip\r\n\r\n"
JSON = b'{"code": 0, "data": {"status": "'
PENDING = json.dumps({"code": 0, "data": {"status": "pending"}}).encode()
BOMB = GZIP + gzipped(bytes(2**20), 100)
#: An empty deflate block that is not the last one.
EMPTY_BLOCK = b"\x00\x00\x00\xff\xff"

REDIRECT = b"HTTP/1.1 302 No\r\nLocation: /x\r\n\r\n"
ERROR = b"HTTP/1.1 500 No\r\n\r\n"

#: Responses without an end, or too large when decompressed: who sends them, and the resulting error.
ENDLESS: dict[str, tuple[str, str, Reply]] = {
    "an answer": ("api", "InvalidResponse", sent(OK + b"\r\n" + JSON, then=b"y")),
    "an answer of an absurd length": (
        "api",
        "InvalidResponse",
        sent(OK + b"Content-Length: 999999999999\r\n\r\n" + JSON, then=b"y"),
    ),
    "an answer in chunks": ("api", "InvalidResponse", sent(CHUNKED, then=b"8\r\nyyyyyyyy\r\n")),
    "the extension of a chunk": ("api", "Unreachable", sent(CHUNKED + b"8;", then=b"x")),
    "trailers": ("api", "Unreachable", sent(CHUNKED + b"2\r\n{}\r\n0\r\n", then=b"X: y\r\n")),
    "headers": ("api", "Unreachable", sent(OK, then=b"X: y\r\n")),
    "one header": ("api", "Unreachable", sent(OK + b"X: ", then=b"y")),
    "a status line": ("api", "Unreachable", sent(b"HTTP/1.1 200 ", then=b"O")),
    "a bomb": ("api", "InvalidResponse", sent(BOMB)),
    "a bomb after an error": ("api", "ServiceFailing", sent(BOMB.replace(b"200 OK", b"500 No"))),
    "bytes after the end of a gzip": ("api", "InvalidResponse", sent(GZIP + gzipped(PENDING), then=b"x")),
    "a gzip of nothing": ("api", "InvalidResponse", sent(GZIP + gzipped(b"")[:10], then=EMPTY_BLOCK)),
    "the body of an error": ("api", "ServiceFailing", sent(ERROR, then=b"y")),
    "the body of a redirect": ("api", "RedirectRefused", sent(REDIRECT, then=b"y")),
    "an image's error": ("image", "ImageRefused", sent(ERROR, then=b"y")),
    "an image's headers": ("image", "Unreachable", sent(OK, then=b"X: y\r\n")),
    "an image that is a bomb": ("image", "NotSaved", sent(BOMB)),
    # Must be the last one: it redirects to itself.
    "an image's redirect": ("image", "NotSaved", sent(REDIRECT, then=b"y")),
}

#: Gets a task or an image, one for each argument, and prints the error and the peak memory after each.
ASK = """
import resource, sys
from seedream_cli.api.client import Client
from seedream_cli.errors import SeedreamError

client = Client(sys.argv[1], "sk-test-0123456789")

def image():
    with client.stream_image(sys.argv[2], seconds=30) as image:
        for chunk in image.chunks:
            pass

for act in sys.argv[3:]:
    outcome = "nothing"
    try:
        image() if act == "image" else client.get_task("task_1", seconds=30)
    except SeedreamError as error:
        outcome = type(error).__name__
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(outcome, peak * (1 if sys.platform == "darwin" else 1024))
"""


def test_memory_is_bounded_for_endless_responses(seedream: Program, start_raw: StartRaw) -> None:
    cases = {
        "a plain answer": ("api", "nothing", answer(200, PENDING)),
        "a plain image": ("image", "nothing", answer(200, png())),
        **ENDLESS,
    }
    api, host = (
        start_raw(*(reply for one, _, reply in cases.values() if one == who)) for who in ("api", "image")
    )
    acts = [who for who, _, _ in cases.values()]
    _, stdout, _ = peak_of(seedream, "-c", ASK, api.base_url, f"{host.origin}/1.png", *acts)
    outcomes = [line.split()[0] for line in stdout.splitlines()]
    peaks = [int(line.split()[1]) for line in stdout.splitlines()]
    assert dict(zip(cases, outcomes, strict=True)) == {name: error for name, (_, error, _) in cases.items()}
    grown = {name: peak - peaks[1] for name, peak in zip(cases, peaks, strict=True)}
    assert {name: grew for name, grew in grown.items() if grew > BOUND} == {}
