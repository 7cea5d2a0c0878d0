"""`seedream sandbox`: run the fake API as a server on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from ..errors import Stopped, UsageError
from ..output.documents import SandboxServer
from ..sandbox.faults import FAULTS
from ._command import CommandResult, command
from ._context import CommandContext
from ._embedded_sandbox import DIALECT, FAULT, SECONDS, start_sandbox
from ._help_formatter import Command
from ._options import Options

_SERVER = "Server"
Port = Annotated[
    int,
    typer.Option(
        "--port",
        help="The port; 0 takes any free one.",
        metavar="N",
        min=0,
        max=65535,
        rich_help_panel=_SERVER,
    ),
]
Dialect = Annotated[
    str,
    typer.Option(
        "--dialect",
        help="Answer as the older (seed) or the current reference (live).",
        metavar="NAME",
        envvar=DIALECT,
        rich_help_panel=_SERVER,
    ),
]
Seconds = Annotated[
    float,
    typer.Option(
        "--seconds",
        help="How long a task takes.",
        min=0.0,
        envvar=SECONDS,
        metavar="SECONDS",
        rich_help_panel=_SERVER,
    ),
]
Fault = Annotated[
    list[str] | None,
    typer.Option(
        "--fault",
        help="NAME misbehaves every time, NAME=N the first N times; repeatable.",
        metavar="NAME",
        envvar=FAULT,
        show_default=False,
        rich_help_panel=_SERVER,
    ),
]

_FAULTS = "Faults:\n\n" + "\n\n".join(f"{name}: {description}" for name, description in FAULTS.items())

app = typer.Typer(add_completion=False, rich_markup_mode=None)


@app.command("sandbox", cls=Command, epilog=_FAULTS)
@command(Options)
def sandbox(
    context: CommandContext,
    port: Port = 0,
    dialect: Dialect = "live",
    seconds: Seconds = 3.0,
    fault: Fault = None,
) -> CommandResult:
    """Serve the documented API on this machine, for trials and tests: no key, no cost.

    \b
    seedream sandbox --port 8765
    seedream sandbox --seconds 10 --fault submit-429=2 --fault image-truncated=1

    Prints its base URL on stdout and logs requests on stderr, until it is stopped.

    Any key is taken but one that ends in -invalid (401), -empty (402) or -forbidden (403).
    """
    try:
        server = start_sandbox(
            port=port, seconds=seconds, dialect=dialect, faults=fault or [], log=context.reporter.say
        )
    except ValueError as error:
        raise UsageError(str(error)) from None
    try:
        with server:
            context.reporter.result_now([server.base_url], SandboxServer(server.base_url))
            context.reporter.say(
                "SEEDREAM_BASE_URL is the line above; any SEEDREAM_API_KEY will do. Ctrl-C stops."
            )
            while True:
                context.shutdown.pause(3600)
    except Stopped as stopped:
        # A signal is the regular end of a server, so no error is reported.
        return CommandResult(exit_code=stopped.exit_code)
