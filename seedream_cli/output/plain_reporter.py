"""Reporter for pipes, CI and dumb terminals: one line for each result and each change of status."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
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
from ..models import SavedFile
from ..text import clean, format_duration, format_size, truncate
from .documents import Document
from .outcome import Failure, TaskOutcome
from .presenters import Presenter, percent
from .stdio import Stderr, Stdout

if TYPE_CHECKING:
    from .image_display import ImageDisplay

#: Values of ``ImageDone.done`` after which an image has no file.
DELETED = ("forgotten", "removed")
Outcomes = Sequence[TaskOutcome]


class PlainReporter:
    """Reporter that prints each event as a line.

    ``service`` is the API's host for display. ``image_display`` shows saved images if the user asked for it.
    """

    def __init__(
        self, stdout: Stdout, stderr: Stderr, presenter: Presenter, *, quiet: bool, verbose: bool
    ) -> None:
        self.stdout = stdout
        self.stderr = stderr
        self.presenter = presenter
        self.quiet = quiet
        self.verbose = verbose
        self.service = ""
        self.image_display: ImageDisplay | None = None
        #: The last status printed, by operation id.
        self._statuses: dict[str, str] = {}
        self._saved_paths: list[str] = []
        #: "LABEL: " while an event of one of several images is printed.
        self._prefix = ""

    def say(self, text: str) -> None:
        """Print a line on stderr, unless --quiet."""
        if not self.quiet:
            self.stderr.line(clean(self._prefix + text))

    def notice(self, text: str) -> None:
        """Print a note on stderr, unless --quiet."""
        if not self.quiet:
            words = self.stderr.wrap(clean(self._prefix + text), indent=len("note: "))
            self.stderr.line(f"{self.stderr.styled('note:', '33')} {words}")

    def _progress(self, text: str) -> None:
        """Print a line about progress, which the live display shows in another way."""
        if not self.quiet:
            self.stderr.progress_line(clean(self._prefix + text))

    def trace(self, call: HttpCall) -> None:
        """Print one line for an HTTP call, with --verbose only."""
        if not self.verbose:
            return
        outcome = f"HTTP {call.status}" if call.status else "no answer"
        request = f", request {call.request_id}" if call.request_id else ""
        problem = f": {call.problem}" if call.problem else ""
        line = f"{call.method} {call.url} → {outcome} in {call.seconds:.2f} s{request}{problem}"
        self.stderr.line(clean(line))

    def fail(self, failure: Failure) -> None:
        """Print an error and its annotations."""
        self.stderr.end_progress()
        first, *rest = failure.lines()
        words = self.stderr.wrap(first, indent=len("error: "))
        self.stderr.line(f"{self.stderr.styled('error:', '1;31')} {words}")
        for line in rest:
            # A command is not wrapped, so that it can be copied.
            self.stderr.line(f"  {line if line == failure.hint_line else self.stderr.wrap(line, indent=2)}")
        for annotation in failure.annotations():
            self.stderr.annotate(annotation)

    def start_batch(self, images: int) -> None:
        """Announce a batch of images that will be requested from the API."""
        if images:
            self._progress(f"asking {self.service} for {images} image{'s' if images > 1 else ''}")

    def image_event(self, label: str, event: Event) -> None:
        """Print an event of one image of a batch: a notice always, any other with --verbose only."""
        if self.verbose or isinstance(event, Notice):
            self._prefix = f"{label}: "
            self.handle(event)
            self._prefix = ""

    def image_done(self, image: ImageDone, shown: str) -> None:
        """Print the path of an image of a batch. ``shown`` is the path for display."""
        self._progress(f"{image.label}: {describe_image(image)}")
        if image.note:
            self.notice(f"{image.label}: {image.note}")
        if image.done not in DELETED:
            self._result(shown)

    def image_failed(self, label: str) -> None:
        """Do nothing: the error itself is passed to :meth:`fail`. A live display counts the image."""

    def result(self, lines: Sequence[str], document: Document) -> None:
        """Print the result of a command that runs no task.

        ``lines`` must be clean. A JSON reporter prints ``document`` instead of them.
        """
        self.stderr.end_progress()
        for line in lines:
            self.stdout.line(line)

    def result_now(self, lines: Sequence[str], document: Document) -> None:
        """Print the result of a command that keeps running after it."""
        self.result(lines, document)

    def finish(self, outcomes: Outcomes, failure: Failure | None) -> None:
        """Print the summary after the last event.

        There is none if the last line is an error's hint, which must stay the last thing that is read.
        """
        self.stderr.end_progress()
        hint_is_last = failure is not None and (len(outcomes) == 1 or isinstance(failure.error, Stopped))
        if (self._saved_paths or self.stdout.files) and not self.quiet and not hint_is_last:
            self.stderr.line(clean(self._summary(outcomes)))

    def handle(self, event: Event) -> None:
        """Print one event. Events of other classes are not printed."""
        operation = event.operation
        match event:
            case Sending():
                request = operation.request
                assert request is not None, "a request that is sent is known"  # noqa: S101
                self._progress(
                    f"submitting to {self.service}: {request.model}, {request.aspect_ratio}, "
                    f"{request.quality} ({operation.id})"
                )
            case Asking():
                self._progress(f"asking {self.service} for {operation.task_id}")
            case Submitted(replayed=replayed):
                cost = f", cost {operation.cost}" if operation.cost else ""
                line = f"{operation.task_id}: accepted{cost}"
                if replayed:
                    self.say(f"{line} (the service knew this request already: nothing is paid twice)")
                else:
                    self._progress(line)
            case Polled():
                if self._statuses.get(operation.id) != operation.status:
                    self._statuses[operation.id] = operation.status
                    status = truncate(operation.status, 60)
                    self._progress(f"{operation.task_id}: {status}{percent(operation)}")
            case Waited(seconds=seconds):
                self.notice(
                    f"{operation.task_id} has taken {format_duration(seconds)} so far; "
                    "waiting can be stopped with Ctrl-C, nothing is lost"
                )
            case Retrying(cause=cause, pause=pause, what=what):
                if self.verbose:
                    self.say(f"{what}: {cause.message}; again in {pause:.1f} s")
            case Saved(file=file, shown=shown):
                self._saved_paths.append(shown)
                self._print_file(file, shown)
            case FileKept(file=file, shown=shown):
                self.say(f"{shown} is there already")
                self._print_file(file, shown)
            case Notice(text=text):
                self.notice(text)
            case TaskFinished(error=error):
                if operation.task_id:
                    polled = operation.id in self._statuses
                    self._print(self.presenter.ended_line(operation, error, polled=polled))

    def _print(self, line: str | None) -> None:
        """Print a result, if there is one, and end the progress before it."""
        if line is not None:
            self.stderr.end_progress()
            self._result(line)

    def _result(self, line: str) -> None:
        self.stdout.line(line)

    def _print_file(self, file: SavedFile, shown: str) -> None:
        """Print the path of an image, and display the image if the user asked for it."""
        self._print(self.presenter.saved_line(shown))
        if self.image_display is not None:
            for reason in self.image_display.show(Path(file.path)):
                self.notice(reason)

    def _summary(self, outcomes: Outcomes) -> str:
        """Return the number of saved images, and their folder, time and cost as far as they are known."""
        count = len(self._saved_paths)
        folders = {(dirname(path) or ".").rstrip("/") + "/" for path in self._saved_paths}
        where = f" to {folders.pop()}" if len(folders) == 1 else ""
        saved = f"saved {count} image{'s' if count > 1 else ''}{where}"
        parts = [saved if count else "wrote 1 image to stdout"]
        failed = sum(outcome.failure is not None for outcome in outcomes)
        if failed and len(outcomes) > 1:
            # Each error was printed when it happened, which may be a screenful ago.
            parts.append(f"{failed} of {len(outcomes)} tasks fell short")
        operations = [outcome.operation for outcome in outcomes]
        seconds = [operation.seconds for operation in operations if operation.seconds is not None]
        if seconds:
            parts.append(format_duration(max(seconds)))
        if cost := total_cost(operation.cost for operation in operations if operation.cost):
            parts.append(f"cost {cost}")
        return ", ".join(parts)


def describe_image(image: ImageDone) -> str:
    """Return what was done about an image of a batch, such as "generated (new, 1.2 MB, 9.1 s)"."""
    facts = [image.state]
    if image.bytes is not None:
        facts.append(format_size(image.bytes))
    if image.seconds is not None:
        facts.append(format_duration(image.seconds))
    if image.cost:
        facts.append(f"cost {image.cost}")
    return f"{image.done} ({', '.join(facts)})"


def total_cost(costs: Iterable[str]) -> str | None:
    """Return the sum of costs as the server wrote them, or None if there are none.

    A single cost is returned unchanged. Costs that are not numbers are joined by " + ".
    """
    texts = list(costs)
    if len(texts) <= 1:
        return texts[0] if texts else None
    try:
        # Imported here: this module takes longer to load than everything else that is printed.
        from decimal import Decimal

        return str(sum(map(Decimal, texts)))
    except (ArithmeticError, OSError):
        # OSError: the import fails if no more files can be opened. The image is saved all the same.
        return " + ".join(texts)
