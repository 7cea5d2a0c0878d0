"""Which connections are kept for the next call, which are not, and how each is made."""

from __future__ import annotations

import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import httpx
import pytest
from support.listening import Listening
from support.proxy import HttpProxy, Scripted
from support.raw import Exchange, PatientServer, RawServer, Reply, answer

from seedream_cli import proxies, transport
from seedream_cli.client import Client
from seedream_cli.errors import ImageRefused, Unreachable
from seedream_cli.network import Connections, Deadline, Stream

KEY = "sk-test-0123456789"
VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR")

Serve = Callable[..., PatientServer]


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)


@pytest.fixture
def running() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def serve(running: ExitStack) -> Serve:
    return lambda *replies: running.enter_context(PatientServer(replies))


@pytest.fixture
def connect(running: ExitStack) -> Callable[..., Client]:
    def one(server: RawServer) -> Client:
        client = Client(server.base_url, KEY)
        running.callback(client.close)
        return client

    return one


def kept(body: bytes, status: int = 200, *headers: bytes) -> bytes:
    """An answer that leaves its connection open."""
    lines = [b"HTTP/1.1 %d Any" % status, b"Content-Length: %d" % len(body), *headers]
    return b"\r\n".join([*lines, b"", body])


PENDING = kept(json.dumps({"code": 0, "data": {"task_id": "task_1", "status": "pending"}}).encode())
IMAGE = kept(b"image")


def fetched(client: Client, url: str) -> bytes:
    with client.stream(url) as image:
        return b"".join(image.chunks)


def test_a_task_takes_one_connection_to_the_api_and_one_to_the_images_host(
    serve: Serve, connect: Callable[..., Client]
) -> None:
    api, host = serve(PENDING), serve(IMAGE)
    client = connect(api)
    client.submit({"prompt": "fox"}, "key-1")
    for _ in range(5):
        client.task("task_1")
    assert fetched(client, f"{host.origin}/1.png") == fetched(client, f"{host.origin}/2.png") == b"image"
    assert (api.connections, len(api.requests)) == (1, 6)
    assert (host.connections, len(host.requests)) == (1, 2)


def test_calls_at_once_have_a_connection_each_and_later_ones_share_them(
    serve: Serve, connect: Callable[..., Client]
) -> None:
    server = serve(PENDING, IMAGE)
    client = connect(server)
    client.task("task_1")
    with (
        client.stream(f"{server.origin}/1.png") as one,
        client.stream(f"{server.origin}/2.png") as other,
    ):
        assert b"".join(one.chunks) == b"".join(other.chunks) == b"image"
    for number in range(4):
        fetched(client, f"{server.origin}/{number}.png")
    # The first is the API's: what has the key is never shared with what has it not.
    assert server.connections == 3


def test_no_more_connections_are_kept_than_that(
    serve: Serve, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "KEPT", 1)
    server = serve(IMAGE)
    client = connect(server)
    for _ in range(2):
        with ExitStack() as images:
            streams = [images.enter_context(client.stream(f"{server.origin}/1.png")) for _ in range(2)]
            for stream in streams:
                assert b"".join(stream.chunks) == b"image"
    assert server.connections == 3


def test_an_idle_connection_is_kept_for_its_time(
    serve: Serve, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "KEPT_SECONDS", 0.0)
    server = serve(PENDING)
    client = connect(server)
    client.task("task_1")
    client.task("task_1")
    assert server.connections == 2


def test_a_body_that_was_not_read_closes_its_connection(serve: Serve, connect: Callable[..., Client]) -> None:
    server = serve(kept(b"gone", 404), IMAGE)
    client = connect(server)
    with pytest.raises(ImageRefused):
        fetched(client, f"{server.origin}/1.png")
    assert fetched(client, f"{server.origin}/1.png") == b"image"
    assert server.connections == 2


def test_a_redirect_without_a_body_leaves_its_connection_to_the_next_hop(
    serve: Serve, connect: Callable[..., Client]
) -> None:
    server = serve(kept(b"", 302, b"Location: /2.png"), IMAGE)
    assert fetched(connect(server), f"{server.origin}/1.png") == b"image"
    assert server.connections == 1


class Leaving(RawServer):
    """Answers one request of each connection as if others could follow, and closes."""

    def __init__(self, reply: Reply) -> None:
        super().__init__([reply])
        self.left = threading.Semaphore(0)

    def serve(self, connection: socket.socket) -> None:
        super().serve(connection)
        connection.close()
        self.left.release()


def test_a_connection_that_the_server_closed_meanwhile_is_not_used(
    running: ExitStack, connect: Callable[..., Client]
) -> None:
    server = running.enter_context(Leaving(PENDING))
    client = connect(server)
    for number in range(3):
        assert client.task("task_1").status == "pending"
        assert server.left.acquire(timeout=20)
        assert (server.connections, len(server.requests)) == (number + 1, number + 1)


def test_what_comes_unasked_is_no_answer_to_the_next_request(
    serve: Serve, connect: Callable[..., Client]
) -> None:
    forged = kept(json.dumps({"code": 0, "data": {"plan": "forged"}}).encode())
    server = serve(PENDING + forged, kept(json.dumps({"code": 0, "data": {"plan": "true"}}).encode()))
    client = connect(server)
    client.task("task_1")
    assert client.account() == {"plan": "true"}
    assert server.connections == 2


def test_what_breaks_on_a_used_connection_may_have_arrived_and_is_not_sent_again(
    serve: Serve, connect: Callable[..., Client]
) -> None:
    server = serve(PENDING, None)
    client = connect(server)
    client.task("task_1")
    with pytest.raises(Unreachable, match="broke before its answer") as caught:
        client.submit({"prompt": "fox"}, "key-1")
    assert (caught.value.transient, caught.value.unsent) == (True, False)
    assert (server.connections, len(server.requests)) == (1, 2)


def test_a_closed_client_keeps_nothing(serve: Serve, connect: Callable[..., Client]) -> None:
    ended: list[bytes] = []

    def then_its_end(exchange: Exchange) -> None:
        exchange.connection.sendall(IMAGE)
        ended.append(exchange.connection.recv(1))
        over.set()

    over = threading.Event()
    server = serve(then_its_end)
    client = connect(server)
    with client.stream(f"{server.origin}/1.png") as image:
        client.close()
        assert b"".join(image.chunks) == b"image"
    assert over.wait(20)
    assert ended == [b""]


# How they are made


def test_an_address_is_not_looked_up_in_a_thread_of_its_own(
    serve: Serve, connect: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    asking: list[threading.Thread] = []
    system = socket.getaddrinfo

    def look_up(*args: Any, **options: Any) -> list[Any]:
        asking.append(threading.current_thread())
        return list(system(*args, **options))

    monkeypatch.setattr(socket, "getaddrinfo", look_up)
    connect(serve(PENDING)).task("task_1")
    assert set(asking) <= {threading.current_thread()}


def test_certificates_are_read_once_for_all_clients() -> None:
    assert proxies.certificates() is proxies.certificates()


def test_breaking_off_ends_a_handshake() -> None:
    class Silent(Listening):
        def serve(self, connection: socket.socket) -> None:
            connection.recv(65536)
            begun.set()
            connection.recv(65536)

    begun = threading.Event()
    ended: list[BaseException] = []
    with Silent() as server:
        client = Client(f"https://127.0.0.1:{server.port}/v1", KEY)

        def call() -> None:
            try:
                client.task("task_1", seconds=30)
            except Unreachable as error:
                ended.append(error)

        calling = threading.Thread(target=call)
        calling.start()
        assert begun.wait(20)
        client.break_off()
        calling.join(timeout=20)
        assert not calling.is_alive()
        client.close()
    assert [error.unsent for error in ended if isinstance(error, Unreachable)] == [True]


def test_breaking_off_finds_a_connection_that_is_just_becoming_one_of_tls() -> None:
    class Between(ssl.SSLContext):
        def wrap_socket(self, *args: Any, **options: Any) -> ssl.SSLSocket:
            wrapped = super().wrap_socket(*args, **options)
            connections.break_off()
            return wrapped

    connections = Connections()
    deadline = Deadline(connections)
    one, other = socket.socketpair()
    with other:
        stream = Stream(one, deadline)
        with pytest.raises(httpx.ConnectError):
            stream.start_tls(Between(ssl.PROTOCOL_TLS_CLIENT), "api.test", timeout=20)
        stream.close()


def test_plain_http_is_asked_of_a_proxy_as_a_whole_url_with_its_login(
    serve: Serve, running: ExitStack, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = serve(answer(200, b"image"))
    proxy = running.enter_context(HttpProxy({"img.test": server.port}, ("ada", "pa55/wörd:@%")))
    monkeypatch.setenv("HTTP_PROXY", proxy.url())
    with transport.build(deadline=Deadline(Connections()), headers={}) as client:
        assert client.get("http://img.test/1.png?a=b").content == b"image"
    assert proxy.asked == ["http://img.test/1.png?a=b"]
    assert server.requests[0].headers["host"] == "img.test"


def test_a_proxy_that_speaks_no_http_is_named_and_got_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with Scripted(b"SSH-2.0-OpenSSH_9.6\r\n", None) as proxy:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{proxy.port}")
        client = Client("https://api.test/v1", KEY)
        with pytest.raises(Unreachable) as caught:
            client.account()
        client.close()
    assert caught.value.message == f"no connection to the proxy 127.0.0.1:{proxy.port}"
    assert caught.value.unsent


def test_what_is_no_http_is_not_asked_for() -> None:
    with transport.build(deadline=Deadline(Connections()), headers={}, loopback=True) as client:
        for url in ("ftp://127.0.0.1/1.png", "https://127.0.0.1/1.png"):
            with pytest.raises(httpx.UnsupportedProtocol):
                client.get(url)
