"""`seedream help COMMAND`: the same as `seedream COMMAND --help`."""

from __future__ import annotations

from typing import Annotated

import typer

Command = Annotated[
    list[str] | None,
    typer.Argument(metavar="[COMMAND]...", help="A command, such as generate, or config set."),
]


def help_(context: typer.Context, command: Command = None) -> None:
    """Show the help of a command.

    \b
    seedream help generate
    seedream help config set
    """
    described = context.find_root()
    for word in command or []:
        # Reject a leading dash: resolve_command() would parse the word as an option of the group.
        if word.startswith("-") or not hasattr(described.command, "resolve_command"):
            described.fail(f"{described.command_path} has no command {word!r}")
        name, subcommand, _ = described.command.resolve_command(described, [word])
        described = typer.Context(subcommand, info_name=name, parent=described)
    typer.echo(described.get_help())
