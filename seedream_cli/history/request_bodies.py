"""Bodies of create requests with source images, kept on disk until the service has responded.

An idempotency key is valid for one body. A create request that is sent again must have the same bytes, even
if the source image has changed or is gone by then. In the history these bodies would be megabytes per row, so
each is a file of its own, readable by its owner only, which is deleted once the task is known.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from ..errors import HistoryUnusable, UsageError
from ..files.permissions import fsync_dir, make_private_dir, open_private
from ..images.source_images import SourceImage, is_reference, with_data
from ..models import IDEMPOTENCY_KEY_LIFETIME, GenerationRequest, Operation


def encode_body(body: Mapping[str, Any]) -> bytes:
    """Return a body as it is sent: UTF-8 JSON."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8")


class RequestBodyStore:
    """Request bodies in ``folder``, which is created when it is needed. Threads may share it.

    ``now`` returns Unix seconds.
    """

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now
        self._images: dict[str, SourceImage] = {}
        self._lock = threading.Lock()
        #: Request, body and path of the last one stored: the operations of one command often share it.
        self._last: tuple[GenerationRequest, bytes, Path] | None = None
        self._has_purged = False

    def attach(self, images: Iterable[SourceImage]) -> None:
        """Provide source images, of which :meth:`load_or_store` reads the bytes."""
        self._images |= {image.name: image for image in images}

    def load_or_store(self, operation: Operation) -> bytes | None:
        """Return the bytes to send, and make sure that they are on disk; None for a request without images.

        A stored body is returned as it is, whatever the images are now. Raises UsageError if there is no
        stored body and its images are not attached, and HistoryUnusable if it cannot be read or stored.
        """
        request = operation.request
        if request is None or not any(map(is_reference, request.image_urls)):
            return None
        path = self._path(operation)
        with self._lock:
            try:
                body = path.read_bytes()
            except FileNotFoundError:
                pass
            except OSError as error:
                raise _unusable(path, error) from None
            else:
                # With a new idempotency key, it may be needed for another lifetime of a key.
                with suppress(OSError):
                    os.utime(path)
                return body
            if not self._images.keys() >= set(filter(is_reference, request.image_urls)):
                raise UsageError(
                    f"the source images of {operation.id} are not kept any more: generate it anew",
                    code="source_images_gone",
                )
            try:
                return self._store(request, path)
            except OSError as error:
                raise _unusable(path, error) from None

    def delete(self, operation: Operation) -> None:
        """Delete the operation's body, if there is one: the service has responded."""
        with suppress(OSError):
            self._path(operation).unlink(missing_ok=True)

    def _store(self, request: GenerationRequest, path: Path) -> bytes:
        if self._last is not None and self._last[0] == request:
            _, body, stored = self._last
            with suppress(OSError):
                os.link(stored, path)
                # Otherwise it would have the age of the first, and be purged before its own key expires.
                os.utime(path)
                fsync_dir(path.parent)
                return body
        else:
            body = encode_body(with_data(request.body(), self._images))
        self._purge_expired()
        make_private_dir(path.parent)
        # Renamed when it is complete: half a body would be sent as another body under the same key.
        partial = path.with_suffix(".part")
        partial.unlink(missing_ok=True)
        try:
            flags = os.O_WRONLY | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with os.fdopen(open_private(partial, flags), "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            os.replace(partial, path)
            # The history records the operation next, durably. Its body must survive a power cut as well.
            fsync_dir(path.parent)
        except BaseException:
            # Remove the partial file, for example on a full disk.
            with suppress(OSError):
                partial.unlink()
            raise
        self._last = (request, body, path)
        return body

    def _purge_expired(self) -> None:
        """Delete bodies of killed runs that can never be sent, once per process."""
        if self._has_purged:
            return
        self._has_purged = True
        with suppress(OSError):
            for path in list(self._folder.iterdir()):
                if self._now() - path.stat().st_mtime > IDEMPOTENCY_KEY_LIFETIME:
                    path.unlink(missing_ok=True)

    def _path(self, operation: Operation) -> Path:
        # Filtered: someone may have edited the ID in the history, and it must not lead out of the folder.
        name = "".join(char for char in operation.id if char.isalnum() or char == "_")
        return self._folder / f"{name}.json"


def _unusable(path: Path, error: OSError) -> HistoryUnusable:
    return HistoryUnusable(f"the request cannot be kept in {path.parent}", detail=error.strerror)
