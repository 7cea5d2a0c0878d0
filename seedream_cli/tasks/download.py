"""A completed task's results → files on disk, or bytes on stdout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from msgspec.structs import replace

from ..api.client import IMAGE_TIMEOUT
from ..errors import ImageRefused, ImageUnreachable, NotSaved, SeedreamError, Unreachable
from ..events import FileKept, Notice, Receiving, Retrying, Saved
from ..files.output_path import OutputTemplate, fields_of, part_path
from ..files.partial_file import PartialFile, sha256_of
from ..images.inspect import ImageInfo
from ..models import Operation, SavedFile
from .context import TaskContext, record_or_warn
from .poll import get_status
from .sidecar import write_sidecar

#: Attempts that one image gets; its seconds are the client's IMAGE_TIMEOUT.
ATTEMPTS = 5

Consume = Callable[[PartialFile, ImageInfo], Path]


def save_results(context: TaskContext, operation: Operation) -> Operation:
    """Save every result of a completed task, each as soon as it is here."""
    output = context.output or OutputTemplate(template=operation.output)
    if output.stdout:
        return _write_to_stdout(context, operation)
    for number in range(1, len(operation.results) + 1):
        known = next((file for file in operation.files if file.number == number), None)
        if known is not None and context.output is None and _unchanged(known):
            context.on_event(FileKept(operation, known, known.path))
            write_sidecar(context, operation, known)
            continue
        operation, saved = _save(context, operation, number, output)
        files = (*(file for file in operation.files if file.number != number), saved)
        operation = replace(operation, files=tuple(sorted(files, key=lambda file: file.number)))
        record_or_warn(context, operation)
        context.on_event(Saved(operation, saved, output.shown(saved.path)))
        # The image comes first: whatever is wrong with its description, a download writes it later.
        write_sidecar(context, operation, saved)
    return operation


def on_disk(operation: Operation) -> bool:
    """Whether every image of the operation is where it was saved, with the same bytes."""
    return bool(operation.files) and operation.is_done and all(map(_unchanged, operation.files))


def _unchanged(file: SavedFile) -> bool:
    return sha256_of(Path(file.path)) == file.sha256


def _save(
    context: TaskContext, operation: Operation, number: int, output: OutputTemplate
) -> tuple[Operation, SavedFile]:
    """Fetch one image and put it where it belongs, with a notice where that is not quite its name."""
    fields, several = fields_of(operation), len(operation.results) > 1
    wanted = output.target(fields, number=number, several=several, extension="png")

    def place(part: PartialFile, image: ImageInfo) -> Path:
        nonlocal wanted
        wanted = output.target(fields, number=number, several=several, extension=image.extension)
        moved = part.move_to(wanted, overwrite=context.overwrite and wanted not in context.placed)
        context.placed.add(moved)
        return moved

    part = PartialFile(part_path(wanted, operation.id, number), context.shield)
    operation, image, placed = download_verified(context, operation, number, part, place)
    if placed != wanted:
        context.on_event(Notice(operation, f"{wanted.name} is taken: the image is saved as {placed.name}"))
    if output.explicit_ending and not image.matches_extension(placed.suffix):
        context.on_event(Notice(operation, f"{placed.name} holds a {image.kind.upper()} image"))
    return operation, saved_file(part, image, placed, number)


def saved_file(part: PartialFile, image: ImageInfo, path: Path, number: int) -> SavedFile:
    """The image that was verified in ``part``, as a file at ``path``."""
    return SavedFile(
        number=number,
        path=str(path),
        sha256=part.sha256,
        bytes=part.size,
        media_type=image.media_type,
        width=image.width,
        height=image.height,
    )


def _write_to_stdout(context: TaskContext, operation: Operation) -> Operation:
    """Write the one image to stdout, once it is whole."""
    assert context.deliver is not None, "stdout was asked for without a way to it"  # noqa: S101
    if len(operation.results) != 1:
        raise NotSaved(
            f"{operation.task_id} has {len(operation.results)} images and stdout takes one",
            code="several_images",
        )
    taken = False

    def hand_over(part: PartialFile, image: ImageInfo) -> Path:
        nonlocal taken
        assert context.deliver is not None  # noqa: S101 - checked above
        taken = context.deliver(part.path)
        return part.path

    part = PartialFile(part_path(context.scratch / "stdout", operation.id, 1), context.shield)
    operation, _, _ = download_verified(context, operation, 1, part, hand_over)
    if taken:
        # A reader that left early did not take it: the task stays one whose image is to be saved.
        operation = replace(operation, delivered="-")
        record_or_warn(context, operation)
    return operation


def download_verified(
    context: TaskContext, operation: Operation, number: int, part: PartialFile, consume: Consume
) -> tuple[Operation, ImageInfo, Path]:
    """Fetch one image into ``part``, verify it and hand it to ``consume``; repeated within the budget.

    A dead signed URL is asked for anew once. Raises NotSaved.
    """
    retries = context.retries(ATTEMPTS, IMAGE_TIMEOUT)
    renewed = False
    context.parts.add(part)
    try:
        while True:
            try:
                with part:
                    image = _receive(context, operation, number, part, seconds=max(retries.remaining, 1.0))
                    return operation, image, consume(part, image)
            except SeedreamError as error:
                stale = isinstance(error, ImageRefused) and error.stale and not renewed
                if not stale:
                    pause = retries.pause_after(error)
                    context.on_event(Retrying(operation, error, pause, "fetching the image"))
                    context.pause(pause)
            if stale:
                renewed = True
                operation = _renewed(context, operation, number)
    finally:
        # A signal, which is raised once, may have come on the way out of the block above.
        part.close()
        context.parts.discard(part)


def _renewed(context: TaskContext, operation: Operation, number: int) -> Operation:
    """The operation with fresh result URLs."""
    task = get_status(context, operation)
    if len(task.results) < number:
        raise NotSaved(f"{operation.task_id} has no result any more: {task.status}", code="no_result")
    operation = replace(operation, results=task.results)
    record_or_warn(context, operation)
    return operation


def _receive(
    context: TaskContext, operation: Operation, number: int, part: PartialFile, *, seconds: float
) -> ImageInfo:
    count = len(operation.results)
    try:
        with context.client.stream_image(operation.results[number - 1], seconds=seconds) as stream:
            _check_size(context, stream.length or 0, announced=True)
            context.on_event(Receiving(operation, number, count, 0, stream.length))
            for chunk in stream.chunks:
                part.write(chunk)
                _check_size(context, part.size)
                context.on_event(Receiving(operation, number, count, part.size, stream.length))
            announced = stream.length
    except Unreachable as error:
        raise ImageUnreachable(error) from None
    return part.verify(announced)


def _check_size(context: TaskContext, size: int, *, announced: bool = False) -> None:
    if size > context.max_bytes:
        error = NotSaved(
            f"the image is larger than the {context.max_bytes} bytes allowed (--max-bytes)", code="too_large"
        )
        error.resume_with = ("--max-bytes", str(size)) if announced else ()
        raise error
