"""Proxies and certificates from the environment, with real ones on loopback, and the program as a process.

The service and its images have names that do not exist: only the proxy resolves them. In each process, an
audit hook refuses and records every connection or look-up beyond this machine.
"""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

import pytest
from support.images import png
from support.program import Program, Result
from support.proxy import HttpProxy, Proxy, SocksProxy
from support.tls import Authority, Front

from seedream_cli.errors import ExitCode
from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.slow

KEY = "sk-canary-4f9d2c7be1"
API = "api.seedream.test"
IMAGES = "images.seedream.test"
#: User name and password, with characters that URLs and headers encode differently.
LOGIN = ("ada", "pa55/wörd:@%")

WATCH = """
import os, sys

def watch(event, arguments):
    if event == "socket.getaddrinfo":
        host = arguments[0]
    elif event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    else:
        return
    if host not in ("127.0.0.1", "::1", "localhost"):
        with open(os.environ["BEYOND"], "a") as file:
            file.write(f"{host}\\n")
        raise OSError("nothing leaves this machine")

sys.addaudithook(watch)
"""


class RemoteImagesSandbox(Sandbox):
    """A sandbox whose image URLs have another host."""

    images = f"https://{IMAGES}"

    @property
    def image_origin(self) -> str:
        return self.images

    @property
    def image_port(self) -> int:
        return urlsplit(super().image_origin).port or 0


@dataclass
class World:
    """A service that only a proxy can reach, and the program that uses it."""

    seedream: Program
    sandbox: RemoteImagesSandbox
    authority: Authority
    hosts: Mapping[str, int]
    beyond: Path
    start: Callable[[Proxy], Proxy]

    def http(self, login: tuple[str, str] | None = None) -> Proxy:
        return self.start(HttpProxy(self.hosts, login))

    def socks(self, login: tuple[str, str] | None = None) -> Proxy:
        return self.start(SocksProxy(self.hosts, login))

    @property
    def left(self) -> list[str]:
        """Return the hosts beyond this machine that were looked up or connected to."""
        return self.beyond.read_text().splitlines() if self.beyond.exists() else []

    @property
    def trusted(self) -> dict[str, str]:
        return {"SSL_CERT_FILE": str(self.authority.certificate)}


@pytest.fixture
def world(tmp_path: Path, seedream: Program, certificates: Authority) -> Iterator[World]:
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    (hooks / "sitecustomize.py").write_text(WATCH)
    seedream.environment |= {"PYTHONPATH": str(hooks), "BEYOND": str(tmp_path / "beyond")}
    with ExitStack() as running:
        sandbox = RemoteImagesSandbox(tmp_path / "sandbox.sqlite3", seconds=0.1, draw=lambda body: png())
        running.enter_context(sandbox)
        api = urlsplit(sandbox.base_url)
        fronts = [
            running.enter_context(Front(certificates, port)) for port in (api.port or 0, sandbox.image_port)
        ]
        hosts = {API: fronts[0].port, IMAGES: fronts[1].port}
        seedream.use(f"https://{API}{api.path}", key=KEY)
        yield World(seedream, sandbox, certificates, hosts, tmp_path / "beyond", running.enter_context)


def written(seedream: Program) -> bytes:
    """Return the bytes of all files in the program's home folder."""
    home = Path(seedream.environment["HOME"])
    return b"".join(path.read_bytes() for path in home.rglob("*") if path.is_file())


def assert_password_is_hidden(seedream: Program, done: Result) -> None:
    """Check that the password of LOGIN is nowhere, in any encoding."""
    both = ":".join(LOGIN).encode()
    everything = done.raw + done.stderr.encode() + written(seedream)
    for form in (LOGIN[1].encode(), quote(LOGIN[1], safe="").encode(), base64.b64encode(both), b"pa55"):
        assert form not in everything


# Through a proxy


@pytest.mark.parametrize(
    ("variable", "kind", "scheme", "login"),
    [
        pytest.param("HTTPS_PROXY", HttpProxy, "http", None, id="HTTPS_PROXY"),
        pytest.param("https_proxy", HttpProxy, "http", LOGIN, id="https_proxy with a login"),
        pytest.param("ALL_PROXY", SocksProxy, "socks5", None, id="ALL_PROXY=socks5"),
        pytest.param("all_proxy", SocksProxy, "socks5h", LOGIN, id="all_proxy=socks5h with a login"),
    ],
)
def test_generate_through_proxy(
    world: World, variable: str, kind: type[Proxy], scheme: str, login: tuple[str, str] | None
) -> None:
    proxy = world.start(kind(world.hosts, login))
    done = world.seedream(
        "generate", "fox", "-o", "fox.png", "--verbose", env={variable: proxy.url(scheme), **world.trusted}
    )
    assert done.exit_code == 0, done.stderr
    assert (world.seedream.cwd / "fox.png").read_bytes() == png()
    assert set(proxy.asked) == {f"{API}:443", f"{IMAGES}:443"}
    # The proxy resolves the names.
    assert world.left == []
    assert KEY.encode() not in proxy.received
    assert_password_is_hidden(world.seedream, done)
    # The key arrived at the API, and only there.
    for request in world.sandbox.requests:
        assert request.headers.get("authorization") == (f"Bearer {KEY}" if request.origin == "api" else None)


def test_proxy_is_used_for_images_of_loopback_service(world: World) -> None:
    """Over plain http a proxy would see the key; an image's request has none."""
    world.sandbox.images = f"http://{IMAGES}"
    proxy = world.start(HttpProxy({IMAGES: world.sandbox.image_port}))
    world.seedream.use(world.sandbox.base_url, key=KEY)
    done = world.seedream("generate", "fox", "-o", "fox.png", env={"HTTP_PROXY": proxy.url()})
    assert done.exit_code == 0, done.stderr
    assert [urlsplit(url).netloc for url in proxy.asked] == [IMAGES]
    assert KEY.encode() not in proxy.received
    assert world.left == []


# Certificates


def test_untrusted_service_gets_nothing_and_is_not_retried(world: World) -> None:
    proxy = world.http()
    done = world.seedream("generate", "fox", "--json", "-q", env={"HTTPS_PROXY": proxy.url()})
    assert done.exit_code == done.document["error"]["exit_code"] == ExitCode.UNAVAILABLE
    assert done.document["error"]["code"] == "tls_error"
    assert done.stderr.startswith("error: ")
    assert len(done.stderr.splitlines()) <= 3
    assert f"the certificate of {API} through the proxy 127.0.0.1:{proxy.port} is not trusted" in done.stderr
    assert proxy.asked == [f"{API}:443"]
    assert world.sandbox.requests == []


# Proxies that refuse the call


@pytest.mark.parametrize("kind", [HttpProxy, SocksProxy])
def test_proxy_password_that_is_wrong_is_not_shown(world: World, kind: type[Proxy]) -> None:
    proxy = world.start(kind(world.hosts, ("ada", "another")))
    env = {"HTTPS_PROXY": proxy.url(login=LOGIN), **world.trusted}
    done = world.seedream("generate", "fox", "--json", "--verbose", env=env)
    assert done.exit_code == ExitCode.UNAVAILABLE
    assert done.document["error"]["code"] == "proxy_error"
    assert "the proxy does not let the call through" in done.stderr
    assert proxy.connections == 1
    assert world.sandbox.requests == []
    assert_password_is_hidden(world.seedream, done)


def test_unreachable_proxy_is_named_without_password(world: World) -> None:
    login = ":".join(quote(part, safe="") for part in LOGIN)
    with socket.socket() as nobody:
        # Bound, so that no other program can listen on this port.
        nobody.bind(("127.0.0.1", 0))
        there = f"127.0.0.1:{nobody.getsockname()[1]}"
        env = {"ALL_PROXY": f"socks5://{login}@{there}"}
        done = world.seedream("config", "check", "--json", "-v", env=env)
    assert done.exit_code == ExitCode.UNAVAILABLE
    assert done.document["error"]["message"] == f"no connection to {API} through the proxy {there}"
    assert_password_is_hidden(world.seedream, done)


def test_crash_does_not_show_proxy_password(world: World) -> None:
    hooks = Path(world.seedream.environment["PYTHONPATH"])
    (hooks / "sitecustomize.py").write_text("import uuid\ndel uuid.uuid4\n")
    env = {"ALL_PROXY": world.socks(LOGIN).url(), **world.trusted}
    done = world.seedream("generate", "fox", "--verbose", env=env)
    assert "Traceback" in done.stderr
    assert_password_is_hidden(world.seedream, done)
