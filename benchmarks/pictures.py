"""Pictures of a wanted size: complete PNG files, as their verification follows them to their end."""

from __future__ import annotations

import os
import struct
import zlib
from pathlib import Path

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_WIDTH = 1024
#: What Pillow writes at a time; libpng writes less.
_PIECE = 64 * 1024
#: Signature, header, and end; and what a chunk has besides its data.
_FRAME, _CHUNK = 8 + 25 + 12, 12


def tiny_png(colour: int) -> bytes:
    """A picture of one pixel; each colour has bytes of its own."""
    return _SIGNATURE + _header(1, 1) + _chunk(b"IDAT", _pixel(colour)) + _chunk(b"IEND", b"")


def write_png(path: Path, size: int) -> None:
    """A picture of ``size`` bytes, to the byte, that no compression makes smaller: noise, stored as it is."""
    row = 1 + 3 * _WIDTH
    # Chunks and blocks of stored data take some bytes each; a comment fills up what they leave.
    height = int((size - _FRAME - 200) * 0.999 / row)
    if height < 1:
        path.write_bytes(_filled(tiny_png(0), size))
        return
    stored = zlib.compressobj(0)
    pending, written = b"", 0
    with path.open("wb") as file:
        written += file.write(_SIGNATURE + _header(_WIDTH, height))
        for _ in range(height):
            pending += stored.compress(b"\0" + os.urandom(row - 1))
            while len(pending) >= _PIECE:
                written += file.write(_chunk(b"IDAT", pending[:_PIECE]))
                pending = pending[_PIECE:]
        written += file.write(_chunk(b"IDAT", pending + stored.flush()))
        file.write(_comment(size - written - _CHUNK) + _chunk(b"IEND", b""))


def _filled(picture: bytes, size: int) -> bytes:
    """The picture, longer if it is shorter than ``size``."""
    end = len(picture) - _CHUNK
    return picture[:end] + _comment(size - len(picture)) + picture[end:]


def _comment(room: int) -> bytes:
    """A chunk that takes so many bytes, or nothing where they are too few for one."""
    return _chunk(b"noIs", os.urandom(room - _CHUNK)) if room >= _CHUNK else b""


def _pixel(colour: int) -> bytes:
    return zlib.compress(b"\0" + colour.to_bytes(3, "big"))


def _header(width: int, height: int) -> bytes:
    return _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
