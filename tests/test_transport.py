"""The bounds of every connection: its deadline, its hosts, its environment."""

from __future__ import annotations

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st
from support.listening import Listening
from support.proxy import HttpProxy, Proxy, Scripted, SocksProxy
from support.raw import Exchange, RawServer, answer
from support.tls import Authority, Front, authority

from seedream_cli import socks, transport
from seedream_cli.addresses import check_image_url, refuse_private
from seedream_cli.client import Client
from seedream_cli.errors import NotSaved, Unreachable, UsageProblem
from seedream_cli.network import Connections, Deadline, Guard, Stream

KEY = "sk-test-0123456789"
PROXIES = ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy")
OTHERS = ("NO_PROXY", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR")

StartRaw = Callable[..., RawServer]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*PROXIES, *OTHERS):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def build() -> Iterator[Callable[..., httpx.Client]]:
    made: list[httpx.Client] = []

    def one(deadline: Deadline | None = None, **options: Any) -> httpx.Client:
        made.append(transport.build(deadline=deadline or Deadline(Connections()), headers={}, **options))
        return made[-1]

    yield one
    for client in made:
        client.close()


# The deadline


def test_without_a_deadline_a_timeout_is_as_it_was() -> None:
    assert Deadline(Connections()).cut(30.0, httpx.ReadTimeout) == 30.0
    assert Deadline(Connections()).cut(None, httpx.ReadTimeout) is None


def test_a_deadline_shortens_a_timeout() -> None:
    deadline = Deadline(Connections())
    with deadline.within(5):
        assert 0 < (deadline.cut(30.0, httpx.ReadTimeout) or 0) <= 5
        assert 0 < (deadline.cut(None, httpx.ReadTimeout) or 0) <= 5
        assert deadline.cut(1.0, httpx.ReadTimeout) == 1.0
    assert deadline.at is None


def test_behind_the_deadline_nothing_is_begun() -> None:
    deadline = Deadline(Connections())
    with deadline.within(-1), pytest.raises(httpx.WriteTimeout):
        deadline.cut(30.0, httpx.WriteTimeout)


def test_the_deadline_of_an_outer_call_comes_back() -> None:
    deadline = Deadline(Connections())
    with deadline.within(100):
        outer = deadline.at
        with pytest.raises(ValueError, match="inner"), deadline.within(1):
            raise ValueError("inner")
        assert deadline.at == outer


def test_each_thread_has_its_own_deadline() -> None:
    deadline = Deadline(Connections())
    seen: list[float | None] = []
    with deadline.within(5):
        thread = threading.Thread(target=lambda: seen.append(deadline.at))
        thread.start()
        thread.join()
    assert seen == [None]


def trickle(head: bytes, piece: bytes) -> Callable[[Exchange], None]:
    """Sends ``head``, then ``piece`` again and again: no read ever waits long."""

    def send(exchange: Exchange) -> None:
        exchange.connection.sendall(head)
        while not exchange.closed.wait(0.02):
            exchange.connection.sendall(piece)

    return send


@pytest.mark.parametrize(
    ("head", "piece"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" ", id="a body with a length"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\n", b" ", id="a body without a length"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n", id="a chunked body"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", id="headers"),
        pytest.param(b"", b"HTTP/1.1 100 Continue\r\n\r\n", id="interim answers"),
        pytest.param(b"HTTP/1.1 200 OK\r\nX: ", b"y", id="one header"),
    ],
)
def test_a_byte_now_and_then_does_not_outlast_the_deadline(
    start_raw: StartRaw, head: bytes, piece: bytes
) -> None:
    server = start_raw(trickle(head, piece))
    client = Client(server.base_url, KEY)
    with pytest.raises(Unreachable) as caught:
        client.task("task_1", seconds=0.3)
    assert caught.value.code == "timeout"
    assert caught.value.transient
    client.close()


def test_an_image_that_trickles_does_not_outlast_the_deadline(start_raw: StartRaw) -> None:
    server = start_raw(trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b"x"))
    client = Client(server.base_url, KEY)

    def fetch() -> None:
        with client.stream(f"{server.origin}/1.png", seconds=0.3) as image:
            assert sum(map(len, image.chunks)) == 0, "unreachable"

    with pytest.raises(Unreachable) as caught:
        fetch()
    assert caught.value.code == "timeout"
    client.close()


def test_an_answer_that_never_comes_does_not_outlast_the_deadline(start_raw: StartRaw) -> None:
    server = start_raw(lambda exchange: exchange.closed.wait(30) and None)
    client = Client(server.base_url, KEY)
    with pytest.raises(Unreachable) as caught:
        client.task("task_1", seconds=0.2)
    assert caught.value.code == "timeout"
    client.close()


def port_of(server: RawServer) -> int:
    return int(server.origin.rpartition(":")[2])


@contextmanager
def slow_reader(every: float, size: int) -> Iterator[str]:
    """A server that takes a little of the request now and then, and never answers."""
    with socket.socket() as listening:
        # Small buffers: otherwise the system would take the whole request at once.
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        listening.bind(("127.0.0.1", 0))
        listening.listen()
        done = threading.Event()

        def read() -> None:
            connection, _ = listening.accept()
            with connection:
                while not done.wait(every):
                    if not connection.recv(size):
                        return

        thread = threading.Thread(target=read, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}/v1"
        finally:
            done.set()
            thread.join(timeout=5)


def test_a_server_that_reads_a_little_now_and_then_does_not_outlast_the_deadline() -> None:
    with slow_reader(every=0.01, size=64 * 1024) as base_url:
        client = Client(base_url, KEY)
        with pytest.raises(Unreachable) as caught:
            client.submit({"prompt": "x" * 32 * 1024 * 1024}, "key", seconds=0.5)
        assert caught.value.code == "timeout"
        client.close()


class SlowSocket(socket.socket):
    """Takes a little after a while, and would take all of it without ever timing out."""

    sent = 0

    def send(self, data: Any, flags: int = 0, /) -> int:
        time.sleep(0.01)
        self.sent += min(len(data), 64 * 1024)
        return min(len(data), 64 * 1024)


def test_a_request_that_leaves_slowly_is_cut_between_its_pieces() -> None:
    deadline = Deadline(Connections())
    with SlowSocket() as slow, deadline.within(0.1):
        with pytest.raises(httpx.WriteTimeout):
            Stream(slow, deadline).write(bytes(64 * 1024 * 1024))
        assert 0 < slow.sent < 64 * 1024 * 1024


def test_a_request_that_leaves_in_time_is_whole() -> None:
    deadline = Deadline(Connections())
    with SlowSocket() as slow, deadline.within(60):
        Stream(slow, deadline).write(bytes(200_000))
        assert slow.sent == 200_000


# Which host is connected to


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_private_address_is_refused_before_anything_is_connected(
    start_raw: StartRaw, build: Callable[..., httpx.Client], host: str
) -> None:
    server = start_raw(answer())
    port = server.origin.rpartition(":")[2]
    with pytest.raises(NotSaved, match="private network"):
        build(guard=refuse_private).get(f"http://{host}:{port}/1.png")
    assert server.connections == 0


@pytest.fixture
def resolve(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes a name of a test mean some addresses; no other name is looked up."""
    system = socket.getaddrinfo

    def name(host: str, *addresses: str) -> None:
        def look_up(asked: Any, port: Any, *args: Any, **options: Any) -> list[Any]:
            if asked != host:
                return list(system(asked, port, *args, **options))
            return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, port)) for each in addresses]

        monkeypatch.setattr(socket, "getaddrinfo", look_up)

    return name


def test_one_private_address_among_several_is_enough_to_refuse(
    start_raw: StartRaw, build: Callable[..., httpx.Client], resolve: Callable[..., None]
) -> None:
    server = start_raw(answer())
    resolve("img.test", "8.8.8.8", "127.0.0.1")
    with pytest.raises(NotSaved, match=r"private network: img\.test"):
        build(guard=refuse_private).get(f"http://img.test:{server.origin.rpartition(':')[2]}/")
    assert server.connections == 0


def test_the_address_that_was_judged_is_the_one_that_is_connected_to(
    start_raw: StartRaw, build: Callable[..., httpx.Client], resolve: Callable[..., None]
) -> None:
    server = start_raw(answer(200, b"here"))
    resolve("img.test", "127.0.0.1")
    judged: list[tuple[str, str]] = []
    client = build(guard=lambda host, address: judged.append((host, address)))
    assert client.get(f"http://img.test:{server.origin.rpartition(':')[2]}/").content == b"here"
    assert judged == [("img.test", "127.0.0.1")]
    assert server.requests[0].headers["host"].startswith("img.test:")


@pytest.mark.parametrize("guard", [None, lambda host, address: None], ids=["without a guard", "with a guard"])
def test_a_host_is_reached_by_its_second_address_where_the_first_does_not_answer(
    start_raw: StartRaw,
    build: Callable[..., httpx.Client],
    resolve: Callable[..., None],
    guard: Guard | None,
) -> None:
    server = start_raw(answer(200, b"here"))
    # The server listens at the second one only.
    resolve("img.test", "127.0.0.2", "127.0.0.1")
    answered = build(guard=guard).get(f"http://img.test:{server.origin.rpartition(':')[2]}/")
    assert answered.content == b"here"


def test_a_host_without_an_address_is_unreachable(
    build: Callable[..., httpx.Client], resolve: Callable[..., None]
) -> None:
    resolve("img.test")
    with pytest.raises(httpx.ConnectError):
        build().get("http://img.test/")


@pytest.mark.parametrize("host", ["a" * 64 + ".test", "a..test"])
def test_a_name_that_cannot_be_one_is_unreachable(build: Callable[..., httpx.Client], host: str) -> None:
    with pytest.raises((httpx.ConnectError, httpx.InvalidURL)):
        build().get(f"http://{host}/")


def test_redirects_are_not_followed(start_raw: StartRaw, build: Callable[..., httpx.Client]) -> None:
    elsewhere = start_raw(answer())
    server = start_raw(answer(302, headers={"Location": elsewhere.origin}))
    assert build().get(server.origin).status_code == 302
    assert elsewhere.connections == 0


# The environment


@pytest.mark.parametrize("name", PROXIES)
def test_a_proxy_does_not_see_what_stays_on_this_machine(
    start_raw: StartRaw, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    proxy = start_raw(answer(502))
    server = start_raw(answer(200, {"code": 0, "data": {"plan": "sandbox"}}), answer(200, b"image"))
    monkeypatch.setenv(name, proxy.origin)
    client = Client(server.base_url, KEY)
    assert client.account() == {"plan": "sandbox"}
    with client.stream(f"{server.origin}/1.png") as image:
        assert b"".join(image.chunks) == b"image"
    assert proxy.connections == 0
    client.close()


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_proxy_is_never_used_for_a_loopback_host(
    start_raw: StartRaw, build: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch, host: str
) -> None:
    proxy, server = start_raw(answer(502)), start_raw(answer(200, b"here"))
    monkeypatch.setenv("ALL_PROXY", proxy.origin)
    assert build().get(f"http://{host}:{server.origin.rpartition(':')[2]}/").content == b"here"
    assert proxy.connections == 0


def test_a_proxy_carries_what_goes_further(start_raw: StartRaw, monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = start_raw(answer(403))
    monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
    client = Client("https://api.test/v1", KEY)
    with pytest.raises(Unreachable) as caught:
        client.account()
    assert caught.value.code == "proxy_error"
    assert [(seen.method, seen.path) for seen in proxy.requests] == [("CONNECT", "api.test:443")]
    assert KEY not in str(proxy.requests)
    client.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("HTTPS_PROXY", "nonsense://127.0.0.1", id="an unknown scheme"),
        pytest.param("HTTPS_PROXY", "http://", id="no host"),
        pytest.param("HTTPS_PROXY", "http://127.0.0.1:0", id="port 0"),
        pytest.param("HTTPS_PROXY", "http://127.0.0.1:-1", id="a port below all ports"),
        pytest.param("HTTPS_PROXY", "socks5://127.0.0.1:65536", id="a port beyond all ports"),
        pytest.param("ALL_PROXY", "http://127.0.0.1:port", id="a port that is no number"),
        pytest.param("ALL_PROXY", "http://127.0 .0.1", id="a blank"),
        pytest.param("ALL_PROXY", "http://127.0.0.1\n", id="a line's end"),
        pytest.param("ALL_PROXY", "http://[::x]:1", id="no IPv6 address"),
        pytest.param("all_proxy", "http://{host}:1", id="a template"),
        pytest.param("HTTP_PROXY", "http://\udcff:1", id="bytes that are no text"),
        pytest.param("HTTP_PROXY", f"socks5://{'u' * 256}@127.0.0.1", id="a user name too long for SOCKS"),
        pytest.param("NO_PROXY", "[::1]", id="an IPv6 bracket in NO_PROXY"),
        pytest.param("NO_PROXY", "api.test other.test", id="a blank instead of a comma"),
        pytest.param("no_proxy", "api.test;other.test", id="a semicolon instead of a comma"),
        pytest.param("SSL_CERT_FILE", "/nonexistent/ca.pem", id="certificates that are not there"),
        pytest.param("SSL_CERT_FILE", __file__, id="certificates that are none"),
        pytest.param("SSL_CERT_DIR", "/nonexistent:/neither", id="folders that are not there"),
    ],
)
def test_an_environment_that_cannot_be_used_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageProblem) as caught:
        Client("https://api.test/v1", KEY)
    assert caught.value.message.startswith(f"{name} in the environment cannot be used: ")
    assert caught.value.code == "invalid_environment"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("HTTPS_PROXY", "127.0.0.1:3128"),
        ("HTTPS_PROXY", "http://proxy.test"),
        ("https_proxy", "https://user:p%40ss@proxy.test:3128/"),
        ("ALL_PROXY", "socks5h://[::1]:1080"),
        ("ALL_PROXY", "HTTP://müller.test:1"),
        ("NO_PROXY", "localhost, .api.test,*.api.test,10.0.0.0/8,::1,api.test:8443,"),
        ("NO_PROXY", "*"),
        ("SSL_CERT_DIR", "/nonexistent:/"),
    ],
)
def test_an_environment_that_can_be_used(
    build: Callable[..., httpx.Client], monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    build()


def test_the_lower_case_form_comes_first_and_is_the_one_that_is_named(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("https_proxy", "nonsense://127.0.0.1")
    with pytest.raises(UsageProblem, match=r"^https_proxy in"):
        Client("https://api.test/v1", KEY)


@pytest.mark.parametrize(
    "proxy",
    [
        "http://user:sec/ret@127.0.0.1:80",
        "http://user:sec#ret@127.0.0.1:80",
        "http://user:1/secret@127.0.0.1:80",
        "http://user:1?secret@127.0.0.1:80",
        "http://user#secret@127.0.0.1:80",
        "secret://127.0.0.1",
    ],
)
def test_a_proxys_password_is_not_repeated(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(UsageProblem) as caught:
        Client("https://api.test/v1", KEY)
    assert "sec" not in f"{caught.value.message} {caught.value.detail}"


@pytest.mark.parametrize(("name", "value"), [("SSL_CERT_FILE", "/nonexistent"), ("ALL_PROXY", "socks4://x")])
def test_an_api_on_this_machine_does_not_mind_the_environment(
    start_raw: StartRaw, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    """Nor do its images: nothing that is paid for ends at a setting that it does not need."""
    monkeypatch.setenv(name, value)
    server = start_raw(answer(200, {"code": 0, "data": {}}), answer(200, b"bytes"))
    client = Client(server.base_url, KEY)
    assert client.account() == {}
    with client.stream(f"{server.origin}/fox.png") as image:
        assert b"".join(image.chunks) == b"bytes"
    client.close()


# Certificates


@pytest.fixture(scope="module")
def trust(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    return authority(tmp_path_factory.mktemp("authority"), "DNS:api.test", "IP:127.0.0.1")


@pytest.fixture
def secure_server(start_raw: StartRaw, trust: Authority) -> Iterator[tuple[str, Path]]:
    """An https server on loopback, and the file of the authority that signed its certificate."""
    server = start_raw(answer(200, {"code": 0, "data": {"secure": True}}))
    with Front(trust, port_of(server)) as front:
        yield f"https://127.0.0.1:{front.port}/v1", trust.certificate


def test_a_certificate_that_is_not_trusted_is_named_and_not_tried_again(
    secure_server: tuple[str, Path],
) -> None:
    client = Client(secure_server[0], KEY)
    with pytest.raises(Unreachable, match=r"certificate of 127\.0\.0\.1.* not trusted") as caught:
        client.account()
    assert (caught.value.code, caught.value.transient) == ("tls_error", False)
    client.close()


def test_a_certificate_of_ones_own_can_be_trusted(
    secure_server: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    base_url, certificate = secure_server
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    client = Client(base_url, KEY)
    assert client.account() == {"secure": True}
    client.close()


def test_the_deadline_holds_through_the_handshake(start_raw: StartRaw) -> None:
    with slow_reader(every=0.1, size=1) as base_url:
        client = Client(base_url.replace("http:", "https:"), KEY)
        with pytest.raises(Unreachable) as caught:
            client.task("task_1", seconds=0.3)
        assert caught.value.code == "timeout"
        client.close()


# Proxies that fail


Fails = Callable[..., Unreachable]


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> Iterator[Fails]:
    """What becomes of a call through this proxy, which must fail."""
    clients: list[Client] = []

    def call(proxy: str, seconds: float = 30.0) -> Unreachable:
        monkeypatch.setenv("ALL_PROXY", proxy)
        clients.append(Client("https://api.test/v1", KEY))
        with pytest.raises(Unreachable) as caught:
            clients[-1].task("task_1", seconds=seconds)
        return caught.value

    yield call
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("status", "passing"),
    [
        *((status, False) for status in (302, 400, 403, 407)),
        *((status, True) for status in (408, 429, 500, 502, 503, 504, 599)),
    ],
)
def test_a_proxys_status_tells_whether_to_come_back(
    start_raw: StartRaw, fails: Fails, status: int, passing: bool
) -> None:
    problem = fails(start_raw(answer(status, b"secret", headers={"X": "secret"})).origin)
    assert (problem.code, problem.transient, problem.unsent) == ("proxy_error", passing, True)
    assert problem.detail is not None
    assert problem.detail.startswith(f"it answered with HTTP {status}")


def test_what_a_proxy_says_beside_its_status_is_not_repeated(start_raw: StartRaw, fails: Fails) -> None:
    problem = fails(start_raw(b"HTTP/1.1 407 no: secret\r\nContent-Length: 0\r\n\r\n").origin)
    assert problem.detail == "it answered with HTTP 407 Proxy Authentication Required"


@pytest.mark.parametrize(
    ("replies", "why", "passing"),
    [
        pytest.param([b"HTTP/1.1 400 Bad Request\r\n\r\n"], "does not speak SOCKS5", False, id="HTTP"),
        pytest.param([b"\x00\x5b\x00\x00\x00\x00\x00\x00"], "does not speak SOCKS5", False, id="SOCKS4"),
        pytest.param([b"\x05\xff"], "asks for a login", False, id="a login is missing"),
        pytest.param([b"\x05\x02"], "asks for a login", False, id="a login that was not offered"),
        pytest.param([b"\x05\x00", b"HTTP/1.1 400"], "does not speak SOCKS5", False, id="HTTP, later"),
        pytest.param(
            [b"\x05\x00", b"\x05\x00\x00\x09" + bytes(6)], "not speak SOCKS5", False, id="no address"
        ),
        pytest.param([b"\x05\x00", b"\x05\x01\x00\x01" + bytes(6)], "general failure", True, id="failure"),
        pytest.param([b"\x05\x00", b"\x05\x02\x00\x01" + bytes(6)], "its rules", False, id="not allowed"),
        pytest.param([b"\x05\x00", b"\x05\x04\x00\x01" + bytes(6)], "host unreachable", True, id="no host"),
        pytest.param([b"\x05\x00", b"\x05\x05\x00\x01" + bytes(6)], "connection refused", True, id="refused"),
        pytest.param([b"\x05\x00", b"\x05\x07\x00\x01" + bytes(6)], "not supported", False, id="no CONNECT"),
        pytest.param([b"\x05\x00", b"\x05\x63\x00\x01" + bytes(6)], "reply 99", True, id="an unknown reply"),
    ],
)
def test_a_socks_proxys_reply_tells_whether_to_come_back(
    fails: Fails, replies: list[bytes], why: str, passing: bool
) -> None:
    with Scripted(*replies) as proxy:
        problem = fails(f"socks5://127.0.0.1:{proxy.port}")
    assert (problem.code, problem.transient, problem.unsent) == ("proxy_error", passing, True)
    assert problem.detail is not None
    assert why in problem.detail


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_host_that_a_proxy_does_not_reach_may_be_reached_later(fails: Fails, scheme: str) -> None:
    kind = HttpProxy if scheme == "http" else SocksProxy
    with kind({}) as proxy:
        problem = fails(proxy.url())
    assert (problem.code, problem.transient, problem.unsent) == ("proxy_error", True, True)
    assert proxy.asked == ["api.test:443"]


LEAVING: list[Any] = [
    pytest.param("http", [b""], id="HTTP, at once"),
    pytest.param("http", [b"HTTP/1.1 2"], id="HTTP, within its answer"),
    pytest.param("socks5", [b""], id="SOCKS, at once"),
    pytest.param("socks5", [b"\x05"], id="SOCKS, within its first reply"),
    pytest.param("socks5", [b"\x05\x00"], id="SOCKS, before its second reply"),
    pytest.param("socks5", [b"\x05\x00", b"\x05\x00\x00\x01\x00"], id="SOCKS, within an address"),
    pytest.param("socks5", [b"\x05\x00", b"\x05\x00\x00\x03\x09api"], id="SOCKS, within a name"),
]


@pytest.mark.parametrize(("scheme", "replies"), LEAVING)
def test_a_proxy_that_leaves_in_the_middle_is_named_and_got_nothing(
    fails: Fails, scheme: str, replies: list[bytes]
) -> None:
    with Scripted(*replies) as proxy:
        problem = fails(f"{scheme}://127.0.0.1:{proxy.port}")
    assert problem.message == f"no connection to the proxy 127.0.0.1:{proxy.port}"
    assert (problem.code, problem.transient, problem.unsent) == ("unreachable", True, True)


@pytest.mark.parametrize(("scheme", "replies"), LEAVING)
def test_a_proxy_that_hangs_in_the_middle_does_not_outlast_the_deadline(
    fails: Fails, scheme: str, replies: list[bytes]
) -> None:
    with Scripted(*replies, None) as proxy:
        problem = fails(f"{scheme}://127.0.0.1:{proxy.port}", seconds=0.2)
    assert problem.message == f"no connection to the proxy 127.0.0.1:{proxy.port} in time"
    assert (problem.code, problem.transient, problem.unsent) == ("timeout", True, True)


class Trickling(Listening):
    """Sends what it has, and then a byte of it again and again."""

    def __init__(self, head: bytes, piece: bytes) -> None:
        super().__init__()
        self._head, self._piece = head, piece

    def serve(self, connection: socket.socket) -> None:
        connection.recv(65536)
        connection.sendall(self._head)
        while True:
            connection.sendall(self._piece)
            time.sleep(0.01)


@pytest.mark.parametrize(
    ("scheme", "head", "piece"),
    [
        pytest.param("http", b"HTTP/1.1 200 OK\r\n", b"X: y\r\n", id="HTTP"),
        pytest.param("socks5", b"\x05\x00\x05\x00\x00\x03\xff", b"x", id="SOCKS"),
    ],
)
def test_a_proxy_that_answers_a_byte_now_and_then_does_not_outlast_the_deadline(
    fails: Fails, scheme: str, head: bytes, piece: bytes
) -> None:
    with Trickling(head, piece) as proxy:
        problem = fails(f"{scheme}://127.0.0.1:{proxy.port}", seconds=0.2)
    assert (problem.code, problem.unsent) == ("timeout", True)


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_looking_up_a_proxy_does_not_outlast_the_deadline(
    fails: Fails, monkeypatch: pytest.MonkeyPatch, scheme: str
) -> None:
    ended = threading.Event()

    def look_up(*args: Any, **options: Any) -> list[Any]:
        ended.wait(30)
        return []

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    problem = fails(f"{scheme}://proxy.test:1080", seconds=0.2)
    ended.set()
    assert problem.message == "no connection to the proxy proxy.test:1080 in time"


@pytest.fixture
def through(monkeypatch: pytest.MonkeyPatch, trust: Authority) -> Iterator[Callable[..., Client]]:
    """A client whose way to api.test, the server at a port of this machine, is through a proxy."""
    with ExitStack() as running:

        def start(
            kind: type[Proxy], server: RawServer, *, proxy_host: str = "127.0.0.1", tls: bool = False
        ) -> Client:
            front = running.enter_context(Front(trust, port_of(server)))
            proxy = running.enter_context(kind({"api.test": front.port}))
            url = proxy.url().replace("127.0.0.1", proxy_host)
            if tls:
                url = f"https://127.0.0.1:{running.enter_context(Front(trust, proxy.port)).port}"
            monkeypatch.setenv("HTTPS_PROXY", url)
            monkeypatch.setenv("SSL_CERT_FILE", str(trust.certificate))
            client = Client("https://api.test/v1", KEY)
            running.callback(client.close)
            return client

        yield start


BOTH = pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])


@BOTH
def test_only_the_proxy_is_looked_up(
    start_raw: StartRaw, through: Callable[..., Client], monkeypatch: pytest.MonkeyPatch, kind: type[Proxy]
) -> None:
    asked: list[Any] = []
    system = socket.getaddrinfo

    def look_up(host: Any, *args: Any, **options: Any) -> list[Any]:
        asked.append(host)
        return list(system("127.0.0.1" if host == "proxy.test" else host, *args, **options))

    client = through(
        kind, start_raw(answer(200, {"code": 0, "data": {"plan": "any"}})), proxy_host="proxy.test"
    )
    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    assert client.account() == {"plan": "any"}
    assert set(asked) - {"127.0.0.1"} == {"proxy.test"}


@pytest.mark.parametrize(
    ("kind", "tls"),
    [(HttpProxy, False), (HttpProxy, True), (SocksProxy, False)],
    ids=["HTTP", "HTTPS", "SOCKS"],
)
def test_behind_a_proxy_the_deadline_holds_as_well(
    start_raw: StartRaw, through: Callable[..., Client], kind: type[Proxy], tls: bool
) -> None:
    server = start_raw(trickle(b"HTTP/1.1 200 OK\r\nContent-Length: 99999\r\n\r\n", b" "))
    client = through(kind, server, tls=tls)
    with pytest.raises(Unreachable, match=r"api\.test did not answer in time") as caught:
        client.task("task_1", seconds=0.3)
    assert (caught.value.code, caught.value.unsent) == ("timeout", False)


@BOTH
def test_what_breaks_behind_a_proxy_may_have_arrived(
    start_raw: StartRaw, through: Callable[..., Client], kind: type[Proxy]
) -> None:
    server = start_raw(None)
    with pytest.raises(Unreachable, match=r"the connection to api\.test broke") as caught:
        through(kind, server).submit({"prompt": "fox"}, "key")
    assert (caught.value.transient, caught.value.unsent) == (True, False)
    assert len(server.requests) == 1


def test_a_proxys_own_certificate_is_judged_and_named_as_its_own(trust: Authority, fails: Fails) -> None:
    with HttpProxy({}) as proxy, Front(trust, proxy.port) as front:
        problem = fails(f"https://127.0.0.1:{front.port}")
    assert problem.message == f"the certificate of the proxy 127.0.0.1:{front.port} is not trusted"
    assert (problem.code, problem.transient, problem.unsent) == ("tls_error", False, True)
    assert proxy.asked == []


def test_a_file_of_certificates_comes_before_a_folder_for_a_proxy_too(
    trust: Authority, fails: Fails, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority(tmp_path, "DNS:other.test").certificate))
    monkeypatch.setenv("SSL_CERT_DIR", str(trust.folder))
    with HttpProxy({}) as proxy, Front(trust, proxy.port) as front:
        assert fails(f"https://127.0.0.1:{front.port}").code == "tls_error"


PRIVATE = [
    "127.0.0.1",
    "127.1",
    "2130706433",
    "0x7f.1",
    "0177.0.0.1",
    "10.0.0.1.",
    "10\u30020\uff0e0\uff611",
    "127.0.0.1\u3002",
    "[::1]",
    "[::ffff:10.0.0.1]",
]


@pytest.mark.parametrize("host", [*PRIVATE, "localhost.", "localhost\u3002", "images.localhost"])
@BOTH
def test_a_private_address_is_refused_before_a_proxy_hears_of_it(
    start_raw: StartRaw, through: Callable[..., Client], kind: type[Proxy], host: str
) -> None:
    server = start_raw(answer(200))
    client = through(kind, server)
    with pytest.raises(NotSaved, match="private network"), client.stream(f"https://{host}/1.png"):
        pass
    assert server.connections == 0


@pytest.mark.parametrize("host", ["8.8.8.8", "1.1", "127.0.0.1.example.com", "localhost.example.com", "cafe"])
def test_what_only_looks_private_is_asked_for(host: str) -> None:
    check_image_url(f"https://{host}/1.png", local=False)


# SOCKS, byte by byte


class Bytes:
    """Gives what it has a byte at a time, and keeps what it gets."""

    def __init__(self, data: bytes) -> None:
        self.left = data
        self.written = b""

    def read(self, most: int, timeout: float | None = None) -> bytes:
        first, self.left = self.left[:1], self.left[1:]
        return first

    def write(self, data: bytes, timeout: float | None = None) -> None:
        self.written += data


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("api.test", b"\x03\x08api.test"),
        ("192.0.2.1", b"\x01\xc0\x00\x02\x01"),
        ("2001:db8::1", b"\x04\x20\x01\x0d\xb8" + bytes(11) + b"\x01"),
    ],
)
@pytest.mark.parametrize(
    "bound", [b"\x01" + bytes(6), b"\x04" + bytes(18), b"\x03\x02ab" + bytes(2)], ids=["IPv4", "IPv6", "name"]
)
def test_socks_takes_its_replies_in_pieces_and_not_a_byte_more(
    host: str, address: bytes, bound: bytes
) -> None:
    stream = Bytes(b"\x05\x00" + b"\x05\x00\x00" + bound + b"the host's")
    socks.connect(stream, host, 443, None, 10.0)
    assert stream.written == b"\x05\x01\x00" + b"\x05\x01\x00" + address + b"\x01\xbb"
    assert stream.left == b"the host's"


def test_socks_shows_a_login_only_to_a_proxy_that_asks_for_it() -> None:
    asked = Bytes(b"\x05\x02" + b"\x01\x00" + b"\x05\x00\x00\x01" + bytes(6))
    socks.connect(asked, "a", 1, (b"ada", b"secret"), 10.0)
    assert asked.written == b"\x05\x02\x00\x02" + b"\x01\x03ada\x06secret" + b"\x05\x01\x00\x03\x01a\x00\x01"
    unasked = Bytes(b"\x05\x00" + b"\x05\x00\x00\x01" + bytes(6))
    socks.connect(unasked, "a", 1, (b"ada", b"secret"), 10.0)
    assert b"secret" not in unasked.written


@pytest.mark.parametrize("reply", [b"\x05\x02\x01\x01", b"\x05\xff"], ids=["wrong", "not wanted"])
def test_socks_is_refused_a_login(reply: bytes) -> None:
    with pytest.raises(socks.Refused, match="user name and password") as caught:
        socks.connect(Bytes(reply), "a", 1, (b"ada", b"secret"), 10.0)
    assert not caught.value.passing


def test_socks_takes_no_host_that_is_longer_than_its_length_can_be() -> None:
    with pytest.raises(socks.Refused, match="255 bytes"):
        socks.connect(Bytes(b"\x05\x00"), "a" * 256, 1, None, 10.0)


@given(st.binary(max_size=40))
def test_any_reply_to_socks_at_all_is_a_connection_or_a_refusal(data: bytes) -> None:
    with suppress(httpx.ProxyError, httpx.ReadError):
        socks.connect(Bytes(b"\x05" + data), "a", 1, (b"ada", b"secret"), 10.0)


# Breaking off, which is how one thread ends the waits of others


def half(exchange: Exchange) -> None:
    """The beginning of an answer, and then nothing."""
    exchange.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{")
    exchange.closed.wait(30)


def never(exchange: Exchange) -> None:
    exchange.closed.wait(30)


@contextmanager
def waiting_calls(client: Client, server: RawServer, count: int) -> Iterator[list[BaseException]]:
    """So many threads that wait for an answer; what each call ended with, once the block is left."""
    ended: list[BaseException] = []

    def call(number: int) -> None:
        try:
            client.task(f"task_{number}", seconds=30)
        except BaseException as error:
            ended.append(error)

    callers = [threading.Thread(target=call, args=(number,)) for number in range(count)]
    for caller in callers:
        caller.start()
    deadline = time.monotonic() + 20
    while len(server.requests) < count:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    yield ended
    for caller in callers:
        caller.join(timeout=20)
        assert not caller.is_alive()


@pytest.mark.parametrize("reply", [half, never])
def test_breaking_off_ends_every_wait_of_other_threads(
    start_raw: StartRaw, reply: Callable[[Exchange], None]
) -> None:
    server = start_raw(reply)
    client = Client(server.base_url, KEY)
    with waiting_calls(client, server, 4) as ended:
        client.break_off()
    assert [type(error) for error in ended] == [Unreachable] * 4
    client.close()


def test_breaking_off_ends_the_wait_for_an_image(start_raw: StartRaw) -> None:
    begun = threading.Event()

    def half_an_image(exchange: Exchange) -> None:
        exchange.connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 999999\r\n\r\n" + bytes(300_000))
        exchange.closed.wait(30)

    server = start_raw(half_an_image)
    client = Client(server.base_url, KEY)
    ended: list[BaseException] = []

    def fetch() -> None:
        try:
            with client.stream(f"{server.origin}/1.png", seconds=30) as image:
                for _ in image.chunks:
                    begun.set()
        except BaseException as error:
            ended.append(error)

    fetching = threading.Thread(target=fetch)
    fetching.start()
    assert begun.wait(20)
    client.break_off()
    fetching.join(timeout=20)
    assert not fetching.is_alive()
    assert [type(error) for error in ended] == [Unreachable]
    client.close()


def test_once_broken_off_no_call_is_answered(start_raw: StartRaw) -> None:
    """Whoever was between two calls then does not begin another one for long."""
    server = start_raw(half)
    client = Client(server.base_url, KEY)
    client.break_off()
    for _ in range(2):
        with pytest.raises(Unreachable):
            client.task("task_1", seconds=30)
    client.close()


def test_an_idle_connection_that_is_kept_alive_is_broken_off_too(start_raw: StartRaw) -> None:
    def twice(exchange: Exchange) -> None:
        body = b'{"code": 0, "data": {"task_id": "task_1", "status": "queued"}}'
        head = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        exchange.connection.sendall(head + body)
        # The connection stays open, for a next request that never comes.
        left.append(exchange.connection.recv(1))

    left: list[bytes] = []
    server = start_raw(twice)
    client = Client(server.base_url, KEY)
    assert client.task("task_1").status == "queued"
    client.break_off()
    with pytest.raises(Unreachable):
        client.task("task_1", seconds=5)
    client.close()
    deadline = time.monotonic() + 20
    while not left:
        assert time.monotonic() < deadline
        time.sleep(0.005)
    assert left[0] == b""


def test_breaking_off_with_nothing_open_is_no_problem(start_raw: StartRaw) -> None:
    client = Client(start_raw(answer(200)).base_url, KEY)
    client.break_off()
    client.break_off()
    client.close()
    client.break_off()


def test_breaking_off_reaches_through_tls(trust: Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """The connection beneath is ended; TLS is not asked."""
    monkeypatch.setenv("SSL_CERT_FILE", str(trust.certificate))
    server = RawServer([half])
    with server, Front(trust, server.port) as front:
        client = Client(f"https://127.0.0.1:{front.port}/v1", KEY)
        with waiting_calls(client, server, 2) as ended:
            client.break_off()
        assert [type(error) for error in ended] == [Unreachable] * 2
        client.close()


def test_a_connection_that_nobody_needs_any_more_is_forgotten() -> None:
    """A client that makes many must not hold on to each."""
    connections = Connections()
    deadline = Deadline(connections)
    with socket.socket() as one:
        kept = Stream(one, deadline)
        for _ in range(10):
            Stream(one, deadline)
        gc.collect()
        assert list(connections._open) == [kept]
