"""The output of a call: where images go, which files are in the way, and --preview and --open."""

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
    """Return the output template of the settings. Raises InvalidOutput."""
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
    """Refuse paths with control characters or workflow commands, because paths are printed unchanged."""
    from ..files.output_path import TemplateFields

    # The value of a field could complete a workflow command.
    word = "vso"
    fields = TemplateFields(word, word, word, word, word, 0.0, word)
    path = where.display_path(str(where.target(fields, number=1, several=False, extension="png")))
    # Undecodable bytes cannot form a workflow command.
    text = path.encode("utf-8", "replace").decode("utf-8")
    if clean(text) != text:
        given = "the output" if output.rank == 0 else f"output from {output.origin}:"
        raise InvalidOutput(
            f"{given} {clean(output.value)!r} has what a terminal or a CI service's log would obey"
        )


def conflicting_file(where: OutputTemplate, operation: Operation, *, overwrite: bool = False) -> Path | None:
    """Return a file that is in the way of an image and must not be replaced, or None.

    Only names that are known beforehand are checked. Raises InvalidOutput for an impossible name, and for a
    name that is not a regular file.
    """
    from ..files.output_path import fields_of

    for target in where.possible_targets(fields_of(operation)):
        shown = where.display_path(str(target))
        try:
            if not os.path.lexists(target):
                # lexists() returns False for a name that is too long; lstat() raises.
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
    """Raise InvalidOutput if the target exists and is not the operation's own image."""
    taken = conflicting_file(where, operation, overwrite=overwrite)
    if taken is not None and str(taken) not in [file.path for file in operation.files]:
        raise InvalidOutput(
            f"{where.display_path(str(taken))} exists: --overwrite replaces it", code="output_exists"
        )
    check_sidecar_not_taken(where, operation, overwrite=overwrite)


def check_sidecar_not_taken(where: OutputTemplate, operation: Operation, *, overwrite: bool) -> None:
    """Raise InvalidOutput if the name of the sidecar belongs to another file."""
    from ..files.output_path import fields_of, sidecar_path
    from ..tasks.sidecar import is_own_sidecar

    if not operation.sidecar or overwrite:
        return
    for target in where.possible_targets(fields_of(operation)):
        path = sidecar_path(target)
        if os.path.lexists(path) and not is_own_sidecar(path, operation):
            raise InvalidOutput(
                f"{where.display_path(str(path))} exists: --overwrite replaces it", code="output_exists"
            )


def prepare_folder(context: CommandContext, where: OutputTemplate, operation: Operation) -> None:
    """Create the folder if needed, and check that it is writable. Raises InvalidOutput."""
    from ..files.output_path import fields_of, part_path
    from ..files.partial_file import ensure_writable

    if not where.stdout:
        folder = where.folder(fields_of(operation))
        # Test with the name of the first image's partial file: a later run would remove a leftover.
        ensure_writable(part_path(folder / "image", operation.id, 1), context.shutdown.defer_signals)


def report_kept_file(
    context: CommandContext, operation: Operation, where: OutputTemplate, path: Path
) -> None:
    """Report that an operation was not sent, because its file exists."""
    from ..files.partial_file import saved_file_from_disk

    file = saved_file_from_disk(path)
    skipped = replace(operation, status=TaskStatus.SKIPPED, files=(file,))
    context.handle(FileKept(skipped, file, where.display_path(str(path))))
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
    """Show images as they are saved. Raises UsageError if this call saves none.

    ``placed``: the operation exists, so that only the option ``moved`` changes its output.
    """
    flags = [flag for flag, given in (("--preview", preview), ("--open", opened)) if given]
    if not flags:
        return
    if not saves:
        raise UsageError(f"{flags[0]} shows saved images: it does not go with --no-wait or --dry-run")
    if (moved if placed else context.settings.value("output")) == "-":
        raise UsageError(f"{flags[0]} shows saved images: -o - saves none")
    # --quiet and --json are for programs, which need no picture.
    preview = preview and not context.options.quiet and not context.options.json
    if preview or opened:
        from ..output.image_display import ImageDisplay

        context.reporter.image_display = ImageDisplay(
            preview, opened, os.environ, context.shutdown.defer_signals, verbose=context.options.verbose
        )
