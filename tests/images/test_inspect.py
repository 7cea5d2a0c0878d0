"""inspect: format, size and completeness of image files."""

from __future__ import annotations

import io
import os
import random
import struct
import zlib
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from seedream_cli.images.inspect import HEAD_BYTES, DamagedImage, ImageInfo, inspect, sniff

SIZE = (61, 37)


def _picture(mode: str = "RGB") -> Image.Image:
    noise = random.Random(7)
    return Image.frombytes(mode, SIZE, noise.randbytes(SIZE[0] * SIZE[1] * len(mode)))


def _encoded(mode: str, **options: object) -> bytes:
    file = io.BytesIO()
    _picture(mode).save(file, **options)  # type: ignore[arg-type]
    return file.getvalue()


IMAGES: dict[str, bytes] = {
    "png": _encoded("RGB", format="PNG"),
    "png, alpha": _encoded("RGBA", format="PNG"),
    "png, gray, with density": _encoded("L", format="PNG", dpi=(72, 72)),
    "jpeg, baseline": _encoded("RGB", format="JPEG"),
    "jpeg, progressive": _encoded("RGB", format="JPEG", progressive=True),
    "jpeg, comment": _encoded("RGB", format="JPEG", comment=b"\xff\xd9 is no end here"),
    "jpeg, cmyk": _encoded("CMYK", format="JPEG"),
    "webp, lossy": _encoded("RGB", format="WEBP"),
    "webp, lossless": _encoded("RGB", format="WEBP", lossless=True),
    "webp, lossy with alpha": _encoded("RGBA", format="WEBP"),
    "webp, lossless with alpha": _encoded("RGBA", format="WEBP", lossless=True),
    "webp, extended": _encoded("RGB", format="WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"),
}
each_image = pytest.mark.parametrize("data", IMAGES.values(), ids=IMAGES.keys())


def _inspected(data: bytes) -> ImageInfo:
    return inspect(io.BytesIO(data))


def _reason(data: bytes) -> str:
    with pytest.raises(DamagedImage) as caught:
        _inspected(data)
    reason = str(caught.value)
    assert len(reason) < 120
    assert reason.isascii()
    assert reason.isprintable()
    return reason


@each_image
def test_inspect_complete_image_and_every_truncation(data: bytes) -> None:
    info = _inspected(data)
    with Image.open(io.BytesIO(data)) as image:
        assert (info.width, info.height) == image.size == SIZE
        assert info.media_type == image.get_format_mimetype()
    assert sniff(data[:HEAD_BYTES]) == info.kind
    # Padding after the end is tolerated.
    assert _inspected(data + b"\r\n\0\0 ") == info
    for length in range(len(data)):
        _reason(data[:length])


@pytest.mark.parametrize(
    ("name", "kind", "media_type", "extension"),
    [
        ("png", "png", "image/png", "png"),
        ("jpeg, baseline", "jpeg", "image/jpeg", "jpg"),
        ("webp, lossy", "webp", "image/webp", "webp"),
    ],
)
def test_inspect_kind_media_type_and_extension(name: str, kind: str, media_type: str, extension: str) -> None:
    assert _inspected(IMAGES[name]) == ImageInfo(kind, media_type, extension, *SIZE)


def test_inspect_bytes_after_the_end() -> None:
    for name in ("png", "webp, lossy"):
        assert _inspected(IMAGES[name] + b"trailer").width == SIZE[0]
    assert _reason(IMAGES["jpeg, baseline"] + bytes(65_536)) == "the JPEG ends before its end marker"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "the file is empty"),
        (b"<html>", "not a PNG, JPEG or WebP image (begins with '<html>')"),
        (b"<!DOCTYPE html><title>", "not a PNG, JPEG or WebP image (begins with '<!DOCTYPE ht')"),
        (b"\x1b]0;title\x07", "not a PNG, JPEG or WebP image (begins with '\\x1b]0;title\\x07')"),
        ("图片".encode(), "not a PNG, JPEG or WebP image (begins with '\\xe5\\x9b\\xbe\\xe7\\x89\\x87')"),
        (b"GIF89a", "not a PNG, JPEG or WebP image (begins with 'GIF89a')"),
        (b"RIFF\0\0\0\0AVI ", "not a PNG, JPEG or WebP image (begins with 'RIFF\\x00\\x00\\x00\\x00AVI ')"),
        (b"\x89PNG\r\n\x1a\n", "the PNG ends before its size is known"),
        (IMAGES["png"][:-1], "the PNG ends before the end of its IEND chunk"),
        (IMAGES["png"][:-12], "the PNG ends before its IEND chunk"),
        (IMAGES["jpeg, baseline"][:-2], "the JPEG ends before its end marker"),
        (b"\xff\xd8\xff\xd9", "the JPEG ends before its image data"),
        (b"\xff\xd8\xff\xda\0\x02\0\0\xff\xd9", "the JPEG has no frame header"),
        (b"\xff\xd8\xff\0\0\0\0", "the JPEG is damaged at byte 2"),
        (b"\xff\xd8" + b"\xff" * 600_000, "the JPEG has too many segments"),
        (b"RIFF\x04\0\0\0WEBP", "the WebP holds no image data"),
        (b"RIFF\0\0\0\0WEBP" + bytes(40), "the WebP holds no image data"),
        (b"RIFF\x40\0\0\0WEBP" + bytes(4), "the WebP ends early (16 of 72 bytes)"),
    ],
)
def test_inspect_reason(data: bytes, reason: str) -> None:
    assert _reason(data) == reason


def _png(*chunks: tuple[bytes, bytes]) -> bytes:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(name, data) for name, data in chunks)


def _header(width: int, height: int) -> tuple[bytes, bytes]:
    return b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)


def test_inspect_png_header_and_data() -> None:
    data, end = (b"IDAT", b"x"), (b"IEND", b"")
    assert _inspected(_png(_header(3, 2), data, end)).height == 2
    assert "IHDR" in _reason(_png(data, _header(3, 2), end))
    assert _reason(_png(_header(0, 2), data, end)) == "the PNG's size is impossible (0 x 2)"
    assert "impossible" in _reason(_png(_header(3, 2**31), data, end))
    assert _reason(_png(_header(3, 2), end)) == "the PNG holds no image data"
    assert _reason(_png(_header(3, 2), data, (b"IEND", b"x"))) == "the PNG's end is damaged"


def test_inspect_stops_at_too_many_chunks() -> None:
    png = _png(_header(3, 2)) + _png((b"teXt", b""))[8:] * 500_000
    assert _reason(png) == "the PNG has too many chunks"
    chunks = b"VP8X\x0a\0\0\0" + bytes(10) + b"ICCP\0\0\0\0" * 500_000
    webp = b"RIFF" + struct.pack("<I", 4 + len(chunks)) + b"WEBP" + chunks
    assert _reason(webp) == "the WebP has too many chunks"


class SmallReads(io.FileIO):
    """A file that fails the test if more than 64 KiB are read at once."""

    def read(self, size: int | None = -1, /) -> bytes:
        assert size is not None
        assert 0 <= size <= 65_536
        return super().read(size)


#: Beginnings of files whose next length leads far into the file, or beyond its end.
ABSURD = {
    "a png's chunk": _png(_header(3, 2)) + struct.pack(">I", 2**31 - 1) + b"IDAT",
    "a png's chunk beyond all": _png(_header(3, 2)) + struct.pack(">I", 2**32 - 1) + b"IDAT",
    "a png's text": _png(_header(3, 2)) + struct.pack(">I", 2**31 - 1) + b"tEXt",
    "a jpeg's segment": b"\xff\xd8\xff\xe1\xff\xff",
    "a jpeg's scan": IMAGES["jpeg, baseline"],
    "a webp": b"RIFF\xff\xff\xff\xffWEBPVP8X\xf0\xff\xff\xff" + bytes(16),
    "a webp's chunk": b"RIFF\xf0\xff\xff\xffWEBPVP8 \xf0\xff\xff\xff" + bytes(16),
}


@pytest.mark.parametrize("beginning", ABSURD.values(), ids=ABSURD)
def test_inspect_does_not_read_absurd_lengths(tmp_path: Path, beginning: bytes) -> None:
    path = tmp_path / "image"
    path.write_bytes(beginning)
    for size in (10**3, 5 * 10**9):
        # A sparse file, which uses no disk space.
        os.truncate(path, size)
        with SmallReads(path) as file, pytest.raises(DamagedImage) as caught:
            inspect(file)
        assert len(str(caught.value)) < 120


def test_inspect_jpeg_without_height() -> None:
    data = bytearray(IMAGES["jpeg, baseline"])
    frame = data.index(b"\xff\xc0")
    data[frame + 5 : frame + 7] = bytes(2)
    info = _inspected(bytes(data))
    assert (info.width, info.height) == (SIZE[0], None)


def test_inspect_jpeg_with_thumbnail() -> None:
    thumbnail = IMAGES["jpeg, progressive"]
    segment = b"\xff\xe1" + struct.pack(">H", len(thumbnail) + 2) + thumbnail
    data = IMAGES["jpeg, baseline"]
    whole = data[:2] + segment + data[2:]
    assert _inspected(whole).width == SIZE[0]
    _reason(whole[: 2 + len(segment)])


def test_matches_extension() -> None:
    info = _inspected(IMAGES["jpeg, baseline"])
    assert [info.matches_extension(ending) for ending in (".jpg", ".JPEG", "", ".png", "jpg")] == [
        True
    ] * 3 + [False] * 2


@given(
    head=st.sampled_from([b"", b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF\x20\0\0\0WEBP"]),
    tail=st.binary(max_size=100),
)
@example(b"", b"\xff\xd8\xff")
def test_inspect_any_bytes_after_a_valid_beginning(head: bytes, tail: bytes) -> None:
    check_result(head + tail)


@settings(max_examples=200)
@given(
    st.sampled_from(sorted(IMAGES)),
    st.lists(st.tuples(st.integers(0, 3000), st.integers(0, 255)), min_size=1, max_size=8),
    st.integers(1, 5000),
)
def test_inspect_changed_bytes(name: str, changes: list[tuple[int, int]], length: int) -> None:
    data = bytearray(IMAGES[name])
    for position, value in changes:
        # Most of the structure is at the beginning.
        data[position % min(len(data), 400)] = value
    check_result(bytes(data[:length]))


def check_result(data: bytes) -> None:
    try:
        info = _inspected(data)
    except DamagedImage as problem:
        assert str(problem).isascii()
        assert str(problem).isprintable()
        assert len(str(problem)) < 120
    else:
        assert info.width
        assert info.height is None or info.height > 0
