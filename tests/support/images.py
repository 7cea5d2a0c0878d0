"""Small real images, made by hand so that no test needs Pillow for them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence


def png(width: int = 4, height: int = 3, shade: int = 128) -> bytes:
    """A grey PNG; another shade gives other bytes."""
    rows = b"".join(b"\0" + bytes([shade]) * width for _ in range(height))
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = _chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows)), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def png_of(
    pixels: Sequence[Sequence[tuple[int, int, int]]], *, level: int = -1, comment: bytes = b""
) -> bytes:
    """A PNG of these pixels (red, green, blue), row by row; ``level`` is zlib's."""
    rows = b"".join(b"\0" + b"".join(map(bytes, row)) for row in pixels)
    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 2, 0, 0, 0)
    chunks = [_chunk(b"IHDR", header), _chunk(b"IDAT", zlib.compress(rows, level)), _chunk(b"IEND", b"")]
    if comment:
        chunks.insert(1, _chunk(b"tEXt", comment))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


#: The smallest JPEG that has a frame, a scan and an end: 1 by 1, grey.
JPEG = bytes.fromhex(
    "ffd8ffe000104a46494600010100000100010000ffdb004300" + "01" * 64 + "ffc0000b080001000101011100"
    "ffc40014000100000000000000000000000000000000ffda0008010100003f00d2cf20ffd9"
)
