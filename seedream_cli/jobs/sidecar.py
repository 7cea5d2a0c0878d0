"""FILE.json beside an image: what it is, and what it takes to make it again.

The shape is in ``sidecar.schema.json``. Nothing in it is a secret: of a source image's URL it has no
query, which may be a signature, and the callback's URL, which may hold a token, is left out.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from .. import __version__
from ..addresses import without_query
from ..download import Part
from ..events import Noticed
from ..models import Operation, SavedFile
from ..naming import part_path, sidecar_path
from ..source_images import facts_of
from .work import Work

#: Raised when a field changes its meaning.
FORMAT = 1
_LARGEST = 1024 * 1024


def is_own(path: Path, operation: Operation) -> bool:
    """Whether the file is a sidecar of this operation's."""
    return _digest_in(path, operation) is not None


def put_beside(work: Work, operation: Operation, file: SavedFile) -> None:
    """Write the sidecar of a saved image, if it is wanted and not there yet.

    It goes over no file but the operation's own, unless that was asked for: then it goes beside that
    file, under a free name. Raises NotSaved.
    """
    if not operation.sidecar:
        return
    image = Path(file.path)
    path = sidecar_path(image)
    before = _digest_in(path, operation)
    if before == file.sha256:
        return
    # The image's temporary file has gone by now, and who resumes the operation knows this name.
    with Part(part_path(path, operation.id, file.number), work.shield) as part:
        part.write(_dumped(_document(operation, file, work.now())))
        replaces = before is not None or (work.overwrite and path not in work.placed)
        placed = part.move_to(path, overwrite=replaces)
    work.placed.add(placed)
    if placed != path:
        work.on_event(
            Noticed(operation, f"{path.name} is taken: what describes {image.name} is in {placed.name}")
        )


def _document(operation: Operation, file: SavedFile, now: float) -> dict[str, Any]:
    request, parts = operation.request, operation.parts
    assert request is not None, "only what this machine asked for can have been asked to be described"  # noqa: S101
    sources = [facts_of(name) for name in request.image_urls]
    return {
        "sidecar": FORMAT,
        "program": f"seedream {__version__}",
        "file": Path(file.path).name,
        "sha256": file.sha256,
        "bytes": file.bytes,
        "media_type": file.media_type,
        "width": file.width,
        "height": file.height,
        "prompt": request.prompt,
        "parts": {
            "subject": parts.subject if parts else request.prompt,
            "details": parts.details if parts else None,
            "style": parts.style if parts else None,
            "style_name": parts.style_name if parts else None,
        },
        "model": request.model,
        "aspect_ratio": request.aspect_ratio,
        "quality": request.quality,
        "source_images": [
            {**source, "url": without_query(source["url"]) if source["url"] else None} for source in sources
        ],
        "service": operation.service,
        "task_id": operation.task_id,
        "operation": operation.id,
        "number": file.number,
        "request_id": operation.request_id,
        "cost": operation.cost,
        "created": _utc(operation.created),
        "accepted": _utc(operation.accepted) if operation.accepted is not None else None,
        "saved": _utc(now),
        "seconds": round(operation.seconds, 3) if operation.seconds is not None else None,
    }


def _utc(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


def _dumped(document: dict[str, Any]) -> bytes:
    # A file's name may be no text.
    return json.dumps(document, ensure_ascii=False, indent=2).encode("utf-8", "replace") + b"\n"


def _digest_in(path: Path, operation: Operation) -> str | None:
    """The digest that the operation's own sidecar at ``path`` has; None where there is none."""
    try:
        if not path.is_file() or path.stat().st_size > _LARGEST:
            return None
        document = json.loads(path.read_bytes())
        own = document["sidecar"] == FORMAT and document["operation"] == operation.id
        return str(document["sha256"]) if own else None
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return None
