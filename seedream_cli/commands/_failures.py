"""Turns an error into what a person is told: whose it is, and the command to run next."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from ..errors import AuthenticationError, ExitCode, HistoryUnusable, KeyringUnusable, SeedreamError
from ..models import Operation
from ..output.outcome import Failure
from ..text import clean
from ._hints import NextCommand, key_settings


class FailureBuilder:
    """``key_origin`` returns where the API key came from (empty: there is none); ``is_known`` whether the
    history has an operation's task."""

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
        """Build the failure that ends a call, with commands that resume what is unfinished."""
        tasks = [operation for operation in unfinished if operation.task_id]
        commands = [remedy] if (remedy := self.remedy(error)) else []
        if tasks:
            commands.append(self.resume_command(*tasks))
        commands += [self.resume_command(operation) for operation in unfinished if not operation.task_id]
        only = unfinished[0] if len(unfinished) == 1 else None
        return self._built(error, commands, only)

    def for_operation(self, error: SeedreamError, operation: Operation) -> Failure:
        """Build the failure of one operation, with the command that resumes it."""
        commands = [remedy] if (remedy := self.remedy(error)) else []
        if operation.request is None and error.exit_code == ExitCode.NOT_FOUND:
            # A task that does not exist cannot be resumed; the list shows those that do.
            commands.append(self._next.command("status"))
        elif _can_be_resumed(operation, error):
            commands.append(self.resume_command(operation, error=error))
        return self._built(error, commands, operation)

    def for_image(
        self,
        error: SeedreamError,
        operation: Operation | None,
        *,
        label: str,
        place: tuple[Path, int],
        retry: Sequence[str],
    ) -> Failure:
        """Build the failure of the image ``label`` of a set; ``retry`` are commands that try it again."""
        commands = [remedy] if (remedy := self.remedy(error)) else []
        return self._built(error, [*commands, *retry], operation, about=label, place=place)

    def remedy(self, error: SeedreamError) -> str | None:
        """Return the command that helps against the error itself."""
        if not isinstance(error, AuthenticationError) or isinstance(error, KeyringUnusable):
            return self._next.remedy(error)
        return None if self._key_settings(error) else self._next.store_key(self._key_origin())

    def resume_command(self, *operations: Operation, error: SeedreamError | None = None) -> str:
        """Return the command that resumes these operations, saving to the same place."""
        output = self._output_of(operations[0]) if len(operations) == 1 else None
        return self._next.resume(*operations, error=error, output=output)

    def _output_of(self, operation: Operation) -> str | None:
        """Return where the images go, if a command has to say so.

        That is for a task that the history does not know: it is another machine's, or its answer could not
        be recorded. A name that is taken, or that a message cannot show as it is, is left out.
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
        return key_settings(os.environ, self._key_origin())

    def _built(
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


def _can_be_resumed(operation: Operation, error: SeedreamError) -> bool:
    if operation.task_id is None and isinstance(error, HistoryUnusable):
        # What the history could not record was not sent.
        return False
    return not operation.is_final and error.code != "source_images_gone"
