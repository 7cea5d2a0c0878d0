"""Draw images on the terminal with textual-image, at most as wide as it is and half as high."""

from __future__ import annotations

import os
import re
import select
import sys
import time
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from ..errors import SeedreamError
from ..install_hints import install_command

try:
    import fcntl
    import struct
    import termios
except ImportError:
    # Windows: nothing can be asked, and half blocks need no answer.
    termios = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from PIL.Image import Image

#: textual-image draws with the Unicode placeholders of kitty's graphics protocol, which only these have.
#: Other terminals say that they know the protocol, and show the placeholders instead of the picture.
_KITTY_TERMS = ("xterm-kitty", "xterm-ghostty")
#: They keep kitty's protocol from the terminal around them. zellij leaves that terminal's TERM as it is.
_MULTIPLEXERS = ("TMUX", "STY", "ZELLIJ")

#: The size of a cell, and then the Primary Device Attributes, which every terminal answers.
#: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
_QUERY = b"\x1b[16t\x1b[c"
_CELL_SIZE = re.compile(rb"\x1b\[6;([1-9]\d{0,2});([1-9]\d{0,2})t")
_ATTRIBUTES = re.compile(rb"\x1b\[\?([0-9;]*)c")
_SIXEL = b"4"
#: Seconds to wait for the answer. The shell would read a later one as if it had been typed.
PATIENCE = 2.0

#: Where the terminal's answer is read: stdin.
_KEYS = 0

#: Width and height in pixels, unless the terminal says otherwise: those of the VT340, which had sixel.
_DEFAULT_CELL = (10, 20)
#: xterm shows no larger sixel picture: pixels of each side.
_LARGEST_SIXEL = 1000
#: The placeholders can number no more columns or rows.
_MOST_PLACEHOLDERS = 297

#: Whatever was interrupted: the sequence is given up (CAN) or ended (ST), and colours are reset.
_END = b"\x18\x1b\\\x1b[0m"
#: kitty waits for the last piece of a picture.
_END_KITTY = b"\x1b_Gm=0,q=2;\x1b\\"
#: Bytes of a picture that are written in one call.
_AT_ONCE = 16384
#: textual-image moves the cursor up for a sixel picture, and saves where it was.
_SAVE_CURSOR, _RESTORE_CURSOR = b"\x1b7", b"\x1b8"


class NotShown(Exception):
    """The image cannot be drawn here; the text says why."""


class Preview:
    """Draws on the terminal behind ``stream``. ``shield`` gives a block that no signal interrupts."""

    def __init__(
        self,
        stream: TextIO,
        environment: Mapping[str, str],
        *,
        shield: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._encoding = stream.encoding
        self._terminal = stream.fileno()
        self._environment = environment
        self._shield = shield
        self._kitty = environment.get("TERM") in _KITTY_TERMS and not any(map(environment.get, _MULTIPLEXERS))
        #: What the terminal has answered, once it has been asked.
        self._answer: bytes | None = None

    def show(self, file: Path) -> None:
        """Draw the image, and leave the cursor at the beginning of a line.

        Raises NotShown, and OSError if the terminal is gone.
        """
        try:
            # Its import asks the terminal, too.
            with _captured():
                import textual_image.renderable  # noqa: F401
            if self._answer is None:
                self._answer = b"" if self._kitty else self._ask()
            data = self._rendered(file).encode(self._encoding)
        except ImportError:
            raise NotShown(f"textual-image is not installed: {install_command('preview')}") from None
        except UnicodeEncodeError:
            raise NotShown(f"there are no half blocks in {self._encoding}") from None
        except (NotShown, SeedreamError):
            # The latter is a signal, which is raised wherever the program is.
            raise
        except Exception as error:
            # Files have errors of their own, and decoders have errors of all kinds for what they do not like.
            raise NotShown(f"the image cannot be drawn: {error}") from None
        self._write(data)

    def _rendered(self, file: Path) -> str:
        from rich.console import Console
        from textual_image.renderable import HalfcellImage, SixelImage, TGPImage

        columns, lines = os.get_terminal_size(self._terminal)
        # A terminal that does not know is 0 by 0.
        columns, lines = columns or 80, lines or 24
        cell_width, cell_height = cell = self._cell_size(columns, lines)
        lines = max(lines // 2, 1)
        renderable: type[TGPImage | SixelImage | HalfcellImage]
        if self._kitty:
            renderable, most = TGPImage, (_MOST_PLACEHOLDERS, _MOST_PLACEHOLDERS)
        elif self._has_sixel():
            renderable, most = SixelImage, (_LARGEST_SIXEL // cell_width, _LARGEST_SIXEL // cell_height)
        elif self._environment.get("NO_COLOR"):
            raise NotShown("this terminal shows pictures in colours only, and NO_COLOR is set")
        else:
            renderable, most = HalfcellImage, (columns, lines)
        columns, lines = min(columns, most[0]), min(lines, most[1])
        image = _scaled(file, columns * cell_width, lines * cell_height)
        width, height = max(round(image.width / cell_width), 1), max(round(image.height / cell_height), 1)
        with _captured(cell) as output, warnings.catch_warnings():
            # textual-image 0.12 calls what Pillow 14 removes.
            warnings.simplefilter("ignore", DeprecationWarning)
            console = Console(
                file=output,
                force_terminal=True,
                # The colour of a placeholder is the picture's number.
                color_system="truecolor" if self._kitty else "auto",
                no_color=False,
                legacy_windows=False,
                width=columns,
                _environ=self._environment,
            )
            console.print(renderable(image, width, height), end="", crop=False)
        return output.getvalue()

    def _has_sixel(self) -> bool:
        found = _ATTRIBUTES.search(self._answer or b"")
        # The first number is the terminal's class.
        return found is not None and _SIXEL in found[1].split(b";")[1:]

    def _cell_size(self, columns: int, lines: int) -> tuple[int, int]:
        if termios is not None:
            packed = fcntl.ioctl(self._terminal, termios.TIOCGWINSZ, bytes(8))
            _, _, width, height = struct.unpack("HHHH", packed)
            if width >= columns and height >= lines:
                return width // columns, height // lines
        if found := _CELL_SIZE.search(self._answer or b""):
            return int(found[2]), int(found[1])
        return _DEFAULT_CELL

    def _write(self, data: bytes) -> None:
        """Write past Python's buffers, which would write the rest of an interrupted picture at exit."""
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._terminal, rest[:_AT_ONCE]) :]
                except BlockingIOError:
                    # Another program left the terminal in this mode.
                    select.select([], [self._terminal], [])
        finally:
            if rest:
                end = _END + (_END_KITTY if self._kitty else b"")
                # What was being written when the signal came may have arrived.
                if _SAVE_CURSOR in data[: len(data) - len(rest) + _AT_ONCE]:
                    end += _RESTORE_CURSOR
                # If the terminal is gone, the signal is still the reason for the end.
                with self._shield(), suppress(OSError):
                    os.write(self._terminal, end)

    def _ask(self) -> bytes:
        """Return the terminal's answer to the query, or nothing if it could go to another program.

        textual-image would wait for a tenth of a second, and leave an answer that is late, or that comes
        after a key, to the shell.
        """
        if termios is None or not self._is_in_front():
            return b""
        # A signal waits for the answer: the terminal has to be given back as it was.
        with self._shield():
            before = termios.tcgetattr(_KEYS)
            try:
                modes = termios.tcgetattr(_KEYS)
                modes[3] &= ~(termios.ICANON | termios.ECHO)
                modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
                termios.tcsetattr(_KEYS, termios.TCSANOW, modes)
                if self._comes_within(0):
                    # What has been typed already is for the next program.
                    return b""
                self._write(_QUERY)
                answer = b""
                deadline = time.monotonic() + PATIENCE
                while not _ATTRIBUTES.search(answer) and self._comes_within(deadline - time.monotonic()):
                    # Byte by byte: what follows the answer is not ours.
                    if not (byte := os.read(_KEYS, 1)):
                        break
                    answer += byte
                return answer
            finally:
                termios.tcsetattr(_KEYS, termios.TCSANOW, before)

    def _comes_within(self, seconds: float) -> bool:
        return bool(select.select([_KEYS], [], [], max(seconds, 0))[0])

    def _is_in_front(self) -> bool:
        """Return True if the terminal's answer comes to this program, which may change its modes."""
        try:
            same = os.fstat(_KEYS).st_rdev == os.fstat(self._terminal).st_rdev
            # Fails for what is not the controlling terminal.
            return same and os.isatty(_KEYS) and os.tcgetpgrp(_KEYS) == os.getpgrp()
        except OSError:
            return False


@contextmanager
def _captured(cell: tuple[int, int] = _DEFAULT_CELL) -> Iterator[StringIO]:
    """Capture what textual-image writes to stdout, and keep it from asking the terminal.

    It writes kitty's graphics to ``sys.__stdout__``, which may be a pipe, and asks the terminal there for its
    protocol when it is imported and for the size of a cell when it draws. If that is not a terminal, it takes
    the size from the environment.
    """
    output = StringIO()
    stdout = sys.__stdout__
    size = {"TEXTUAL_CELL_WIDTH": str(cell[0]), "TEXTUAL_CELL_HEIGHT": str(cell[1])}
    try:
        sys.__stdout__ = output  # type: ignore[misc, assignment]
        os.environ.update(size)
        yield output
    finally:
        sys.__stdout__ = stdout  # type: ignore[misc]
        for name in size:
            os.environ.pop(name, None)


def _scaled(file: Path, width: int, height: int) -> Image:
    """Return the image in RGB and in its proportions, at most that large."""
    from PIL import Image

    with warnings.catch_warnings():
        # Beyond any picture of ours; it would take a gigabyte.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=("PNG", "JPEG", "WEBP")) as opened:
            as_it_is = opened.mode in ("RGB", "RGBA", "L")
            image: Image.Image = opened if as_it_is else opened.convert("RGBA")
            image.thumbnail((width, height), reducing_gap=2.0)
            if image.mode != "RGBA":
                return image.convert("RGB")
            ground = Image.new("RGB", image.size)
            ground.paste(image, mask=image)
            return ground
