"""Where images of this call are to go, and what stands there already."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from ..errors import InvalidOutput, UsageProblem
from ..events import Kept
from ..models import Operation, Status
from ..output.stdio import is_terminal
from ..settings.resolve import Setting
from ..text import clean
from ._context import CommandContext

if TYPE_CHECKING:
    from ..files.output_path import Output


def wanted_output(run: CommandContext, *, wait: bool = True) -> Output:
    """The output that the settings ask for. Raises InvalidOutput."""
    from ..files.output_path import parse_output

    setting = run.settings.get("output")
    where = parse_output(None if setting.origin == "default" else setting.value, cwd=os.getcwd())
    if where.stdout and run.options.json:
        raise InvalidOutput("-o - and --json both want stdout")
    if where.stdout and not wait:
        raise InvalidOutput("-o - has to wait for the image: it does not go with --no-wait")
    if where.stdout and is_terminal(sys.stdout):
        raise InvalidOutput(
            "an image's bytes are not written to a terminal: send them on, as in -o - > image.png"
        )
    if not where.stdout:
        _refuse_unprintable(setting, where)
    return where


def _refuse_unprintable(output: Setting, where: Output) -> None:
    """Paths are printed as they are, one a line: nothing in them may be what a terminal or a log obeys."""
    from ..files.output_path import Fields

    # Any field may have a word of such a command for its value.
    word = "vso"
    fields = Fields(word, word, word, word, word, 0.0, word)
    path = where.shown(str(where.target(fields, number=1, several=False, extension="png")))
    # A name that is no text is nobody's command.
    text = path.encode("utf-8", "replace").decode("utf-8")
    if clean(text) != text:
        given = "the output" if output.rank == 0 else f"output from {output.origin}:"
        raise InvalidOutput(
            f"{given} {clean(output.value)!r} has what a terminal or a CI service's log would obey"
        )


def existing(where: Output, operation: Operation, *, overwrite: bool = False) -> Path | None:
    """A file that stands where an image would go, as far as that is known, and is not to be replaced.

    Raises InvalidOutput for a name that no file can have, or that something other than a file has.
    """
    from ..files.output_path import fields_of

    for target in where.known_targets(fields_of(operation)):
        shown = where.shown(str(target))
        try:
            if not os.path.lexists(target):
                # Asked for its errors: lexists() takes a name that is too long for one that is free.
                os.lstat(target.parent / target.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidOutput(f"{shown} cannot be written: {error.strerror}") from None
        if target.exists() and not target.is_file():
            raise InvalidOutput(f"{shown} is no file that could be replaced", code="output_exists")
        if not overwrite:
            return target
    return None


def refuse_taken(where: Output, operation: Operation, *, overwrite: bool) -> None:
    """Refuse an output that was asked for and exists, unless it is the operation's own image."""
    taken = existing(where, operation, overwrite=overwrite)
    if taken is not None and str(taken) not in [file.path for file in operation.files]:
        raise InvalidOutput(
            f"{where.shown(str(taken))} exists: --overwrite replaces it", code="output_exists"
        )
    refuse_taken_sidecar(where, operation, overwrite=overwrite)


def refuse_taken_sidecar(where: Output, operation: Operation, *, overwrite: bool) -> None:
    """Refuse the name of a description that another file has. Raises InvalidOutput."""
    from ..files.output_path import fields_of, sidecar_path
    from ..tasks.run import is_own

    if not operation.sidecar or overwrite:
        return
    for target in where.known_targets(fields_of(operation)):
        path = sidecar_path(target)
        if os.path.lexists(path) and not is_own(path, operation):
            raise InvalidOutput(
                f"{where.shown(str(path))} exists: --overwrite replaces it", code="output_exists"
            )


def prepare_folder(run: CommandContext, where: Output, operation: Operation) -> None:
    """Make sure that there is a folder which can be written to. Raises InvalidOutput."""
    from ..files.output_path import fields_of, part_path
    from ..files.partial_file import check_folder

    if not where.stdout:
        folder = where.folder(fields_of(operation))
        # By the name of the first image's own temporary file, which a later run would remove.
        check_folder(part_path(folder / "image", operation.id, 1), run.shutdown.defer_signals)


def keep(run: CommandContext, operation: Operation, where: Output, path: Path) -> None:
    """Report an operation that is not sent, since its file exists."""
    from ..files.partial_file import describe

    file = describe(path)
    skipped = replace(operation, status=Status.SKIPPED, files=(file,))
    run.handle(Kept(skipped, file, where.shown(str(path))))
    run.end(skipped)


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
        from ..output.image_display import Showing

        run.reporter.showing = Showing(
            preview, opened, os.environ, run.shutdown.defer_signals, verbose=run.options.verbose
        )
