"""What kind of image a file is, its size in pixels, and whether it is complete.

A connection that breaks can leave a file that begins like an image and stops half-way. Nothing is
decoded here: the file's structure is walked to its end, with constant memory and bounded time.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NoReturn

from msgspec import Struct

#: The first bytes that :func:`sniff` wants to see.
HEAD_BYTES = 16

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_LONGEST_PNG_CHUNK = 2**31 - 1
_PADDING = b"\x00\r\n "
_TAIL_BYTES = 64 * 1024
#: Real images have some thousand chunks at most; a file made of empty ones must not keep us busy.
_MOST_STEPS = 500_000

_MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_ENDINGS = {"png": (".png",), "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"), "webp": (".webp",)}

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
#: C4, C8 and CC lie among the frame headers without being one.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: TEM, RST0…RST7 and SOI have no length.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


class DamagedImage(ValueError):
    """The bytes are no image, or not all of one. The text is a short reason in printable ASCII."""


class NotAnImage(DamagedImage):
    """A file of another kind. Its beginning tells what a server sent; ``WHAT`` has nothing of the file."""

    WHAT = "not a PNG, JPEG or WebP image"

    def __init__(self, head: bytes) -> None:
        # The repr of bytes is printable ASCII whatever it was.
        super().__init__(f"{self.WHAT} (begins with {repr(head[:12])[1:]})")


class ImageInfo(Struct, frozen=True):
    """What a complete image file is.

    ``kind`` is "png", "jpeg" or "webp"; ``extension`` is "png", "jpg" or "webp", without a dot.
    ``width`` and ``height`` are in pixels; a JPEG may leave its height open.
    """

    kind: str
    media_type: str
    extension: str
    width: int | None
    height: int | None

    def matches_extension(self, ending: str) -> bool:
        """Whether a name's ending (".jpeg", in any case) is this kind's, or "", which promises nothing."""
        return ending.lower() in ("", *_ENDINGS[self.kind])


def sniff(head: bytes) -> str | None:
    """The kind that a file's first bytes (:data:`HEAD_BYTES` suffice) announce, or None."""
    if head.startswith(_PNG_SIGNATURE):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    return None


def inspect(file: BinaryIO) -> ImageInfo:
    """Look at a whole, seekable file. Raises DamagedImage if it is no image or ends early."""
    size = file.seek(0, os.SEEK_END)
    head = _read(file, 0, HEAD_BYTES)
    kind = sniff(head)
    if kind is None:
        if not head:
            raise DamagedImage("the file is empty")
        raise NotAnImage(head)
    width, height = {"png": _png, "jpeg": _jpeg, "webp": _webp}[kind](file, size)
    return ImageInfo(kind, _MEDIA_TYPES[kind], _ENDINGS[kind][0][1:], width, height)


def _read(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)


def _png(file: BinaryIO, size: int) -> tuple[int, int]:
    """Width and height, once the chunks have been followed to IEND. Bytes after it are tolerated."""
    width, height = _png_size(_read(file, len(_PNG_SIGNATURE), 16))
    position = len(_PNG_SIGNATURE)
    has_data = False
    for _ in range(_MOST_STEPS):
        header = _read(file, position, 8)
        if len(header) < 8:
            _ends_before("PNG", "its IEND chunk")
        length, name = struct.unpack(">I4s", header)
        if length > _LONGEST_PNG_CHUNK or not name.isalpha():
            raise DamagedImage(f"the PNG is damaged at byte {position}")
        position += 12 + length
        if position > size:
            _ends_before("PNG", "its IEND chunk" if name != b"IEND" else "the end of its IEND chunk")
        has_data = has_data or (name == b"IDAT" and length > 0)
        if name == b"IEND":
            if length or not has_data:
                raise DamagedImage("the PNG's end is damaged" if length else "the PNG holds no image data")
            return width, height
    raise DamagedImage("the PNG has too many chunks")


def _png_size(chunk: bytes) -> tuple[int, int]:
    if len(chunk) < 16:
        _ends_before("PNG", "its size is known")
    length, name, width, height = struct.unpack(">I4sII", chunk)
    if name != b"IHDR" or length != 13:
        raise DamagedImage("the PNG does not begin with an IHDR chunk")
    if not (0 < width <= _LONGEST_PNG_CHUNK and 0 < height <= _LONGEST_PNG_CHUNK):
        raise DamagedImage(f"the PNG's size is impossible ({width} x {height})")
    return width, height


def _jpeg(file: BinaryIO, size: int) -> tuple[int, int | None]:
    """Width and height from the frame header, once a scan has begun and the file ends with EOI."""
    pixels: tuple[int, int | None] | None = None
    position = 2
    for _ in range(_MOST_STEPS):
        header = _read(file, position, 4)
        if len(header) < 4:
            _ends_before("JPEG", "its image data")
        lead, marker, length = struct.unpack(">BBH", header)
        if lead != 0xFF or marker == 0:
            raise DamagedImage(f"the JPEG is damaged at byte {position}")
        if marker == 0xFF:  # a fill byte
            position += 1
            continue
        if marker in _BARE_MARKERS:
            position += 2
            continue
        if marker == _END_OF_IMAGE:
            _ends_before("JPEG", "its image data")
        following = position + 2 + length
        if length < 2 or following > size:
            _ends_before("JPEG", "its image data")
        if marker in _FRAME_HEADERS:
            pixels = _jpeg_size(_read(file, position + 4, 5))
        elif marker == _START_OF_SCAN:
            if pixels is None:
                raise DamagedImage("the JPEG has no frame header")
            _require_end_of_jpeg(file, following, size)
            return pixels
        position = following
    raise DamagedImage("the JPEG has too many segments")


def _jpeg_size(frame: bytes) -> tuple[int, int | None]:
    if len(frame) < 5:
        _ends_before("JPEG", "its size is known")
    height, width = struct.unpack(">HH", frame[1:])
    if not width:
        raise DamagedImage("the JPEG's width is zero")
    # A height of zero is legal: it comes after the scan, where finding it takes decoding.
    return width, height or None


def _require_end_of_jpeg(file: BinaryIO, data_start: int, size: int) -> None:
    tail_start = max(data_start, size - _TAIL_BYTES)
    if not _read(file, tail_start, _TAIL_BYTES).rstrip(_PADDING).endswith(b"\xff\xd9"):
        _ends_before("JPEG", "its end marker")


def _webp(file: BinaryIO, size: int) -> tuple[int, int]:
    """Width and height, once the announced length is there and an image within it."""
    header = _read(file, 4, 4)
    end = 8 + int.from_bytes(header, "little")
    if end > size:
        raise DamagedImage(f"the WebP ends early ({size} of {end} bytes)")
    pixels: tuple[int, int] | None = None
    position = 12
    for _ in range(_MOST_STEPS):
        chunk = _read(file, position, 18)
        if position + 8 > end or len(chunk) < 8:
            raise DamagedImage("the WebP holds no image data")
        name, length = struct.unpack("<4sI", chunk[:8])
        if position + 8 + length > end:
            raise DamagedImage(f"the WebP is damaged at byte {position}")
        pixels = pixels or _webp_size(name, chunk[8 : 8 + length])
        if name in (b"VP8 ", b"VP8L", b"ANMF"):
            return pixels
        position += 8 + length + length % 2
    raise DamagedImage("the WebP has too many chunks")


def _webp_size(name: bytes, data: bytes) -> tuple[int, int]:
    """Width and height from the first 10 bytes of the first chunk's data."""
    if name == b"VP8X" and len(data) >= 10:
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if name == b"VP8L" and len(data) >= 5 and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 " and len(data) >= 10 and data[3:6] == b"\x9d\x01\x2a":
        # The upper two bits are a scaling hint.
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", data[6:10]))
        if width and height:
            return width, height
    raise DamagedImage("the WebP's size cannot be read")


def _ends_before(kind: str, what: str) -> NoReturn:
    raise DamagedImage(f"the {kind} ends before {what}")
