"""Downloading: the results of a completed task become verified files on disk, or bytes on stdout."""

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

#: Attempts to fetch one image, within the client's IMAGE_TIMEOUT.
ATTEMPTS = 5

#: Puts a verified partial file where it belongs, and returns its path.
Consume = Callable[[PartialFile, ImageInfo], Path]


def save_results(context: TaskContext, operation: Operation) -> Operation:
    """Save every result of a completed task. Each one is recorded as soon as it is saved."""
    output = context.output or OutputTemplate(template=operation.output)
    if output.stdout:
        return _write_to_stdout(context, operation)
    for number in range(1, len(operation.results) + 1):
        known = next((file for file in operation.files if file.number == number), None)
        if known is not None and context.output is None and _is_unchanged(known):
            context.on_event(FileKept(operation, known, known.path))
            write_sidecar(context, operation, known)
            continue
        operation, saved = _save(context, operation, number, output)
        files = (*(file for file in operation.files if file.number != number), saved)
        operation = replace(operation, files=tuple(sorted(files, key=lambda file: file.number)))
        record_or_warn(context, operation)
        context.on_event(Saved(operation, saved, output.display_path(saved.path)))
        # The image comes first. If its sidecar cannot be written now, a later download writes it.
        write_sidecar(context, operation, saved)
    return operation


def is_on_disk(operation: Operation) -> bool:
    """Return True if every image of the operation is where it was saved, with the same bytes."""
    return bool(operation.files) and operation.is_done and all(map(_is_unchanged, operation.files))


def _is_unchanged(file: SavedFile) -> bool:
    return sha256_of(Path(file.path)) == file.sha256


def _save(
    context: TaskContext, operation: Operation, number: int, output: OutputTemplate
) -> tuple[Operation, SavedFile]:
    """Fetch one image and move it to its target. Reports a notice if it gets another name or ending."""
    fields = fields_of(operation)
    several = len(operation.results) > 1
    target = output.target(fields, number=number, several=several, extension="png")

    def place(part: PartialFile, image: ImageInfo) -> Path:
        nonlocal target
        target = output.target(fields, number=number, several=several, extension=image.extension)
        path = part.move_to(target, overwrite=context.overwrite and target not in context.placed)
        context.placed.add(path)
        return path

    part = PartialFile(part_path(target, operation.id, number), context.shield)
    operation, image, path = download_verified(context, operation, number, part, place)
    if path != target:
        context.on_event(Notice(operation, f"{target.name} is taken: the image is saved as {path.name}"))
    if output.explicit_ending and not image.matches_extension(path.suffix):
        context.on_event(Notice(operation, f"{path.name} holds a {image.kind.upper()} image"))
    return operation, saved_file(part, image, path, number)


def saved_file(part: PartialFile, image: ImageInfo, path: Path, number: int) -> SavedFile:
    """Return the record of the image that was verified in ``part`` and moved to ``path``."""
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
    """Write the only image of a task to stdout, after it was received and verified."""
    deliver = context.deliver
    assert deliver is not None, "writing to stdout was not set up"  # noqa: S101 - a programming error
    if len(operation.results) != 1:
        raise NotSaved(
            f"{operation.task_id} has {len(operation.results)} images and stdout takes one",
            code="several_images",
        )
    delivered = False

    def write(part: PartialFile, image: ImageInfo) -> Path:
        nonlocal delivered
        delivered = deliver(part.path)
        return part.path

    part = PartialFile(part_path(context.scratch / "stdout", operation.id, 1), context.shield)
    operation, _, _ = download_verified(context, operation, 1, part, write)
    if delivered:
        # If the reader closed stdout too early, the image is still to be saved.
        operation = replace(operation, delivered="-")
        record_or_warn(context, operation)
    return operation


def download_verified(
    context: TaskContext, operation: Operation, number: int, part: PartialFile, consume: Consume
) -> tuple[Operation, ImageInfo, Path]:
    """Fetch image ``number`` (from 1) into ``part``, verify it and pass it to ``consume``.

    Repeated within the budget of an image. If its signed URL has expired, a new one is requested once.
    Returns the operation, which may have new URLs, with the image's format, size and path. Raises NotSaved.
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
                expired = isinstance(error, ImageRefused) and error.stale and not renewed
                if not expired:
                    pause = retries.pause_after(error)
                    context.on_event(Retrying(operation, error, pause, "fetching the image"))
                    context.pause(pause)
            if expired:
                renewed = True
                operation = _renew_urls(context, operation, number)
    finally:
        # A signal is raised only once. If that happened while the block above was left, it is still open.
        part.close()
        context.parts.discard(part)


def _renew_urls(context: TaskContext, operation: Operation, number: int) -> Operation:
    """Return the operation with newly signed result URLs."""
    task = get_status(context, operation)
    if len(task.results) < number:
        raise NotSaved(f"{operation.task_id} has no result any more: {task.status}", code="no_result")
    operation = replace(operation, results=task.results)
    record_or_warn(context, operation)
    return operation


def _receive(
    context: TaskContext, operation: Operation, number: int, part: PartialFile, *, seconds: float
) -> ImageInfo:
    """Stream one image into ``part`` and verify it."""
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
