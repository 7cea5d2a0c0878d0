"""The four calls, at real sockets: what leaves this machine, and what may come back."""

from __future__ import annotations

import gzip
import json
import random
import socket
import threading
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from support.images import png
from support.raw import RawServer, Reply, accepted, answer, success
from support.tls import Authority, Front, authority

from seedream_cli import __version__
from seedream_cli.client import LARGEST_ANSWER, MOST_REDIRECTS, Client
from seedream_cli.errors import (
    ExitCode,
    ImageRefused,
    KeyRefused,
    NotSaved,
    RateLimited,
    RedirectRefused,
    SeedreamError,
    Unavailable,
    Unreachable,
    UnreadableAnswer,
    UsageProblem,
)
from seedream_cli.events import Exchange
from seedream_cli.models import GenerationRequest
from seedream_cli.sandbox.server import Sandbox

KEY = "sk-test-0123456789"
BODY = GenerationRequest(prompt="a red fox").body()

StartRaw = Callable[..., RawServer]
Connect = Callable[..., Client]


@pytest.fixture
def connect() -> Iterator[Connect]:
    made: list[Client] = []

    def one(base_url: str, key: str = KEY, **options: Any) -> Client:
        made.append(Client(base_url, key, **options))
        return made[-1]

    yield one
    for client in made:
        client.close()


def fetched(client: Client, url: str, **options: Any) -> bytes:
    with client.stream(url, **options) as image:
        return b"".join(image.chunks)


# What leaves


def test_a_create_is_a_post_of_utf_8_json(start_raw: StartRaw, connect: Connect) -> None:
    server = start_raw(accepted("task_1"))
    body = GenerationRequest(prompt="雪中的红狐狸 🦊", aspect_ratio="16:9").body()
    assert connect(server.base_url).submit(body, "key-1").task_id == "task_1"
    (request,) = server.requests
    assert (request.method, request.path) == ("POST", "/v1/images/generations")
    assert request.headers["content-type"] == "application/json"
    assert "雪中的红狐狸 🦊".encode() in request.body
    assert request.json == body
    assert request.headers["idempotency-key"] == "key-1"


def test_every_call_carries_the_key_and_names_the_program(start_raw: StartRaw, connect: Connect) -> None:
    server = start_raw(accepted(), success({"status": "pending"}), success({}))
    # A key has any form, and a slash at the end of the base URL does not matter.
    key = "anything~!@#$%^&*()"
    client = connect(f"{server.base_url}/", key)
    client.submit(BODY, "key-1")
    client.task("task_1")
    client.account()
    assert [request.path for request in server.requests] == [
        "/v1/images/generations",
        "/v1/images/status/task_1",
        "/v1/account/status",
    ]
    for request in server.requests:
        assert request.headers["authorization"] == f"Bearer {key}"
        assert request.headers["user-agent"] == f"seedream/{__version__}"


@pytest.mark.parametrize(
    ("task_id", "path"),
    [
        ("task_abc", "task_abc"),
        ("5f4dcc3b-5aa7-65d6", "5f4dcc3b-5aa7-65d6"),
        ("a/b?c=d#e f%2F", "a%2Fb%3Fc%3Dd%23e%20f%252F"),
        ("任务", "%E4%BB%BB%E5%8A%A1"),
        ("../account", "..%2Faccount"),
        ("..", "%2E%2E"),
        (".", "%2E"),
        ("\udcff", "%FF"),
        ("a\r\nb\0", "a%0D%0Ab%00"),
    ],
)
def test_a_task_id_is_percent_encoded_whole(
    start_raw: StartRaw, connect: Connect, task_id: str, path: str
) -> None:
    server = start_raw(success({"status": "pending"}))
    connect(server.base_url).task(task_id)
    assert server.requests[0].path == f"/v1/images/status/{path}"


def test_the_key_is_not_sent_to_the_images_host(
    start_sandbox: Callable[..., Sandbox], connect: Connect
) -> None:
    sandbox = start_sandbox(seconds=0, faults=["image-redirect=1"])
    client = connect(sandbox.base_url)
    (url,) = client.task(client.submit(BODY, "key-1").task_id).results
    assert fetched(client, url) == png()
    seen = [request for request in sandbox.requests if request.origin == "image"]
    assert len(seen) == 2
    assert KEY not in str(seen)
    assert all(request.headers["user-agent"] == f"seedream/{__version__}" for request in seen)


def test_no_cookie_is_ever_sent_back(start_raw: StartRaw, connect: Connect) -> None:
    cookie = {"Set-Cookie": "session=1; Path=/"}
    server = start_raw(
        success({}, headers=cookie),
        success({}, headers=cookie),
        answer(302, headers={"Location": "/2.png", **cookie}),
        answer(200, b"image", headers=cookie),
        answer(200, b"image"),
    )
    client = connect(server.base_url)
    client.account()
    client.account()
    fetched(client, f"{server.origin}/1.png")
    fetched(client, f"{server.origin}/1.png")
    assert len(server.requests) == 5
    assert not any("cookie" in request.headers for request in server.requests)


@pytest.mark.parametrize(
    "base_url",
    [
        "http://api.example.com/v1",
        "http://10.0.0.1/v1",
        "http://localhost.example.com/v1",
        "ftp://api.example.com/v1",
        "api.example.com/v1",
        "https://[::1/v1",
        "https://api.example.com:99999/v1",
        "",
    ],
)
def test_a_base_url_that_would_show_the_key_is_refused_at_once(base_url: str) -> None:
    with pytest.raises(UsageProblem):
        Client(base_url, KEY)


# Answers that an API gives


@pytest.mark.parametrize("code", [0, 200])
def test_both_dialects_of_success_are_understood(start_raw: StartRaw, connect: Connect, code: int) -> None:
    server = start_raw(success({"task_id": "t"}, code=code), success({"status": "running"}, code=code))
    client = connect(server.base_url)
    assert client.submit(BODY, "key-1").task_id == "t"
    assert client.task("t").status == "running"


@pytest.mark.parametrize(
    ("status", "exit_code"),
    [
        (400, 2),
        (401, 4),
        (402, 5),
        (403, 4),
        (404, 6),
        (409, 2),
        (429, 7),
        (500, 7),
        (502, 7),
        (503, 7),
        (504, 7),
    ],
)
def test_an_http_error_has_its_exit_code(
    start_raw: StartRaw, connect: Connect, status: int, exit_code: int
) -> None:
    reply = answer(status, b"<html>", headers={"X-Request-ID": "req_1"})
    with pytest.raises(SeedreamError) as caught:
        connect(start_raw(reply).base_url).submit(BODY, "key-1")
    assert caught.value.exit_code == exit_code
    assert caught.value.request_id == "req_1"


def test_a_retry_after_that_is_a_date_counts_from_now(start_raw: StartRaw, connect: Connect) -> None:
    reply = answer(429, headers={"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"})
    client = connect(start_raw(reply).base_url, now=lambda: 784_111_770.0)
    with pytest.raises(RateLimited) as caught:
        client.account()
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("status", [300, 302, 304, 307, 308])
@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("http://localhost:{port}/v1?x=secret", "localhost"),
        ("/v2/images/generations", "127.0.0.1"),
        (None, "nowhere"),
        (f"https://{KEY}.test/", r"\*\*\*"),
    ],
)
def test_a_redirect_of_the_api_is_refused_by_its_host(
    start_raw: StartRaw, connect: Connect, status: int, location: str | None, host: str
) -> None:
    elsewhere = start_raw(accepted())
    headers = {"X-Request-ID": "req_1"}
    if location is not None:
        headers["Location"] = location.format(port=elsewhere.port)
    server = start_raw(answer(status, headers=headers))
    client = connect(server.base_url)
    for call in (lambda: client.submit(BODY, "key-1"), lambda: client.task("t")):
        with pytest.raises(RedirectRefused, match=f"redirects to {host}") as caught:
            call()
        assert (caught.value.exit_code, caught.value.transient) == (ExitCode.UNAVAILABLE, False)
        assert caught.value.request_id == "req_1"
        assert "secret" not in caught.value.message
    assert (len(server.requests), elsewhere.connections) == (2, 0)


# Answers that are too much


@pytest.mark.parametrize("length", [True, False], ids=["announced", "not announced"])
def test_an_answer_beyond_a_mebibyte_is_refused(start_raw: StartRaw, connect: Connect, length: bool) -> None:
    frame = json.dumps({"code": 0, "data": {"x": ""}}).encode()
    whole = frame.replace(b'""', b'"' + b"x" * (LARGEST_ANSWER - len(frame)) + b'"')
    headers = {"X-Request-ID": "req_1"}
    replies = [answer(200, body, length=length, headers=headers) for body in (whole, whole + b" ")]
    client = connect(start_raw(*replies).base_url)
    assert len(client.account()["x"]) > 10**6
    with pytest.raises(UnreadableAnswer, match="larger than 1 MiB") as caught:
        client.account()
    assert (caught.value.transient, caught.value.request_id) == (True, "req_1")


def bomb(mebibytes: int) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join(squeeze.compress(bytes(1024 * 1024)) for _ in range(mebibytes)) + squeeze.flush()


def test_a_compressed_bomb_is_refused_with_flat_memory(start_raw: StartRaw, connect: Connect) -> None:
    reply = answer(200, bomb(200), headers={"Content-Encoding": "gzip"})
    client = connect(start_raw(reply).base_url)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableAnswer, match="larger than 1 MiB"):
            client.account()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * LARGEST_ANSWER


@pytest.mark.parametrize("status", [401, 503])
@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"<html>" + b" " * 2 * LARGEST_ANSWER, {}, id="too large"),
        pytest.param(b"no gzip", {"Content-Encoding": "gzip"}, id="badly compressed"),
    ],
)
def test_an_error_is_told_by_its_status_whatever_its_body(
    start_raw: StartRaw, connect: Connect, status: int, body: bytes, headers: dict[str, str]
) -> None:
    with pytest.raises(SeedreamError) as caught:
        connect(start_raw(answer(status, body, headers=headers)).base_url).account()
    assert caught.value.exit_code == {401: ExitCode.AUTHENTICATION, 503: ExitCode.UNAVAILABLE}[status]
    assert caught.value.http_status == status
    assert type(caught.value) is not UnreadableAnswer


@pytest.mark.parametrize(
    ("encoding", "squeeze"),
    [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
def test_a_compressed_answer_is_read_although_none_was_asked_for(
    start_raw: StartRaw, connect: Connect, encoding: str, squeeze: Callable[[bytes], bytes]
) -> None:
    body = squeeze(json.dumps({"code": 0, "data": {"plan": "pro"}}).encode())
    server = start_raw(answer(200, body, headers={"Content-Encoding": encoding}))
    assert connect(server.base_url).account() == {"plan": "pro"}
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_an_answer_ends_with_its_compression_and_not_long_after(
    start_raw: StartRaw, connect: Connect
) -> None:
    whole = gzip.compress(b'{"code": 0, "data": {"plan": "pro"}}')
    headers = {"Content-Encoding": "gzip"}
    server = start_raw(
        answer(200, whole + bytes(1000), headers=headers),
        answer(200, whole + bytes(LARGEST_ANSWER), headers=headers),
    )
    client = connect(server.base_url)
    assert client.account() == {"plan": "pro"}
    with pytest.raises(UnreadableAnswer, match="larger than 1 MiB"):
        client.account()


# Answers that are no HTTP, or not all of it

BROKEN: dict[str, Reply] = {
    "closed at once": None,
    "nothing": b"",
    "an empty line": b"\r\n",
    "half a status line": b"HTTP/1.1 2",
    "another protocol": b"SSH-2.0-OpenSSH_9.6\r\n",
    "a status that is no number": b"HTTP/1.1 abc OK\r\n\r\n",
    "half the headers": b"HTTP/1.1 200 OK\r\nContent-",
    "a header without a colon": b"HTTP/1.1 200 OK\r\nnonsense\r\n\r\n",
    "a header with a zero byte": b"HTTP/1.1 200 OK\r\nX: a\0b\r\n\r\n",
    "headers without end": b"HTTP/1.1 200 OK\r\n" + b"X-Y: " + b"z" * 300_000,
    "half the body": answer(200, b'{"code": 0', length=5000),
    "no body": answer(200, b"", length=10),
    "a negative length": answer(200, b"{}", length=-5),
    "a length of 5000 digits": b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5000 + b"\r\n\r\n{}",
    "two lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\n{}",
    "an unknown transfer coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n{}",
    "a cut chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\n{",
    "no last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n",
    "a chunk that is no number": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n",
    "a chunk beyond all size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 60 + b"\r\n",
    "an interim answer only": b"HTTP/1.1 100 Continue\r\n\r\n",
    "a redirect to no URL": answer(302, headers={"Location": "http://[::1"}),
}


@pytest.mark.parametrize("reply", BROKEN.values(), ids=BROKEN)
def test_a_broken_answer_is_ambiguous(start_raw: StartRaw, connect: Connect, reply: Reply) -> None:
    """So a create may be sent again under its key."""
    server = start_raw(reply)
    client = connect(server.base_url)
    with pytest.raises(Unavailable) as caught:
        client.submit(BODY, "key-1", seconds=5)
    assert isinstance(caught.value, Unreachable)
    assert (caught.value.transient, caught.value.unsent) == (True, False)
    with pytest.raises((Unreachable, NotSaved)):
        fetched(client, f"{server.origin}/1.png", seconds=5)


def test_any_bytes_at_all_are_a_value_or_an_error_of_ours(start_raw: StartRaw, connect: Connect) -> None:
    whole = accepted("t", headers={"Retry-After": "1", "X-Request-ID": "req_1", "Location": "/x"})
    chance = random.Random(20261122)

    def damaged() -> bytes:
        data = bytearray(whole)
        for _ in range(chance.randint(1, 6)):
            place = chance.randrange(len(data))
            match chance.randrange(3):
                case 0:
                    data[place] = chance.randrange(256)
                case 1:
                    del data[place : place + chance.randint(1, 20)]
                case _:
                    data[place:place] = chance.randbytes(chance.randint(1, 20))
        return bytes(data)

    server = start_raw(*[damaged() for _ in range(300)])
    client = connect(server.base_url)
    outcomes = {True: 0, False: 0}
    for _ in range(300):
        try:
            client.submit(BODY, "key-1", seconds=5)
            outcomes[True] += 1
        except SeedreamError:
            outcomes[False] += 1
    assert min(outcomes.values()) > 5


# The key stays secret


@pytest.mark.parametrize(
    "reply",
    [
        pytest.param(
            answer(200, b"x" * (LARGEST_ANSWER + 1), headers={"X-Request-ID": f"req-{KEY}"}), id="large"
        ),
        pytest.param(
            answer(200, b"x", headers={"Content-Encoding": "gzip", "X-Request-ID": f"req-{KEY}"}),
            id="no gzip",
        ),
        pytest.param(answer(200, b"x", headers={"X-Request-ID": "r" * 95 + KEY}), id="cut in the middle"),
    ],
)
def test_a_key_in_the_id_of_an_unreadable_answer_is_masked(
    start_raw: StartRaw, connect: Connect, reply: bytes
) -> None:
    seen: list[Exchange] = []
    with pytest.raises(UnreadableAnswer) as caught:
        connect(start_raw(reply).base_url, observe=seen.append).task("task_1")
    assert "***" in (caught.value.request_id or "")
    assert KEY[:5] not in repr(vars(caught.value)) + repr(seen)


@pytest.mark.parametrize("form", [str, partial(quote, safe=""), json.dumps], ids=["plain", "URL", "JSON"])
def test_a_key_that_is_repeated_in_another_form_is_masked(
    start_raw: StartRaw, connect: Connect, form: Callable[[str], str]
) -> None:
    key = 'sk-a/b+c="d"\\e&f%g'
    told = form(key)
    body = {"error": {"message": f"key {told} of /x?k={told}", "code": told[:90]}}
    with pytest.raises(KeyRefused) as caught:
        connect(start_raw(answer(401, body, headers={"X-Request-ID": told})).base_url, key).account()
    shown = repr((caught.value.detail, caught.value.code, caught.value.request_id))
    assert shown.count("***") == 4
    assert "sk-a" not in shown


@pytest.mark.parametrize(
    "echo", [KEY, json.dumps(KEY)[1:-1].replace("-", "\\u002d")], ids=["as it is", "escaped"]
)
def test_a_key_that_the_server_repeats_is_masked(start_raw: StartRaw, connect: Connect, echo: str) -> None:
    body = f'{{"error": {{"message": "Invalid key: {echo}.", "code": "invalid_api_key"}}}}'.encode()
    seen: list[Exchange] = []
    reply = answer(401, body, headers={"X-Request-ID": f"req-{KEY}"})
    with pytest.raises(KeyRefused) as caught:
        connect(start_raw(reply).base_url, observe=seen.append).account()
    assert caught.value.detail == "Invalid key: ***."
    assert caught.value.request_id == "req-***"
    assert KEY not in repr(vars(caught.value)) + repr(seen)


def test_a_key_that_cannot_be_a_header_is_not_shown(start_raw: StartRaw, connect: Connect) -> None:
    with pytest.raises(SeedreamError) as caught:
        connect(start_raw(success({})).base_url, f"{KEY}\n").account()
    assert KEY not in repr(vars(caught.value))


# What --verbose sees


def test_an_exchange_tells_the_call_without_its_secrets(start_raw: StartRaw, connect: Connect) -> None:
    server = start_raw(accepted(headers={"X-Request-ID": "req_1"}), answer(200, b"image"))
    seen: list[Exchange] = []
    client = connect(server.base_url, observe=seen.append)
    client.submit(BODY, "key-1")
    fetched(client, f"{server.origin}/1.png?signature=hidden")
    assert [(each.method, each.url, each.status, each.request_id, each.problem) for each in seen] == [
        ("POST", f"{server.base_url}/images/generations", 200, "req_1", None),
        ("GET", f"{server.origin}/1.png", 200, None, None),
    ]
    assert all(each.seconds >= 0 for each in seen)
    assert "hidden" not in repr(seen)


# Images


@pytest.mark.parametrize(
    ("reply", "length"),
    [
        pytest.param(answer(200, b"image"), 5, id="announced"),
        pytest.param(answer(200, b"image", headers={"Content-Encoding": "Identity"}), 5, id="not compressed"),
        pytest.param(answer(200, b"image", length=None), None, id="not announced"),
        pytest.param(
            answer(200, b"5\r\nimage\r\n0\r\n\r\n", length=9, headers={"Transfer-Encoding": "chunked"}),
            None,
            id="beside chunks, where it counts for nothing (RFC 9112, 6.3)",
        ),
    ],
)
def test_an_image_comes_with_its_length(
    start_raw: StartRaw, connect: Connect, reply: bytes, length: int | None
) -> None:
    server = start_raw(reply)
    with connect(server.base_url).stream(f"{server.origin}/1.png") as image:
        assert image.length == length
        assert b"".join(image.chunks) == b"image"


def test_the_signature_of_an_images_address_is_kept_as_it_is(start_raw: StartRaw, connect: Connect) -> None:
    server = start_raw(answer(200, b"image"))
    path = "/a%2Fb.png?X-Amz-Signature=a%2Bb%3D&x=1+2&y=%E4%BB%BB"
    fetched(connect(server.base_url), server.origin + path)
    assert server.requests[0].path == path


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_an_image_may_be_redirected_to_another_host(
    start_raw: StartRaw, connect: Connect, status: int
) -> None:
    target = start_raw(answer(200, b"image"))
    server = start_raw(answer(status, headers={"Location": f"{target.origin}/2.png?s=1"}))
    assert fetched(connect(server.base_url), f"{server.origin}/1.png") == b"image"
    assert target.requests[0].path == "/2.png?s=1"
    assert "authorization" not in target.requests[0].headers


def test_a_sixth_redirect_is_refused(start_raw: StartRaw, connect: Connect) -> None:
    server = start_raw(answer(302, headers={"Location": "/again.png"}))
    with pytest.raises(NotSaved, match="redirects more than 5 times"):
        fetched(connect(server.base_url), f"{server.origin}/1.png")
    assert len(server.requests) == 6


@pytest.mark.parametrize(
    "location",
    ["file:///etc/passwd", "ftp://127.0.0.1/1.png", "http://127.0.0.1:99999/1.png", "data:,x"],
)
def test_a_redirect_to_what_may_not_be_fetched_is_refused(
    start_raw: StartRaw, connect: Connect, location: str
) -> None:
    server = start_raw(answer(302, headers={"Location": location}))
    with pytest.raises((NotSaved, Unreachable)):
        fetched(connect(server.base_url), f"{server.origin}/1.png")
    assert len(server.requests) == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "localhost"])
def test_a_service_on_the_internet_does_not_lead_into_a_private_network(host: str) -> None:
    seen: list[Exchange] = []
    client = Client("https://api.test/v1", KEY, observe=seen.append)
    with pytest.raises(NotSaved, match="private network"):
        fetched(client, f"https://{host}/1.png")
    assert seen == []
    client.close()


@pytest.fixture(scope="module")
def certified(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"), "DNS:img.test", "IP:127.0.0.1")


@pytest.fixture
def abroad(
    start_raw: StartRaw, certified: Authority, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., tuple[RawServer, Callable[[str], bytes]]]]:
    """Starts an image's host that counts as one on the internet, of a service that is there too.

    With it comes what fetches a URL, in which ``{port}`` is the host's.
    """

    def look_up(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setenv("SSL_CERT_FILE", str(certified.certificate))
    with ExitStack() as running:

        def start(*replies: Callable[[int], bytes]) -> tuple[RawServer, Callable[[str], bytes]]:
            server = start_raw()
            front = running.enter_context(Front(certified, server.port))
            server.replies = [reply(front.port) for reply in replies]
            client = connect("https://api.test/v1")
            return server, lambda url: fetched(client, url.format(port=front.port))

        yield start


def hop(location: str) -> Callable[[int], bytes]:
    return lambda port: answer(302, headers={"Location": location.format(port=port), "Set-Cookie": "a=b"})


def test_an_image_on_the_internet_is_fetched_over_tls_without_key_and_cookies(
    abroad: Callable[..., tuple[RawServer, Callable[[str], bytes]]],
) -> None:
    """Its name resolves to a private address, as behind a TUN proxy or in a company's network."""
    hops = [hop(f"https://img.test:{{port}}/{number}.png") for number in range(MOST_REDIRECTS)]
    server, fetch = abroad(*hops, lambda port: answer(200, b"image"))
    assert MOST_REDIRECTS == 5
    assert fetch("https://img.test:{port}/start.png") == b"image"
    assert [request.path for request in server.requests[:2]] == ["/start.png", "/0.png"]
    assert len(server.requests) == 6
    assert not any({"authorization", "cookie"} & set(request.headers) for request in server.requests)


@pytest.mark.parametrize(
    ("location", "why"),
    [
        ("http://img.test:{port}/2.png", "not https"),
        ("https://127.0.0.1:{port}/2.png", "private network"),
        ("//127.0.0.1:{port}/2.png", "private network"),
        ("https://localhost:{port}/2.png", "private network"),
        ("https://[::ffff:127.0.0.1]:{port}/2.png", "private network"),
    ],
)
@pytest.mark.parametrize("hops", [1, MOST_REDIRECTS])
def test_every_hop_of_an_image_on_the_internet_is_judged(
    abroad: Callable[..., tuple[RawServer, Callable[[str], bytes]]], location: str, why: str, hops: int
) -> None:
    server, fetch = abroad(*[hop("https://img.test:{port}/1.png")] * (hops - 1), hop(location))
    with pytest.raises(NotSaved, match=why):
        fetch("https://img.test:{port}/1.png")
    assert len(server.requests) == hops


@pytest.mark.parametrize(
    ("status", "transient", "stale"),
    [
        (400, False, True),
        (403, False, True),
        (404, False, True),
        (408, True, False),
        (410, False, True),
        (429, True, False),
        (500, True, False),
        (503, True, False),
        (204, False, False),
        (206, False, False),
        (304, False, False),
    ],
)
def test_an_image_that_is_refused_with(
    start_raw: StartRaw, connect: Connect, status: int, transient: bool, stale: bool
) -> None:
    server = start_raw(answer(status, headers={"Retry-After": "3"}))
    with pytest.raises(ImageRefused) as caught:
        fetched(connect(server.base_url), f"{server.origin}/1.png")
    error = caught.value
    assert (error.transient, error.stale, error.http_status, error.retry_after) == (
        transient,
        stale,
        status,
        3.0,
    )
    assert error.exit_code == ExitCode.NOT_SAVED


def test_an_image_that_comes_compressed_is_refused(start_raw: StartRaw, connect: Connect) -> None:
    server = start_raw(answer(200, gzip.compress(b"image"), headers={"Content-Encoding": "gzip"}))
    with pytest.raises(NotSaved, match="compressed"):
        fetched(connect(server.base_url), f"{server.origin}/1.png")
    assert server.requests[0].headers["accept-encoding"] == "identity"


def test_one_client_serves_many_threads(start_sandbox: Callable[..., Sandbox], connect: Connect) -> None:
    sandbox = start_sandbox(seconds=0, rate=0)
    client = connect(sandbox.base_url)
    images: list[bytes] = []

    def work(number: int) -> None:
        made = client.submit(BODY, f"key-{number}")
        images.append(fetched(client, client.task(made.task_id).results[0]))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert images == [png()] * 16
    assert sandbox.task_count() == 16
