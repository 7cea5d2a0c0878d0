"""Pictures as text: upper half blocks, each with a colour for its own half and one for the other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

BLOCK = "▀"
#: xterm's colours from 16 on: a cube of six levels, then 24 greys.
_LEVELS = (0, 95, 135, 175, 215, 255)
_GREYS = tuple(range(8, 239, 10))

Colour = tuple[int, int, int]


def blocks(image: Image, *, true_colours: bool, encoding: str) -> Iterator[bytes]:
    """The picture, of mode RGB, line by line, two rows of pixels each.

    Raises UnicodeEncodeError for an encoding without half blocks.
    """
    block = BLOCK.encode(encoding)
    colour = _of_24_bits if true_colours else _of_256
    width, height = image.size
    pixels = image.tobytes()

    def row(number: int) -> list[bytes]:
        start = 3 * width * number
        return [pixels[at : at + 3] for at in range(start, start + 3 * width, 3)]

    for top in range(0, height, 2):
        # Below the last row of an odd number of them is the terminal's own background.
        below = row(top + 1) if top + 1 < height else [b""] * width
        cells = []
        last = None
        for cell in zip(row(top), below, strict=True):
            if cell != last:
                ground = colour(48, cell[1]) if cell[1] else b"49"
                cells.append(b"\x1b[%b;%bm" % (colour(38, cell[0]), ground))
            cells.append(block)
            last = cell
        yield b"".join(cells) + b"\x1b[0m\n"


def _of_24_bits(ground: int, pixel: bytes) -> bytes:
    return b"%d;2;%d;%d;%d" % (ground, *pixel)


def _of_256(ground: int, pixel: bytes) -> bytes:
    return b"%d;5;%d" % (ground, nearest((pixel[0], pixel[1], pixel[2])))


def nearest(colour: Colour) -> int:
    """The number of the nearest of xterm's 256 colours; the first 16 are the person's own."""
    steps = [min(range(6), key=lambda step: abs(_LEVELS[step] - value)) for value in colour]
    in_cube = (_LEVELS[steps[0]], _LEVELS[steps[1]], _LEVELS[steps[2]])
    shade = min(range(24), key=lambda step: abs(_GREYS[step] - sum(colour) / 3))
    if _distance(colour, in_cube) <= _distance(colour, (_GREYS[shade],) * 3):
        return 16 + 36 * steps[0] + 6 * steps[1] + steps[2]
    return 232 + shade


def _distance(one: Colour, other: Colour) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))
