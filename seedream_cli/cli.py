"""The command line: every command is registered here, and every end of the program passes through here."""

from __future__ import annotations

import os
import sys
from typing import Annotated

import typer

from . import __version__
from .commands import config
from .commands.completion import completion
from .commands.download import download
from .commands.generate import generate
from .commands.help import help_
from .commands.sandbox import EPILOG, sandbox
from .commands.status import status
from .commands.sync import sync
from .errors import ExitCode, NotSaved, SeedreamError, Stopped, UsageProblem
from .output.streams import columns_of_terminal, prepare, wants_colour

#: What Typer raises for a command line that it cannot parse; only this subclass of it is public.
_UsageError: type[Exception] = typer.BadParameter.__mro__[1]

#: Where the terminal has fewer columns, help's boxes cut off names of options and variables.
_COLUMNS_OF_BOXES = 72
#: With fewer, help has no room for itself beside the names.
_FEWEST_COLUMNS = 30

_EXIT_CODES = "Exit codes: " + ", ".join(f"{int(code)} {code.label}" for code in ExitCode) + "."

app = typer.Typer(
    name="seedream",
    add_completion=False,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    epilog=_EXIT_CODES,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(generate)
app.command()(status)
app.command()(download)
app.command()(sync)
app.add_typer(config.app)
app.command(epilog=EPILOG)(sandbox)
app.command()(completion)
app.command("help")(help_)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"seedream {__version__}")
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
    if not wants_colour(sys.stdout, os.environ):
        # Typer would otherwise colour help in a pipe under GitHub Actions and FORCE_COLOR=0.
        os.environ["_TYPER_FORCE_DISABLE_TERMINAL"] = "1"
    for variable in ("COLUMNS", "LINES", "TERMINAL_WIDTH"):
        # Typer and rich fall over what is no number.
        size = os.environ.get(variable, "")
        if size and not (size.isascii() and size.isdecimal() and len(size) < 6):
            del os.environ[variable]
    columns = max(columns_of_terminal(), _FEWEST_COLUMNS)
    if columns < _COLUMNS_OF_BOXES:
        app.rich_markup_mode = None
    try:
        # On Windows Typer would expand $VAR in arguments, which can carry the key into a prompt.
        code = app(
            args=arguments,
            prog_name="seedream",
            standalone_mode=False,
            windows_expand_args=False,
            terminal_width=columns,
            obj=arguments,
        )
    except _UsageError as error:
        code = _refuse(_usage(error), arguments)
    except Stopped as stopped:
        # A signal between a session's end and the program's.
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
    from .commands._session import refuse

    return int(refuse(error, arguments))


def _usage(error: Exception) -> UsageProblem:
    """What Typer says of a command line, with the help to read."""
    words = error.format_message() if hasattr(error, "format_message") else str(error)
    if meant := getattr(error, "possibilities", None):
        # The closest one, in the words that it has for commands.
        words = f"{getattr(error, 'message', error)}. Did you mean {meant[0]}?"
    context = getattr(error, "ctx", None)
    command = context.command_path if context is not None else "seedream"
    return UsageProblem(words, hint=f"{command} --help")
