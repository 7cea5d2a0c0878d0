"""HTTP/1.1 over one connection: a request out, its answer in, and so on.

http.client of the standard library takes a head that breaks off for a whole one, a negative length for
none, any transfer coding but chunked for none, and a line that is no header for the body's beginning;
it skips no interim answer but 100, and has no limit for what comes behind the last chunk. All of these
are errors here (RFC 9112). What fails is raised as httpx's error for it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

from .http_library import httpx
from .network import Stream

#: Bytes of an answer's head, of the line before a chunk, and of the trailers, at most.
LARGEST_HEAD = 100 * 1024
#: Bytes that are asked of the system at a time. More take no less time (measured up to 1 MiB), and each
#: piece costs some steps of Python all the way to the disk.
PIECE = 256 * 1024

Headers = list[tuple[bytes, bytes]]

_HEAD_PIECE = 64 * 1024
_ENDS_OF_HEAD = (b"\n\r\n", b"\n\n")
# Tables instead of patterns: compiling those would take longer than all else that is done here at a start.
_DIGITS = b"0123456789"
_HEXADECIMAL = b"0123456789abcdefABCDEF"
_TOKEN = b"!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: What could end a line of a request, or be taken for its end, and what no line of an answer may hold.
_CONTROLS = bytes([*range(9), *range(10, 32), 127])
_ENDS = b"\0\n\v\f\r"


class Request:
    """What is sent: ``head``, then the pieces of ``body``, whose length is told by the headers.

    ``target`` is what the first line asks for. Raises LocalProtocolError for what no request can carry,
    without repeating it: it may be a key.
    """

    def __init__(self, method: bytes, target: bytes, headers: Headers, body: Iterable[bytes] = ()) -> None:
        lines = [b"%b %b HTTP/1.1" % (method, target), *(b"%b: %b" % pair for pair in headers)]
        if b" " in target or any(_holds(line, _CONTROLS) for line in lines):
            raise httpx.LocalProtocolError("a header or the target holds what no request can carry")
        self.method = method
        self.head = b"\r\n".join([*lines, b"", b""])
        self.body = body


class Head:
    """How an answer begins: ``version`` (such as b"1.1"), ``status``, ``reason`` and ``headers``."""

    def __init__(self, version: bytes, status: int, reason: bytes, headers: Headers) -> None:
        self.version = version
        self.status = status
        self.reason = reason
        self.headers = headers

    def values(self, name: bytes) -> list[bytes]:
        """The comma-separated values of a header, in lower case."""
        found = [value for key, value in self.headers if key.lower() == name]
        return [part.strip(b" \t").lower() for value in found for part in value.split(b",")]

    @property
    def length(self) -> int | None:
        """The bytes that Content-Length announces. Raises RemoteProtocolError for one that is none."""
        lengths = set(self.values(b"content-length"))
        if not lengths:
            return None
        length = lengths.pop()
        if lengths or not 0 < len(length) < 20 or not _is_made_of(length, _DIGITS):
            raise httpx.RemoteProtocolError("the answer's length is no length")
        return int(length)


class Conversation:
    """Requests and their answers on one connection, one at a time."""

    def __init__(self, stream: Stream) -> None:
        self.stream = stream
        #: Whether the answer has been read whole and another request may follow.
        self.reusable = False
        self._source = _Source(stream)
        self._body: Iterator[bytes] = iter(())
        self._keep = False

    def ask(self, request: Request, *, write: float | None, read: float | None) -> Head:
        """Send a request; how its answer begins.

        ``write`` and ``read``: seconds without a byte in that direction.
        """
        self.reusable = False
        self._source.timeout = read
        # A server may say no and close before it has read everything: its answer tells why.
        with suppress(httpx.WriteError):
            self._send(request, write)
        answer = self._source.head()
        while answer.status < 200 and answer.status != 101:
            answer = self._source.head()
        closing = b"close" in answer.values(b"connection")
        self._keep = not closing and answer.version != b"1.0"
        self._body = self._framed(request, answer)
        return answer

    def body(self) -> Iterator[bytes]:
        """The answer's body as it comes. Raises RemoteProtocolError where it is not all of it."""
        yield from self._body
        self._end()

    def _end(self) -> None:
        # What came beyond an answer that nobody asked for belongs to no later one.
        self.reusable = self._keep and not self._source.left

    def _send(self, request: Request, timeout: float | None) -> None:
        waiting = request.head
        for piece in request.body:
            # A small request leaves as one packet.
            if len(waiting) + len(piece) <= _HEAD_PIECE:
                waiting += piece
            else:
                self.stream.write(waiting, timeout)
                waiting = piece
        self.stream.write(waiting, timeout)

    def _framed(self, request: Request, answer: Head) -> Iterator[bytes]:
        """The body, by what the head says of its end."""
        codings, length = answer.values(b"transfer-encoding"), answer.length
        if codings not in ([], [b"chunked"]):
            raise httpx.RemoteProtocolError("the answer comes in an unknown transfer coding")
        if answer.status == 101 or (request.method == b"CONNECT" and 200 <= answer.status < 300):
            self._keep = False
            return iter(())
        if answer.status in (204, 304):
            length = 0
        elif codings:
            return self._source.chunks()
        if length is None:
            self._keep = False
            return self._source.everything()
        if length == 0:
            self._end()
        return self._source.exactly(length)


class _Source:
    """What a connection brings, and what has come already."""

    def __init__(self, stream: Stream) -> None:
        self.timeout: float | None = None
        self._stream = stream
        self._data = b""
        self._at = 0

    @property
    def left(self) -> bool:
        """Whether more has come than was taken."""
        return self._at < len(self._data)

    def head(self) -> Head:
        first, _, rest = self._until(*_ENDS_OF_HEAD, begins=b"HTTP/1.").partition(b"\n")
        protocol, _, told = first.removesuffix(b"\r").partition(b" ")
        status, _, reason = told.partition(b" ")
        version = protocol.removeprefix(b"HTTP/")
        if (
            not (len(version) == len(status) == 3 and version.startswith(b"1.") and version[2:].isdigit())
            or not _is_made_of(status, _DIGITS)
            or status < b"100"
            or _holds(reason, _ENDS)
        ):
            raise httpx.RemoteProtocolError("the answer does not begin as one of HTTP/1.1")
        if b"\n " in rest or b"\n\t" in rest:
            # A line that begins with a blank continues the one before.
            rest = re.sub(rb"\r?\n[ \t]+", b" ", rest)
        return Head(version, int(status), reason, [_field(line) for line in rest.split(b"\n") if rest])

    def exactly(self, count: int) -> Iterator[bytes]:
        while count:
            piece = self._some(count)
            if not piece:
                raise httpx.RemoteProtocolError(f"the answer's body ends {count} bytes early")
            count -= len(piece)
            yield piece

    def everything(self) -> Iterator[bytes]:
        while piece := self._some(PIECE):
            yield piece

    def chunks(self) -> Iterator[bytes]:
        while size := self._size_of_chunk():
            yield from self.exactly(size)
            if self._until(b"\r\n"):
                raise httpx.RemoteProtocolError("a chunk of the answer is longer than it says")
        trailers = 0
        while line := self._until(b"\r\n"):
            _field(line)
            trailers += len(line) + 2
            if trailers > LARGEST_HEAD:
                raise httpx.RemoteProtocolError("there is too much behind the answer's last chunk")

    def _size_of_chunk(self) -> int:
        size = self._until(b"\r\n").partition(b";")[0].rstrip(b" \t")
        if not 0 < len(size) <= 16 or not _is_made_of(size, _HEXADECIMAL):
            raise httpx.RemoteProtocolError("a chunk of the answer has no length")
        return int(size, 16)

    def _some(self, most: int) -> bytes:
        """A piece of at most so many bytes; none at the connection's end."""
        if not self.left:
            return self._stream.read(min(most, PIECE), self.timeout)
        piece = self._data[self._at : self._at + most]
        self._at += len(piece)
        return piece

    def _until(self, *marks: bytes, begins: bytes = b"") -> bytes:
        """What comes before the first of the marks, and that is taken. ``begins``: how it must begin."""
        searched = self._at
        while not (found := [(at, mark) for mark in marks if (at := self._data.find(mark, searched)) >= 0]):
            so_far = self._data[self._at :]
            if len(so_far) > LARGEST_HEAD:
                raise httpx.RemoteProtocolError("the answer's head has no end")
            if not so_far.startswith(begins[: len(so_far)]):
                raise httpx.RemoteProtocolError("what came is no answer of HTTP/1.1")
            more = self._stream.read(_HEAD_PIECE, self.timeout)
            if not more:
                raise httpx.RemoteProtocolError("the connection ended within the answer, or before it")
            self._data, self._at = so_far + more, 0
            # A mark may have begun in what was there before.
            searched = max(0, len(so_far) - 2)
        at, mark = min(found)
        taken = self._data[self._at : at]
        self._at = at + len(mark)
        return taken


def _field(line: bytes) -> tuple[bytes, bytes]:
    name, colon, value = line.removesuffix(b"\r").partition(b":")
    if not name or not colon or not _is_made_of(name, _TOKEN) or _holds(value, _ENDS):
        raise httpx.RemoteProtocolError("a line of the answer's head is no header")
    return name, value.strip(b" \t")


def _is_made_of(text: bytes, characters: bytes) -> bool:
    return not text.translate(None, characters)


def _holds(text: bytes, characters: bytes) -> bool:
    return len(text.translate(None, characters)) < len(text)
