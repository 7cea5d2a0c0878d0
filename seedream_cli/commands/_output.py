"""Where images of this call are to go, and what stands there already."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from msgspec.structs import replace

from ..errors import InvalidOutput, UsageError
from ..events import FileKept
from ..models import Operation, TaskStatus
from ..output.stdio import is_terminal
from ..settings.resolve import ResolvedSetting
from ..text import clean
from ._context import CommandContext

if TYPE_CHECKING:
    from ..files.output_path import OutputTemplate


def output_template(context: CommandContext, *, wait: bool = True) -> OutputTemplate:
    """The output that the settings ask for. Raises InvalidOutput."""
    from ..files.output_path import parse_output

    setting = context.settings.get("output")
    where = parse_output(None if setting.origin == "default" else setting.value, cwd=os.getcwd())
    if where.stdout and context.options.json:
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


def _refuse_unprintable(output: ResolvedSetting, where: OutputTemplate) -> None:
    """Paths are printed as they are, one a line: nothing in them may be what a terminal or a log obeys."""
    from ..files.output_path import TemplateFields

    # Any field may have a word of such a command for its value.
    word = "vso"
    fields = TemplateFields(word, word, word, word, word, 0.0, word)
    path = where.shown(str(where.target(fields, number=1, several=False, extension="png")))
    # A name that is no text is nobody's command.
    text = path.encode("utf-8", "replace").decode("utf-8")
    if clean(text) != text:
        given = "the output" if output.rank == 0 else f"output from {output.origin}:"
        raise InvalidOutput(
            f"{given} {clean(output.value)!r} has what a terminal or a CI service's log would obey"
        )


def conflicting_file(where: OutputTemplate, operation: Operation, *, overwrite: bool = False) -> Path | None:
    """A file that stands where an image would go, as far as that is known, and is not to be replaced.

    Raises InvalidOutput for a name that no file can have, or that something other than a file has.
    """
    from ..files.output_path import fields_of

    for target in where.possible_targets(fields_of(operation)):
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


def check_not_taken(where: OutputTemplate, operation: Operation, *, overwrite: bool) -> None:
    """Refuse an output that was asked for and exists, unless it is the operation's own image."""
    taken = conflicting_file(where, operation, overwrite=overwrite)
    if taken is not None and str(taken) not in [file.path for file in operation.files]:
        raise InvalidOutput(
            f"{where.shown(str(taken))} exists: --overwrite replaces it", code="output_exists"
        )
    check_sidecar_not_taken(where, operation, overwrite=overwrite)


def check_sidecar_not_taken(where: OutputTemplate, operation: Operation, *, overwrite: bool) -> None:
    """Refuse the name of a description that another file has. Raises InvalidOutput."""
    from ..files.output_path import fields_of, sidecar_path
    from ..tasks.sidecar import is_own_sidecar

    if not operation.sidecar or overwrite:
        return
    for target in where.possible_targets(fields_of(operation)):
        path = sidecar_path(target)
        if os.path.lexists(path) and not is_own_sidecar(path, operation):
            raise InvalidOutput(
                f"{where.shown(str(path))} exists: --overwrite replaces it", code="output_exists"
            )


def prepare_folder(context: CommandContext, where: OutputTemplate, operation: Operation) -> None:
    """Make sure that there is a folder which can be written to. Raises InvalidOutput."""
    from ..files.output_path import fields_of, part_path
    from ..files.partial_file import ensure_writable

    if not where.stdout:
        folder = where.folder(fields_of(operation))
        # By the name of the first image's own temporary file, which a later run would remove.
        ensure_writable(part_path(folder / "image", operation.id, 1), context.shutdown.defer_signals)


def keep(context: CommandContext, operation: Operation, where: OutputTemplate, path: Path) -> None:
    """Report an operation that is not sent, since its file exists."""
    from ..files.partial_file import saved_file_from_disk

    file = saved_file_from_disk(path)
    skipped = replace(operation, status=TaskStatus.SKIPPED, files=(file,))
    context.handle(FileKept(skipped, file, where.shown(str(path))))
    context.end(skipped)


Preview = Annotated[
    bool,
    typer.Option("--preview", help="Draw each image on the terminal as well.", rich_help_panel="Output"),
]
Open = Annotated[
    bool, typer.Option("--open", help="Open each image in the desktop's viewer.", rich_help_panel="Output")
]


def show_images(
    context: CommandContext,
    *,
    preview: bool,
    opened: bool,
    moved: str | None,
    placed: bool,
    saves: bool = True,
) -> None:
    """Have images shown as they come to be on disk. Raises UsageProblem where none will be.

    ``placed``: they have places already, which only the flag, ``moved``, changes.
    """
    flags = [flag for flag, given in (("--preview", preview), ("--open", opened)) if given]
    if not flags:
        return
    if not saves:
        raise UsageError(f"{flags[0]} shows saved images: it does not go with --no-wait or --dry-run")
    if (moved if placed else context.settings.value("output")) == "-":
        raise UsageError(f"{flags[0]} shows saved images: -o - saves none")
    # A terminal is drawn on for a person, who did not ask for quiet or for a document.
    preview = preview and not context.options.quiet and not context.options.json
    if preview or opened:
        from ..output.image_display import ImageDisplay

        context.reporter.image_display = ImageDisplay(
            preview, opened, os.environ, context.shutdown.defer_signals, verbose=context.options.verbose
        )
