"""What each kind of command prints on stdout: its lines, and its JSON document.

Reporters decide *how* something is printed (plain lines, a live display, JSON); a presenter decides *what*.
"""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import ExitCode, SeedreamError
from ..models import Operation
from ..text import clean
from .documents import Document, ImageList, TaskList, task_list
from .outcome import TaskOutcome


class Presenter:
    """The base prints nothing by itself: its commands hand their lines and their document to the reporter."""

    def saved_line(self, path: str) -> str | None:
        """Return the line for an image that is on disk; ``path`` is as the user should see it."""
        return None

    def ended_line(self, operation: Operation, error: SeedreamError | None, *, polled: bool) -> str | None:
        """Return the line for an operation that ended; ``polled``: this call asked for its state."""
        return None

    def is_result(self, error: SeedreamError) -> bool:
        """Return True if stdout already reports this error of a task as the command's result."""
        return False

    def document(self, outcomes: Sequence[TaskOutcome]) -> Document:
        """Return the JSON document, without its error."""
        return Document()


class SavedImages(Presenter):
    """`generate` and `download`: the path of each saved image."""

    def saved_line(self, path: str) -> str | None:
        return path

    def document(self, outcomes: Sequence[TaskOutcome]) -> TaskList:
        return task_list(outcomes)


class SubmittedTasks(Presenter):
    """`generate --no-wait`: the id of each task."""

    def ended_line(self, operation: Operation, error: SeedreamError | None, *, polled: bool) -> str | None:
        return clean(operation.task_id or "") if error is None else None

    def document(self, outcomes: Sequence[TaskOutcome]) -> TaskList:
        return task_list(outcomes)


class TaskStates(Presenter):
    """`status`: id, state and progress of each task, separated by tabs.

    ``watching``: the command waits, so a task that is still pending is an error and not only a result.
    """

    def __init__(self, *, watching: bool = False) -> None:
        self._watching = watching

    def ended_line(self, operation: Operation, error: SeedreamError | None, *, polled: bool) -> str | None:
        if not polled:
            return None
        words = operation.error_message or percent(operation).strip()
        fields = [operation.task_id or "", operation.status, *([words] if words else [])]
        return "\t".join(map(clean, fields))

    def is_result(self, error: SeedreamError) -> bool:
        if error.exit_code == ExitCode.PENDING:
            return not self._watching
        return error.exit_code == ExitCode.TASK_FAILED

    def document(self, outcomes: Sequence[TaskOutcome]) -> TaskList:
        return task_list(outcomes, with_result=True)


class SyncedImages(Presenter):
    """`sync`: the reporter prints each path; the document is sync's own unless it failed before the plan."""

    def document(self, outcomes: Sequence[TaskOutcome]) -> ImageList:
        return ImageList([])


def percent(operation: Operation) -> str:
    """Return the progress as it follows a state (" 41%"), or "" if the service sent none."""
    return f" {operation.progress}%" if operation.progress is not None and not operation.results else ""
