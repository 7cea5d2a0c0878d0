"""Pictures as the terminals' own protocols have them, read back to their pixels."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import random
import re
import struct
import termios
import threading
import tty
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from PIL import Image, ImageChops, ImageStat
from support import drawn
from support.images import png, png_of

from seedream_cli.errors import Stopped
from seedream_cli.output.blocks import nearest
from seedream_cli.output.preview import NotShown, Preview, scaled
from seedream_cli.output.sixel import sixels
from seedream_cli.output.terminals import Screen

KITTY = {"TERM": "xterm-kitty"}
ITERM2 = {"TERM_PROGRAM": "iTerm.app"}
SIZE = (24, 80, 800, 480)
"""Lines, columns, and both in pixels: room for 800 by 240."""


class Raw:
    """A terminal of which every byte is kept."""

    def __init__(self) -> None:
        self.master, self.slave = pty.openpty()
        tty.setraw(self.slave)
        fcntl.ioctl(self.slave, termios.TIOCSWINSZ, struct.pack("HHHH", *SIZE))
        self._read = b""
        self._reader = threading.Thread(target=self._follow)
        self._reader.start()

    def _follow(self) -> None:
        try:
            while data := os.read(self.master, 65536):
                self._read += data
        except OSError:
            return

    def end(self) -> bytes:
        """Everything that came."""
        if self._reader.is_alive():
            os.close(self.slave)
            self._reader.join()
            os.close(self.master)
        return self._read


@pytest.fixture
def terminal() -> Iterator[Raw]:
    raw = Raw()
    yield raw
    raw.end()


@pytest.fixture
def show(tmp_path: Path, terminal: Raw) -> Callable[[bytes, Mapping[str, str]], bytes]:
    """The bytes that a terminal gets for an image."""

    def show(image: bytes, environment: Mapping[str, str]) -> bytes:
        file = tmp_path / "image"
        file.write_bytes(image)
        try:
            Preview(Screen(terminal.slave), environment).show(file)
        finally:
            terminal.end()
        return terminal.end()

    return show


Show = Callable[[bytes, Mapping[str, str]], bytes]


def pixels_of(image: Image.Image) -> drawn.Pixels:
    data = image.convert("RGB").tobytes()
    found = [(data[at], data[at + 1], data[at + 2]) for at in range(0, len(data), 3)]
    return [found[at : at + image.width] for at in range(0, len(found), image.width)]


def some_pixels(width: int, height: int, colours: int = 30) -> drawn.Pixels:
    """Of few colours, each a whole percent of red, green and blue."""
    draw = random.Random(1)
    palette = [tuple(round(draw.randrange(0, 101, 4) * 2.55) for _ in "rgb") for _ in range(colours)]
    return [[draw.choice(palette) for _ in range(width)] for _ in range(height)]  # type: ignore[misc]


def encoded(kind: str, width: int, height: int) -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("width", "height", "bounds"),
    [
        pytest.param(100, 100, {}, id="fits"),
        pytest.param(1600, 300, {"c": "80"}, id="wide"),
        pytest.param(1600, 900, {"r": "12"}, id="high"),
    ],
)
def test_kitty_gets_a_png_as_it_is_and_one_bound(
    show: Show, width: int, height: int, bounds: dict[str, str]
) -> None:
    image = encoded("PNG", width, height)
    raw = show(image, KITTY)
    keys, file = drawn.kitty(raw)
    assert keys == {"a": "T", "f": "100", "q": "2", **bounds}
    assert file == image
    assert raw.endswith(b"\x1b\\\n")


@pytest.mark.parametrize("length", [3071, 3072, 3073, 6144])
def test_kitty_gets_pieces_of_4096_characters_whatever_the_length(show: Show, length: int) -> None:
    bare = len(png_of([[(0, 0, 0)]], level=0))
    row = [(0, 0, 0)] * ((length - bare) // 3 + 1)
    image = png_of([row], level=0)
    image += b"\0" * (length - len(image))
    assert len(image) == length
    assert drawn.kitty(show(image, KITTY))[1] == image


@pytest.mark.parametrize("kind", ["JPEG", "WEBP"])
def test_kitty_gets_a_small_png_of_what_it_cannot_decode(show: Show, kind: str) -> None:
    image = encoded(kind, 1600, 600)
    keys, file = drawn.kitty(show(image, KITTY))
    assert "f" in keys
    got = Image.open(io.BytesIO(file))
    assert (got.format, got.size) == ("PNG", (640, 240))
    expected = Image.open(io.BytesIO(image)).convert("RGB").resize(got.size)
    assert max(ImageStat.Stat(ImageChops.difference(got, expected)).mean) < 3


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_iterm2_gets_the_file_as_it_is_and_one_bound(show: Show, kind: str) -> None:
    image = encoded(kind, 1600, 900)
    raw = show(image, ITERM2)
    arguments, file = drawn.iterm2(raw)
    assert arguments == {"inline": "1", "size": str(len(image)), "height": "12", "preserveAspectRatio": "1"}
    assert file == image
    assert raw.endswith(b"\x07\n")


@pytest.mark.parametrize("environment", [KITTY, ITERM2, {}], ids=["kitty", "iterm2", "blocks"])
def test_nothing_of_a_file_reaches_the_terminal_as_it_stands(
    show: Show, environment: Mapping[str, str]
) -> None:
    evil = b"\x1b]0;owned\x07\x9b31m"
    raw = show(png_of(some_pixels(8, 8), comment=evil), environment)
    assert len(raw) > 200
    assert b"]0;owned" not in raw
    assert b"\x9b" not in raw


@pytest.mark.parametrize(("width", "height"), [(1, 1), (7, 5), (40, 6), (33, 50)])
def test_sixels_are_the_pixels(width: int, height: int) -> None:
    pixels = some_pixels(width, height)
    with Image.open(io.BytesIO(png_of(pixels))) as image:
        raw = b"".join(sixels(image.convert("RGB")))
    assert drawn.sixel(raw) == pixels


def test_sixels_of_many_colours_are_near() -> None:
    image = Image.merge("RGB", [Image.linear_gradient("L").rotate(turn) for turn in (0, 90, 180)])
    image = image.resize((120, 90))
    seen = Image.new("RGB", image.size)
    pixels = drawn.sixel(b"".join(sixels(image)))
    seen.putdata([pixel for row in pixels for pixel in row])
    near = [one.reduce(6) for one in (seen, image)]
    assert max(ImageStat.Stat(ImageChops.difference(*near)).mean) < 4


@pytest.mark.parametrize(
    ("width", "height", "columns", "rows"),
    [
        pytest.param(70, 20, 70, 10, id="fits"),
        pytest.param(800, 200, 80, 10, id="wide"),
        pytest.param(100, 100, 24, 12, id="high"),
        pytest.param(9, 5, 9, 3, id="an odd number of rows"),
    ],
)
def test_half_blocks_take_the_width_or_half_of_the_height_in_256_colours(
    show: Show, width: int, height: int, columns: int, rows: int
) -> None:
    raw = show(encoded("PNG", width, height), {}).decode()
    lines = raw.removesuffix("\n").split("\n")
    assert [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines] == ["▀" * columns] * rows
    colours = r"\x1b\[38;5;\d+;(48;5;\d+|49)m|\x1b\[0m"
    assert set(re.sub(colours, "", raw)) == {"▀", "\n"}
    assert all(line.endswith("\x1b[0m") for line in lines)


@pytest.mark.parametrize(
    ("colour", "number"),
    [
        ((0, 0, 0), 16),
        ((255, 255, 255), 231),
        ((255, 0, 0), 196),
        ((0, 95, 135), 24),
        ((8, 8, 8), 232),
        ((128, 128, 128), 244),
        ((127, 130, 126), 244),
        ((250, 4, 3), 196),
    ],
)
def test_a_colour_becomes_the_nearest_of_256(colour: tuple[int, int, int], number: int) -> None:
    assert nearest(colour) == number


def test_where_no_half_block_can_be_written_there_is_no_picture(tmp_path: Path, terminal: Raw) -> None:
    (tmp_path / "fox.png").write_bytes(png())
    preview = Preview(Screen(terminal.slave), {}, encoding="latin-1")
    with pytest.raises(NotShown, match="half blocks in latin-1"):
        preview.show(tmp_path / "fox.png")
    assert "▀".encode() not in terminal.end()


def test_no_color_leaves_half_blocks_out_and_pictures_in(show: Show) -> None:
    assert b"\x1b_G" in show(png(), {**KITTY, "NO_COLOR": "1"})


def test_no_color_says_why_there_are_no_half_blocks(show: Show) -> None:
    with pytest.raises(NotShown, match="NO_COLOR"):
        show(png(), {"NO_COLOR": "1"})


def test_transparent_pixels_are_black() -> None:
    image = Image.new("RGBA", (2, 2), (255, 0, 0, 0))
    file = io.BytesIO()
    image.save(file, "PNG")
    assert pixels_of(scaled(file, 2, 2)) == [[(0, 0, 0)] * 2] * 2


@pytest.mark.parametrize(
    "image",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b"GIF89a" + bytes(20), id="no image"),
        pytest.param(png()[:-20], id="cut"),
        pytest.param(png_of([[(1, 2, 3)] * 9])[:45] + bytes(9) + png()[-12:], id="damaged"),
    ],
)
@pytest.mark.parametrize("environment", [KITTY, ITERM2, {}], ids=["kitty", "iterm2", "blocks"])
def test_what_cannot_be_decoded_is_not_drawn(
    show: Show, image: bytes, environment: Mapping[str, str], terminal: Raw
) -> None:
    with pytest.raises(NotShown, match=r"^the image (is damaged|cannot be decoded): "):
        show(image, environment)
    assert terminal.end() == b""


def test_a_file_that_has_gone_is_not_drawn(tmp_path: Path, terminal: Raw) -> None:
    for environment in (KITTY, ITERM2, {}):
        with pytest.raises(NotShown, match="No such file"):
            Preview(Screen(terminal.slave), environment).show(tmp_path / "gone.png")


def test_a_picture_of_a_gigabyte_of_pixels_is_not_decoded() -> None:
    header = struct.pack(">IIBBBBB", 30_000, 10_000, 8, 2, 0, 0, 0)
    bomb = png_of([[(0, 0, 0)]])
    with pytest.raises(NotShown, match="cannot be decoded"):
        scaled(io.BytesIO(bomb[:16] + header + bomb[29:]), 80, 24)


@pytest.mark.parametrize(
    ("environment", "end"),
    [
        (KITTY, b"\x18\x1b\\\x1b_Gm=0,q=2;\x1b\\\x1b[0m"),
        (ITERM2, b"\x18\x1b\\\x1b[0m"),
        ({"COLORTERM": "truecolor"}, b"\x18\x1b\\\x1b[0m"),
    ],
    ids=["kitty", "iterm2", "blocks"],
)
def test_a_picture_that_a_signal_cuts_leaves_the_terminal_sane(
    tmp_path: Path, terminal: Raw, environment: Mapping[str, str], end: bytes
) -> None:
    class Interrupted(Screen):
        pieces = 0

        def write(self, data: bytes) -> None:
            self.pieces += 1
            if self.pieces == 2:
                super().write(data[: len(data) // 2])
                raise Stopped
            super().write(data)

    (tmp_path / "fox.png").write_bytes(png_of(some_pixels(80, 80), level=0))
    with pytest.raises(Stopped):
        Preview(Interrupted(terminal.slave), environment).show(tmp_path / "fox.png")
    assert terminal.end().endswith(end)


def test_a_signal_is_not_forgotten_where_the_terminal_is_gone(tmp_path: Path, terminal: Raw) -> None:
    class HungUp(Screen):
        hung_up = False

        def write(self, data: bytes) -> None:
            if self.hung_up:
                raise OSError("the window is closed")
            self.hung_up = True
            raise Stopped

    (tmp_path / "fox.png").write_bytes(png())
    with pytest.raises(Stopped):
        Preview(HungUp(terminal.slave), KITTY).show(tmp_path / "fox.png")


def test_the_file_of_a_cut_picture_is_closed(tmp_path: Path, terminal: Raw) -> None:
    class Gone(Screen):
        def write(self, data: bytes) -> None:
            raise OSError("the window is closed")

    (tmp_path / "fox.png").write_bytes(png())
    opened = set(os.listdir("/proc/self/fd"))
    with pytest.raises(OSError, match="the window is closed"):
        Preview(Gone(terminal.slave), KITTY).show(tmp_path / "fox.png")
    assert set(os.listdir("/proc/self/fd")) == opened
