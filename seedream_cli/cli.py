"""The command line: the registry of commands, and :func:`run`, which turns every outcome into an exit code.

Commands report their own errors (see :mod:`.commands._command`). :func:`run` reports what is wrong before a
command runs or outside one: a command line that Typer cannot parse, and help that cannot be printed.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from typing import Annotated, Any

import typer

from . import VERSION_LINE
from .commands._help_formatter import Command, Group
from .errors import ExitCode, NotSaved, SeedreamError, Stopped, UsageError
from .output.stdio import help_width, prepare, wants_colour

#: Raised by Typer for a command line that it cannot parse. Typer exports only subclasses of it.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

#: Columns of help. Typer breaks words in a narrower terminal, and wider lines are hard to read.
_MIN_HELP_COLUMNS = 30
_MAX_HELP_COLUMNS = 100

_EXIT_CODES = "Exit codes: " + ", ".join(f"{int(code)} {code.label}" for code in ExitCode) + "."

#: Command → its function or Typer app in the module `commands.COMMAND`. The order is that of --help.
COMMANDS = {
    "generate": "generate",
    "status": "status",
    "download": "download",
    "sync": "sync",
    "config": "app",
    "sandbox": "app",
    "completion": "completion",
    "help": "help_",
}


class _LazyCommands(Group):
    """The top-level group. It imports a command's module when the command is used: importing all is slow."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        # For an unknown command load all of them, so that "Did you mean" has candidates.
        for name in (cmd_name,) if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                self.add_command(_load(name), name)
        return self.commands.get(cmd_name)


def _load(name: str) -> Any:
    """Import a command and return it as a Click command."""
    command = getattr(import_module(f".commands.{name}", __package__), COMMANDS[name])
    if isinstance(command, typer.Typer):
        return typer.main.get_command(command)
    command_app = typer.Typer(add_completion=False, rich_markup_mode=None)
    command_app.command(name, cls=Command)(command)
    return typer.main.get_command(command_app)


app = typer.Typer(
    name="seedream",
    cls=_LazyCommands,
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    epilog=_EXIT_CODES,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(requested: bool) -> None:
    if requested:
        typer.echo(VERSION_LINE, nl=False)
        raise typer.Exit


@app.callback()
def seedream(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("-V", "--version", help="Print the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """Generate images with Seedream at APIPod.

    \b
    seedream generate "a red fox in snow" --sandbox
    seedream config set api_key
    seedream generate "a red fox in snow" -a 16:9 -o hero.png
    seedream download --pending
    """
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def run(arguments: list[str]) -> int:
    """Run the program and return its exit code. Report every error that a command did not."""
    prepare()
    for variable in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        # Typer and Rich crash on a value that is not a number, or on one of too many digits.
        value = os.environ.get(variable, "")
        if value and not (value.isascii() and value.isdecimal() and len(value) < 6):
            del os.environ[variable]
    try:
        code = app(
            args=arguments,
            prog_name="seedream",
            standalone_mode=False,
            # On Windows Typer would expand $VAR in arguments, which can carry the key into a prompt.
            windows_expand_args=False,
            terminal_width=min(max(help_width(), _MIN_HELP_COLUMNS), _MAX_HELP_COLUMNS),
            color=wants_colour(sys.stdout, os.environ),
            obj=arguments,
        )
    except _UsageError as error:
        code = _report(_as_usage_error(error), arguments)
    except Stopped as stopped:
        # A signal arrived after the command had ended.
        code = stopped.exit_code
    except (BrokenPipeError, SystemExit):
        # The reader of help closed the pipe, which Rich turns into SystemExit. That is not a failure.
        code = 0
    except OSError as error:
        # Commands handle their own errors. This is stdout that did not accept help or the version, or, if
        # the error names a file, a module that could not be opened.
        problem = f"{error.filename} cannot be opened" if error.filename else "stdout cannot be written to"
        error_code = "system" if error.filename else "stdout_full"
        code = _report(NotSaved(f"{problem}: {error.strerror}", code=error_code), arguments)
    return code if isinstance(code, int) else 0


def _as_usage_error(error: Exception) -> UsageError:
    """Return our error for one of Typer's, with the help of the command as its hint."""
    message = error.format_message() if hasattr(error, "format_message") else str(error)
    if candidates := getattr(error, "possibilities", None):
        # Typer words its suggestions for options unlike those for commands. Use the latter for both.
        message = f"{getattr(error, 'message', error)}. Did you mean {candidates[0]}?"
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "seedream"
    return UsageError(message, hint=f"{command} --help")


def _report(error: SeedreamError, arguments: list[str]) -> int:
    from .commands._command import refuse

    return int(refuse(error, arguments))
