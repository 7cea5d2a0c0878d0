"""Format, size in pixels and completeness of image files: PNG, JPEG and WebP.

A broken connection can leave a file that begins like an image and ends half-way. Nothing is decoded here: the
structure of the file is followed to its end, with constant memory and in bounded time.
"""

from __future__ import annotations

import os
import struct
from typing import BinaryIO, NoReturn

from msgspec import Struct

#: Number of bytes from the beginning of a file that :func:`sniff` needs.
HEAD_BYTES = 16

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
#: Bytes of a chunk, and pixels of a side, that the PNG specification allows.
_MAX_PNG_INTEGER = 2**31 - 1
#: Bytes that are tolerated after the end marker of a JPEG.
_PADDING = b"\x00\r\n "
#: Bytes at the end of a JPEG in which its end marker is searched.
_TAIL_BYTES = 64 * 1024
#: Chunks or segments to follow. Real images have a few thousand; a file of empty ones must not take forever.
_MAX_STEPS = 500_000

_MEDIA_TYPES = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}
_EXTENSIONS = {"png": (".png",), "jpeg": (".jpg", ".jpeg", ".jpe", ".jfif"), "webp": (".webp",)}

_START_OF_SCAN = 0xDA
_END_OF_IMAGE = 0xD9
#: SOF markers. C4, C8 and CC lie in the same range, but are not frame headers.
_FRAME_HEADERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
#: Markers without a length: TEM, RST0 to RST7 and SOI.
_BARE_MARKERS = frozenset({0x01, *range(0xD0, 0xD9)})


class DamagedImage(ValueError):
    """The file is not an image, or not a complete one. The text is a short reason in printable ASCII."""


class NotAnImage(DamagedImage):
    """The file has another format. The text quotes its first bytes; ``WHAT`` is the reason without them."""

    WHAT = "not a PNG, JPEG or WebP image"

    def __init__(self, head: bytes) -> None:
        # The repr of bytes is always printable ASCII.
        super().__init__(f"{self.WHAT} (begins with {repr(head[:12])[1:]})")


class ImageInfo(Struct, frozen=True):
    """Format and size of a complete image file.

    ``kind`` is "png", "jpeg" or "webp"; ``extension`` is "png", "jpg" or "webp", without a dot. ``width`` and
    ``height`` are in pixels; the height of a JPEG is None if its frame header does not have it.
    """

    kind: str
    media_type: str
    extension: str
    width: int | None
    height: int | None

    def matches_extension(self, extension: str) -> bool:
        """Return True if a file name's extension (".jpeg", in any case) fits the format; "" always does."""
        return extension.lower() in ("", *_EXTENSIONS[self.kind])


def sniff(head: bytes) -> str | None:
    """Return the format that the first HEAD_BYTES of a file announce, or None."""
    if head.startswith(_PNG_SIGNATURE):
        return "png"
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return "webp"
    return None


def inspect(file: BinaryIO) -> ImageInfo:
    """Return format and size of a seekable file. Raises DamagedImage if it is not a complete image."""
    size = file.seek(0, os.SEEK_END)
    head = _read(file, 0, HEAD_BYTES)
    kind = sniff(head)
    if kind is None:
        if not head:
            raise DamagedImage("the file is empty")
        raise NotAnImage(head)
    width, height = {"png": _png, "jpeg": _jpeg, "webp": _webp}[kind](file, size)
    return ImageInfo(kind, _MEDIA_TYPES[kind], _EXTENSIONS[kind][0][1:], width, height)


def _read(file: BinaryIO, position: int, count: int) -> bytes:
    file.seek(position)
    return file.read(count)


def _png(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return width and height after following the chunks to IEND. Bytes after IEND are tolerated."""
    header = _read(file, len(_PNG_SIGNATURE), 16)
    if len(header) < 16:
        _ends_before("PNG", "its size is known")
    length, name, width, height = struct.unpack(">I4sII", header)
    if name != b"IHDR" or length != 13:
        raise DamagedImage("the PNG does not begin with an IHDR chunk")
    if not (0 < width <= _MAX_PNG_INTEGER and 0 < height <= _MAX_PNG_INTEGER):
        raise DamagedImage(f"the PNG's size is impossible ({width} x {height})")
    position = len(_PNG_SIGNATURE)
    has_data = False
    for _ in range(_MAX_STEPS):
        header = _read(file, position, 8)
        if len(header) < 8:
            _ends_before("PNG", "its IEND chunk")
        length, name = struct.unpack(">I4s", header)
        if length > _MAX_PNG_INTEGER or not name.isalpha():
            raise DamagedImage(f"the PNG is damaged at byte {position}")
        # Length, name and checksum take 12 bytes.
        position += 12 + length
        if position > size:
            _ends_before("PNG", "its IEND chunk" if name != b"IEND" else "the end of its IEND chunk")
        has_data = has_data or (name == b"IDAT" and length > 0)
        if name == b"IEND":
            if length or not has_data:
                raise DamagedImage("the PNG's end is damaged" if length else "the PNG holds no image data")
            return width, height
    raise DamagedImage("the PNG has too many chunks")


def _jpeg(file: BinaryIO, size: int) -> tuple[int, int | None]:
    """Return width and height from the frame header, if a scan begins and the file ends with EOI."""
    pixels: tuple[int, int | None] | None = None
    position = 2
    for _ in range(_MAX_STEPS):
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
            tail = _read(file, max(following, size - _TAIL_BYTES), _TAIL_BYTES)
            if not tail.rstrip(_PADDING).endswith(b"\xff\xd9"):
                _ends_before("JPEG", "its end marker")
            return pixels
        position = following
    raise DamagedImage("the JPEG has too many segments")


def _jpeg_size(frame: bytes) -> tuple[int, int | None]:
    if len(frame) < 5:
        _ends_before("JPEG", "its size is known")
    height, width = struct.unpack(">HH", frame[1:])
    if not width:
        raise DamagedImage("the JPEG's width is zero")
    # A height of zero is valid: a DNL marker after the scan has it, which only decoding would find.
    return width, height or None


def _webp(file: BinaryIO, size: int) -> tuple[int, int]:
    """Return width and height, if the file has the length that it announces and image data within it."""
    header = _read(file, 4, 4)
    end = 8 + int.from_bytes(header, "little")
    if end > size:
        raise DamagedImage(f"the WebP ends early ({size} of {end} bytes)")
    pixels: tuple[int, int] | None = None
    position = 12
    for _ in range(_MAX_STEPS):
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
    """Return width and height from the first 10 bytes of the first chunk's data."""
    if name == b"VP8X" and len(data) >= 10:
        return int.from_bytes(data[4:7], "little") + 1, int.from_bytes(data[7:10], "little") + 1
    if name == b"VP8L" and len(data) >= 5 and data[0] == 0x2F:
        bits = int.from_bytes(data[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if name == b"VP8 " and len(data) >= 10 and data[3:6] == b"\x9d\x01\x2a":
        # The upper two bits of each side are a scaling hint.
        width, height = (side & 0x3FFF for side in struct.unpack("<HH", data[6:10]))
        if width and height:
            return width, height
    raise DamagedImage("the WebP's size cannot be read")


def _ends_before(kind: str, what: str) -> NoReturn:
    raise DamagedImage(f"the {kind} ends before {what}")
