"""The bounds of every connection: its deadline, its hosts, its environment."""

from __future__ import annotations

import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpcore
import httpx
import pytest
from support.needs import program
from support.raw import Exchange, RawServer, answer

from seedream_cli import transport
from seedream_cli.addresses import refuse_private
from seedream_cli.client import Client
from seedream_cli.errors import NotSaved, Unreachable, UsageProblem
from seedream_cli.transport import Deadline

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
        made.append(transport.build(deadline=deadline or Deadline(), headers={}, **options))
        return made[-1]

    yield one
    for client in made:
        client.close()


# The deadline


def test_without_a_deadline_a_timeout_is_as_it_was() -> None:
    assert Deadline().cut(30.0, httpcore.ReadTimeout) == 30.0
    assert Deadline().cut(None, httpcore.ReadTimeout) is None


def test_a_deadline_shortens_a_timeout() -> None:
    deadline = Deadline()
    with deadline.within(5):
        assert 0 < (deadline.cut(30.0, httpcore.ReadTimeout) or 0) <= 5
        assert 0 < (deadline.cut(None, httpcore.ReadTimeout) or 0) <= 5
        assert deadline.cut(1.0, httpcore.ReadTimeout) == 1.0
    assert deadline.at is None


def test_behind_the_deadline_nothing_is_begun() -> None:
    deadline = Deadline()
    with deadline.within(-1), pytest.raises(httpcore.WriteTimeout):
        deadline.cut(30.0, httpcore.WriteTimeout)


def test_the_deadline_of_an_outer_call_comes_back() -> None:
    deadline = Deadline()
    with deadline.within(100):
        outer = deadline.at
        with pytest.raises(ValueError, match="inner"), deadline.within(1):
            raise ValueError("inner")
        assert deadline.at == outer


def test_each_thread_has_its_own_deadline() -> None:
    deadline = Deadline()
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


class SlowStream(httpcore.NetworkStream):
    """Each write takes its time, and would take all of it without ever timing out."""

    def __init__(self) -> None:
        self.written = 0

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        time.sleep(0.01)
        self.written += len(buffer)


def test_a_request_that_leaves_slowly_is_cut_between_its_pieces() -> None:
    deadline, inner = Deadline(), SlowStream()
    with deadline.within(0.1), pytest.raises(httpcore.WriteTimeout):
        transport._Stream(inner, deadline).write(bytes(64 * 1024 * 1024))
    assert 0 < inner.written < 64 * 1024 * 1024


def test_a_request_that_leaves_in_time_is_whole() -> None:
    deadline, inner = Deadline(), SlowStream()
    with deadline.within(60):
        transport._Stream(inner, deadline).write(bytes(200_000))
    assert inner.written == 200_000


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
    guard: transport.Guard | None,
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


def test_a_proxy_that_hangs_does_not_outlast_the_deadline(
    start_raw: StartRaw, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = start_raw(trickle(b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"))
    monkeypatch.setenv("HTTPS_PROXY", proxy.origin)
    client = Client("https://api.test/v1", KEY)
    with pytest.raises(Unreachable) as caught:
        client.task("task_1", seconds=0.3)
    assert caught.value.code == "timeout"
    client.close()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param("HTTPS_PROXY", "socks5://127.0.0.1:1", id="a SOCKS proxy without its package"),
        pytest.param("HTTPS_PROXY", "nonsense://127.0.0.1", id="a proxy of an unknown kind"),
        pytest.param("ALL_PROXY", "http://127.0.0.1:port", id="a proxy without a port number"),
        pytest.param("NO_PROXY", "[::1]", id="an IPv6 bracket in NO_PROXY"),
        pytest.param("SSL_CERT_FILE", "/nonexistent/ca.pem", id="certificates that are not there"),
        pytest.param("SSL_CERT_FILE", __file__, id="certificates that are none"),
    ],
)
def test_an_environment_that_cannot_be_used_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(UsageProblem) as caught:
        Client("https://api.test/v1", KEY)
    assert name in caught.value.message
    assert caught.value.code == "invalid_environment"


@pytest.mark.parametrize("proxy", ["http://user:sec/ret@127.0.0.1:80", "http://user:sec#ret@127.0.0.1:80"])
def test_a_proxys_password_is_not_repeated(monkeypatch: pytest.MonkeyPatch, proxy: str) -> None:
    monkeypatch.setenv("HTTPS_PROXY", proxy)
    with pytest.raises(UsageProblem) as caught:
        Client("https://api.test/v1", KEY)
    assert "sec" not in f"{caught.value.message} {caught.value.detail}"


@pytest.mark.parametrize(("name", "value"), [("SSL_CERT_FILE", "/nonexistent"), ("ALL_PROXY", "socks5://x")])
def test_an_api_on_this_machine_does_not_mind_the_environment(
    start_raw: StartRaw, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    client = Client(start_raw(answer(200, {"code": 0, "data": {}})).base_url, KEY)
    assert client.account() == {}
    client.close()


# Certificates


@pytest.fixture
def secure_server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An https server on loopback, and the file of the certificate that it signed itself."""
    openssl = program("openssl")
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    subprocess.run(
        [
            *(openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-keyout", str(key), "-out", str(certificate), "-days", "2", "-subj", "/CN=localhost"),
            *("-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"),
        ],
        check=True,
        capture_output=True,
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    listening = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            try:
                with context.wrap_socket(connection, server_side=True) as secure:
                    secure.recv(65536)
                    secure.sendall(answer(200, {"code": 0, "data": {"secure": True}}))
            except OSError:
                connection.close()

    threading.Thread(target=serve, daemon=True).start()
    yield f"https://127.0.0.1:{listening.getsockname()[1]}/v1", certificate
    listening.shutdown(socket.SHUT_RDWR)
    listening.close()


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
