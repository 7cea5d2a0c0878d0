"""Source images: what may be sent as one, and how it is named where its bytes do not belong.

A URL is sent as it is. A file goes as a `data:` URI; everywhere else its *reference* stands in its
place, such as ``data:image/png;bytes=1234;sha256=9f86…``. Without a comma that is no data URI, so that
neither can be taken for the other; and it changes whenever the bytes do.
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

#: Bytes of one file, and of all files of one request. The service documents no limit. Ten megabytes are
#: more than a 4K picture has, and what hosts of such models commonly take; as a data URI bytes grow by a
#: third, and 30 MB become a request of 40 MB, which a common line uploads in a minute.
MAX_FILE_BYTES, MAX_REQUEST_BYTES = 10_000_000, 30_000_000

_REFERENCE = re.compile(r"data:(image/[a-z]+);bytes=([0-9]{1,12});sha256=([0-9a-f]{64})")
_SCHEME = re.compile(r"(?i:[A-Z][A-Z0-9+.-]*:(?=//)|data:)")
_HINT = 'seedream generate "as a watercolour" -i photo.jpg'


class SourceImage(Struct, frozen=True):
    """A source image as a request names it: ``name`` is its URL or its reference.

    ``path`` is where its bytes can be read again, ``data`` has them where they cannot.
    """

    name: str
    path: Path | None = None
    data: bytes | None = None

    def data_uri(self) -> str:
        """What is sent. Raises InvalidRequest where the file is not as it was when it was looked at."""
        data = self.data
        if data is None:
            assert self.path is not None, "a URL is sent as it is"  # noqa: S101
            data = _read_file(self.path, str(self.path), MAX_FILE_BYTES)
            if _reference(data, str(self.path)) != self.name:
                raise InvalidRequest(f"source image {self.path} has changed while it was in use")
        media_type = describe_source(self.name)["media_type"]
        return f"data:{media_type};base64,{b64encode(data).decode('ascii')}"


def is_reference(name: str) -> bool:
    """Whether an image of a request is sent as data."""
    return _REFERENCE.fullmatch(name) is not None


def describe_source(name: str) -> dict[str, Any]:
    """An image of a request as a JSON object: a URL, or media type, size and SHA-256 of what goes as data."""
    found = _REFERENCE.fullmatch(name)
    if found is None:
        return {"url": name, "media_type": None, "bytes": None, "sha256": None}
    return {"url": None, "media_type": found[1], "bytes": int(found[2]), "sha256": found[3]}


def read_source_images(
    texts: Sequence[str], *, most: int, local: bool, stdin: Callable[[int], bytes]
) -> list[SourceImage]:
    """The images that were named: paths, URLs, and `-` for stdin, of which ``stdin`` reads so many bytes.

    ``local``: the API is on this machine. Raises InvalidRequest that names the image.
    """
    if len(texts) > most:
        raise InvalidRequest(f"{len(texts)} source images were given; at most {most} are taken")
    if texts.count("-") > 1:
        raise InvalidRequest("stdin holds one source image: -i - was given twice")
    found: list[SourceImage] = []
    for text in texts:
        if is_url(text):
            check_source_url(text, local=local)
            found.append(SourceImage(text))
            continue
        data = stdin(MAX_FILE_BYTES + 1) if text == "-" else _read_file(Path(text), text, MAX_FILE_BYTES)
        image = _image(data, "from stdin" if text == "-" else text)
        found.append(image)
        check_total_size([one.name for one in found], text)
    return found


def read_source_image(path: Path, shown: str) -> SourceImage:
    """The image in a regular file, whose bytes are read again when they are sent. Raises InvalidRequest."""
    if path.exists() and not path.is_file():
        raise InvalidRequest(f"source image {shown} is no file")
    data = _read_file(path, shown, MAX_FILE_BYTES)
    return SourceImage(_reference(data, shown), path=path)


def check_total_size(names: Iterable[str], last: str) -> None:
    """Refuse what is too much for one request; ``last`` is the file that came last. Raises InvalidRequest."""
    total = sum(describe_source(name)["bytes"] or 0 for name in names)
    if total > MAX_REQUEST_BYTES:
        raise InvalidRequest(
            f"the source images have {total} bytes together with {last}; one request may have "
            f"{MAX_REQUEST_BYTES}: name some by their URLs",
            code="source_image_too_large",
        )


def is_url(text: str) -> bool:
    return text[:8].lower().startswith(("http://", "https://"))


def check_source_url(url: str, *, local: bool) -> None:
    """Refuse a URL that the service could not fetch, or that would show a secret. Raises InvalidRequest."""
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
    """The body as it is sent, of a request whose references are all in ``images``."""
    urls = [images[name].data_uri() if is_reference(name) else name for name in body["image_urls"]]
    return {**body, "image_urls": urls}


def _image(data: bytes, shown: str) -> SourceImage:
    return SourceImage(_reference(data, shown), data=data)


def _reference(data: bytes, shown: str) -> str:
    if len(data) > MAX_FILE_BYTES:
        raise _too_large(shown, f"more than {MAX_FILE_BYTES}")
    try:
        media_type = inspect(BytesIO(data)).media_type
    except NotAnImage as error:
        # Taken for an image, a file may hold a key.
        raise InvalidRequest(f"source image {shown}: {error.WHAT}") from None
    except DamagedImage as error:
        raise InvalidRequest(f"source image {shown}: {error}") from None
    return f"data:{media_type};bytes={len(data)};sha256={hashlib.sha256(data).hexdigest()}"


def _read_file(path: Path, shown: str, most: int) -> bytes:
    """The file's bytes; a pipe's too, which a shell's `<(…)` is."""
    if not shown:
        raise InvalidRequest("a source image's name is empty", hint=_HINT)
    if _SCHEME.match(shown):
        raise InvalidRequest(
            f"source image {without_query(shown)[:80]} is neither a file nor an http(s) URL", hint=_HINT
        )
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if stat.S_ISREG(status.st_mode) and status.st_size > most:
                raise _too_large(shown, str(status.st_size))
            return file.read(most + 1)
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
