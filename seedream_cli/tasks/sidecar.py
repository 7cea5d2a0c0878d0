"""Sidecar: ``FILE.json`` beside an image, with everything needed to make it again.

`python -m scripts.generate` writes ``sidecar.schema.json`` from :class:`SidecarDocument`. Nothing in it is a
secret: the query of a source image's URL, which may be a signature, and the callback URL, which may contain a
token, are left out.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Final, Literal

from msgspec import Meta, Struct, to_builtins
from msgspec.structs import replace

from .. import __version__
from ..events import Notice
from ..files.output_path import part_path, sidecar_path
from ..files.partial_file import PartialFile
from ..images.source_images import describe_source
from ..models import Operation, SavedFile
from ..urls import without_query
from .context import TaskContext

#: Version of the format. Incremented when a field changes its meaning.
FORMAT: Final = 1
#: A larger file, in bytes, is not a sidecar.
_MAX_BYTES = 1024 * 1024

Count = Annotated[int, Meta(ge=0)]
Time = Annotated[
    str, Meta(description="UTC.", pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$")
]


class PartsDocument(Struct, frozen=True, forbid_unknown_fields=True):
    subject: str
    details: str | None
    style: Annotated[str | None, Meta(description="In words.")]
    style_name: Annotated[str | None, Meta(description="Its name in [styles].")]


class SidecarSourceImageDocument(Struct, frozen=True, forbid_unknown_fields=True):
    url: Annotated[str | None, Meta(description="Without its query.")]
    media_type: str | None
    bytes: Count | None
    sha256: str | None


class SidecarDocument(Struct, frozen=True):
    """What an image is, and what it takes to make it again.

    Fields are added in later versions, never renamed or removed.
    """

    sidecar: Annotated[Literal[1], Meta(description="The version of this format.")]
    program: Annotated[str, Meta(description="What wrote it, with its version.", pattern="^seedream [0-9]")]
    file: Annotated[str, Meta(description="The image's name when this was written.")]
    sha256: Annotated[str, Meta(description="Of the image's bytes.", pattern="^[0-9a-f]{64}$")]
    bytes: Count
    media_type: str | None
    width: Annotated[Count | None, Meta(description="Pixels.")]
    height: Annotated[Count | None, Meta(description="Pixels.")]
    prompt: Annotated[str, Meta(description="As it was sent: the parts, joined.")]
    parts: PartsDocument
    model: str
    aspect_ratio: str
    quality: str
    source_images: list[SidecarSourceImageDocument]
    service: Annotated[str, Meta(description="The API's base URL, or sandbox.")]
    task_id: str
    operation: Annotated[
        str,
        Meta(description="The create request, on the machine that sent it.", pattern="^op_[0-9a-z]{8}$"),
    ]
    number: Annotated[int, Meta(description="Which of the task's images this is.", ge=1)]
    request_id: str | None
    cost: Annotated[str | None, Meta(description="Of the task, as the API wrote it.")]
    created: Time
    accepted: Time | None
    saved: Time
    seconds: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="How long the task took, as observed from that machine."),
    ]


def is_own_sidecar(path: Path, operation: Operation) -> bool:
    """Return True if the file is a sidecar that was written for this operation."""
    return _digest_in(path, operation) is not None


def write_sidecar(context: TaskContext, operation: Operation, file: SavedFile) -> None:
    """Write the sidecar of a saved image, if it was asked for and is not there yet.

    Another file of that name is overwritten only if that was asked for. Otherwise the sidecar gets a free
    name, and a notice says so. Raises NotSaved.
    """
    if not operation.sidecar:
        return
    image = Path(file.path)
    path = sidecar_path(image)
    before = _digest_in(path, operation)
    if before == file.sha256:
        return
    text = json.dumps(to_builtins(_document(operation, file, context.now())), ensure_ascii=False, indent=2)
    # The image's partial file no longer exists. A run that resumes the operation removes one with this name.
    with PartialFile(part_path(path, operation.id, file.number), context.shield) as part:
        # A file name in it may not be valid UTF-8.
        part.write(text.encode("utf-8", "replace") + b"\n")
        replaces = before is not None or (context.overwrite and path not in context.placed)
        placed = part.move_to(path, overwrite=replaces)
    context.placed.add(placed)
    if placed != path:
        context.on_event(
            Notice(operation, f"{path.name} is taken: what describes {image.name} is in {placed.name}")
        )


def _document(operation: Operation, file: SavedFile, now: float) -> SidecarDocument:
    request, parts, task_id = operation.request, operation.parts, operation.task_id
    assert request is not None, "only what this machine asked for can have been asked to be described"  # noqa: S101
    assert task_id is not None, "a saved image is a task's"  # noqa: S101
    sources = [SidecarSourceImageDocument(**describe_source(name)) for name in request.image_urls]
    return SidecarDocument(
        sidecar=FORMAT,
        program=f"seedream {__version__}",
        file=Path(file.path).name,
        sha256=file.sha256,
        bytes=file.bytes,
        media_type=file.media_type,
        width=file.width,
        height=file.height,
        prompt=request.prompt,
        parts=PartsDocument(
            subject=parts.subject if parts else request.prompt,
            details=parts.details if parts else None,
            style=parts.style if parts else None,
            style_name=parts.style_name if parts else None,
        ),
        **request.image_fields,
        source_images=[
            replace(source, url=without_query(source.url) if source.url else None) for source in sources
        ],
        service=operation.service,
        task_id=task_id,
        operation=operation.id,
        number=file.number,
        request_id=operation.request_id,
        cost=operation.cost,
        created=_utc(operation.created),
        accepted=_utc(operation.accepted) if operation.accepted is not None else None,
        saved=_utc(now),
        seconds=round(operation.seconds, 3) if operation.seconds is not None else None,
    )


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _digest_in(path: Path, operation: Operation) -> str | None:
    """Return the image digest in the sidecar at ``path``; None if it is not a sidecar of this operation."""
    try:
        if not path.is_file() or path.stat().st_size > _MAX_BYTES:
            return None
        document = json.loads(path.read_bytes())
        own = document["sidecar"] == FORMAT and document["operation"] == operation.id
        return str(document["sha256"]) if own else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
