"""The command line: every command is registered here, and every end of the program passes through here."""

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

#: What Typer raises for a command line that it cannot parse; only this subclass of it is public.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

#: Help is no narrower than this, nor so wide that its lines are hard to read.
_COLUMNS_OF_HELP = (30, 100)

_EXIT_CODES = "Exit codes: " + ", ".join(f"{int(code)} {code.label}" for code in ExitCode) + "."

#: Commands, in the order of help, and what each is called in its module: a function, or an app of its own.
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


class _Commands(Group):
    """Loads a command when it is asked for: whoever runs one does not wait for the others."""

    def list_commands(self, ctx: typer.Context) -> list[str]:  # type: ignore[override]
        return list(COMMANDS)

    def get_command(self, ctx: typer.Context, cmd_name: str) -> Any:  # type: ignore[override]
        # A name that there is not is answered with those that are like it.
        for name in (cmd_name,) if cmd_name in COMMANDS else COMMANDS:
            if name not in self.commands:
                self.add_command(_loaded(name), name)
        return self.commands.get(cmd_name)


def _loaded(name: str) -> Any:
    found = getattr(import_module(f".commands.{name}", __package__), COMMANDS[name])
    if not isinstance(found, typer.Typer):
        command, found = found, typer.Typer(add_completion=False, rich_markup_mode=None)
        found.command(name, cls=Command)(command)
    return typer.main.get_command(found)


app = typer.Typer(
    name="seedream",
    cls=_Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    epilog=_EXIT_CODES,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
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
    """Run the program; its exit code."""
    prepare()
    for variable in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        # Typer and rich fall over what is no number.
        size = os.environ.get(variable, "")
        if size and not (size.isascii() and size.isdecimal() and len(size) < 6):
            del os.environ[variable]
    least, most = _COLUMNS_OF_HELP
    try:
        # On Windows Typer would expand $VAR in arguments, which can carry the key into a prompt.
        code = app(
            args=arguments,
            prog_name="seedream",
            standalone_mode=False,
            windows_expand_args=False,
            terminal_width=min(max(help_width(), least), most),
            color=wants_colour(sys.stdout, os.environ),
            obj=arguments,
        )
    except _UsageError as error:
        code = _refuse(_usage(error), arguments)
    except Stopped as stopped:
        # A signal between the command's end and the program's.
        code = stopped.exit_code
    except (BrokenPipeError, SystemExit):
        # Help whose reader left early, which rich answers with SystemExit: that is no failure.
        code = 0
    except OSError as error:
        # Commands answer for themselves: this is help or a version that stdout did not take, or, where it
        # is about a file, a module that could not be opened.
        what = f"{error.filename} cannot be opened" if error.filename else "stdout cannot be written to"
        full = NotSaved(f"{what}: {error.strerror}", code="stdout_full" if not error.filename else "system")
        code = _refuse(full, arguments)
    return code if isinstance(code, int) else 0


def _refuse(error: SeedreamError, arguments: list[str]) -> int:
    from .commands._command import refuse

    return int(refuse(error, arguments))


def _usage(error: Exception) -> UsageError:
    """What Typer says of a command line, with the help to read."""
    words = error.format_message() if hasattr(error, "format_message") else str(error)
    if meant := getattr(error, "possibilities", None):
        # The closest one, in the words that it has for commands.
        words = f"{getattr(error, 'message', error)}. Did you mean {meant[0]}?"
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "seedream"
    return UsageError(words, hint=f"{command} --help")
