"""The bodies of creates with source images, kept on disk until they are answered.

An idempotency key holds for one body: whoever sends a create again has to send the same bytes, also
when the source image has changed or gone since. In the history they would stay as megabytes; here each
is a file of its own, readable by its owner alone, which goes once its task is known.
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
from ..models import GenerationRequest, Operation

#: Seconds for which the service keeps idempotency keys (API reference): a body of before is of no use.
LIFETIME = 7 * 86400.0


def encode_body(body: Mapping[str, Any]) -> bytes:
    """A body as it is sent."""
    return json.dumps(body, ensure_ascii=False).encode("utf-8")


class RequestBodyStore:
    """Kept in ``folder``, which is made when it is needed; ``now`` is in Unix seconds.

    Safe to share between threads.
    """

    def __init__(self, folder: Path, *, now: Callable[[], float] = time.time) -> None:
        self._folder = folder
        self._now = now
        self._images: dict[str, SourceImage] = {}
        self._lock = threading.Lock()
        #: What was kept last: several operations ask for the same.
        self._last: tuple[GenerationRequest, bytes, Path] | None = None
        self._tidied = False

    def attach(self, images: Iterable[SourceImage]) -> None:
        """These are at hand for what is sent by this process."""
        self._images |= {image.name: image for image in images}

    def load_or_store(self, operation: Operation) -> bytes | None:
        """The bytes to send, which are on disk from now on; None where the request says it all.

        Raises UsageProblem where they are not known any more, and HistoryUnusable where they cannot be kept.
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
                # Under a new key it may be needed for as long again.
                with suppress(OSError):
                    os.utime(path)
                return body
            if not self._images.keys() >= set(filter(is_reference, request.image_urls)):
                raise UsageError(
                    f"the source images of {operation.id} are not kept any more: generate it anew",
                    code="source_images_gone",
                )
            try:
                return self._keep(request, path)
            except OSError as error:
                raise _unusable(path, error) from None

    def delete(self, operation: Operation) -> None:
        """The operation was answered: its body is needed no more."""
        with suppress(OSError):
            self._path(operation).unlink(missing_ok=True)

    def _keep(self, request: GenerationRequest, path: Path) -> bytes:
        if self._last is not None and self._last[0] == request:
            _, body, other = self._last
            with suppress(OSError):
                os.link(other, path)
                # Its age is that of the first, and would end before the new key does.
                os.utime(path)
                fsync_dir(path.parent)
                return body
        else:
            body = encode_body(with_data(request.body(), self._images))
        self._tidy()
        make_private_dir(path.parent)
        # Whole or not at all: half a body would be another one.
        part = path.with_suffix(".part")
        part.unlink(missing_ok=True)
        try:
            flags = os.O_WRONLY | os.O_EXCL | getattr(os, "O_BINARY", 0)
            with os.fdopen(open_private(part, flags), "wb") as file:
                file.write(body)
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, path)
            # The history, which has the operation next, survives a power cut: so does what it needs.
            fsync_dir(path.parent)
        except BaseException:
            # A disk that is full needs no megabytes of what nobody will ask for.
            with suppress(OSError):
                part.unlink()
            raise
        self._last = (request, body, path)
        return body

    def _tidy(self) -> None:
        """Remove what runs that were killed have left, once it is of no use."""
        if self._tidied:
            return
        self._tidied = True
        with suppress(OSError):
            for left in list(self._folder.iterdir()):
                if self._now() - left.stat().st_mtime > LIFETIME:
                    left.unlink(missing_ok=True)

    def _path(self, operation: Operation) -> Path:
        # An id of the history may be anything that a person wrote there.
        name = "".join(char for char in operation.id if char.isalnum() or char == "_")
        return self._folder / f"{name}.json"


def _unusable(path: Path, error: OSError) -> HistoryUnusable:
    return HistoryUnusable(f"the request cannot be kept in {path.parent}", detail=error.strerror)
