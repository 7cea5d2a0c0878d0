"""The thin client of the API: four calls, no retries.

The key goes to the API's base URL and nowhere else: images are fetched by a second client that
does not have it. Source of the calls: the API's reference at docs.apipod.ai.
"""

from __future__ import annotations

import time
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any
from urllib.parse import quote, urljoin, urlsplit

from msgspec import Struct

from .. import __version__
from ..errors import ImageRefused, InvalidResponse, NotSaved, RedirectRefused, Unreachable, UsageError
from ..events import HttpCall
from ..history.request_bodies import encode_body
from ..models import Accepted, Task
from ..text import redact
from ..urls import check_image_url, is_loopback, without_query
from .http import HttpClient, Response
from .responses import RawResponse, read_accepted, read_account, read_request_id, read_retry_after, read_task

#: Bytes of a JSON answer that are read at most.
MAX_RESPONSE_BYTES = 1024 * 1024
#: Hops that an image's URL may take.
MAX_REDIRECTS = 5
_REDIRECTS = (301, 302, 303, 307, 308)
#: Seconds that one call of the API may take, and that one image may take.
API_TIMEOUT = 30.0
IMAGE_TIMEOUT = 600.0


class ImageStream(Struct, frozen=True):
    """The bytes of an image; ``length`` is what the server announced."""

    length: int | None
    chunks: Iterator[bytes]


class Client:
    """The API at ``base_url`` with ``key``. Safe to share between threads."""

    def __init__(
        self,
        base_url: str,
        key: str,
        *,
        now: Callable[[], float] = time.time,
        observe: Callable[[HttpCall], None] = lambda exchange: None,
    ) -> None:
        try:
            parts = urlsplit(base_url)
            _ = parts.port  # Raises ValueError where it is none.
        except ValueError:
            raise UsageError("the base URL is no URL") from None
        self._base = base_url.rstrip("/")
        self._local = is_loopback(parts.hostname or "")
        if parts.scheme != "https" and not (parts.scheme == "http" and self._local):
            raise UsageError("the base URL must be https: over plain http anyone could read the key")
        # A server that repeats the key in its message must not bring it into a log or the history.
        self._secret = key
        self._now = now
        self._observe = observe
        agent = {"User-Agent": f"seedream/{__version__}", "Accept-Encoding": "identity"}
        self._api = HttpClient({**agent, "Authorization": f"Bearer {key}", "Accept": "application/json"})
        self._images = HttpClient(agent)
        # Before anything is paid for.
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
        """Create a task. Repeating it with the same key and body creates none anew (live dialect).

        ``content`` is the body as bytes, where ``body`` has references in the place of images.
        """
        if content is None:
            content = encode_body(body)
        headers = {"Content-Type": "application/json", "Idempotency-Key": idempotency_key}
        answer = self._call("POST", "/images/generations", seconds, content=content, headers=headers)
        return read_accepted(answer, model=str(body.get("model")))

    def get_task(self, task_id: str, *, seconds: float = API_TIMEOUT) -> Task:
        """The state of a task. Ids are opaque: they are percent-encode_body whole."""
        name = quote(task_id, safe="", errors="surrogateescape")
        if task_id in (".", ".."):
            # These would be taken for steps of the path.
            name = task_id.replace(".", "%2E")
        answer = self._call("GET", f"/images/status/{name}", seconds)
        return read_task(answer, task_id=task_id)

    def get_account(self) -> Mapping[str, Any]:
        """What the account probe holds; its body is not documented."""
        return read_account(self._call("GET", "/account/status", API_TIMEOUT))

    def _call(
        self,
        method: str,
        path: str,
        seconds: float,
        *,
        content: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> RawResponse:
        url = self._base + path
        with (
            self._exchange(method, url) as seen,
            self._api.stream(method, url, seconds=seconds, content=content, headers=headers) as response,
        ):
            seen(response)
            told = {name.lower(): redact(value, self._secret) for name, value in response.headers.items()}
            answer = RawResponse(
                status=response.status,
                headers=told,
                body=_read_limited(response, read_request_id(told)),
                at=self._now(),
                secret=self._secret,
            )
        if 300 <= answer.status < 400:
            raise RedirectRefused(
                f"the API redirects to {_host_of(answer.headers.get('location'), url)} "
                f"(HTTP {answer.status}); the key is not carried there",
                http_status=answer.status,
                request_id=answer.request_id,
            )
        return answer

    @contextmanager
    def stream_image(self, url: str, *, seconds: float = IMAGE_TIMEOUT) -> Iterator[ImageStream]:
        """The bytes of a result, without the key and without cookies; at most MAX_REDIRECTS hops.

        Raises ImageRefused for an HTTP error, Unreachable when the connection fails or breaks, and
        NotSaved for a URL that may not be fetched. The bytes are unverified.
        """
        deadline = time.monotonic() + seconds
        for _ in range(MAX_REDIRECTS + 1):
            self._check_image(url)
            left = max(deadline - time.monotonic(), 0.001)
            with (
                self._exchange("GET", url) as seen,
                self._images.stream("GET", url, seconds=left) as response,
            ):
                seen(response)
                location = response.headers.get("location")
                if location is None or response.status not in _REDIRECTS:
                    yield _image(response, self._now())
                    return
            try:
                url = urljoin(url, location)
            except ValueError:
                raise NotSaved("the image's address redirects to no URL") from None
        raise NotSaved(f"the image's address redirects more than {MAX_REDIRECTS} times")

    def _check_image(self, url: str) -> None:
        check_image_url(url, local=self._local)
        try:
            self._images.prepare(url)
        except UsageError as error:
            # The task is paid for: a proxy setting that cannot be used only keeps its image away.
            raise NotSaved(error.message, code=error.code) from None

    @contextmanager
    def _exchange(self, method: str, url: str) -> Iterator[Callable[[Response], None]]:
        """Report one HTTP call."""
        started = time.monotonic()
        response: Response | None = None
        problem: Unreachable | None = None

        def seen(answered: Response) -> None:
            nonlocal response
            response = answered

        try:
            yield seen
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
                    request_id=read_request_id(response.headers, self._secret) if response else None,
                    problem=problem.message if problem else None,
                )
            )


def _image(response: Response, now: float) -> ImageStream:
    if response.status != 200:
        raise ImageRefused(
            f"the image's host answered with HTTP {response.status}",
            http_status=response.status,
            retry_after=read_retry_after(response.headers.get("retry-after"), now),
        )
    if response.headers.get("content-encoding", "").lower() not in ("", "identity"):
        raise NotSaved("the image came compressed, although that was not asked for")
    length = response.headers.get("content-length", "")
    # A length beside chunks is to be ignored (RFC 9112, section 6.3).
    known = length.isdecimal() and "transfer-encoding" not in response.headers
    return ImageStream(int(length) if known else None, response.chunks)


def _read_limited(response: Response, request_id: str | None) -> bytes:
    """The answer's bytes, decompressed, at most MAX_RESPONSE_BYTES of them (more are no answer of this API).

    An answer that is no success says enough with its status: its body is then read as far as it goes.
    """
    encoding = response.headers.get("content-encoding", "identity").lower()
    unzip = zlib.decompressobj(zlib.MAX_WBITS | 32) if encoding in ("gzip", "x-gzip", "deflate") else None
    body = bytearray()
    received = 0
    for chunk in response.chunks:
        received += len(chunk)
        problem = None
        try:
            # One byte beyond the limit is enough to know that it was passed.
            body += unzip.decompress(chunk, MAX_RESPONSE_BYTES + 1) if unzip else chunk
        except zlib.error:
            problem = "it is badly compressed"
        # What is compressed may go on behind its end, where zlib keeps it: both sides count.
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


def _host_of(location: str | None, url: str) -> str:
    """The host that a redirect of ``url`` points to, as it may be named."""
    try:
        return (urlsplit(urljoin(url, location)).hostname if location else None) or "nowhere"
    except ValueError:
        return "nowhere"
