"""`--preview` and `--open`: an image shown when it is saved."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from ..errors import UsageProblem
from ._context import CommandContext

Preview = Annotated[
    bool,
    typer.Option("--preview", help="Draw each image on the terminal as well.", rich_help_panel="Output"),
]
Open = Annotated[
    bool, typer.Option("--open", help="Open each image in the desktop's viewer.", rich_help_panel="Output")
]


def show_images(
    run: CommandContext, *, preview: bool, opened: bool, moved: str | None, placed: bool, saves: bool = True
) -> None:
    """Have images shown as they come to be on disk. Raises UsageProblem where none will be.

    ``placed``: they have places already, which only the flag, ``moved``, changes.
    """
    flags = [flag for flag, given in (("--preview", preview), ("--open", opened)) if given]
    if not flags:
        return
    if not saves:
        raise UsageProblem(f"{flags[0]} shows saved images: it does not go with --no-wait or --dry-run")
    if (moved if placed else run.settings.value("output")) == "-":
        raise UsageProblem(f"{flags[0]} shows saved images: -o - saves none")
    # A terminal is drawn on for a person, who did not ask for quiet or for a document.
    preview = preview and not run.options.quiet and not run.options.json
    if preview or opened:
        from ..output.showing import Showing

        run.reporter.showing = Showing(
            preview, opened, os.environ, run.shutdown.defer_signals, verbose=run.options.verbose
        )
