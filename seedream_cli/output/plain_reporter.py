"""Plain lines: paths on stdout, one line a change of state on stderr. For pipes, CI and dumb terminals."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import singledispatchmethod
from os.path import dirname
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import Stopped
from ..events import (
    Asking,
    Event,
    FileKept,
    HttpCall,
    ImageDone,
    Notice,
    Polled,
    Retrying,
    Saved,
    Sending,
    Submitted,
    TaskFinished,
    Waited,
)
from ..models import Operation, SavedFile
from ..text import clean, duration, shortened, size
from .documents import Document
from .outcome import Failure, TaskOutcome
from .presenters import Presenter, percent
from .stdio import Stderr, Stdout

if TYPE_CHECKING:
    from .image_display import ImageDisplay

#: What was done to an image of a set that is no more.
GONE = ("forgotten", "removed")
Outcomes = Sequence[TaskOutcome]


class PlainReporter:
    """Folds events into lines. ``service`` is the API's host as it is shown."""

    def __init__(
        self, answer: Stdout, talk: Stderr, presenter: Presenter, *, quiet: bool, verbose: bool
    ) -> None:
        self.answer = answer
        self.talk = talk
        self.presenter = presenter
        self.quiet = quiet
        self.verbose = verbose
        self.service = ""
        #: Shows images besides printing their paths, where that was asked for.
        self.showing: ImageDisplay | None = None
        self._states: dict[str, str] = {}
        self._saved: list[tuple[Operation, str]] = []
        #: Whose the events are, where several images are on their way.
        self._about = ""

    def say(self, text: str) -> None:
        if not self.quiet:
            self.talk.line(clean(self._about + text))

    def notice(self, text: str) -> None:
        if not self.quiet:
            words = self.talk.broken(clean(self._about + text), indent=len("note: "))
            self.talk.line(f"{self.talk.painted('note:', '33')} {words}")

    def _pass(self, text: str) -> None:
        """A state on the way to the answer: a live block shows it instead."""
        if not self.quiet:
            self.talk.progress_line(clean(self._about + text))

    def trace(self, exchange: HttpCall) -> None:
        """One line a call, for ``--verbose``."""
        if not self.verbose:
            return
        outcome = f"HTTP {exchange.status}" if exchange.status else "no answer"
        request = f", request {exchange.request_id}" if exchange.request_id else ""
        problem = f": {exchange.problem}" if exchange.problem else ""
        line = f"{exchange.method} {exchange.url} → {outcome} in {exchange.seconds:.2f} s{request}{problem}"
        self.talk.line(clean(line))

    def fail(self, failure: Failure) -> None:
        self.talk.end_progress()
        first, *rest = failure.lines()
        words = self.talk.broken(first, indent=len("error: "))
        self.talk.line(f"{self.talk.painted('error:', '1;31')} {words}")
        for line in rest:
            # A command is copied as one line.
            self.talk.line(f"  {line if line == failure.command else self.talk.broken(line, indent=2)}")
        for mark in failure.marks():
            self.talk.annotate(mark)

    def expect(self, images: int) -> None:
        """So many images of a set are about to be asked for."""
        if images:
            self._pass(f"asking {self.service} for {images} image{'s' if images > 1 else ''}")

    def step(self, label: str, event: Event) -> None:
        """One event in the life of an image of a set: all but its end is only for ``--verbose``."""
        if self.verbose or isinstance(event, Notice):
            self._about = f"{label}: "
            self.handle(event)
            self._about = ""

    def landed(self, image: ImageDone, shown: str) -> None:
        """An image of a set is as it was wanted; ``shown`` is its path as it is printed."""
        self._pass(f"{image.label}: {landing(image)}")
        if image.note:
            self.notice(f"{image.label}: {image.note}")
        if image.done not in GONE:
            self._result(shown)

    def fell(self, label: str) -> None:
        """An image of a set is not as it was wanted; its failure is told."""

    def result(self, lines: Sequence[str], document: Document) -> None:
        """The answer of a command that runs no task, as clean lines; a JSON reporter takes the document."""
        self.talk.end_progress()
        for line in lines:
            self.answer.line(line)

    def result_now(self, lines: Sequence[str], document: Document) -> None:
        """The answer of a command that goes on after it."""
        self.result(lines, document)

    def finish(self, outcomes: Outcomes, failure: Failure | None) -> None:
        """After the last event: a closing line, unless the way back to what is left stands there."""
        self.talk.end_progress()
        way_back = failure is not None and (len(outcomes) == 1 or isinstance(failure.error, Stopped))
        if (self._saved or self.answer.files) and not self.quiet and not way_back:
            self.talk.line(clean(self._summary(outcomes)))

    @singledispatchmethod
    def handle(self, event: Event) -> None:
        """Show one event; those without a method below change nothing that plain lines show."""

    @handle.register
    def _(self, event: Sending) -> None:
        request = event.operation.request
        assert request is not None, "what is sent has a request"  # noqa: S101
        self._pass(
            f"submitting to {self.service}: {request.model}, {request.aspect_ratio}, {request.quality} "
            f"({event.operation.id})"
        )

    @handle.register
    def _(self, event: Asking) -> None:
        self._pass(f"asking {self.service} for {event.operation.task_id}")

    @handle.register
    def _(self, event: Submitted) -> None:
        cost = f", cost {event.operation.cost}" if event.operation.cost else ""
        line = f"{event.operation.task_id}: accepted{cost}"
        if event.replayed:
            self.say(f"{line} (the service knew this request already: nothing is paid twice)")
        else:
            self._pass(line)

    @handle.register
    def _(self, event: Polled) -> None:
        operation = event.operation
        if self._states.get(operation.id) != operation.status:
            self._states[operation.id] = operation.status
            self._pass(f"{operation.task_id}: {shortened(operation.status, 60)}{percent(operation)}")

    @handle.register
    def _(self, event: Waited) -> None:
        self.notice(
            f"{event.operation.task_id} has taken {duration(event.seconds)} so far; "
            "waiting can be stopped with Ctrl-C, nothing is lost"
        )

    @handle.register
    def _(self, event: Retrying) -> None:
        if self.verbose:
            self.say(f"{event.what}: {event.cause.message}; again in {event.pause:.1f} s")

    @handle.register
    def _(self, event: Saved) -> None:
        self._saved.append((event.operation, event.shown))
        self._print(self.presenter.saved_line(event.shown))
        self._show(event.file)

    @handle.register
    def _(self, event: FileKept) -> None:
        self.say(f"{event.shown} is there already")
        self._print(self.presenter.saved_line(event.shown))
        self._show(event.file)

    @handle.register
    def _(self, event: Notice) -> None:
        self.notice(event.text)

    @handle.register
    def _(self, event: TaskFinished) -> None:
        operation = event.operation
        if operation.task_id:
            polled = operation.id in self._states
            self._print(self.presenter.ended_line(operation, event.error, polled=polled))

    def _print(self, line: str | None) -> None:
        """Print a result that ends what was in progress."""
        if line is not None:
            self.talk.end_progress()
            self._result(line)

    def _result(self, line: str) -> None:
        self.answer.line(line)

    def _show(self, file: SavedFile) -> None:
        if self.showing is not None:
            for reason in self.showing.show(Path(file.path)):
                self.notice(reason)

    def _summary(self, outcomes: Outcomes) -> str:
        """How many, where, how long, and what it cost if the server said."""
        shown = [path for _, path in self._saved]
        folders = {(dirname(path) or ".").rstrip("/") + "/" for path in shown}
        where = f" to {folders.pop()}" if len(folders) == 1 else ""
        parts = [f"saved {len(shown)} image{'s' if len(shown) > 1 else ''}{where}"]
        if not shown:
            parts = ["wrote 1 image to stdout"]
        short = sum(one.failure is not None for one in outcomes)
        if short and len(outcomes) > 1:
            # It was told when it happened, which may be a screenful ago.
            parts.append(f"{short} of {len(outcomes)} tasks fell short")
        operations = [one.operation for one in outcomes]
        seconds = [operation.seconds for operation in operations if operation.seconds is not None]
        if seconds:
            parts.append(duration(max(seconds)))
        if cost := total_cost(operation.cost for operation in operations if operation.cost):
            parts.append(f"cost {cost}")
        return ", ".join(parts)


def landing(image: ImageDone) -> str:
    """What became of an image of a set, in words."""
    facts = [image.state]
    if image.bytes is not None:
        facts.append(size(image.bytes))
    if image.seconds is not None:
        facts.append(duration(image.seconds))
    if image.cost:
        facts.append(f"cost {image.cost}")
    return f"{image.done} ({', '.join(facts)})"


def total_cost(costs: Iterable[str]) -> str | None:
    """Costs as the server wrote them: one as it is, several added up where they are numbers."""
    texts = list(costs)
    if len(texts) <= 1:
        return texts[0] if texts else None
    try:
        # What is loaded only here takes longer to load than to print all else.
        from decimal import Decimal

        return str(sum(map(Decimal, texts)))
    except (ArithmeticError, OSError):
        # Also where no more files can be opened: an image that is saved is not lost to a sum.
        return " + ".join(texts)
