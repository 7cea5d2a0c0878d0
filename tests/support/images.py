"""Small valid images, built without Pillow."""

from __future__ import annotations

import functools
import random
import struct
import zlib
from collections.abc import Sequence

Pixels = Sequence[Sequence[tuple[int, int, int]]]


def png(width: int = 4, height: int = 3, shade: int = 128) -> bytes:
    """Return a grey PNG. Another shade gives other bytes."""
    return _encode_png(width, height, 0, [bytes([shade]) * width] * height)


def png_of(pixels: Pixels, *, comment: bytes = b"") -> bytes:
    """Return a PNG of these pixels (red, green, blue), row by row."""
    return _encode_png(
        len(pixels[0]), len(pixels), 2, [b"".join(map(bytes, row)) for row in pixels], comment=comment
    )


@functools.cache
def noise(seed: int, size: int = 400) -> bytes:
    """Return an incompressible PNG, larger than one read of a client."""
    draw = random.Random(seed)
    return _encode_png(size, size, 2, [draw.randbytes(3 * size) for _ in range(size)], level=0)


def _encode_png(
    width: int, height: int, colours: int, rows: Sequence[bytes], *, level: int = -1, comment: bytes = b""
) -> bytes:
    data = zlib.compress(b"".join(b"\0" + row for row in rows), level)
    header = struct.pack(">IIBBBBB", width, height, 8, colours, 0, 0, 0)
    chunks = [(b"IHDR", header), *([(b"tEXt", comment)] if comment else []), (b"IDAT", data), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )


#: Minimal JPEG with a frame, a scan and an end: 1 by 1, grey.
JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300" + "01" * 64 + "ffc0000b080001000101011100"
    "ffc40014000100000000000000000000000000000000ffda0008010100003f00d2cf20ffd9"
)
