"""A live block on a terminal's stderr: state, elapsed time, the server's progress, bytes and speed."""

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
from ..text import clean, duration, size
from .documents import Document
from .outcome import Failure
from .plain_reporter import GONE, Outcomes, PlainReporter, total_cost
from .presenters import Presenter, SubmittedTasks
from .stdio import Stderr, Stdout, is_terminal, silence

_FRAMES = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
_ASCII_FRAMES = "-\\|/"
_FRAMES_PER_SECOND = 8
_BAR_COLUMNS = 20


class _Line(Struct):
    """What the block shows of one operation; times are monotonic."""

    since: float
    label: str = ""
    state: str = "asking"
    detail: str = ""
    receiving_since: float | None = None

    def shown(self, now: float) -> str:
        parts = [self.label, self.state, duration(now - self.since), self.detail]
        return " · ".join(clean(part) for part in parts if part)


class Bar(Struct):
    """How far a set of images is."""

    total: int
    ascii_only: bool
    done: int = 0
    failed: int = 0
    since: float = field(default_factory=time.monotonic)

    def shown(self, now: float, under_way: int) -> str:
        full, empty = ("#", "-") if self.ascii_only else ("━", "─")
        filled = _BAR_COLUMNS * (self.done + self.failed) // self.total
        counts = [f"{self.done} of {self.total}", f"{under_way} under way"]
        if self.failed:
            counts.append(f"{self.failed} failed")
        bar = full * filled + empty * (_BAR_COLUMNS - filled)
        return f"{bar} {' · '.join([*counts, duration(now - self.since)])}"


class _AboveBlock(Stderr):
    """stderr, where lines appear above the live block while there is one."""

    live: Live | None = None

    def line(self, text: str) -> None:
        # Read once: with --verbose, workers print their calls while the main thread takes the block off.
        if (live := self.live) is None:
            super().line(text)
        else:
            with _sparing_the_work():
                live.console.print(Text.from_ansi(text))


class LiveReporter(PlainReporter):
    """Draws the block; what is final is printed as plain lines, and the block makes room for them."""

    def __init__(
        self, answer: Stdout, talk: Stderr, presenter: Presenter, *, quiet: bool, verbose: bool
    ) -> None:
        self._talk = _AboveBlock(colour=talk.colour)
        super().__init__(answer, self._talk, presenter, quiet=quiet, verbose=verbose)
        self._console = Console(stderr=True, highlight=False, no_color=not talk.colour, soft_wrap=True)
        self._frames = _FRAMES if self._console.encoding.lower().startswith("utf") else _ASCII_FRAMES
        self._lines: dict[str, _Line] = {}
        self._submitted: list[Operation] = []
        self._bar: Bar | None = None

    def expect(self, images: int) -> None:
        if images and not self.quiet:
            self._bar = Bar(images, ascii_only=self._frames is _ASCII_FRAMES)
            self._draw()

    def step(self, label: str, event: Event) -> None:
        self._fold(event, label)
        super().step(label, event)
        if self._bar is not None:
            # A failure of another image has taken the block off.
            self._draw()

    def landed(self, image: ImageDone, shown: str) -> None:
        self._lines.pop(image.label, None)
        if self._bar is not None:
            self._bar.done += 1
        self._print_above(shown if image.done not in GONE else None)
        if image.note:
            self.notice(f"{image.label}: {image.note}")

    def fell(self, label: str) -> None:
        self._lines.pop(label, None)
        if self._bar is not None:
            self._bar.failed += 1
            self._draw()

    def handle(self, event: Event) -> None:
        if self._about:
            super().handle(event)
            return
        self._fold(event, event.operation.id)
        if isinstance(event, TaskFinished) and self._bar is not None:
            self._bar.done += event.error is None
            self._bar.failed += event.error is not None
        if isinstance(event, Saved | FileKept | TaskFinished):
            # stdout may be this very terminal.
            self._clear()
        super().handle(event)
        if self._lines and not self.quiet:
            self._draw()

    def _pass(self, text: str) -> None:
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
            # Plain lines have said it when it happened.
            cost = total_cost(one.cost for one in self._submitted if one.cost)
            self.say(f"submitted {count} task{'s' if count > 1 else ''}{f', cost {cost}' if cost else ''}")

    def _print_above(self, path: str | None) -> None:
        """A path on stdout, which may be this very terminal: the block makes room for it."""
        if path is not None:
            if is_terminal(sys.stdout):
                self._clear()
            self._result(path)
            self._draw()

    def _fold(self, event: Event, key: str) -> None:
        now = time.monotonic()
        line = self._lines.setdefault(key, _Line(now, key if self._bar is not None else ""))
        line.detail = ""
        if isinstance(event, TaskFinished):
            del self._lines[key]
        elif isinstance(event, Sending):
            line.state = f"submitting to {self.service}"
        elif isinstance(event, Asking):
            line.state = f"asking {self.service}"
        elif isinstance(event, Submitted):
            line.state = "accepted"
            self._submitted.append(event.operation)
        elif isinstance(event, Polled):
            progress = event.operation.progress
            line.state = event.operation.status
            line.detail = f"{progress}%" if progress is not None else ""
        elif isinstance(event, Retrying):
            line.detail = f"{event.cause.message}; again in {event.pause:.0f} s"
        elif isinstance(event, Receiving):
            if line.receiving_since is None or event.received == 0:
                line.receiving_since = now
            line.state = "downloading" if event.count == 1 else f"downloading {event.number}/{event.count}"
            line.detail = _transfer(event, now - line.receiving_since)

    def _draw(self) -> None:
        if self._talk.live is None:
            self._talk.live = Live(
                get_renderable=self._block,
                console=self._console,
                refresh_per_second=_FRAMES_PER_SECOND,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            with _sparing_the_work():
                self._talk.live.start(refresh=True)

    def _block(self) -> Group:
        now = time.monotonic()
        frame = self._frames[int(now * _FRAMES_PER_SECOND) % len(self._frames)]
        lines = list(self._lines.values())
        # The last line of a screen is the cursor's; the bar and the word about the rest take one each.
        room = max(self._console.height - 3, 1)
        rest = len(lines) - room
        if rest > 0:
            lines = lines[:room]
        texts = [f"{frame} {line.shown(now)}" for line in lines]
        if rest > 0:
            texts.append(f"  and {rest} more")
        if self._bar is not None:
            texts.append(self._bar.shown(now, len(self._lines)))
        return Group(*map(self._fitted, texts))

    def _fitted(self, line: str) -> Text:
        text = Text(line, no_wrap=True, overflow="ellipsis")
        text.truncate(max(self._console.width - 1, 1), overflow="ellipsis")
        return text

    def _clear(self) -> None:
        """Take the block off the screen."""
        if self._talk.live is not None:
            live, self._talk.live = self._talk.live, None
            with _sparing_the_work():
                live.stop()


@contextmanager
def _sparing_the_work() -> Iterator[None]:
    """A terminal that has gone is no failure: from then on everything is drawn nowhere."""
    try:
        yield
    except (OSError, ValueError):
        silence(sys.stderr)


def _transfer(event: Receiving, seconds: float) -> str:
    speed = f", {size(int(event.received / seconds))}/s" if seconds > 0.2 else ""
    total = f" of {size(event.total)}" if event.total else ""
    return f"{size(event.received)}{total}{speed}"
