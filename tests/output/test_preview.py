"""Previews, as bytes sent to a pseudo-terminal."""

from __future__ import annotations

import fcntl
import io
import os
import pty
import re
import runpy
import struct
import sys
import termios
import threading
import tty
import zlib
from base64 import b64decode
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from support.images import png, png_of
from textual_image._terminal import get_cell_size

from seedream_cli.output import preview
from seedream_cli.output.preview import NotShown, Preview

KITTY = {"TERM": "xterm-kitty"}
PLAIN = {"TERM": "xterm-256color"}
PLACEHOLDER = "\U0010eeee"

#: Function that draws an image, and returns what the terminal receives.
Show = Callable[..., str]


@pytest.fixture
def show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Show]:
    master, slave = pty.openpty()
    tty.setraw(slave)
    received = bytearray()

    def follow() -> None:
        # Linux raises it when no process has the other end open.
        try:
            while data := os.read(master, 65536):
                received.extend(data)
        except OSError:
            os.close(master)

    reader = threading.Thread(target=follow)
    reader.start()

    def show(
        image: bytes,
        environment: Mapping[str, str],
        *,
        size: tuple[int, int, int, int] = (24, 80, 0, 0),
        encoding: str = "utf-8",
        kind: Callable[..., Any] = Preview,
    ) -> str:
        # textual-image caches the size.
        monkeypatch.delattr(get_cell_size, "_result", raising=False)
        fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", *size))
        (tmp_path / "image").write_bytes(image)
        with open(slave, "w", encoding=encoding) as stream:
            try:
                kind(stream, environment).show(tmp_path / "image")
            except NotShown:
                stream.close()
                reader.join()
                assert not received, "nothing is drawn if NotShown is raised"
                raise
        reader.join()
        return received.decode()

    yield show
    if reader.is_alive():
        os.close(slave)
        reader.join()


def picture(width: int, height: int, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.linear_gradient("L").resize((width, height)).convert("RGB").save(file, kind)
    return file.getvalue()


def kitty(raw: str) -> tuple[Image.Image, dict[str, str]]:
    """Parse kitty's graphics commands. Return the image, and the keys of its placement."""
    pieces = re.findall(r"\x1b_Gi=\d+,m=[01],f=100,q=2;([^\x1b]*)\x1b\\", raw)
    [placement] = re.findall(r"\x1b_G(a=p[^\x1b]*)\x1b\\", raw)
    return Image.open(io.BytesIO(b64decode("".join(pieces)))), dict(
        key.split("=") for key in placement.split(",")
    )


@pytest.mark.parametrize(
    ("image", "columns", "rows"),
    [
        pytest.param(picture(100, 100), 10, 5, id="fits"),
        pytest.param(picture(1600, 300), 80, 8, id="wide"),
        pytest.param(picture(1600, 900, "JPEG"), 43, 12, id="high"),
        pytest.param(picture(1600, 900, "WEBP"), 43, 12, id="WebP"),
        pytest.param(picture(1, 1), 1, 1, id="tiny"),
    ],
)
@pytest.mark.parametrize(
    ("environment", "cell"),
    [(KITTY, PLACEHOLDER), ({"TERM": "xterm-256color"}, "▀")],
    ids=["kitty", "blocks"],
)
def test_preview_fits_width_and_half_of_height(
    show: Show, environment: Mapping[str, str], cell: str, image: bytes, columns: int, rows: int
) -> None:
    raw = show(image, environment)
    *lines, rest = re.sub(r"\x1b\[[0-9;]*m", "", raw.rpartition("\x1b\\")[2]).split("\n")
    assert [line.count(cell) for line in lines] == [columns] * rows
    assert rest == "", "the cursor is at the beginning of a line"


def test_preview_for_kitty_is_scaled_to_cells(show: Show, capfd: pytest.CaptureFixture[str]) -> None:
    got, placement = kitty(show(picture(1600, 900), KITTY, size=(24, 80, 640, 384)))
    assert (got.format, got.size) == ("PNG", (43 * 8, 12 * 16))
    assert (placement["c"], placement["r"]) == ("43", "12")
    assert capfd.readouterr().out == "", "stdout may be a pipe"


@pytest.mark.parametrize("multiplexer", ["TMUX", "STY", "ZELLIJ"])
def test_preview_in_multiplexer_uses_half_blocks(show: Show, multiplexer: str) -> None:
    assert "▀" in show(png(), {**KITTY, multiplexer: "0"})


def test_no_color_disables_half_blocks(show: Show) -> None:
    with pytest.raises(NotShown, match="NO_COLOR"):
        show(png(), {"NO_COLOR": "1"})


def bomb() -> bytes:
    """Return the beginning of a PNG with a hundred million pixels."""
    header = b"IHDR" + struct.pack(">IIBBBBB", 10_000, 10_000, 8, 2, 0, 0, 0)
    return png()[:12] + header + struct.pack(">I", zlib.crc32(header)) + png()[33:]


@pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
@pytest.mark.parametrize(
    ("image", "reason"),
    [
        pytest.param(b"", "cannot identify", id="empty"),
        pytest.param(b"GIF89a" + bytes(20), "cannot identify", id="of another kind"),
        pytest.param(png_of([[(1, 2, 3)] * 9])[:45], "truncated", id="cut"),
        pytest.param(bomb(), "exceeds limit", id="too large"),
    ],
)
def test_invalid_image_is_not_drawn(show: Show, image: bytes, reason: str) -> None:
    with pytest.raises(NotShown, match=f"^the image cannot be drawn: .*{reason}"):
        show(image, {})


def test_preview_without_termios_uses_half_blocks(show: Show, monkeypatch: pytest.MonkeyPatch) -> None:
    """Windows has no termios."""
    for name in ("fcntl", "termios"):
        monkeypatch.setitem(sys.modules, name, None)
    # Import the module again, without replacing it for other tests.
    monkeypatch.delitem(sys.modules, preview.__name__)
    module = runpy.run_module(preview.__name__)
    assert re.fullmatch(r"\x1b[^▀]*▀\x1b\[0m\n", show(png(), PLAIN, kind=module["Preview"]))
