"""What every reporter shares: how an operation ended, and an error as lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from msgspec import Struct

from ..errors import Diagnostic, InvalidFile, SeedreamError
from ..models import Operation
from ..text import LONGEST_DETAIL, clean, shortened


class Annotation(Struct, frozen=True):
    """What a service shows beside a run's log: lines of text, and the line of a file that they are about."""

    text: Sequence[str]
    title: str
    file: Path | None = None
    line: int = 1


class Failure(Struct, frozen=True):
    """An error with what only the command knows: whose it is, and the command to run next."""

    error: SeedreamError
    operation: Operation | None = None
    hint: str | None = None
    #: Whose error it is, where that is no task's.
    about: str | None = None
    #: The line of a file that wanted what was not done.
    place: tuple[Path, int] | None = None
    #: Lines to copy instead of a command, where settings are kept elsewhere than on this machine.
    settings: Sequence[str] = ()

    @property
    def task_id(self) -> str | None:
        return self.operation.task_id if self.operation else None

    def lines(self) -> list[str]:
        """At most three: what happened; the server's own words and request id; what to do next.

        What is wrong with a file is told line by line.
        """
        lines = [clean(self.message)]
        if len(self.problems) > 1:
            return [*lines, *(clean(str(problem)) for problem in self.problems)]
        words = [shortened(clean(self.error.detail), LONGEST_DETAIL)] if self.error.detail else []
        if self.error.request_id:
            words.append(f"(request {clean(self.error.request_id)})")
        if words:
            lines.append(" ".join(words))
        lines += map(clean, self.settings)
        if self.command:
            lines.append(self.command)
        return lines

    @property
    def command(self) -> str | None:
        """What to do next, as it is shown."""
        return clean(self.hint) if self.hint else None

    def marks(self) -> list[Annotation]:
        """What to show beside the log: every problem of a file at its line, or the error itself."""
        if self.problems:
            return [
                Annotation([problem.what], problem.key or self.error.code, Path(problem.file), problem.line)
                for problem in self.problems
            ]
        title = self.about or f"seedream: {self.error.exit_code.label}"
        return [Annotation(self.lines(), title, *(self.place or ()))]

    @property
    def problems(self) -> Sequence[Diagnostic]:
        return self.error.problems if isinstance(self.error, InvalidFile) else ()

    @property
    def message(self) -> str:
        message = self.error.message
        if self.task_id and self.task_id not in message:
            message = f"{self.task_id}: {message}"
        return f"{self.about}: {message}" if self.about else message


class TaskOutcome(Struct, frozen=True):
    """An operation after the command has finished with it; ``failure`` says why it has no image, if so."""

    operation: Operation
    failure: Failure | None = None
