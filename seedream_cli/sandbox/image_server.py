"""The image server: signed URLs that expire, like those of an object store."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, quote, unquote, urlencode
from xml.sax.saxutils import escape

from msgspec import Struct

from . import faults as known
from .faults import Fault, Faults
from .picture import PillowMissing
from .responses import Mishap, Refusal
from .store import Store

_PREFIX = "/results/"
_CACHED = 8
_REDIRECTED = "redirected"

Draw = Callable[[dict[str, object]], bytes]


class Reply(Struct, frozen=True):
    """An HTTP response with its bytes. With a ``mishap``, it does not arrive like this."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    mishap: Mishap | None = None


def signed_url(origin: str, secret: bytes, task_id: str, number: int, expires: float) -> str:
    """Return the signed URL of a task's image. ``expires`` is in Unix seconds."""
    path = f"{_PREFIX}{quote(task_id, safe='')}/{number}.png"
    until = f"{expires:.3f}"
    return f"{origin}{path}?{urlencode({'expires': until, 'signature': _signature(secret, path, until)})}"


def _signature(secret: bytes, path: str, expires: str) -> str:
    return hmac.new(secret, f"GET\n{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


class _Rejected(Exception):
    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.refusal = Refusal(status, code, message)


class ImageServer:
    """Serves the images of a store's tasks under signed URLs."""

    def __init__(self, store: Store, *, clock: Callable[[], float], faults: Faults, draw: Draw) -> None:
        self._store = store
        self._clock = clock
        self._faults = faults
        self._draw = draw
        self._drawing = threading.Lock()
        self._drawn: OrderedDict[str, bytes] = OrderedDict()

    def answer(self, method: str, target: str, headers: Mapping[str, str]) -> Reply:
        """Answer a request. ``target`` is the path with its query, percent-encoded."""
        path, _, query = target.partition("?")
        fields = dict(parse_qsl(query))
        fault = self._faults.take(
            known.IMAGE, lambda fault: fault.name != known.IMAGE_REDIRECT or _REDIRECTED not in fields
        )
        try:
            if fault is not None and fault.refusal is not None:
                refusal = fault.refusal
                raise _Rejected(refusal.status, refusal.code, refusal.message)
            body = self._body(method, path, fields, headers)
        except _Rejected as rejected:
            return _error_reply(rejected.refusal)
        return _reply(fault, target, body)

    def _body(self, method: str, path: str, fields: Mapping[str, str], headers: Mapping[str, str]) -> bytes:
        if method != "GET":
            raise _Rejected(405, "MethodNotAllowed", "The specified method is not allowed.")
        if "authorization" in headers:
            # Object stores refuse a second kind of credentials. This detects a client that sends its API key
            # to the image host.
            raise _Rejected(400, "InvalidArgument", "Only one auth mechanism allowed")
        if not path.startswith(_PREFIX):
            raise _Rejected(404, "NoSuchKey", "The specified key does not exist.")
        self._check_link(path, fields)
        task_id = unquote(path.removeprefix(_PREFIX).rpartition("/")[0])
        return self._image(task_id)

    def _check_link(self, path: str, fields: Mapping[str, str]) -> None:
        expires = fields.get("expires", "")
        expected = _signature(self._store.secret, path, expires)
        # As bytes, because compare_digest() refuses non-ASCII text.
        if not hmac.compare_digest(expected.encode(), fields.get("signature", "").encode(errors="replace")):
            raise _Rejected(403, "SignatureDoesNotMatch", "The request signature does not match.")
        if self._clock() >= float(expires):
            raise _Rejected(403, "AccessDenied", "Request has expired")

    def _image(self, task_id: str) -> bytes:
        # One picture at a time: drawing a 4K picture takes hundreds of megabytes.
        with self._drawing:
            if (image := self._drawn.get(task_id)) is not None:
                self._drawn.move_to_end(task_id)
                return image
            task = self._store.find(task_id)
            if task is None:
                raise _Rejected(404, "NoSuchKey", "The specified key does not exist.")
            try:
                image = self._draw(dict(task.body))
            except PillowMissing as missing:
                raise _Rejected(500, "InternalError", str(missing)) from missing
            self._drawn[task_id] = image
            if len(self._drawn) > _CACHED:
                self._drawn.popitem(last=False)
            return image


def _reply(fault: Fault | None, target: str, image: bytes) -> Reply:
    if fault is not None and fault.name == known.IMAGE_REDIRECT:
        return Reply(302, {"Location": f"{target}&{_REDIRECTED}=1"}, b"")
    return Reply(200, {"Content-Type": "image/png"}, image, None if fault is None else fault.mishap)


def _error_reply(refusal: Refusal) -> Reply:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message></Error>\n"
    )
    return Reply(refusal.status, {"Content-Type": "application/xml"}, text.encode())
