"""Pictures on a terminal, at its width and half of its height at most, in the way that it has."""

from __future__ import annotations

import os
import warnings
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import suppress
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ..errors import SeedreamError
from ..image_file import DamagedImage, ImageInfo, inspect
from .blocks import blocks
from .sixel import LARGEST, sixels
from .terminals import Protocol, Screen, Size, protocol, true_colours

if TYPE_CHECKING:
    from PIL.Image import Image

#: Bytes of a file that are 4096 characters of base64: kitty takes no more at once.
_CHUNK = 3072
#: Whatever was cut: the sequence is given up (CAN) or ended (ST), so is what kitty has of a picture.
_CUT = b"\x18\x1b\\"
_CUT_KITTY = _CUT + b"\x1b_Gm=0,q=2;\x1b\\"
_PLAIN = b"\x1b[0m"
_INSTALL = "pip install 'apipod-seedream[preview]', or pipx inject apipod-seedream pillow"


class NotShown(Exception):
    """The picture cannot be shown here; the text says why."""


class Preview:
    """Shows pictures on one terminal."""

    def __init__(self, screen: Screen, environment: Mapping[str, str], *, encoding: str = "utf-8") -> None:
        self._screen = screen
        self._environment = environment
        self._encoding = encoding
        self._protocol: Protocol | None = None

    def show(self, file: Path) -> None:
        """Draw the picture, and leave the cursor at the beginning of a line.

        Raises NotShown, and OSError where the terminal is gone.
        """
        if self._protocol is None:
            self._protocol = protocol(self._environment, self._screen.attributes)
        size = self._screen.size()
        under_way = False
        try:
            for piece in self._pieces(file, self._protocol, size):
                under_way = True
                self._screen.write(piece)
            under_way = False
        finally:
            if under_way:
                # Where the terminal is gone, that is no reason to forget what came before.
                with self._screen.shield(), suppress(OSError):
                    self._screen.write((_CUT_KITTY if self._protocol == "kitty" else _CUT) + _PLAIN)

    def _pieces(self, file: Path, how: Protocol, size: Size) -> Iterator[bytes]:
        with _opened(file) as stream:
            image = _looked_at(stream)
            if how == "kitty":
                yield from _kitty(stream, image, size)
            elif how == "iterm2":
                yield from _iterm2(stream, image, size)
            elif how == "sixel":
                width, height = size.columns * size.cell_width, _lines(size) * size.cell_height
                yield from sixels(scaled(stream, min(width, LARGEST), min(height, LARGEST)))
                yield b"\n"
            elif self._environment.get("NO_COLOR"):
                raise NotShown("this terminal shows pictures in colours only, and NO_COLOR is set")
            else:
                yield from self._blocks(stream, size)

    def _blocks(self, stream: BinaryIO, size: Size) -> Iterator[bytes]:
        image = scaled(stream, size.columns, 2 * _lines(size))
        try:
            yield from blocks(image, true_colours=true_colours(self._environment), encoding=self._encoding)
        except UnicodeEncodeError:
            raise NotShown(f"there are no half blocks in {self._encoding}") from None


def _kitty(stream: BinaryIO, image: ImageInfo, size: Size) -> Iterator[bytes]:
    """https://sw.kovidgoyal.net/kitty/graphics-protocol/: it decodes PNG, and answers nothing (q=2)."""
    if image.kind == "png":
        yield from _kitty_png(stream, _cells(image.width, image.height, size, ("c", "r")))
        return
    smaller = scaled(stream, size.columns * size.cell_width, _lines(size) * size.cell_height)
    converted = BytesIO()
    smaller.save(converted, "PNG", compress_level=1)
    converted.seek(0)
    yield from _kitty_png(converted, _cells(*smaller.size, size, ("c", "r")))


def _kitty_png(stream: BinaryIO, cells: str) -> Iterator[bytes]:
    keys = f"a=T,f=100,{cells}q=2".encode()
    chunk = stream.read(_CHUNK)
    while chunk:
        following = stream.read(_CHUNK)
        yield b"\x1b_G%b,m=%d;%b\x1b\\" % (keys, bool(following), b64encode(chunk))
        keys, chunk = b"q=2", following
    yield b"\n"


def _iterm2(stream: BinaryIO, image: ImageInfo, size: Size) -> Iterator[bytes]:
    """https://iterm2.com/documentation-images.html: it decodes whatever it is given."""
    cells = _cells(image.width, image.height, size, ("width", "height")).replace(",", ";")
    length = stream.seek(0, os.SEEK_END)
    stream.seek(0)
    yield f"\x1b]1337;File=inline=1;size={length};{cells}preserveAspectRatio=1:".encode()
    while chunk := stream.read(_CHUNK):
        yield b64encode(chunk)
    yield b"\x07\n"


def _cells(width: int | None, height: int | None, size: Size, names: tuple[str, str]) -> str:
    """What bounds the picture, in cells; the terminal finds the other side. Nothing where it fits."""
    if width is None or height is None:
        # A JPEG may leave its height open.
        return f"{names[1]}={_lines(size)},"
    across = width / (size.columns * size.cell_width)
    down = height / (_lines(size) * size.cell_height)
    if max(across, down) <= 1:
        return ""
    return f"{names[0]}={size.columns}," if across >= down else f"{names[1]}={_lines(size)},"


def _lines(size: Size) -> int:
    return max(size.lines // 2, 1)


def _opened(file: Path) -> BinaryIO:
    try:
        return file.open("rb")
    except OSError as error:
        raise NotShown(f"the image cannot be read: {error.strerror}") from None


def _looked_at(stream: BinaryIO) -> ImageInfo:
    """What the image is; it is rewound."""
    try:
        info = inspect(stream)
    except DamagedImage as error:
        raise NotShown(f"the image is damaged: {error}") from None
    stream.seek(0)
    return info


def scaled(stream: BinaryIO, width: int, height: int) -> Image:
    """The picture in RGB, in its proportions, at most that large. Raises NotShown."""
    try:
        from PIL import Image
    except ImportError:
        raise NotShown(f"this terminal needs Pillow for it: {_INSTALL}") from None
    try:
        with warnings.catch_warnings():
            # Beyond any picture of ours; it would take a gigabyte.
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(stream, formats=("PNG", "JPEG", "WEBP")) as opened:
                as_it_is = opened.mode in ("RGB", "RGBA", "L")
                image: Image.Image = opened if as_it_is else opened.convert("RGBA")
                image.thumbnail((width, height), reducing_gap=2.0)
                if image.mode != "RGBA":
                    return image.convert("RGB")
                ground = Image.new("RGB", image.size)
                ground.paste(image, mask=image)
                return ground
    except SeedreamError:
        # A signal, which is raised wherever the program is.
        raise
    except Exception as error:
        # Decoders have errors of all kinds for what they do not like.
        raise NotShown(f"the image cannot be decoded: {error}") from None
