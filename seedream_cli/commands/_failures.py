"""Builds a Failure from an error: the operation that it concerns, and the command to run next."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import AuthenticationError, ExitCode, HistoryUnusable, KeyringUnusable, SeedreamError
from ..models import Operation
from ..output.outcome import Failure
from ..text import clean
from ._hints import NextCommand, ci_key_settings


class FailureBuilder:
    """Builder of the failures of one call.

    ``key_origin`` returns the origin of the API key, or "" without a key. ``is_known`` returns True if the
    history contains the operation's task.
    """

    def __init__(
        self,
        next_command: NextCommand,
        *,
        key_origin: Callable[[], str],
        is_known: Callable[[Operation], bool],
    ) -> None:
        self._next = next_command
        self._key_origin = key_origin
        self._is_known = is_known

    def for_call(self, error: SeedreamError, unfinished: Sequence[Operation] = ()) -> Failure:
        """Build the failure that ends a call, with the commands that resume unfinished operations."""
        tasks = [operation for operation in unfinished if operation.task_id]
        commands = [fix] if (fix := self.hint_for(error)) else []
        if tasks:
            commands.append(self.resume_command(*tasks))
        commands += [self.resume_command(operation) for operation in unfinished if not operation.task_id]
        only = unfinished[0] if len(unfinished) == 1 else None
        return self._failure(error, commands, only)

    def for_operation(self, error: SeedreamError, operation: Operation) -> Failure:
        """Build the failure of one operation, with the command that resumes it."""
        commands = [fix] if (fix := self.hint_for(error)) else []
        if operation.request is None and error.exit_code == ExitCode.NOT_FOUND:
            # A task that does not exist cannot be resumed; the list shows those that do.
            commands.append(self._next.command("status"))
        elif operation.task_id is None and isinstance(error, HistoryUnusable):
            # There is nothing to resume: no request was sent, because the history could not record it.
            pass
        elif not operation.is_final and error.code != "source_images_gone":
            commands.append(self.resume_command(operation, error=error))
        return self._failure(error, commands, operation)

    def for_image(
        self,
        error: SeedreamError,
        operation: Operation | None,
        *,
        label: str,
        place: tuple[Path, int],
        retry: Sequence[str],
    ) -> Failure:
        """Build the failure of the image ``label`` of `sync`. ``retry`` lists the commands that try again."""
        commands = [fix] if (fix := self.hint_for(error)) else []
        return self._failure(error, [*commands, *retry], operation, about=label, place=place)

    def hint_for(self, error: SeedreamError) -> str | None:
        """Return the command that fixes the cause of the error, or None."""
        if not isinstance(error, AuthenticationError) or isinstance(error, KeyringUnusable):
            return self._next.hint_for(error)
        return None if self._key_settings(error) else self._next.store_key(self._key_origin())

    def resume_command(self, *operations: Operation, error: SeedreamError | None = None) -> str:
        """Return the command that resumes these operations and saves to the same place."""
        output = self._output_of(operations[0]) if len(operations) == 1 else None
        return self._next.resume(*operations, error=error, output=output)

    def _output_of(self, operation: Operation) -> str | None:
        """Return the output that the resume command has to name, or None.

        Only a task that is not in the history needs one: a task of another machine, or a task whose response
        could not be recorded. Return None for a file that exists, and for a name that cannot be printed
        unchanged.
        """
        from ..files.output_path import parse_output

        output = operation.output
        if operation.task_id is None or output == parse_output(None, cwd=os.getcwd()).template:
            return None
        if output != clean(output) or self._is_known(operation) or os.path.lexists(output):
            return None
        return output

    def _key_settings(self, error: SeedreamError) -> Sequence[str]:
        if not isinstance(error, AuthenticationError):
            return ()
        return ci_key_settings(os.environ, self._key_origin())

    def _failure(
        self,
        error: SeedreamError,
        commands: Sequence[str],
        operation: Operation | None,
        *,
        about: str | None = None,
        place: tuple[Path, int] | None = None,
    ) -> Failure:
        hint = " && ".join(commands) or None
        return Failure(error, operation, hint, about=about, place=place, settings=self._key_settings(error))
