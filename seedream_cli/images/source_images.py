"""Source images of a request: reading, checking, and referring to them.

A URL is sent as it is. A file is sent as a ``data:`` URI. Everywhere else (history, documents, digests) its
*reference* replaces the bytes, for example ``data:image/png;bytes=1234;sha256=9f86…``. A reference has no
comma, so that it is not a valid data URI and the two cannot be confused. It changes whenever the bytes do.
"""

from __future__ import annotations

import hashlib
import os
import re
import stat
from base64 import b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from msgspec import Struct

from ..errors import InvalidRequest
from ..urls import is_loopback, without_query
from .inspect import DamagedImage, NotAnImage, inspect

#: Bytes of one file. The service documents no limit. A 4K picture has less, and hosts of similar models
#: commonly accept as much.
MAX_FILE_BYTES = 10_000_000
#: Bytes of all files of one request. As data URIs they grow by a third, to a request of 40 MB, which a common
#: line uploads in a minute.
MAX_REQUEST_BYTES = 30_000_000

_REFERENCE = re.compile(r"data:(image/[a-z]+);bytes=([0-9]{1,12});sha256=([0-9a-f]{64})")
_SCHEME = re.compile(r"(?i:[A-Z][A-Z0-9+.-]*:(?=//)|data:)")
_HINT = 'seedream generate "as a watercolour" -i photo.jpg'


class SourceImage(Struct, frozen=True):
    """A source image of a request. ``name`` is its URL or its reference.

    ``path`` is the file to read its bytes from; ``data`` holds the bytes if they cannot be read again.
    """

    name: str
    path: Path | None = None
    data: bytes | None = None

    def data_uri(self) -> str:
        """Return the data URI to send. Raises InvalidRequest if the file has changed since it was checked."""
        data = self.data
        if data is None:
            assert self.path is not None, "a URL has no bytes"  # noqa: S101
            data = _read_file(self.path, str(self.path))
            if _reference(data, str(self.path)) != self.name:
                raise InvalidRequest(f"source image {self.path} has changed while it was in use")
        media_type = describe_source(self.name)["media_type"]
        return f"data:{media_type};base64,{b64encode(data).decode('ascii')}"


def is_reference(name: str) -> bool:
    """Return True if ``name`` is a reference, not a URL."""
    return _REFERENCE.fullmatch(name) is not None


def describe_source(name: str) -> dict[str, Any]:
    """Return a source image as a JSON object: its URL, or media type, bytes and SHA-256 of its data."""
    found = _REFERENCE.fullmatch(name)
    if found is None:
        return {"url": name, "media_type": None, "bytes": None, "sha256": None}
    return {"url": None, "media_type": found[1], "bytes": int(found[2]), "sha256": found[3]}


def read_source_images(
    texts: Sequence[str], *, most: int, local: bool, stdin: Callable[[int], bytes]
) -> list[SourceImage]:
    """Read the source images that a user named: paths, URLs, and ``-`` for stdin.

    At most ``most`` are allowed. ``local`` is True if the API is on this machine. ``stdin(count)`` reads at
    most ``count`` bytes. Raises InvalidRequest, which names the image.
    """
    if len(texts) > most:
        raise InvalidRequest(f"{len(texts)} source images were given; at most {most} are taken")
    if texts.count("-") > 1:
        raise InvalidRequest("stdin holds one source image: -i - was given twice")
    images: list[SourceImage] = []
    for text in texts:
        if is_url(text):
            check_source_url(text, local=local)
            images.append(SourceImage(text))
            continue
        data = stdin(MAX_FILE_BYTES + 1) if text == "-" else _read_file(Path(text), text)
        # Kept in memory: a pipe cannot be read a second time.
        images.append(SourceImage(_reference(data, "from stdin" if text == "-" else text), data=data))
        check_total_size([image.name for image in images], text)
    return images


def read_source_image(path: Path, shown: str) -> SourceImage:
    """Check an image file, whose bytes are read again when they are sent. Raises InvalidRequest.

    ``shown`` is its path for messages.
    """
    if path.exists() and not path.is_file():
        raise InvalidRequest(f"source image {shown} is no file")
    return SourceImage(_reference(_read_file(path, shown), shown), path=path)


def check_total_size(names: Iterable[str], last: str) -> None:
    """Raise InvalidRequest if the images are too large for one request. ``last`` is the last one's file."""
    total = sum(describe_source(name)["bytes"] or 0 for name in names)
    if total > MAX_REQUEST_BYTES:
        raise InvalidRequest(
            f"the source images have {total} bytes together with {last}; one request may have "
            f"{MAX_REQUEST_BYTES}: name some by their URLs",
            code="source_image_too_large",
        )


def is_url(text: str) -> bool:
    """Return True if the text is an http or https URL, and not a path."""
    return text[:8].lower().startswith(("http://", "https://"))


def check_source_url(url: str, *, local: bool) -> None:
    """Raise InvalidRequest for a URL that the service could not fetch, or that contains a password."""
    shown = without_query(url)
    if not url.isprintable() or any(char in url for char in " \\"):
        raise InvalidRequest(f"source image {shown}: the URL has blanks, backslashes or control characters")
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname or "", parts.port
    except ValueError:
        raise InvalidRequest(f"source image {shown}: it is not a URL") from None
    if not host:
        raise InvalidRequest(f"source image {shown}: the URL names no host")
    if "@" in parts.netloc:
        raise InvalidRequest(f"source image {shown}: the URL holds a user name or password, for all to read")
    if parts.scheme == "http" and not local:
        raise InvalidRequest(f"source image {shown}: only https URLs are sent", hint=_HINT)
    if is_loopback(host) and not local:
        raise InvalidRequest(
            f"source image {shown}: the service cannot reach this machine; name the file", hint=_HINT
        )


def with_data(body: Mapping[str, Any], images: Mapping[str, SourceImage]) -> dict[str, Any]:
    """Return the body to send: data URIs replace the references, all of which are names in ``images``."""
    urls = [images[name].data_uri() if is_reference(name) else name for name in body["image_urls"]]
    return {**body, "image_urls": urls}


def _reference(data: bytes, shown: str) -> str:
    """Return the reference of an image. Raises InvalidRequest if the data is not one, or too large."""
    if len(data) > MAX_FILE_BYTES:
        raise _too_large(shown, f"more than {MAX_FILE_BYTES}")
    try:
        media_type = inspect(BytesIO(data)).media_type
    except NotAnImage as error:
        # Nothing of the content is shown: a file that was named by mistake may contain a key.
        raise InvalidRequest(f"source image {shown}: {error.WHAT}") from None
    except DamagedImage as error:
        raise InvalidRequest(f"source image {shown}: {error}") from None
    return f"data:{media_type};bytes={len(data)};sha256={hashlib.sha256(data).hexdigest()}"


def _read_file(path: Path, shown: str) -> bytes:
    """Return the bytes of a file, or of a pipe such as the shell's ``<(…)``. Raises InvalidRequest.

    A file that is too large is recognised by its size, a pipe by one byte more than the limit.
    """
    if not shown:
        raise InvalidRequest("a source image's name is empty", hint=_HINT)
    if _SCHEME.match(shown):
        raise InvalidRequest(
            f"source image {without_query(shown)[:80]} is neither a file nor an http(s) URL", hint=_HINT
        )
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size > MAX_FILE_BYTES:
                raise _too_large(shown, str(status.st_size))
            return file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise InvalidRequest(
            f"source image {shown}: there is no such file, and it is no http(s) URL", hint=_HINT
        ) from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "no file can have this name"
        raise InvalidRequest(f"source image {shown} cannot be read: {reason}") from None


def _too_large(shown: str, size: str) -> InvalidRequest:
    return InvalidRequest(
        f"source image {shown} has {size} bytes; one may have {MAX_FILE_BYTES}", code="source_image_too_large"
    )
