"""Pictures as sixels: six rows of pixels at a time, one colour of a palette after the other.

https://vt100.net/docs/vt3xx-gp/chapter14.html. Of the libraries that write them, the small ones are under
the GPL, and the others bring a C library or another way to draw everything.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

#: The largest picture that xterm takes, and about a second's work: pixels of each side.
LARGEST = 1000
#: xterm has as many registers; a terminal with fewer takes the nearest.
_COLOURS = 256
_ROWS = 6
#: Pixels of each side.
_SAMPLE = 160


def sixels(image: Image) -> Iterator[bytes]:
    """The picture, of mode RGB, as one sequence in some pieces."""
    reduced = _reduced(image)
    width, height = reduced.size
    # Pixels that no colour sets are left alone (P2 = 1); then the aspect ratio of a pixel, and the size.
    yield b'\x1bP0;1q"1;1;%d;%d' % (width, height)
    palette = reduced.getpalette("RGB") or []
    for colour in range(len(palette) // 3):
        red, green, blue = (round(value / 2.55) for value in palette[3 * colour : 3 * colour + 3])
        yield b"#%d;2;%d;%d;%d" % (colour, red, green, blue)
    pixels = reduced.tobytes()
    for top in range(0, height, _ROWS):
        rows = [pixels[width * row : width * (row + 1)] for row in range(top, min(top + _ROWS, height))]
        # A line feed of sixels after the last ones could scroll the screen for nothing.
        yield (b"-" if top else b"") + b"$".join(_lines(rows))
    yield b"\x1b\\"


def _reduced(image: Image) -> Image:
    """The picture in a palette of its own, which a sample is enough for: all pixels take seconds."""
    from PIL.Image import Dither, Resampling

    side = min(_SAMPLE, image.width), min(_SAMPLE, image.height)
    palette = image.resize(side, Resampling.NEAREST).quantize(_COLOURS)
    return image.quantize(palette=palette, dither=Dither.FLOYDSTEINBERG)


class _Line:
    """The sixels of one colour, from left to right."""

    __slots__ = ("_bits", "_count", "_end", "_parts")

    def __init__(self, colour: int) -> None:
        self._parts = [b"#%d" % colour]
        self._bits = self._count = self._end = 0

    def add(self, column: int, bits: int) -> None:
        if bits == self._bits and column == self._end:
            self._count += 1
        else:
            self._parts.append(_run(self._bits, self._count))
            self._parts.append(_run(0, column - self._end))
            self._bits, self._count = bits, 1
        self._end = column + 1

    def whole(self) -> bytes:
        return b"".join(self._parts) + _run(self._bits, self._count)


def _lines(rows: list[bytes]) -> Iterator[bytes]:
    """Six rows of pixels as one line a colour. One step a column and colour: most lines are sparse."""
    lines: dict[int, _Line] = {}
    for column, pixels in enumerate(zip(*rows, strict=True)):
        found: dict[int, int] = {}
        bit = 1
        for colour in pixels:
            found[colour] = found.get(colour, 0) | bit
            bit <<= 1
        for colour, bits in found.items():
            if (line := lines.get(colour)) is None:
                line = lines[colour] = _Line(colour)
            line.add(column, bits)
    for line in lines.values():
        yield line.whole()


def _run(bits: int, count: int) -> bytes:
    """So many times the same sixel, which is its six bits and 63."""
    sixel = bytes([63 + bits])
    return sixel * count if count < 4 else b"!%d%b" % (count, sixel)
