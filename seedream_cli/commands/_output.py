"""The output of a call: its template, checks for existing files, and --preview and --open."""

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
    output = parse_output(None if setting.origin == "default" else setting.value, cwd=os.getcwd())
    if output.stdout and context.options.json:
        raise InvalidOutput("-o - and --json both want stdout")
    if output.stdout and not wait:
        raise InvalidOutput("-o - has to wait for the image: it does not go with --no-wait")
    if output.stdout and is_terminal(sys.stdout):
        raise InvalidOutput(
            "an image's bytes are not written to a terminal: send them on, as in -o - > image.png"
        )
    if not output.stdout:
        _check_printable(setting, output)
    return output


def _check_printable(setting: ResolvedSetting, output: OutputTemplate) -> None:
    """Raise InvalidOutput for paths with control characters or workflow commands: paths are printed as is."""
    from ..files.output_path import TemplateFields

    # The value of a field could complete a workflow command of Azure Pipelines, as in "##{model}[".
    value = "vso"
    fields = TemplateFields(value, value, value, value, value, 0.0, value)
    path = output.display_path(str(output.target(fields, number=1, several=False, extension="png")))
    # Undecodable bytes cannot form a workflow command.
    text = path.encode("utf-8", "replace").decode("utf-8")
    if clean(text) != text:
        source = "the output" if setting.rank == 0 else f"output from {setting.origin}:"
        raise InvalidOutput(
            f"{source} {clean(setting.value)!r} has what a terminal or a CI service's log would obey"
        )


def conflicting_file(output: OutputTemplate, operation: Operation, *, overwrite: bool = False) -> Path | None:
    """Return an existing file that would have to be replaced and must not be, or None.

    Only names that are known before the task exists are checked. Raises InvalidOutput for an impossible name,
    and for a name of something that is not a regular file.
    """
    from ..files.output_path import fields_of

    for target in output.possible_targets(fields_of(operation)):
        display_path = output.display_path(str(target))
        try:
            if not os.path.lexists(target):
                # lexists() returns False for a name that is too long; lstat() raises.
                os.lstat(target.parent / target.name)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise InvalidOutput(f"{display_path} cannot be written: {error.strerror}") from None
        if target.exists() and not target.is_file():
            raise InvalidOutput(f"{display_path} is no file that could be replaced", code="output_exists")
        if not overwrite:
            return target
    return None


def check_not_taken(output: OutputTemplate, operation: Operation, *, overwrite: bool) -> None:
    """Raise InvalidOutput if the target exists and is not the operation's own image."""
    conflict = conflicting_file(output, operation, overwrite=overwrite)
    if conflict is not None and str(conflict) not in [file.path for file in operation.files]:
        raise InvalidOutput(
            f"{output.display_path(str(conflict))} exists: --overwrite replaces it", code="output_exists"
        )
    check_sidecar_not_taken(output, operation, overwrite=overwrite)


def check_sidecar_not_taken(output: OutputTemplate, operation: Operation, *, overwrite: bool) -> None:
    """Raise InvalidOutput if a file other than the operation's sidecar has the sidecar's name."""
    from ..files.output_path import fields_of, sidecar_path
    from ..tasks.sidecar import is_own_sidecar

    if not operation.sidecar or overwrite:
        return
    for target in output.possible_targets(fields_of(operation)):
        path = sidecar_path(target)
        if os.path.lexists(path) and not is_own_sidecar(path, operation):
            raise InvalidOutput(
                f"{output.display_path(str(path))} exists: --overwrite replaces it", code="output_exists"
            )


def prepare_folder(context: CommandContext, output: OutputTemplate, operation: Operation) -> None:
    """Create the folder if needed, and check that it is writable. Raises InvalidOutput."""
    from ..files.output_path import fields_of, part_path
    from ..files.partial_file import ensure_writable

    if not output.stdout:
        folder = output.folder(fields_of(operation))
        # Test with the name of the first image's partial file, because a later run removes such a leftover.
        ensure_writable(part_path(folder / "image", operation.id, 1), context.shutdown.defer_signals)


def report_kept_file(
    context: CommandContext, operation: Operation, output: OutputTemplate, path: Path
) -> None:
    """Report an operation that was not sent, because its file exists."""
    from ..files.partial_file import saved_file_from_disk

    file = saved_file_from_disk(path)
    skipped = replace(operation, status=TaskStatus.SKIPPED, files=(file,))
    context.handle(FileKept(skipped, file, output.display_path(str(path))))
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
    """Show images as they are saved. Raises UsageError if this call does not save any.

    ``moved`` is the value of --output. ``placed``: the operations exist and have an output of their own, so
    that the setting does not apply and only ``moved`` overrides it.
    """
    flags = [flag for flag, given in (("--preview", preview), ("--open", opened)) if given]
    if not flags:
        return
    if not saves:
        raise UsageError(f"{flags[0]} shows saved images: it does not go with --no-wait or --dry-run")
    if (moved if placed else context.settings.value("output")) == "-":
        raise UsageError(f"{flags[0]} shows saved images: -o - saves none")
    # Programs use --quiet and --json, and cannot use a preview.
    preview = preview and not context.options.quiet and not context.options.json
    if preview or opened:
        from ..output.image_display import ImageDisplay

        context.reporter.image_display = ImageDisplay(
            preview, opened, os.environ, context.shutdown.defer_signals, verbose=context.options.verbose
        )
