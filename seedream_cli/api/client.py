"""A thin client of the API: three calls and the download of images, without retries.

The API key goes to the base URL and nowhere else. Images are downloaded by a second HTTP client that does not
have the key. Source of the calls: the API reference at docs.apipod.ai.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct
from msgspec.structs import replace

from .. import __version__
from ..errors import ImageRefused, InvalidResponse, NotSaved, RedirectRefused, Unreachable, UsageError
from ..events import HttpCall
from ..history.request_bodies import encode_body
from ..models import Accepted, Task
from ..text import redact
from ..urls import check_image_url, is_loopback, without_query
from .http import HttpClient, Response
from .responses import RawResponse, read_accepted, read_account, read_task

#: Bytes that a JSON response may have, compressed and decompressed.
MAX_RESPONSE_BYTES = 1024 * 1024
#: Redirects that the URL of an image may take.
MAX_REDIRECTS = 5
#: HTTP statuses that redirect.
_REDIRECTS = (301, 302, 303, 307, 308)
#: Seconds that one call of the API may take.
API_TIMEOUT = 30.0
#: Seconds that the download of one image may take.
IMAGE_TIMEOUT = 600.0


class ImageStream(Struct, frozen=True):
    """The bytes of an image. ``length`` is the number of bytes that the server announced."""

    length: int | None
    chunks: Iterator[bytes]


class Client:
    """The API at ``base_url`` with ``key``. Threads may share it.

    ``now`` returns Unix seconds. ``observe`` gets every HTTP call, for ``--verbose``. Raises UsageError for a
    base URL that cannot be used, and for a proxy or certificate setting that cannot.
    """

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        now: Callable[[], float] = time.time,
        observe: Callable[[HttpCall], None] = lambda call: None,
    ) -> None:
        try:
            parts = urlsplit(base_url)
            _ = parts.port  # Raises ValueError for an invalid port.
        except ValueError:
            raise UsageError("the base URL is no URL") from None
        self._base = base_url.rstrip("/")
        self._local = is_loopback(parts.hostname or "")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._local):
            raise UsageError("the base URL must be https: over plain http anyone could read the key")
        # Redacted in responses: a server may repeat the key, which must not reach a log or the history.
        self._secret = key
        self._now = now
        self._observe = observe
        headers = {"User-Agent": f"seedream/{__version__}", "Accept-Encoding": "identity"}
        self._api = HttpClient({**headers, "Authorization": f"Bearer {key}", "Accept": "application/json"})
        self._images = HttpClient(headers)
        # A setting that cannot be used must be found before anything is paid for.
        self._api.prepare(self._base)

    def close(self) -> None:
        self._api.close()
        self._images.close()

    def submit(
        self,
        body: Mapping[str, Any],
        idempotency_key: str,
        *,
        content: bytes | None = None,
        seconds: float = API_TIMEOUT,
    ) -> Accepted:
        """Create a task. The live service creates no second task for the same key and body.

        ``content`` is the encoded body, for a ``body`` that has references to images instead of their bytes.
        """
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        if content is None:
            content = encode_body(body)
        response = self._call("POST", "/images/generations", seconds, content=content, headers=headers)
        return read_accepted(response, model=str(body.get("model")))

    def get_task(self, task_id: str, *, seconds: float = API_TIMEOUT) -> Task:
        """Return the state of a task. Any character of its ID is percent-encoded: IDs are opaque."""
        name = quote(task_id, safe="", errors="surrogateescape")
        if task_id in (".", ".."):
            # quote() leaves dots as they are, and these two would be resolved as parts of the path.
            name = task_id.replace(".", "%2E")
        return read_task(self._call("GET", f"/images/status/{name}", seconds), task_id=task_id)

    def get_account(self) -> Mapping[str, Any]:
        """Return the fields of the account probe. Its body is not documented."""
        return read_account(self._call("GET", "/account/status", API_TIMEOUT))

    @contextmanager
    def stream_image(self, url: str, *, seconds: float = IMAGE_TIMEOUT) -> Iterator[ImageStream]:
        """Yield the bytes of an image, requested without the key and without cookies. They are unverified.

        Follows at most MAX_REDIRECTS redirects. Raises ImageRefused for an HTTP error, Unreachable if the
        connection fails or breaks, and NotSaved for a URL that may not be fetched.
        """
        deadline = time.monotonic() + seconds
        for _ in range(MAX_REDIRECTS + 1):
            check_image_url(url, local=self._local)
            try:
                self._images.prepare(url)
            except UsageError as error:
                # Not a usage error here: the task is paid for, and can be resumed once the setting is right.
                raise NotSaved(error.message, code=error.code) from None
            left = max(deadline - time.monotonic(), 0.001)
            with (
                self._observed("GET", url) as set_response,
                self._images.stream("GET", url, seconds=left) as response,
            ):
                head = RawResponse(response.status, response.headers, b"", self._now(), self._secret)
                set_response(head)
                location = response.headers.get("location")
                if location is None or response.status not in _REDIRECTS:
                    yield _image_stream(response, head)
                    return
            try:
                url = urljoin(url, location)
            except ValueError:
                raise NotSaved("the image's address redirects to no URL") from None
        raise NotSaved(f"the image's address redirects more than {MAX_REDIRECTS} times")

    def _call(
        self,
        method: str,
        path: str,
        seconds: float,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RawResponse:
        """Call the API and return its response, whatever its status is. Raises RedirectRefused for 3xx."""
        url = self._base + path
        with (
            self._observed(method, url) as set_response,
            self._api.stream(method, url, seconds=seconds, content=content, headers=headers) as response,
        ):
            redacted = {name.lower(): redact(value, self._secret) for name, value in response.headers.items()}
            head = RawResponse(response.status, redacted, b"", self._now(), self._secret)
            set_response(head)
            raw = replace(head, body=_read_body(response, head.request_id), at=self._now())
        if 300 <= raw.status < 400:
            raise RedirectRefused(
                f"the API redirects to {_redirect_host(raw.headers.get('location'), url)} "
                f"(HTTP {raw.status}); the key is not carried there",
                http_status=raw.status,
                request_id=raw.request_id,
            )
        return raw

    @contextmanager
    def _observed(self, method: str, url: str) -> Iterator[Callable[[RawResponse], None]]:
        """Report one HTTP call to the observer when the block ends. The block sets the response."""
        started = time.monotonic()
        response: RawResponse | None = None
        problem: Unreachable | None = None

        def set_response(received: RawResponse) -> None:
            nonlocal response
            response = received

        try:
            yield set_response
        except Unreachable as error:
            problem = error
            raise
        finally:
            self._observe(
                HttpCall(
                    method=method,
                    url=without_query(url),
                    status=response.status if response else None,
                    seconds=time.monotonic() - started,
                    request_id=response.request_id if response else None,
                    problem=problem.message if problem else None,
                )
            )


def _image_stream(response: Response, head: RawResponse) -> ImageStream:
    """Return the image of a response. Raises ImageRefused for any status but 200, NotSaved if compressed."""
    if response.status != 200:
        raise ImageRefused(
            f"the image's host answered with HTTP {response.status}",
            http_status=response.status,
            retry_after=head.retry_after,
        )
    if response.headers.get("content-encoding", "").lower() not in ("", "identity"):
        raise NotSaved("the image came compressed, although that was not asked for")
    length = response.headers.get("content-length", "")
    # Content-Length is ignored if there is a Transfer-Encoding (RFC 9112, section 6.3).
    is_known = length.isdecimal() and "transfer-encoding" not in response.headers
    return ImageStream(int(length) if is_known else None, response.chunks)


def _read_body(response: Response, request_id: str | None) -> bytes:
    """Return the decompressed body. Raises InvalidResponse if it has more than MAX_RESPONSE_BYTES.

    The status of an error response is enough: its body is cut where it is too long or badly compressed.
    """
    encoding = response.headers.get("content-encoding", "identity").lower()
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding in ("gzip", "x-gzip", "deflate") else None
    body = bytearray()
    received = 0
    for chunk in response.chunks:
        received += len(chunk)
        problem = None
        try:
            # One byte more than the limit shows that it was exceeded; a zip bomb is not decompressed further.
            body += unzip.decompress(chunk, MAX_RESPONSE_BYTES + 1) if unzip else chunk
        except zlib.error:
            problem = "it is badly compressed"
        # Both count: bytes after the end of the compressed data are collected by zlib, not decompressed.
        if max(len(body), received) > MAX_RESPONSE_BYTES:
            problem = "it is larger than 1 MiB"
        if problem is not None:
            if not 200 <= response.status < 300:
                break
            raise InvalidResponse(
                f"the API's answer could not be read: {problem}",
                http_status=response.status,
                request_id=request_id,
            )
    return bytes(body[:MAX_RESPONSE_BYTES])


def _redirect_host(location: str | None, url: str) -> str:
    """Return the host that ``url`` redirects to, without anything of the URL that may be secret."""
    try:
        return (urlsplit(urljoin(url, location)).hostname if location else None) or "nowhere"
    except ValueError:
        return "nowhere"
