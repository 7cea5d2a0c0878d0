"""stdout, the answer, and stderr, the conversation: whole lines, whatever became of the other end."""

from __future__ import annotations

import errno
import os
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from ..errors import NotSaved
from ..text import clean
from .outcome import Annotation

_CHUNK = 128 * 1024


class Stdout:
    """stdout. A reader that has left is no failure; a full disk behind it is, once the work is done."""

    def __init__(self) -> None:
        #: Nobody reads any more.
        self.broken = sys.stdout is None
        self.failure: NotSaved | None = None
        #: Whole files that were taken.
        self.files = 0

    def line(self, text: str) -> None:
        """One line, or a document of several; a path keeps its bytes even where they are no text.

        On a screen a path is shown, and must do nothing to it, whatever its folders are called.
        """
        if is_terminal(sys.stdout):
            text = "\n".join(map(clean, text.split("\n")))
        # prepare() has made this UTF-8, but for a terminal that speaks something else.
        encoding = sys.stdout.encoding if sys.stdout is not None else "utf-8"
        try:
            data = text.encode(encoding, "surrogateescape")
        except UnicodeEncodeError:
            data = text.encode(encoding, "replace")
        self._write(data + b"\n")

    def file(self, path: Path) -> bool:
        """A file's bytes; False if nobody took them all."""
        with path.open("rb") as file:
            while not self.broken and (chunk := file.read(_CHUNK)):
                self._write(chunk)
        self.files += not self.broken
        return not self.broken

    def _write(self, data: bytes) -> None:
        if self.broken:
            return
        try:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except (BrokenPipeError, ConnectionResetError, ValueError):
            self._abandon()
        except OSError as error:
            gone = error.errno in (errno.EBADF, errno.EPIPE, errno.EINVAL) or _hung_up(error)
            self._abandon()
            if not gone:
                self.failure = NotSaved(f"stdout cannot be written to: {error.strerror}", code="stdout_full")

    def _abandon(self) -> None:
        self.broken = True
        silence(sys.stdout)


def _hung_up(error: OSError) -> bool:
    """Whether stdout is a terminal whose window is gone; of a file, the same error is a bad disk."""
    return error.errno == errno.EIO and stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)


class Stderr:
    """stderr. What cannot be said is not said: no line of it is worth a failure."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour

    def line(self, text: str) -> None:
        if sys.stderr is None:
            return
        try:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            silence(sys.stderr)

    def progress_line(self, text: str) -> None:
        """A line on the way to the answer."""
        self.line(text)

    def end_progress(self) -> None:
        """What is said from here on is no line on the way."""

    def annotate(self, annotate: Annotation) -> None:
        """Show it beside the log, where something does."""

    def broken(self, text: str, *, indent: int) -> str:
        """The text for a line of which ``indent`` columns are taken already.

        On a terminal it is broken between words, which a terminal would not mind, and goes on below its
        beginning. A word that is too long for that, like a path, stays whole to be copied.
        """
        width = _columns(sys.stderr)
        if width is None or indent + len(text) <= width:
            return text
        from textwrap import wrap

        lines = wrap(text, max(width - indent, 1), break_long_words=False, break_on_hyphens=False)
        return ("\n" + " " * indent).join(lines)

    def painted(self, text: str, style: str) -> str:
        """The text in a style (SGR codes) where colours are wanted."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour else text


def silence(stream: TextIO) -> None:
    """Send what is still to be written nowhere, so that Python's own flush at exit has no complaint."""
    try:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)
    except (OSError, ValueError):
        return


def prepare() -> None:
    """Make the standard streams fit for any text and any caller.

    Descriptors that the caller closed are opened on nothing: a file opened later would otherwise
    take their numbers and receive what is meant for them. Streams speak UTF-8 unless they are a
    terminal that says otherwise.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if stream is None or not hasattr(stream, "reconfigure"):
            continue
        legacy = stream.encoding.lower().replace("-", "") not in ("utf8", "ascii", "ansi_x3.41968")
        if legacy and stream.isatty():
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8", errors=errors)


def wants_colour(stream: TextIO | None, environment: Mapping[str, str]) -> bool:
    """NO_COLOR wins over FORCE_COLOR, which wins over CLICOLOR_FORCE, which wins over what the stream is."""
    if environment.get("NO_COLOR"):
        return False
    if forced := environment.get("FORCE_COLOR"):
        return forced not in ("0", "false")
    if environment.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return is_terminal(stream) and environment.get("TERM") != "dumb"


def draws(stream: TextIO | None, environment: Mapping[str, str]) -> bool:
    """Whether live drawing has a place to happen."""
    return is_terminal(stream) and environment.get("TERM") != "dumb" and not environment.get("CI")


def is_terminal(stream: TextIO | None) -> bool:
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _columns(stream: TextIO | None) -> int | None:
    """A stream's columns; None where it is no terminal, or one that does not say."""
    if stream is None or not is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def columns_of_terminal() -> int:
    """The columns that help has, found as rich does: COLUMNS, or any stream's terminal, or 80."""
    if columns := int(os.environ.get("COLUMNS") or 0):
        return columns
    return next(filter(None, map(_columns, (sys.stdin, sys.stdout, sys.stderr))), 80)


def terminal_width() -> int | None:
    """stdout's columns; None where it is no terminal."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if is_terminal(sys.stdout) else None
