"""Previews of images on the terminal, drawn by textual-image: at most its width and half of its height."""

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
    # Windows: the terminal is not queried, and gets half blocks.
    termios = None  # type: ignore[assignment]

if TYPE_CHECKING:
    from PIL.Image import Image

#: TERM of terminals with the Unicode placeholders of kitty's graphics protocol, which textual-image
#: uses. Other terminals claim to support the protocol, but show the placeholders instead of the picture.
_KITTY_TERMS = ("xterm-kitty", "xterm-ghostty")
#: Variables of multiplexers, which do not pass kitty's protocol on. zellij does not change TERM.
_MULTIPLEXERS = ("TMUX", "STY", "ZELLIJ")

#: Query for the size of a cell, and then for the Primary Device Attributes, which every terminal answers.
#: https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
_QUERY = b"\x1b[16t\x1b[c"
_CELL_SIZE = re.compile(rb"\x1b\[6;([1-9]\d{0,2});([1-9]\d{0,2})t")
_ATTRIBUTES = re.compile(rb"\x1b\[\?([0-9;]*)c")
_SIXEL = b"4"
#: Seconds to wait for the answer. The shell would read a later one as if it had been typed.
_ANSWER_TIMEOUT = 2.0

#: The terminal's answer is read from stdin.
_STDIN = 0

#: Width and height of a cell in pixels if the terminal does not report them: those of the VT340.
_DEFAULT_CELL = (10, 20)
#: Pixels of each side: xterm does not show larger sixel pictures.
_MAX_SIXEL_SIZE = 1000
#: Columns and rows: kitty has no more diacritics to number its placeholders with.
_MAX_PLACEHOLDERS = 297

#: After an interruption: cancel the escape sequence (CAN), or end it (ST), and reset the colours.
_END = b"\x18\x1b\\\x1b[0m"
#: Ends a picture for kitty, which otherwise waits for its last piece.
_END_KITTY = b"\x1b_Gm=0,q=2;\x1b\\"
#: Bytes of a picture that are written in one call.
_CHUNK_BYTES = 16384
#: textual-image saves the cursor's position before it moves up to draw a sixel picture.
_SAVE_CURSOR = b"\x1b7"
_RESTORE_CURSOR = b"\x1b8"


class NotShown(Exception):
    """The image cannot be drawn; the text says why."""


class Preview:
    """Preview on the terminal of ``stream``.

    ``defer_signals`` returns a context manager within which signals are held back.
    """

    def __init__(
        self,
        stream: TextIO,
        environment: Mapping[str, str],
        *,
        defer_signals: Callable[[], AbstractContextManager[None]] = nullcontext,
    ) -> None:
        self._encoding = stream.encoding
        self._terminal = stream.fileno()
        self._environment = environment
        self._defer_signals = defer_signals
        self._kitty = environment.get("TERM") in _KITTY_TERMS and not any(map(environment.get, _MULTIPLEXERS))
        #: The terminal's answer, or None before the query.
        self._answer: bytes | None = None

    def show(self, file: Path) -> None:
        """Draw the image, and leave the cursor at the beginning of a line.

        Raises NotShown if it cannot be drawn, and OSError if the terminal is gone.
        """
        try:
            # The import queries the terminal.
            with _capture_stdout():
                import textual_image.renderable  # noqa: F401
            if self._answer is None:
                self._answer = b"" if self._kitty else self._query()
            data = self._render(file).encode(self._encoding)
        except ImportError:
            raise NotShown(f"textual-image is not installed: {install_command('preview')}") from None
        except UnicodeEncodeError:
            raise NotShown(f"there are no half blocks in {self._encoding}") from None
        except (NotShown, SeedreamError):
            # SeedreamError: the handler of a signal raises it at any point of the program.
            raise
        except Exception as error:
            # Pillow's decoders raise exceptions of many kinds for broken files.
            raise NotShown(f"the image cannot be drawn: {error}") from None
        self._write(data)

    def _render(self, file: Path) -> str:
        """Return the text that draws the image in the best way that the terminal supports."""
        from rich.console import Console
        from textual_image.renderable import HalfcellImage, SixelImage, TGPImage

        columns, lines = os.get_terminal_size(self._terminal)
        # A terminal that does not know its size reports 0 by 0.
        columns, lines = columns or 80, lines or 24
        cell_width, cell_height = cell = self._cell_size(columns, lines)
        lines = max(lines // 2, 1)
        renderable: type[TGPImage | SixelImage | HalfcellImage]
        if self._kitty:
            renderable, max_size = TGPImage, (_MAX_PLACEHOLDERS, _MAX_PLACEHOLDERS)
        elif self._has_sixel():
            renderable, max_size = SixelImage, (_MAX_SIXEL_SIZE // cell_width, _MAX_SIXEL_SIZE // cell_height)
        elif self._environment.get("NO_COLOR"):
            raise NotShown("this terminal shows pictures in colours only, and NO_COLOR is set")
        else:
            renderable, max_size = HalfcellImage, (columns, lines)
        columns, lines = min(columns, max_size[0]), min(lines, max_size[1])
        image = _load_scaled(file, columns * cell_width, lines * cell_height)
        width, height = max(round(image.width / cell_width), 1), max(round(image.height / cell_height), 1)
        with _capture_stdout(cell) as output, warnings.catch_warnings():
            # textual-image 0.12 uses functions that Pillow 14 removes.
            warnings.simplefilter("ignore", DeprecationWarning)
            console = Console(
                file=output,
                force_terminal=True,
                # kitty encodes the picture's id in the colour of its placeholders.
                color_system="truecolor" if self._kitty else "auto",
                no_color=False,
                legacy_windows=False,
                width=columns,
                _environ=self._environment,
            )
            console.print(renderable(image, width, height), end="", crop=False)
        return output.getvalue()

    def _has_sixel(self) -> bool:
        """Return True if the terminal supports sixel, according to its answer."""
        match = _ATTRIBUTES.search(self._answer or b"")
        # The first number is the terminal's class, not a feature.
        return match is not None and _SIXEL in match[1].split(b";")[1:]

    def _cell_size(self, columns: int, lines: int) -> tuple[int, int]:
        """Return the width and height of a cell in pixels, from the system or the terminal's answer."""
        if termios is not None:
            packed = fcntl.ioctl(self._terminal, termios.TIOCGWINSZ, bytes(8))
            _, _, width, height = struct.unpack("HHHH", packed)
            if width >= columns and height >= lines:
                return width // columns, height // lines
        if match := _CELL_SIZE.search(self._answer or b""):
            return int(match[2]), int(match[1])
        return _DEFAULT_CELL

    def _write(self, data: bytes) -> None:
        """Write without Python's buffers, and clean the terminal up if a signal interrupts.

        Python would write the rest of an interrupted picture from its buffers at exit.
        """
        rest = memoryview(data)
        try:
            while rest:
                try:
                    rest = rest[os.write(self._terminal, rest[:_CHUNK_BYTES]) :]
                except BlockingIOError:
                    # Another program left the terminal in non-blocking mode.
                    select.select([], [self._terminal], [])
        finally:
            if rest:
                end = _END + (_END_KITTY if self._kitty else b"")
                # The chunk that was being written when the signal came may have arrived.
                if _SAVE_CURSOR in data[: len(data) - len(rest) + _CHUNK_BYTES]:
                    end += _RESTORE_CURSOR
                # An OSError (the terminal is gone) must not replace the signal's exception.
                with self._defer_signals(), suppress(OSError):
                    os.write(self._terminal, end)

    def _query(self) -> bytes:
        """Query the terminal and return its answer, or nothing if another program could receive it.

        textual-image's own query waits for 0.1 s. It leaves a late answer, or one after a key press, to the
        shell.
        """
        if termios is None or not self._is_foreground():
            return b""
        # Signals are held back until the terminal's modes are restored.
        with self._defer_signals():
            saved_modes = termios.tcgetattr(_STDIN)
            try:
                modes = termios.tcgetattr(_STDIN)
                modes[3] &= ~(termios.ICANON | termios.ECHO)
                modes[6][termios.VMIN], modes[6][termios.VTIME] = 1, 0
                termios.tcsetattr(_STDIN, termios.TCSANOW, modes)
                if self._has_input_within(0):
                    # The user has typed ahead. That input belongs to the next program.
                    return b""
                self._write(_QUERY)
                answer = b""
                deadline = time.monotonic() + _ANSWER_TIMEOUT
                while not _ATTRIBUTES.search(answer) and self._has_input_within(deadline - time.monotonic()):
                    # Byte by byte, so that input after the answer is left to the next program.
                    if not (byte := os.read(_STDIN, 1)):
                        break
                    answer += byte
                return answer
            finally:
                termios.tcsetattr(_STDIN, termios.TCSANOW, saved_modes)

    def _has_input_within(self, seconds: float) -> bool:
        """Wait for input, and return True if there is some in time."""
        return bool(select.select([_STDIN], [], [], max(seconds, 0))[0])

    def _is_foreground(self) -> bool:
        """Return True if this program is in the foreground of the terminal that it draws on.

        Otherwise another program would receive the answer, and changing the modes would stop this one.
        """
        try:
            same = os.fstat(_STDIN).st_rdev == os.fstat(self._terminal).st_rdev
            # tcgetpgrp fails if this is not the controlling terminal.
            return same and os.isatty(_STDIN) and os.tcgetpgrp(_STDIN) == os.getpgrp()
        except OSError:
            return False


@contextmanager
def _capture_stdout(cell: tuple[int, int] = _DEFAULT_CELL) -> Iterator[StringIO]:
    """Capture textual-image's output to stdout, and prevent its queries.

    It writes kitty's graphics to ``sys.__stdout__``, which may be a pipe. It also queries the terminal there,
    for its protocol when it is imported and for the size of a cell when it draws. If that is not a terminal,
    it takes the size from the environment.
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


def _load_scaled(file: Path, width: int, height: int) -> Image:
    """Return the image in RGB, scaled down to fit ``width`` and ``height`` in pixels."""
    from PIL import Image

    with warnings.catch_warnings():
        # Larger than any generated image; decoding it would take a gigabyte.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        with Image.open(file, formats=("PNG", "JPEG", "WEBP")) as opened:
            supported = opened.mode in ("RGB", "RGBA", "L")
            image: Image.Image = opened if supported else opened.convert("RGBA")
            image.thumbnail((width, height), reducing_gap=2.0)
            if image.mode != "RGBA":
                return image.convert("RGB")
            background = Image.new("RGB", image.size)
            background.paste(image, mask=image)
            return background
