"""Reporter for terminals: a live display on stderr with status, elapsed time, progress, bytes and speed."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from msgspec import Struct, field
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from ..events import (
    Asking,
    Event,
    FileKept,
    ImageDone,
    Polled,
    Receiving,
    Retrying,
    Saved,
    Sending,
    Submitted,
    TaskFinished,
)
from ..models import Operation
from ..text import clean, format_duration, format_size
from .documents import Document
from .outcome import Failure
from .plain_reporter import DELETED, Outcomes, PlainReporter, total_cost
from .presenters import Presenter, SubmittedTasks
from .stdio import Stderr, Stdout, is_terminal, silence

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "-\\|/"
_FRAMES_PER_SECOND = 8
_BAR_COLUMNS = 20


class _TaskLine(Struct):
    """One line of the display: an operation or an image of a batch. Times are monotonic."""

    started: float
    label: str = ""
    state: str = "asking"
    detail: str = ""
    download_started: float | None = None

    def text(self, now: float) -> str:
        parts = [self.label, self.state, format_duration(now - self.started), self.detail]
        return " · ".join(clean(part) for part in parts if part)


class _ProgressBar(Struct):
    """The last line of the display: how many images of a batch are done, in progress and failed."""

    total: int
    ascii_only: bool
    done: int = 0
    failed: int = 0
    started: float = field(default_factory=time.monotonic)

    def text(self, now: float, in_progress: int) -> str:
        full, empty = ("#", "-") if self.ascii_only else ("━", "─")
        filled = _BAR_COLUMNS * (self.done + self.failed) // self.total
        counts = [f"{self.done} of {self.total}", f"{in_progress} under way"]
        if self.failed:
            counts.append(f"{self.failed} failed")
        bar = full * filled + empty * (_BAR_COLUMNS - filled)
        return f"{bar} {' · '.join([*counts, format_duration(now - self.started)])}"


class _StderrAboveDisplay(Stderr):
    """stderr whose lines are printed above the live display."""

    live: Live | None = None

    def line(self, text: str) -> None:
        # Read once: with --verbose, workers print HTTP calls while the main thread removes the display.
        if (live := self.live) is None:
            super().line(text)
        else:
            with _ignore_closed_terminal():
                live.console.print(Text.from_ansi(text))


class LiveReporter(PlainReporter):
    """Reporter that draws a live display, and prints results and errors as plain lines above it."""

    def __init__(
        self, stdout: Stdout, stderr: Stderr, presenter: Presenter, *, quiet: bool, verbose: bool
    ) -> None:
        self._stderr = _StderrAboveDisplay(colour=stderr.colour)
        super().__init__(stdout, self._stderr, presenter, quiet=quiet, verbose=verbose)
        self._console = Console(stderr=True, highlight=False, no_color=not stderr.colour, soft_wrap=True)
        self._frames = _FRAMES if self._console.encoding.lower().startswith("utf") else _ASCII_FRAMES
        self._lines: dict[str, _TaskLine] = {}
        self._submitted: list[Operation] = []
        self._bar: _ProgressBar | None = None

    def start_batch(self, images: int) -> None:
        if images and not self.quiet:
            self._bar = _ProgressBar(images, ascii_only=self._frames is _ASCII_FRAMES)
            self._draw()

    def image_event(self, label: str, event: Event) -> None:
        self._update_line(event, label)
        super().image_event(label, event)
        if self._bar is not None:
            # The error of another image has removed the display.
            self._draw()

    def image_done(self, image: ImageDone, shown: str) -> None:
        self._lines.pop(image.label, None)
        if self._bar is not None:
            self._bar.done += 1
        if image.done not in DELETED:
            if is_terminal(sys.stdout):
                # It may be the same terminal.
                self._clear()
            self._result(shown)
            self._draw()
        if image.note:
            self.notice(f"{image.label}: {image.note}")

    def image_failed(self, label: str) -> None:
        self._lines.pop(label, None)
        if self._bar is not None:
            self._bar.failed += 1
            self._draw()

    def handle(self, event: Event) -> None:
        if self._prefix:
            super().handle(event)
            return
        self._update_line(event, event.operation.id)
        if isinstance(event, TaskFinished) and self._bar is not None:
            self._bar.done += event.error is None
            self._bar.failed += event.error is not None
        if isinstance(event, Saved | FileKept | TaskFinished):
            # stdout may be the same terminal.
            self._clear()
        super().handle(event)
        if self._lines and not self.quiet:
            self._draw()

    def _progress(self, text: str) -> None:
        if self.verbose:
            self.say(text)

    def result(self, lines: Sequence[str], document: Document) -> None:
        self._clear()
        super().result(lines, document)

    def fail(self, failure: Failure) -> None:
        self._clear()
        super().fail(failure)

    def finish(self, outcomes: Outcomes, failure: Failure | None) -> None:
        self._clear()
        super().finish(outcomes, failure)
        if isinstance(self.presenter, SubmittedTasks) and (count := len(self._submitted)):
            # A plain reporter has printed each of them when it was accepted.
            cost = total_cost(operation.cost for operation in self._submitted if operation.cost)
            self.say(f"submitted {count} task{'s' if count > 1 else ''}{f', cost {cost}' if cost else ''}")

    def _update_line(self, event: Event, key: str) -> None:
        """Change the line of an operation (or image) named ``key`` according to the event."""
        now = time.monotonic()
        line = self._lines.setdefault(key, _TaskLine(now, key if self._bar is not None else ""))
        line.detail = ""
        match event:
            case TaskFinished():
                del self._lines[key]
            case Sending():
                line.state = f"submitting to {self.service}"
            case Asking():
                line.state = f"asking {self.service}"
            case Submitted(operation=operation):
                line.state = "accepted"
                self._submitted.append(operation)
            case Polled(operation=operation):
                line.state = operation.status
                line.detail = f"{operation.progress}%" if operation.progress is not None else ""
            case Retrying(cause=cause, pause=pause):
                line.detail = f"{cause.message}; again in {pause:.0f} s"
            case Receiving(number=number, count=count, received=received, total=total):
                if line.download_started is None or received == 0:
                    line.download_started = now
                line.state = "downloading" if count == 1 else f"downloading {number}/{count}"
                seconds = now - line.download_started
                speed = f", {format_size(int(received / seconds))}/s" if seconds > 0.2 else ""
                line.detail = f"{format_size(received)}{f' of {format_size(total)}' if total else ''}{speed}"

    def _draw(self) -> None:
        if self._stderr.live is None:
            self._stderr.live = Live(
                get_renderable=self._render,
                console=self._console,
                refresh_per_second=_FRAMES_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            with _ignore_closed_terminal():
                self._stderr.live.start(refresh=True)

    def _render(self) -> Group:
        now = time.monotonic()
        frame = self._frames[int(now * _FRAMES_PER_SECOND) % len(self._frames)]
        lines = list(self._lines.values())
        # One row each for the cursor, the progress bar, and the number of lines that do not fit.
        max_lines = max(self._console.height - 3, 1)
        hidden = len(lines) - max_lines
        if hidden > 0:
            lines = lines[:max_lines]
        texts = [f"{frame} {line.text(now)}" for line in lines]
        if hidden > 0:
            texts.append(f"  and {hidden} more")
        if self._bar is not None:
            texts.append(self._bar.text(now, len(self._lines)))
        return Group(*map(self._fit_line, texts))

    def _fit_line(self, line: str) -> Text:
        text = Text(line, no_wrap=True, overflow="ellipsis")
        text.truncate(max(self._console.width - 1, 1), overflow="ellipsis")
        return text

    def _clear(self) -> None:
        """Remove the display from the screen."""
        if self._stderr.live is not None:
            live, self._stderr.live = self._stderr.live, None
            with _ignore_closed_terminal():
                live.stop()


@contextmanager
def _ignore_closed_terminal() -> Iterator[None]:
    """Discard all further output to stderr if the terminal is gone: that must not stop paid work."""
    try:
        yield
    except (OSError, ValueError):
        silence(sys.stderr)
