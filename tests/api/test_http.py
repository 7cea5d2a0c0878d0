"""HTTP at real sockets: timeouts, connections, proxies, certificates and the errors that they raise."""

from __future__ import annotations

import random
import socket
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest
from support.api import KEY, Api, Connect, fetch_image
from support.proxy import HttpProxy, Proxy, Scripted, SocksProxy
from support.raw import Exchange, KeepAliveServer, RawServer, Reply, answer, success
from support.starting import StartRaw
from support.threaded_server import ThreadedServer
from support.tls import Authority, Front, authority

from seedream_cli.api import http
from seedream_cli.api.client import Client
from seedream_cli.errors import NotSaved, SeedreamError, Unreachable, UsageError

PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
OTHERS = ("NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *OTHERS):
        monkeypatch.delenv(name, raising=False)


# Timeouts


def trickle(head: bytes, piece: bytes) -> Callable[[Exchange], None]:
    """Send ``head``, then ``piece`` again and again, so that no read times out."""

    def send(exchange: Exchange) -> None:
        exchange.connection.sendall(head)
        while not exchange.closed.wait(0.02):
            exchange.connection.sendall(piece)

    return send


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        (b"Content-Length: 99999\r\n\r\n", b" "),
        (b"\r\n", b" "),
        (b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
    ],
    ids=["with a length", "without a length", "chunked"],
)
def test_timeout_ends_slow_body(api: Api, head: bytes, piece: bytes) -> None:
    server, client = api(trickle(b"HTTP/1.1 200 OK\r\n" + head, piece))
    with pytest.raises(Unreachable) as caught:
        client.get_task("task_1", seconds=0.2)
    assert (caught.value.code, caught.value.transient, caught.value.unsent) == ("timeout", True, False)
    with pytest.raises(Unreachable) as caught:
        fetch_image(client, f"{server.origin}/1.png", seconds=0.2)
    assert caught.value.code == "timeout"


def test_timeout_without_response_is_not_unsent(api: Api) -> None:
    _, client = api(lambda exchange: exchange.closed.wait(30) and None)
    with pytest.raises(Unreachable, match="did not answer in time") as caught:
        client.submit({"prompt": "fox"}, "key-1", seconds=0.2)
    assert (caught.value.code, caught.value.transient, caught.value.unsent) == ("timeout", True, False)


class Silent(ThreadedServer):
    def serve(self, connection: socket.socket) -> None:
        self.closing.wait(30)


def test_timeout_in_tls_handshake_is_unsent(connect: Connect) -> None:
    with Silent() as server, pytest.raises(Unreachable, match=r"no connection to .* in time") as caught:
        connect(f"https://127.0.0.1:{server.port}/v1").get_task("task_1", seconds=0.2)
    assert (caught.value.code, caught.value.unsent) == ("timeout", True)


def test_timeout_ends_blocked_write(connect: Connect) -> None:
    body = {"prompt": "x" * 32 * 1024 * 1024}
    with Silent() as server, pytest.raises(Unreachable) as caught:
        connect(f"http://127.0.0.1:{server.port}/v1").submit(body, "key-1", seconds=0.3)
    assert (caught.value.code, caught.value.unsent) == ("timeout", False)


# Connections


def keep_alive(body: bytes, status: int = 200, *headers: bytes) -> bytes:
    """Return a response that leaves its connection open."""
    lines = [b"HTTP/1.1 %d Any" % status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


PENDING = keep_alive(b'{"code": 0, "data": {"task_id": "task_1", "status": "pending"}}')


def test_connections_are_reused_but_not_shared_with_images(running: ExitStack, connect: Connect) -> None:
    """Images never use the connection to the API, which sends the key, even on the same host."""
    server = running.enter_context(KeepAliveServer([PENDING] * 6 + [keep_alive(b"image")]))
    client = connect(server.base_url)
    client.submit({"prompt": "fox"}, "key-1")
    for _ in range(5):
        client.get_task("task_1")
    assert (
        fetch_image(client, f"{server.origin}/1.png")
        == fetch_image(client, f"{server.origin}/2.png")
        == b"image"
    )
    assert (server.connections, len(server.requests)) == (2, 8)


class Leaving(RawServer):
    """Closes each connection after one response that does not announce it."""

    def __init__(self) -> None:
        super().__init__([PENDING])
        self.left = threading.Semaphore(0)

    def serve(self, connection: socket.socket) -> None:
        super().serve(connection)
        connection.close()
        self.left.release()


def test_connection_closed_by_server_is_not_reused(running: ExitStack, connect: Connect) -> None:
    server = running.enter_context(Leaving())
    client = connect(server.base_url)
    for number in range(3):
        assert client.get_task("task_1").status == "pending"
        assert server.left.acquire(timeout=20)
        assert (server.connections, len(server.requests)) == (number + 1, number + 1)


def reset(exchange: Exchange) -> None:
    exchange.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    exchange.connection.close()


@pytest.mark.parametrize("reply", [None, reset], ids=["closed", "reset"])
def test_broken_reused_connection_is_not_unsent_and_not_retried(
    running: ExitStack, connect: Connect, reply: Reply
) -> None:
    server = running.enter_context(KeepAliveServer([PENDING, reply]))
    client = connect(server.base_url)
    client.get_task("task_1")
    with pytest.raises(Unreachable, match="broke before its answer") as caught:
        client.submit({"prompt": "fox"}, "key-1")
    assert (caught.value.transient, caught.value.unsent) == (True, False)
    assert (server.connections, len(server.requests)) == (1, 2)


def test_refused_connection_is_unsent(connect: Connect) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(Unreachable, match=r"no connection to 127\.0\.0\.1") as caught:
        connect(f"http://127.0.0.1:{port}/v1").submit({"prompt": "fox"}, "key-1")
    assert (caught.value.transient, caught.value.unsent) == (True, True)


# Choice of the proxy


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_proxy_is_not_used_for_loopback(
    start_raw: StartRaw, connect: Connect, monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    proxy, server = start_raw(answer(502)), start_raw(success({"plan": "here"}), answer(200, b"image"))
    for name in PROXIES:
        monkeypatch.setenv(name, proxy.origin)
    client = connect(server.base_url.replace("127.0.0.1", host))
    assert client.get_account() == {"plan": "here"}
    assert fetch_image(client, f"{server.origin}/1.png") == b"image"
    assert proxy.connections == 0


ENTRIES = "fd00::/8|::1/128|[::1]|<local>|192.168.*|a b|a;{}|api.test.org|10.0.0.0/8"


def test_proxy_is_used_for_hosts_not_in_no_proxy(
    start_raw: StartRaw, connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = start_raw(answer(403))
    monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
    for number, entry in enumerate(ENTRIES.split("|"), 1):
        monkeypatch.setenv("NO_PROXY", entry)
        with pytest.raises(Unreachable) as caught:
            connect("https://api.test/v1").get_account()
        assert caught.value.code == "proxy_error"
        assert [(seen.method, seen.path) for seen in proxy.requests] == [("CONNECT", "api.test:443")] * number
    assert KEY not in str(proxy.requests)


def test_no_proxy_excludes_hosts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "this proxy cannot be used")
    for url, entries in {
        "https://api.test/v1": ("localhost, api.test", ".test", "API.test:443", "*"),
        "https://[2001:db8::1]/v1": ("2001:db8::1", "[2001:db8::1]"),
    }.items():
        for entry in entries:
            monkeypatch.setenv("no_proxy", entry)
            # Would raise UsageError if it used the proxy.
            http.HttpClient({}).prepare(url)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("HTTPS_PROXY", "nonsense://127.0.0.1", id="an unknown scheme"),
        pytest.param("ALL_PROXY", "socks4://127.0.0.1:1", id="SOCKS 4"),
        pytest.param("HTTPS_PROXY", "http://", id="no host"),
        pytest.param("HTTPS_PROXY", "http://127.0.0.1:0", id="port 0"),
        pytest.param("HTTPS_PROXY", "socks5://127.0.0.1:65536", id="a port beyond all ports"),
        pytest.param("ALL_PROXY", "http://127.0.0.1:port", id="a port that is no number"),
        pytest.param("ALL_PROXY", "http://127.0 .0.1", id="a blank"),
        pytest.param("ALL_PROXY", "http://[::x]:1", id="no IPv6 address"),
        pytest.param("all_proxy", "http://{host}:1", id="a template"),
        pytest.param("https_proxy", "http://\udcff:1", id="bytes that are no text"),
        pytest.param("HTTPS_PROXY", "http://user:sec/ret@127.0.0.1:80", id="a slash in the password"),
        pytest.param("HTTPS_PROXY", "http://user:1/secret@127.0.0.1:80", id="what looks like a port"),
        pytest.param("HTTPS_PROXY", "http://user:1?secret@127.0.0.1:80", id="what looks like a query"),
        pytest.param("HTTPS_PROXY", "http://user#secret@127.0.0.1:80", id="what looks like a fragment"),
        pytest.param("HTTPS_PROXY", "secret://127.0.0.1", id="a secret for a scheme"),
        pytest.param("SSL_CERT_FILE", "/nonexistent/ca.pem", id="certificates that are not there"),
        pytest.param("SSL_CERT_FILE", __file__, id="certificates that are none"),
        pytest.param("SSL_CERT_DIR", "/nonexistent:/neither", id="folders that are not there"),
    ],
)
def test_invalid_proxy_or_certificate_setting_is_a_usage_error(
    api: Api, connect: Connect, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageError) as caught:
        connect("https://api.test/v1")
    assert caught.value.message.startswith(f"{name} in the environment cannot be used: ")
    assert caught.value.code == "invalid_environment"
    assert "sec" not in caught.value.message
    # A loopback service needs none of them. For an image, which is paid for, it is not a usage error.
    server, client = api(success({}), answer(200, b"image"))
    assert client.get_account() == {}
    assert fetch_image(client, f"{server.origin}/1.png") == b"image"
    with pytest.raises(NotSaved, match="cannot be used"):
        fetch_image(client, "https://img.test/1.png")


def test_valid_proxy_and_certificate_settings_are_accepted(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", "/nonexistent:/")
    # Variables for another scheme, and those that another one overrides, are not checked.
    monkeypatch.setenv("HTTP_PROXY", "ftp://127.0.0.1:9")
    for name, value in {
        "HTTPS_PROXY": "127.0.0.1:3128 http://proxy.test\n",
        "https_proxy": "https://user:p%40ss@proxy.test:3128/",
        "ALL_PROXY": "socks5h://[::1]:1080 HTTP://müller.test:1 socks://proxy.test",
    }.items():
        for url in value.split(" "):
            with monkeypatch.context() as patched:
                patched.setenv(name, url)
                if name != "ALL_PROXY":
                    patched.setenv("ALL_PROXY", "nonsense://127.0.0.1:9")
                connect("https://api.test/v1")


# Calls through a proxy


Through = Callable[..., Client]
BOTH = pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])


@pytest.fixture
def through(
    running: ExitStack, connect: Connect, monkeypatch: pytest.MonkeyPatch, certificates: Authority
) -> Through:
    """Return a client that reaches api.test, which is ``server``, only through a proxy."""

    def start(kind: type[Proxy], server: RawServer, *, tls: bool = False) -> Client:
        front = running.enter_context(Front(certificates, server.port))
        proxy = running.enter_context(kind({"api.test": front.port}))
        url = proxy.url()
        if tls:
            url = f"https://127.0.0.1:{running.enter_context(Front(certificates, proxy.port)).port}"
        monkeypatch.setenv("HTTPS_PROXY", url)
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.certificate))
        return connect("https://api.test/v1")

    return start


@pytest.mark.parametrize(
    ("kind", "tls"),
    [(HttpProxy, False), (HttpProxy, True), (SocksProxy, False)],
    ids=["HTTP", "HTTPS", "SOCKS"],
)
def test_timeout_applies_through_proxy(
    start_raw: StartRaw, through: Through, kind: type[Proxy], tls: bool
) -> None:
    server = start_raw(trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "))
    message = r"api\.test through the proxy 127.* did not answer in time"
    with pytest.raises(Unreachable, match=message) as caught:
        through(kind, server, tls=tls).get_task("task_1", seconds=0.5)
    assert (caught.value.code, caught.value.unsent) == ("timeout", False)


@BOTH
def test_broken_connection_through_proxy_is_not_unsent(
    start_raw: StartRaw, through: Through, kind: type[Proxy]
) -> None:
    server = start_raw(None)
    with pytest.raises(Unreachable, match=r"the connection to api\.test .*broke") as caught:
        through(kind, server).submit({"prompt": "fox"}, "key")
    assert (caught.value.transient, caught.value.unsent) == (True, False)
    assert len(server.requests) == 1


# Proxies that fail


Fails = Callable[..., Unreachable]


@pytest.fixture
def fails(connect: Connect, monkeypatch: pytest.MonkeyPatch) -> Fails:
    """Return the error of a call through this proxy, which must fail."""

    def call(proxy: str, seconds: float = 20.0) -> Unreachable:
        monkeypatch.setenv("ALL_PROXY", proxy)
        client = connect("https://api.test/v1")
        with pytest.raises(Unreachable) as caught:
            client.get_task("task_1", seconds=seconds)
        return caught.value

    return call


@pytest.mark.parametrize(("status", "passing"), [(302, False), (403, False), (429, True), (502, True)])
def test_http_proxy_status_decides_if_transient(
    start_raw: StartRaw, fails: Fails, status: int, passing: bool
) -> None:
    problem = fails(start_raw(answer(status, b"secret", headers={"X": "secret"})).origin)
    assert (problem.code, problem.transient, problem.unsent) == ("proxy_error", passing, True)
    assert (problem.detail or "").startswith(f"it answered with HTTP {status}")
    # The proxy's own reason is not shown.
    problem = fails(start_raw(b"HTTP/1.1 407 no: secret\r\nContent-Length: 0\r\n\r\n").origin)
    assert problem.detail == "it answered with HTTP 407 Proxy Authentication Required"


@pytest.mark.parametrize(
    ("replies", "why", "passing"),
    [
        ([b"\x05\xff"], "NO ACCEPTABLE METHODS", False),
        ([b"\x05\x00", b"\x05\x04\x00\x01" + bytes(6)], "Host unreachable", True),
        ([b"\x05\x00", b"\x05\x05\x00\x01" + bytes(6)], "refused", True),
    ],
)
def test_socks_proxy_reply_decides_if_transient(
    fails: Fails, replies: list[bytes], why: str, passing: bool
) -> None:
    with Scripted(*replies) as proxy:
        problem = fails(f"socks5://127.0.0.1:{proxy.port}")
    assert (problem.code, problem.transient, problem.unsent) == ("proxy_error", passing, True)
    assert why in (problem.detail or "")


@pytest.mark.parametrize(
    ("scheme", "replies"),
    [
        ("http", [b""]),
        ("http", [b"HTTP/1.1 2"]),
        ("socks5", [b""]),
        ("socks5", [b"\x05"]),
        ("socks5", [b"\x05\x00"]),
        ("socks5", [b"\x05\x00", b"\x05\x00\x00\x01\x00"]),
        ("socks5", [b"HTTP/1.1 400 Bad Request\r\n\r\n"]),
    ],
)
@pytest.mark.parametrize("then", [[], [None]], ids=["leaves", "hangs"])
def test_proxy_that_closes_or_hangs_is_named_before_the_timeout(
    fails: Fails, scheme: str, replies: list[bytes], then: list[None]
) -> None:
    began = time.monotonic()
    with Scripted(*replies, *then) as proxy:
        problem = fails(f"{scheme}://127.0.0.1:{proxy.port}", seconds=0.2)
    assert time.monotonic() - began < 10
    assert f"api.test through the proxy 127.0.0.1:{proxy.port}" in problem.message
    assert problem.transient


def test_socks_proxy_random_reply_is_unreachable(fails: Fails) -> None:
    chance = random.Random(20261130)
    for _ in range(60):
        replies = [b"\x05" + chance.randbytes(chance.randrange(4)) for _ in range(chance.randint(1, 3))]
        with Scripted(*replies) as proxy:
            problem = fails(f"socks5://ada:pa55@127.0.0.1:{proxy.port}")
        assert "pa55" not in repr(vars(problem))


def test_proxy_without_route_to_host_is_transient(fails: Fails) -> None:
    for kind in (HttpProxy, SocksProxy):
        with kind({}) as proxy:
            problem = fails(proxy.url())
        assert (problem.code, problem.transient, problem.unsent) == ("proxy_error", True, True)
        assert proxy.asked == ["api.test:443"]


def test_missing_socks_library_is_unreachable(fails: Fails, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(Unreachable, match="ImportError") as caught:
        fails("socks5://127.0.0.1:9")
    assert not caught.value.transient


# Certificates


def test_untrusted_certificate_is_not_transient(
    start_raw: StartRaw, connect: Connect, fails: Fails, certificates: Authority, running: ExitStack
) -> None:
    server = running.enter_context(Front(certificates, start_raw(success({})).port))
    with pytest.raises(Unreachable, match=r"certificate of 127\.0\.0\.1.* not trusted") as caught:
        connect(f"https://127.0.0.1:{server.port}/v1").get_account()
    assert (caught.value.code, caught.value.transient, caught.value.unsent) == ("tls_error", False, True)
    with HttpProxy({}) as proxy, Front(certificates, proxy.port) as front:
        assert fails(f"https://127.0.0.1:{front.port}").code == "tls_error"
    assert proxy.asked == []


def test_ssl_cert_file_and_dir_are_trusted(
    start_raw: StartRaw, running: ExitStack, connect: Connect, certificates: Authority, tmp_path: Path
) -> None:
    server = running.enter_context(Front(certificates, start_raw(success({"secure": True})).port))
    base_url = f"https://127.0.0.1:{server.port}/v1"
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setenv("SSL_CERT_DIR", str(certificates.folder))
        assert connect(base_url).get_account() == {"secure": True}
        # SSL_CERT_FILE takes precedence over SSL_CERT_DIR.
        monkeypatch.setenv("SSL_CERT_FILE", str(authority(tmp_path, "DNS:other.test").certificate))
        with pytest.raises(SeedreamError) as caught:
            connect(base_url).get_account()
    assert caught.value.code == "tls_error"
    # Certificates are read once for all clients.
    assert http._trusted_context() is http._trusted_context()
