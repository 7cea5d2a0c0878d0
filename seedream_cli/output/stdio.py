"""Standard streams: results on stdout, everything else on stderr, also if a stream is closed or full."""

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

#: Bytes of a file that are copied to stdout in one call.
_CHUNK_BYTES = 128 * 1024


class Stdout:
    """stdout, for results.

    A closed pipe is not an error. A full disk is, but it must not stop paid work: it is kept in ``failure``
    until the command ends.
    """

    def __init__(self) -> None:
        #: Nothing more can be written.
        self.closed = sys.stdout is None
        self.failure: NotSaved | None = None
        #: Number of files that were written completely.
        self.files = 0

    def line(self, text: str) -> None:
        """Write a text and a line feed. A path keeps its bytes even if they are not valid UTF-8.

        On a terminal the text is cleaned, because names of folders may contain control characters.
        """
        if is_terminal(sys.stdout):
            text = "\n".join(map(clean, text.split("\n")))
        # UTF-8 after prepare(), except for a terminal with another encoding.
        encoding = sys.stdout.encoding if sys.stdout is not None else "utf-8"
        try:
            data = text.encode(encoding, "surrogateescape")
        except UnicodeEncodeError:
            data = text.encode(encoding, "replace")
        self._write(data + b"\n")

    def file(self, path: Path) -> bool:
        """Write the bytes of a file. Return False if not all of them could be written."""
        with path.open("rb") as file:
            while not self.closed and (chunk := file.read(_CHUNK_BYTES)):
                self._write(chunk)
        self.files += not self.closed
        return not self.closed

    def _write(self, data: bytes) -> None:
        if self.closed:
            return
        try:
            sys.stdout.flush()
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
        except (BrokenPipeError, ConnectionResetError, ValueError):
            self._abandon()
        except OSError as error:
            reader_gone = error.errno in (errno.EBADF, errno.EPIPE, errno.EINVAL) or _hung_up(error)
            self._abandon()
            if not reader_gone:
                self.failure = NotSaved(f"stdout cannot be written to: {error.strerror}", code="stdout_full")

    def _abandon(self) -> None:
        self.closed = True
        silence(sys.stdout)


def _hung_up(error: OSError) -> bool:
    """Return True if stdout is a terminal whose window was closed. For a file, EIO means a bad disk."""
    return error.errno == errno.EIO and stat.S_ISCHR(os.fstat(sys.stdout.fileno()).st_mode)


class Stderr:
    """stderr, for progress, notes and errors. Lines that cannot be written are dropped."""

    def __init__(self, *, colour: bool) -> None:
        self.colour = colour

    def line(self, text: str) -> None:
        """Write a text and a line feed."""
        if sys.stderr is None:
            return
        try:
            sys.stderr.write(text + "\n")
            sys.stderr.flush()
        except (OSError, ValueError):
            silence(sys.stderr)

    def progress_line(self, text: str) -> None:
        """Write a line about progress, which a subclass may fold."""
        self.line(text)

    def end_progress(self) -> None:
        """End the progress lines, before a result or an error."""

    def annotate(self, annotation: Annotation) -> None:
        """Show a message next to the log, where a CI service can do that."""

    def wrap(self, text: str, *, indent: int) -> str:
        """Return the text wrapped to the terminal, for a line that already has ``indent`` columns.

        Following lines are indented to match. Words are not broken, so that a long path can be copied.
        """
        width = _columns(sys.stderr)
        if width is None or indent + len(text) <= width:
            return text
        from textwrap import wrap

        lines = wrap(text, max(width - indent, 1), break_long_words=False, break_on_hyphens=False)
        return ("\n" + " " * indent).join(lines)

    def styled(self, text: str, style: str) -> str:
        """Return the text with a style (SGR codes) if colours are enabled."""
        return f"\x1b[{style}m{text}\x1b[0m" if self.colour else text


def silence(stream: TextIO) -> None:
    """Redirect a stream to the null device, so that Python's flush at exit reports no error."""
    try:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, stream.fileno())
        os.close(null)
    except (OSError, ValueError):
        return


def prepare() -> None:
    """Prepare the standard streams for any text and any state in which the caller left them.

    Closed descriptors are opened on the null device. Otherwise a file opened later would get their numbers,
    and output would be written into it. Streams use UTF-8, except for terminals with another encoding.
    """
    for descriptor in range(3):
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    for stream, errors in ((sys.stdout, "surrogateescape"), (sys.stderr, "backslashreplace")):
        if stream is None or not hasattr(stream, "reconfigure"):
            continue
        other_encoding = stream.encoding.lower().replace("-", "") not in ("utf8", "ascii", "ansi_x3.41968")
        if other_encoding and stream.isatty():
            stream.reconfigure(errors="replace")
        else:
            stream.reconfigure(encoding="utf-8", errors=errors)


def wants_colour(stream: TextIO | None, environment: Mapping[str, str]) -> bool:
    """Return True if the stream should get colours.

    NO_COLOR wins over FORCE_COLOR, which wins over CLICOLOR_FORCE, which wins over the kind of stream.
    """
    if environment.get("NO_COLOR"):
        return False
    if forced := environment.get("FORCE_COLOR"):
        return forced not in ("0", "false")
    if environment.get("CLICOLOR_FORCE", "0") not in ("", "0"):
        return True
    return is_terminal(stream) and environment.get("TERM") != "dumb"


def supports_live_display(stream: TextIO | None, environment: Mapping[str, str]) -> bool:
    """Return True if a live display or a picture can be drawn on the stream: a terminal, and not in CI."""
    return is_terminal(stream) and environment.get("TERM") != "dumb" and not environment.get("CI")


def is_terminal(stream: TextIO | None) -> bool:
    """Return True if the stream is open and a terminal."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def _columns(stream: TextIO | None) -> int | None:
    """Return the width of a stream in columns, or None if it is not a terminal or has no known width."""
    if stream is None or not is_terminal(stream):
        return None
    try:
        return os.get_terminal_size(stream.fileno()).columns or None
    except (OSError, ValueError):
        return None


def help_width() -> int:
    """Return the width of help texts, found as rich does: COLUMNS, or any stream's terminal, or 80."""
    if columns := int(os.environ.get("COLUMNS") or 0):
        return columns
    return next(filter(None, map(_columns, (sys.stdin, sys.stdout, sys.stderr))), 80)


def terminal_width() -> int | None:
    """Return the width of stdout in columns, or None if it is not a terminal."""
    from shutil import get_terminal_size

    return get_terminal_size().columns if is_terminal(sys.stdout) else None
