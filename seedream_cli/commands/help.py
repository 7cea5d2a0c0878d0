"""`seedream help`: the same as `--help` behind a command."""

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
    asked = context.find_root()
    for word in command or []:
        # A dash: an option of the group, which would be obeyed.
        if word.startswith("-") or not hasattr(asked.command, "resolve_command"):
            asked.fail(f"{asked.command_path} has no command {word!r}")
        name, found, _ = asked.command.resolve_command(asked, [word])
        asked = typer.Context(found, info_name=name, parent=asked)
    typer.echo(asked.get_help())
