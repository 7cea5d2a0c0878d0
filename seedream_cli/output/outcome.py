"""Final outcomes of operations, and errors as lines of text."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from ..errors import Diagnostic, InvalidFile, SeedreamError
from ..models import Operation
from ..text import MAX_DETAIL_LENGTH, clean, truncate


class Annotation(Struct, frozen=True):
    """A message that a CI service shows next to a run's log, and the line of a file that it refers to."""

    text: Sequence[str]
    title: str
    file: Path | None = None
    line: int = 1


class Failure(Struct, frozen=True):
    """An error together with its context: its operation or image, and the command to run next."""

    error: SeedreamError
    operation: Operation | None = None
    hint: str | None = None
    #: Label of the image that failed, for an error without a task.
    about: str | None = None
    #: File and line of the manifest's entry that failed.
    place: tuple[Path, int] | None = None
    #: Lines to paste into a configuration (of a CI workflow, say), shown before the hint.
    settings: Sequence[str] = ()

    @property
    def task_id(self) -> str | None:
        return self.operation.task_id if self.operation else None

    @property
    def problems(self) -> Sequence[Diagnostic]:
        return self.error.problems if isinstance(self.error, InvalidFile) else ()

    @property
    def message(self) -> str:
        """Return the error's message with the task or the image that it belongs to."""
        message = self.error.message
        if self.task_id and self.task_id not in message:
            message = f"{self.task_id}: {message}"
        return f"{self.about}: {message}" if self.about else message

    @property
    def hint_line(self) -> str | None:
        """Return the hint, cleaned for display."""
        return clean(self.hint) if self.hint else None

    def lines(self) -> list[str]:
        """Return clean lines: the message, the server's own words with the request id, and the hint.

        If a file has several problems, each one is a line after the message, and nothing else follows.
        """
        lines = [clean(self.message)]
        if len(self.problems) > 1:
            return [*lines, *(clean(str(problem)) for problem in self.problems)]
        words = [truncate(clean(self.error.detail), MAX_DETAIL_LENGTH)] if self.error.detail else []
        if self.error.request_id:
            words.append(f"(request {clean(self.error.request_id)})")
        if words:
            lines.append(" ".join(words))
        lines += map(clean, self.settings)
        if self.hint_line:
            lines.append(self.hint_line)
        return lines

    def annotations(self) -> list[Annotation]:
        """Return one annotation for each problem of a file, at its line, or one for the error itself."""
        if self.problems:
            return [
                Annotation([problem.what], problem.key or self.error.code, Path(problem.file), problem.line)
                for problem in self.problems
            ]
        title = self.about or f"seedream: {self.error.exit_code.label}"
        return [Annotation(self.lines(), title, *(self.place or ()))]


class TaskOutcome(Struct, frozen=True):
    """An operation in its final state of this call. ``failure`` is the reason if it has no image."""

    operation: Operation
    failure: Failure | None = None
