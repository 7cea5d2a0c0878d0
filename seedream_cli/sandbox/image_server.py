"""The image server: signed URLs that expire, like those of an object store."""

from __future__ import annotations

import hashlib
import hmac
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from urllib.parse import parse_qsl, quote, unquote, urlencode
from xml.sax.saxutils import escape

from . import faults as fault_names
from .faults import Faults
from .picture import PillowMissing
from .responses import ApiError, HttpResponse, Refusal
from .store import Store

_PREFIX = "/results/"
#: Images that are kept in memory, the latest used ones.
_MAX_CACHED_IMAGES = 8
#: Query field of a URL to which an earlier request was redirected.
_REDIRECTED = "redirected"

#: Request body → the bytes of its image.
Draw = Callable[[dict[str, object]], bytes]


def signed_url(origin: str, secret: bytes, task_id: str, number: int, expires: float) -> str:
    """Return the signed URL of a task's image. ``expires`` is in Unix seconds."""
    path = f"{_PREFIX}{quote(task_id, safe='')}/{number}.png"
    until = f"{expires:.3f}"
    return f"{origin}{path}?{urlencode({'expires': until, 'signature': _signature(secret, path, until)})}"


def _signature(secret: bytes, path: str, expires: str) -> str:
    return hmac.new(secret, f"GET\n{path}\n{expires}".encode(), hashlib.sha256).hexdigest()


class ImageServer:
    """Serves the images of a store's tasks under signed URLs."""

    def __init__(self, store: Store, *, clock: Callable[[], float], faults: Faults, draw: Draw) -> None:
        self._store = store
        self._clock = clock
        self._faults = faults
        self._draw = draw
        self._draw_lock = threading.Lock()
        self._cache: OrderedDict[str, bytes] = OrderedDict()

    def respond(self, method: str, target: str, headers: Mapping[str, str]) -> HttpResponse:
        """Respond to a request. ``target`` is the path with its query, percent-encoded."""
        path, _, query = target.partition("?")
        fields = dict(parse_qsl(query))
        # A redirected request would otherwise be redirected again, without end.
        fault = self._faults.next_fault(
            fault_names.IMAGE,
            lambda fault: fault.name != fault_names.IMAGE_REDIRECT or _REDIRECTED not in fields,
        )
        if fault is not None and fault.refusal is not None:
            return _error_response(fault.refusal)
        try:
            task_id = self._check_request(method, path, fields, headers)
            image = self._image(task_id)
        except ApiError as error:
            return _error_response(error.refusal)
        if fault is not None and fault.name == fault_names.IMAGE_REDIRECT:
            return HttpResponse(302, {"Location": f"{target}&{_REDIRECTED}=1"}, b"")
        mishap = None if fault is None else fault.mishap
        return HttpResponse(200, {"Content-Type": "image/png"}, image, mishap)

    def _check_request(
        self, method: str, path: str, fields: Mapping[str, str], headers: Mapping[str, str]
    ) -> str:
        """Return the id of the task whose image is asked for. Raises ApiError as an object store refuses."""
        if method != "GET":
            raise ApiError(405, "MethodNotAllowed", "The specified method is not allowed.")
        if "authorization" in headers:
            # Object stores refuse a second kind of credentials. This detects a client that sends its API key
            # to the image host.
            raise ApiError(400, "InvalidArgument", "Only one auth mechanism allowed")
        if not path.startswith(_PREFIX):
            raise ApiError(404, "NoSuchKey", "The specified key does not exist.")
        expires = fields.get("expires", "")
        expected = _signature(self._store.secret, path, expires)
        # As bytes, because compare_digest() refuses non-ASCII text.
        if not hmac.compare_digest(expected.encode(), fields.get("signature", "").encode(errors="replace")):
            raise ApiError(403, "SignatureDoesNotMatch", "The request signature does not match.")
        if self._clock() >= float(expires):
            raise ApiError(403, "AccessDenied", "Request has expired")
        return unquote(path.removeprefix(_PREFIX).rpartition("/")[0])

    def _image(self, task_id: str) -> bytes:
        """Return the image of a task, drawn when it is first asked for. Raises ApiError."""
        # One picture at a time: drawing a 4K picture takes hundreds of megabytes.
        with self._draw_lock:
            if (image := self._cache.get(task_id)) is not None:
                self._cache.move_to_end(task_id)
                return image
            task = self._store.find(task_id)
            if task is None:
                raise ApiError(404, "NoSuchKey", "The specified key does not exist.")
            try:
                image = self._draw(dict(task.body))
            except PillowMissing as missing:
                raise ApiError(500, "InternalError", str(missing)) from missing
            self._cache[task_id] = image
            if len(self._cache) > _MAX_CACHED_IMAGES:
                self._cache.popitem(last=False)
            return image


def _error_response(refusal: Refusal) -> HttpResponse:
    text = (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<Error><Code>{refusal.code}</Code><Message>{escape(refusal.message)}</Message></Error>\n"
    )
    return HttpResponse(refusal.status, {"Content-Type": "application/xml"}, text.encode())
