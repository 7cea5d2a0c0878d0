"""About the least that a program of Typer's is: two commands with an option each."""

from __future__ import annotations

from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def draw(prompt: str, ratio: Annotated[str, typer.Option(help="The aspect ratio.")] = "1:1") -> None:
    """Draw a picture."""
    typer.echo(f"{prompt} {ratio}")


@app.command()
def show(name: str, large: Annotated[bool, typer.Option(help="In its full size.")] = False) -> None:
    """Show a picture."""
    typer.echo(f"{name} {large}")
