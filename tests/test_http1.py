"""HTTP/1.1 on one connection: byte for byte, and against what httpx's own transport makes of the same."""

from __future__ import annotations

import httpcore
import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedream_cli.http1 import LARGEST_HEAD, Conversation, Head, Request
from seedream_cli.network import Stream

GET = Request(b"GET", b"/1.png", [(b"Host", b"img.test")])


class Given(Stream):
    """Brings these pieces, then its end or nothing more; keeps what is written, or breaks at it."""

    def __init__(self, *pieces: bytes, broken: bool = False, silent: bool = False) -> None:
        self.pieces = list(pieces)
        self.written: list[bytes] = []
        self.asked: list[int] = []
        self._broken = broken
        self._silent = silent

    def read(self, most: int, timeout: float | None = None) -> bytes:
        self.asked.append(most)
        if not self.pieces:
            if self._silent:
                raise httpx.ReadTimeout("nothing comes")
            return b""
        piece, self.pieces[0] = self.pieces[0][:most], self.pieces[0][most:]
        if not self.pieces[0]:
            del self.pieces[0]
        return piece

    def write(self, data: bytes, timeout: float | None = None) -> None:
        if self._broken:
            raise httpx.WriteError("it left")
        self.written.append(data)


def asked(*pieces: bytes, silent: bool = False) -> tuple[Conversation, Head, bytes]:
    """A conversation after one request, how its answer began, and its body."""
    conversation = Conversation(Given(*pieces, silent=silent))
    head = conversation.ask(GET, write=None, read=None)
    return conversation, head, b"".join(conversation.body())


OK = b"HTTP/1.1 200 OK\r\n"


# Requests


def test_a_small_request_leaves_at_once() -> None:
    stream = Given(OK + b"Content-Length: 0\r\n\r\n")
    headers = [(b"Host", b"api.test"), (b"Content-Length", b"2")]
    Conversation(stream).ask(Request(b"POST", b"/v1", headers, [b"{}"]), write=None, read=None)
    assert stream.written == [b"POST /v1 HTTP/1.1\r\nHost: api.test\r\nContent-Length: 2\r\n\r\n{}"]


def test_a_large_body_leaves_as_it_is() -> None:
    stream, body = Given(OK + b"Content-Length: 0\r\n\r\n"), bytes(1_000_000)
    Conversation(stream).ask(Request(b"POST", b"/v1", [], [body]), write=None, read=None)
    assert stream.written[1] is body


def test_a_server_that_says_no_before_it_has_read_everything_is_heard() -> None:
    conversation = Conversation(Given(b"HTTP/1.1 413 Too Large\r\n\r\n", broken=True))
    assert conversation.ask(GET, write=None, read=None).status == 413


@pytest.mark.parametrize("text", [b"a\r\nX: y", b"a\nb", b"a\0", b"a\x7f"])
def test_what_would_end_a_line_is_not_sent_and_not_repeated(text: bytes) -> None:
    for target, headers in ((text, []), (b"/", [(b"A", text)]), (b"/", [(text, b"a")]), (b"/a b", [])):
        with pytest.raises(httpx.LocalProtocolError) as caught:
            Request(b"GET", target, headers)
        assert repr(text)[2:-1] not in str(caught.value)


# Answers


@pytest.mark.parametrize(
    ("more", "body"),
    [
        pytest.param([b"Content-Length: 5\r\n\r\nimage"], b"image", id="a length"),
        pytest.param([b"Content-Length: 5, 5\r\n\r\nim", b"age"], b"image", id="the same length twice"),
        pytest.param([b"Content-Length: 0\r\n\r\n"], b"", id="no bytes"),
        pytest.param(
            [b"Transfer-Encoding: Chunked\r\n\r\n2;x=y\r\nim\r\n003 \r\nage\r\n0\r\n\r\n"],
            b"image",
            id="chunks",
        ),
        pytest.param(
            [b"Transfer-Encoding: chunked\r\n\r\n5\r", b"\nimage\r", b"\n0\r\nA: b\r\n\r", b"\n"],
            b"image",
            id="chunks and trailers in pieces",
        ),
        pytest.param([b"Content-Length: 5\r\n", b"\r", b"\ni", b"mage"], b"image", id="a head in pieces"),
    ],
)
def test_an_answer_that_tells_its_end_leaves_the_connection_to_another(
    more: list[bytes], body: bytes
) -> None:
    conversation, head, received = asked(OK + more[0], *more[1:])
    assert (head.status, head.reason, received) == (200, b"OK", body)
    assert conversation.reusable


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(OK + b"\r\nimage", id="no length"),
        pytest.param(OK + b"Connection: x, Close\r\nContent-Length: 5\r\n\r\nimage", id="it says so"),
        pytest.param(b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nimage", id="HTTP/1.0"),
        pytest.param(OK + b"Content-Length: 5\r\n\r\nimageHTTP/1.1 200 OK\r\n\r\n", id="more than asked for"),
    ],
)
def test_a_connection_is_not_used_again_after(answer: bytes) -> None:
    conversation, _, body = asked(answer)
    assert body == b"image"
    assert not conversation.reusable


def test_a_connection_whose_answer_was_not_read_is_not_used_again() -> None:
    conversation = Conversation(Given(OK + b"Content-Length: 5\r\n\r\nimage"))
    conversation.ask(GET, write=None, read=None)
    assert not conversation.reusable


def test_interim_answers_are_skipped() -> None:
    interim = [b"HTTP/1.1 %d Any\r\nLink: </x>\r\n\r\n" % status for status in (100, 102, 103, 199)]
    assert asked(*interim, OK + b"Content-Length: 5\r\n\r\nimage")[2] == b"image"


@pytest.mark.parametrize("status", [204, 304])
def test_an_answer_that_has_no_body_has_none(status: int) -> None:
    conversation, _, body = asked(b"HTTP/1.1 %d Any\r\nContent-Length: 5\r\n\r\n" % status)
    assert body == b""
    assert conversation.reusable


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param([b"SSH-2.0-OpenSSH_9.6\r\n"], id="another protocol, that waits for us"),
        pytest.param([b"\x15\x03\x01\x00\x02\x02\x50"], id="TLS"),
        pytest.param([b"HTTP/1.1 200 OK\r\nA", b": " + b"x" * LARGEST_HEAD], id="a head without end"),
        pytest.param(
            [OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n" * (LARGEST_HEAD // 6 + 1)],
            id="trailers without end",
        ),
    ],
)
def test_nonsense_is_not_waited_for(answer: list[bytes]) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        asked(*answer, silent=True)


def test_a_large_body_comes_in_few_pieces_and_each_of_them_once() -> None:
    mebibyte = 2**20
    stream = Given(OK + b"Content-Length: %d\r\n\r\n" % (4 * mebibyte), bytes(4 * mebibyte))
    conversation = Conversation(stream)
    conversation.ask(GET, write=None, read=None)
    pieces = list(conversation.body())
    assert len(pieces) <= 16
    # As they came from the system: no byte is copied once more, and none waits for others.
    assert [len(piece) for piece in pieces] == stream.asked[1:]
    assert sum(stream.asked[1:]) == 4 * mebibyte


# The same bytes, to httpx's own transport

#: Headers that httpx's own transport writes in its own way.
FRAMING = (b"content-length", b"transfer-encoding")
LINES = st.sampled_from(
    [
        b"Content-Length: 5",
        b"content-length:5,5",
        b"Content-Length: 3",
        b"Content-Length: 0",
        b"Content-Length: -5",
        b"Content-Length: +5",
        b"Content-Length: 5 5",
        b"Content-Length:",
        b"Transfer-Encoding: chunked",
        b"transfer-encoding:\tCHUNKED ",
        b"Transfer-Encoding: gzip, chunked",
        b"Transfer-Encoding: identity",
        b"Connection: close",
        b"X-Empty:",
        b"X: a\xe9\x01b",
        b"X: a\0b",
        b"X: a\rb",
        b"X : y",
        b": y",
        b" folded",
        b"no colon",
        b"",
    ]
)
FIRST = st.just(b"HTTP/1.1 200 OK") | st.sampled_from(
    [
        *(b"HTTP/1.1 %d OK" % status for status in (100, 103, 200, 204, 302, 304, 500, 999)),
        *(b"HTTP/1.1 200", b"HTTP/1.1 200 ", b"HTTP/1.0 200 OK", b"HTTP/1.1 200 \xe9t\xe9  x"),
        *(b"HTTP/1.1 099 OK", b"HTTP/1.1 20 OK", b"HTTP/1.1  200 OK", b"http/1.1 200 OK", b"HTTP/11 200 OK"),
        *(b"HTTP/1.1 2000 OK", b"HTTP/1.1 200OK", b"HTTP/1.1 +20 OK", b"HTTP/1.1 200 a\0b", b"ICY 200 OK"),
        *(b"HTTP/1.x 200 OK", b" HTTP/1.1 200 OK", b""),
    ]
)
CHUNKED = [
    *(
        b"5\r\nimage\r\n0\r\n\r\n",
        b"5;a=b\r\nimage\r\n00\r\nX: y\r\n\r\n",
        b"2 \r\nim\r\n3\r\nage\r\n0\r\n\r\n",
    ),
    *(
        b"5\r\nimage0\r\n\r\n",
        b"+5\r\nimage\r\n0\r\n\r\n",
        b"5\nimage\r\n0\r\n\r\n",
        b"0x5\r\nimage\r\n0\r\n\r\n",
    ),
    *(b"5\r\nimage\r\n0\r\nno colon\r\n\r\n", b"\r\nimage", b";\r\n\r\n", b"F\r\nimage", b"5\r\nimage\r\n"),
    *(b" 5\r\nimage\r\n0\r\n\r\n", b"5_0\r\nimage\r\n0\r\n\r\n", b"5\r\nimage\r\n0\r\n"),
]
BODIES = {
    b"Content-Length: 5": [b"image", b"ima", b""],
    b"Transfer-Encoding: chunked": CHUNKED,
    b"Transfer-Encoding: gzip": [b"image", *CHUNKED[:1]],
    b"X: y": [b"image", b"", *CHUNKED[:1]],
}
FRAMED = st.sampled_from([(line, body) for line, bodies in BODIES.items() for body in bodies])


@st.composite
def answers(draw: st.DrawFn) -> list[bytes]:
    """Answers as they come, in pieces; most of them are none."""
    end = draw(st.sampled_from([b"\r\n", b"\r\n", b"\r\n", b"\n"]))
    framing, body = draw(FRAMED)
    whole = b""
    for first in (*draw(st.lists(st.just(b"HTTP/1.1 103 Early Hints"), max_size=1)), draw(FIRST)):
        lines = [*draw(st.lists(LINES, max_size=2)), framing]
        if first.startswith(b"HTTP/1.1 10"):
            # An interim answer has no body, so that what it says of one is nothing to us.
            lines = [line for line in lines if not line.lower().startswith(FRAMING)]
        whole += end.join([first, *lines, b"", b""])
    whole += body
    cuts = sorted(draw(st.lists(st.integers(0, len(whole)), max_size=3)))
    pieces = [whole[a:b] for a, b in zip([0, *cuts], [*cuts, len(whole)], strict=True)]
    return [piece for piece in pieces if piece]


Seen = tuple[int, list[tuple[bytes, bytes]], bytes] | None


def ours(pieces: list[bytes]) -> Seen:
    try:
        _, head, body = asked(*pieces)
    except httpx.RemoteProtocolError:
        return None
    return head.status, [each for each in head.headers if each[0].lower() not in FRAMING], body


def theirs(pieces: list[bytes]) -> Seen:
    with httpcore.ConnectionPool(network_backend=httpcore.MockBackend(pieces)) as pool:
        try:
            answer = pool.request("GET", "http://img.test/1.png")
        except httpcore.RemoteProtocolError:
            return None
        return (
            answer.status,
            [each for each in answer.headers if each[0].lower() not in FRAMING],
            answer.content,
        )


@given(answers())
def test_any_answer_is_what_it_is_to_httpx_itself(pieces: list[bytes]) -> None:
    assert ours(pieces) == theirs(pieces)
