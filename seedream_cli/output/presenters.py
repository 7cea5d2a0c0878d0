"""Presenters: the lines and the JSON document that each kind of command prints on stdout.

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
    """Presenter of commands that pass their result to the reporter themselves. Base of the others."""

    def saved_line(self, path: str) -> str | None:
        """Return the line for a saved image, if it has one. ``path`` is the path for display."""
        return None

    def ended_line(self, operation: Operation, error: SeedreamError | None, *, polled: bool) -> str | None:
        """Return the line for an operation that ended, if it has one.

        ``polled``: this call has received its status from the API.
        """
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
    """`status`: id, status and progress of each task, separated by tabs.

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
    """`sync`: the reporter prints each path. This document is printed if sync failed before it had a plan."""

    def document(self, outcomes: Sequence[TaskOutcome]) -> ImageList:
        return ImageList([])


def percent(operation: Operation) -> str:
    """Return the progress for display after a status (" 41%"), or "" if the API sent none."""
    return f" {operation.progress}%" if operation.progress is not None and not operation.results else ""
