"""The API client at real sockets: requests that it sends, and responses that it accepts or refuses."""

from __future__ import annotations

import gzip
import json
import socket
import tracemalloc
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from typing import Any
from urllib.parse import quote

import pytest
from support.api import KEY, Api, Connect, fetch_image
from support.images import png
from support.raw import RawServer, Reply, accepted, answer, success
from support.starting import StartRaw, StartSandbox
from support.tls import Authority, Front

from seedream_cli import __version__
from seedream_cli.api.client import MAX_REDIRECTS, MAX_RESPONSE_BYTES, Client
from seedream_cli.errors import (
    ExitCode,
    ImageRefused,
    InvalidResponse,
    KeyRefused,
    NotSaved,
    RateLimited,
    RedirectRefused,
    SeedreamError,
    Unavailable,
    Unreachable,
    UsageError,
)
from seedream_cli.events import HttpCall
from seedream_cli.models import GenerationRequest

BODY = GenerationRequest(prompt="a red fox").body()

RemoteImages = Callable[..., tuple[RawServer, Callable[[str], bytes]]]


# Requests


def test_calls_send_key_paths_and_utf8_body(api: Api) -> None:
    # Any printable key is sent, and a slash at the end of the base URL is ignored.
    key = "anything~!@#$%^&*()"
    server, client = api(accepted("task_1"), success({"status": "pending"}), success({}), key=key, end="/")
    body = GenerationRequest(prompt="雪中的红狐狸 🦊", aspect_ratio="16:9").body()
    assert client.submit(body, "key-1").task_id == "task_1"
    client.get_task("task_1")
    client.get_account()
    assert [(request.method, request.path) for request in server.requests] == [
        ("POST", "/v1/images/generations"),
        ("GET", "/v1/images/status/task_1"),
        ("GET", "/v1/account/status"),
    ]
    for request in server.requests:
        assert request.headers["authorization"] == f"Bearer {key}"
        assert request.headers["user-agent"] == f"seedream/{__version__}"
    create = server.requests[0]
    assert create.headers["content-type"] == "application/json"
    assert create.headers["idempotency-key"] == "key-1"
    assert "雪中的红狐狸 🦊".encode() in create.body
    assert create.json == body


def test_get_task_percent_encodes_every_character_of_the_id(api: Api) -> None:
    paths = {
        "5f4dcc3b-5aa7-65d6": "5f4dcc3b-5aa7-65d6",
        "a/b?c=d#e f%2F": "a%2Fb%3Fc%3Dd%23e%20f%252F",
        "任务": "%E4%BB%BB%E5%8A%A1",
        "../account": "..%2Faccount",
        "..": "%2E%2E",
        ".": "%2E",
        "\udcff": "%FF",
        "a\r\nb\0": "a%0D%0Ab%00",
    }
    server, client = api(success({"status": "pending"}))
    for task_id in paths:
        client.get_task(task_id)
    assert [request.path for request in server.requests] == [f"/v1/images/status/{p}" for p in paths.values()]


def test_stream_image_does_not_send_the_key(start_sandbox: StartSandbox, connect: Connect) -> None:
    sandbox = start_sandbox(seconds=0, faults=["image-redirect=1"])
    client = connect(sandbox.base_url)
    (url,) = client.get_task(client.submit(BODY, "key-1").task_id).results
    assert fetch_image(client, url) == png()
    seen = [request for request in sandbox.requests if request.origin == "image"]
    assert len(seen) == 2
    assert KEY not in str(seen)
    assert all(request.headers["user-agent"] == f"seedream/{__version__}" for request in seen)


def test_client_sends_no_cookies(api: Api) -> None:
    cookie = {"Set-Cookie": "session=1; Path=/"}
    server, client = api(
        success({}, headers=cookie),
        success({}, headers=cookie),
        answer(302, headers={"Location": "/2.png", **cookie}),
        answer(200, b"image", headers=cookie),
        answer(200, b"image"),
    )
    client.get_account()
    client.get_account()
    fetch_image(client, f"{server.origin}/1.png")
    fetch_image(client, f"{server.origin}/1.png")
    assert len(server.requests) == 5
    assert not any("cookie" in request.headers for request in server.requests)


@pytest.mark.parametrize("base_url", ["http://api.test/v1", "http://10.0.0.1/v1", "https://[::1/v1", ""])
def test_client_refuses_base_url_without_tls(base_url: str) -> None:
    with pytest.raises(UsageError):
        Client(base_url, KEY)


def test_retry_after_date_counts_from_the_clock_of_the_client(start_raw: StartRaw, connect: Connect) -> None:
    reply = answer(429, headers={"Retry-After": "Sun, 06 Nov 1994 08:49:37 GMT"})
    client = connect(start_raw(reply).base_url, now=lambda: 784_111_770.0)
    with pytest.raises(RateLimited) as caught:
        client.get_account()
    assert caught.value.retry_after == 7.0


@pytest.mark.parametrize("status", [300, 302, 307, 308])
@pytest.mark.parametrize(
    ("location", "host"),
    [
        ("http://localhost:{port}/v1?x=secret", "localhost"),
        ("/v2/images/generations", "127.0.0.1"),
        (None, "nowhere"),
        (f"https://{KEY}.test/", r"\*\*\*"),
    ],
)
def test_call_refuses_redirect_and_names_its_host(
    start_raw: StartRaw, api: Api, status: int, location: str | None, host: str
) -> None:
    elsewhere = start_raw(accepted())
    there = {} if location is None else {"Location": location.format(port=elsewhere.port)}
    server, client = api(answer(status, headers={"X-Request-ID": "req_1", **there}))
    for call in (lambda: client.submit(BODY, "key-1"), lambda: client.get_task("t")):
        with pytest.raises(RedirectRefused, match=f"redirects to {host}") as caught:
            call()
        assert (caught.value.exit_code, caught.value.transient) == (ExitCode.UNAVAILABLE, False)
        assert caught.value.request_id == "req_1"
        assert "secret" not in caught.value.message
    assert (len(server.requests), elsewhere.connections) == (2, 0)


# Responses that are too large, or compressed


@pytest.mark.parametrize("length", [True, False], ids=["announced", "not announced"])
def test_call_refuses_response_larger_than_1_mib(api: Api, length: bool) -> None:
    frame = json.dumps({"code": 0, "data": {"x": ""}}).encode()
    whole = frame.replace(b'""', b'"' + b"x" * (MAX_RESPONSE_BYTES - len(frame)) + b'"')
    headers = {"X-Request-ID": "req_1"}
    _, client = api(*[answer(200, body, length=length, headers=headers) for body in (whole, whole + b" ")])
    assert len(client.get_account()["x"]) > 10**6
    with pytest.raises(InvalidResponse, match="larger than 1 MiB") as caught:
        client.get_account()
    assert (caught.value.transient, caught.value.request_id) == (True, "req_1")


def bomb(mebibytes: int) -> bytes:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, zlib.MAX_WBITS | 16)
    return b"".join(squeeze.compress(bytes(1024 * 1024)) for _ in range(mebibytes)) + squeeze.flush()


def test_call_refuses_zip_bomb_with_constant_memory(api: Api) -> None:
    _, client = api(answer(200, bomb(60), headers={"Content-Encoding": "gzip"}))
    tracemalloc.start()
    try:
        with pytest.raises(InvalidResponse, match="larger than 1 MiB"):
            client.get_account()
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 16 * MAX_RESPONSE_BYTES


@pytest.mark.parametrize(("status", "code"), [(401, ExitCode.AUTHENTICATION), (503, ExitCode.UNAVAILABLE)])
@pytest.mark.parametrize(
    ("body", "headers"),
    [(b"<html>" + b" " * 2 * MAX_RESPONSE_BYTES, {}), (b"no gzip", {"Content-Encoding": "gzip"})],
    ids=["too large", "badly compressed"],
)
def test_call_reports_error_status_whatever_the_body(
    api: Api, status: int, code: ExitCode, body: bytes, headers: dict[str, str]
) -> None:
    with pytest.raises(SeedreamError) as caught:
        api(answer(status, body, headers=headers))[1].get_account()
    assert (caught.value.exit_code, caught.value.http_status) == (code, status)
    assert type(caught.value) is not InvalidResponse


@pytest.mark.parametrize(
    ("encoding", "squeeze"),
    [("gzip", gzip.compress), ("X-GZIP", gzip.compress), ("deflate", zlib.compress), ("identity", bytes)],
)
def test_call_decompresses_response(api: Api, encoding: str, squeeze: Callable[[bytes], bytes]) -> None:
    whole, headers = squeeze(b'{"code": 0, "data": {"plan": "pro"}}'), {"Content-Encoding": encoding}
    server, client = api(
        *[answer(200, whole + rest, headers=headers) for rest in (b"", bytes(MAX_RESPONSE_BYTES))]
    )
    assert client.get_account() == {"plan": "pro"}
    assert server.requests[0].headers["accept-encoding"] == "identity"
    with pytest.raises(InvalidResponse, match="larger than 1 MiB"):
        client.get_account()


def test_call_ignores_bytes_after_compressed_response(api: Api) -> None:
    whole = gzip.compress(b'{"code": 0, "data": {"plan": "pro"}}') + bytes(1000)
    assert api(answer(200, whole, headers={"Content-Encoding": "gzip"}))[1].get_account() == {"plan": "pro"}


# Responses that are not valid HTTP, or incomplete

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
def test_call_reports_broken_response_as_unreachable(api: Api, reply: Reply) -> None:
    """The request may have arrived, so a create request is sent again with its key."""
    server, client = api(reply)
    with pytest.raises(Unavailable) as caught:
        client.submit(BODY, "key-1", seconds=5)
    assert isinstance(caught.value, Unreachable)
    assert (caught.value.transient, caught.value.unsent) == (True, False)
    with pytest.raises((Unreachable, NotSaved)):
        fetch_image(client, f"{server.origin}/1.png", seconds=5)


# Redaction of the key


@pytest.mark.parametrize(
    ("body", "headers"),
    [
        pytest.param(b"x" * (MAX_RESPONSE_BYTES + 1), {"X-Request-ID": f"req-{KEY}"}, id="large"),
        pytest.param(b"x", {"Content-Encoding": "gzip", "X-Request-ID": f"req-{KEY}"}, id="no gzip"),
        pytest.param(b"x", {"X-Request-ID": "r" * 95 + KEY}, id="cut in the middle"),
    ],
)
def test_call_redacts_key_in_request_id(api: Api, body: bytes, headers: dict[str, str]) -> None:
    seen: list[HttpCall] = []
    with pytest.raises(InvalidResponse) as caught:
        api(answer(200, body, headers=headers), observe=seen.append)[1].get_task("task_1")
    assert "***" in (caught.value.request_id or "")
    assert KEY[:5] not in repr(vars(caught.value)) + repr(seen)


@pytest.mark.parametrize(
    "form",
    [str, partial(quote, safe=""), json.dumps, lambda key: key.replace("-", "\\u002d")],
    ids=["plain", "URL", "JSON", "escaped"],
)
def test_call_redacts_key_that_the_server_repeats(api: Api, form: Callable[[str], str]) -> None:
    key, seen = 'sk-a/b+c="d"\\e&f%g', list[HttpCall]()
    shown_key = form(key)
    body = {"error": {"message": f"key {shown_key} of /x?k={shown_key}", "code": shown_key[:90]}}
    content = json.dumps(body).encode().replace(b"\\\\u002d", b"\\u002d")
    reply = answer(401, content, headers={"X-Request-ID": shown_key.replace("\\u002d", "-")})
    with pytest.raises(KeyRefused) as caught:
        api(reply, key=key, observe=seen.append)[1].get_account()
    shown = repr((caught.value.detail, caught.value.code, caught.value.request_id))
    assert shown.count("***") == 4
    assert "sk-a" not in shown + repr(vars(caught.value)) + repr(seen)


def test_call_does_not_show_key_that_cannot_be_a_header(api: Api) -> None:
    with pytest.raises(SeedreamError) as caught:
        api(success({}), key=f"{KEY}\n")[1].get_account()
    assert KEY not in repr(vars(caught.value))


# Observed calls, for --verbose


def test_observe_gets_calls_without_secrets(api: Api) -> None:
    seen: list[HttpCall] = []
    replies = accepted(headers={"X-Request-ID": "req_1"}), answer(200, b"image")
    server, client = api(*replies, observe=seen.append)
    client.submit(BODY, "key-1")
    fetch_image(client, f"{server.origin}/1.png?signature=hidden")
    assert [(call.method, call.url, call.status, call.request_id, call.problem) for call in seen] == [
        ("POST", f"{server.base_url}/images/generations", 200, "req_1", None),
        ("GET", f"{server.origin}/1.png", 200, None, None),
    ]
    assert all(call.seconds >= 0 for call in seen)
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
def test_stream_image_returns_content_length(api: Api, reply: bytes, length: int | None) -> None:
    server, client = api(reply)
    # The signature in the query must not be re-encoded.
    path = "/a%2Fb.png?X-Amz-Signature=a%2Bb%3D&x=1+2&y=%E4%BB%BB"
    with client.stream_image(server.origin + path) as image:
        assert image.length == length
        assert b"".join(image.chunks) == b"image"
    assert server.requests[0].path == path
    assert server.requests[0].headers["accept-encoding"] == "identity"


@pytest.mark.parametrize(
    ("location", "requests"),
    [
        ("/again.png", 6),
        *[(f"{url}", 1) for url in ("file:///etc/passwd", "ftp://127.0.0.1/1.png", "data:,x")],
        ("http://127.0.0.1:99999/1.png", 1),
    ],
)
def test_stream_image_refuses_redirect_loop_and_forbidden_url(api: Api, location: str, requests: int) -> None:
    server, client = api(answer(302, headers={"Location": location}))
    why = "redirects more than 5 times" if requests > 1 else None
    with pytest.raises((NotSaved, Unreachable), match=why):
        fetch_image(client, f"{server.origin}/1.png")
    assert len(server.requests) == requests


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_stream_image_follows_redirect_to_another_host(start_raw: StartRaw, api: Api, status: int) -> None:
    target = start_raw(answer(200, b"image"))
    server, client = api(answer(status, headers={"Location": f"{target.origin}/2.png?s=1"}))
    assert fetch_image(client, f"{server.origin}/1.png") == b"image"
    assert target.requests[0].path == "/2.png?s=1"
    assert "authorization" not in target.requests[0].headers


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "169.254.169.254", "10.0.0.1", "localhost"])
def test_stream_image_refuses_private_host_of_public_api(host: str) -> None:
    seen: list[HttpCall] = []
    client = Client("https://api.test/v1", KEY, observe=seen.append)
    with pytest.raises(NotSaved, match="private network"):
        fetch_image(client, f"https://{host}/1.png")
    assert seen == []
    client.close()


@pytest.fixture
def remote_images(
    start_raw: StartRaw,
    certificates: Authority,
    connect: Connect,
    running: ExitStack,
    monkeypatch: pytest.MonkeyPatch,
) -> RemoteImages:
    """Start image servers that seem to be on the internet, as the API does.

    Return each with a function that downloads a URL, in which ``{port}`` is the port of the server.
    """

    def look_up(host: str, port: int, *args: Any, **options: Any) -> list[Any]:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificates.certificate))

    def start(*replies: Callable[[int], bytes]) -> tuple[RawServer, Callable[[str], bytes]]:
        server = start_raw()
        front = running.enter_context(Front(certificates, server.port))
        server.replies = [reply(front.port) for reply in replies]
        client = connect("https://api.test/v1")
        return server, lambda url: fetch_image(client, url.format(port=front.port))

    return start


def hop(location: str) -> Callable[[int], bytes]:
    return lambda port: answer(302, headers={"Location": location.format(port=port), "Set-Cookie": "a=b"})


def test_stream_image_over_tls_sends_no_key_and_no_cookies(
    remote_images: RemoteImages,
) -> None:
    """The name resolves to a private address, as behind a TUN proxy or in a company network."""
    hops = [hop(f"https://img.test:{{port}}/{number}.png") for number in range(MAX_REDIRECTS)]
    server, fetch = remote_images(*hops, lambda port: answer(200, b"image"))
    assert MAX_REDIRECTS == 5
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
def test_stream_image_checks_every_redirect(remote_images: RemoteImages, location: str, why: str) -> None:
    for hops in (1, MAX_REDIRECTS):
        server, fetch = remote_images(*[hop("https://img.test:{port}/1.png")] * (hops - 1), hop(location))
        with pytest.raises(NotSaved, match=why):
            fetch("https://img.test:{port}/1.png")
        assert len(server.requests) == hops


@pytest.mark.parametrize(
    ("statuses", "transient", "stale"),
    [
        ((400, 403, 404, 410), False, True),
        ((408, 429, 500, 503), True, False),
        ((204, 206, 304), False, False),
    ],
)
def test_stream_image_error_status_is_transient_or_stale(
    api: Api, statuses: tuple[int, ...], transient: bool, stale: bool
) -> None:
    server, client = api(*[answer(status, headers={"Retry-After": "3"}) for status in statuses])
    for status in statuses:
        with pytest.raises(ImageRefused) as caught:
            fetch_image(client, f"{server.origin}/1.png")
        error = caught.value
        assert (error.http_status, error.transient, error.stale) == (status, transient, stale)
        assert (error.retry_after, error.exit_code) == (3.0, ExitCode.NOT_SAVED)


def test_stream_image_refuses_compressed_image(api: Api) -> None:
    server, client = api(answer(200, gzip.compress(b"image"), headers={"Content-Encoding": "gzip"}))
    with pytest.raises(NotSaved, match="compressed"):
        fetch_image(client, f"{server.origin}/1.png")


def test_client_is_shared_by_threads(start_sandbox: StartSandbox, connect: Connect) -> None:
    sandbox = start_sandbox(seconds=0, rate=0)
    client = connect(sandbox.base_url)

    def work(number: int) -> bytes:
        return fetch_image(client, client.get_task(client.submit(BODY, f"key-{number}").task_id).results[0])

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(work, range(16))) == [png()] * 16
    assert sandbox.task_count() == 16
