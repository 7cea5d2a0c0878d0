"""Fixtures of the tests of the API client."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from support.api import KEY, Api, Connect
from support.raw import RawServer, Reply
from support.starting import StartRaw
from support.tls import Authority, authority

from seedream_cli.api.client import Client


@pytest.fixture
def running() -> Iterator[ExitStack]:
    """Servers and clients that are closed after the test."""
    with ExitStack() as stack:
        yield stack


@pytest.fixture
def connect(running: ExitStack) -> Connect:
    """Create clients; ``options`` are those of Client."""

    def create(base_url: str, key: str = KEY, **options: Any) -> Client:
        client = Client(base_url, key, **options)
        running.callback(client.close)
        return client

    return create


@pytest.fixture
def api(start_raw: StartRaw, connect: Connect) -> Api:
    """Start servers that send these replies, each with a client; ``end`` is appended to the base URL."""

    def start(*replies: Reply, end: str = "", **options: Any) -> tuple[RawServer, Client]:
        server = start_raw(*replies)
        return server, connect(server.base_url + end, **options)

    return start


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Authority:
    """Certificates for 127.0.0.1 and the names below .test that these tests use."""
    names = ("api.test", "img.test", "api.seedream.test", "images.seedream.test")
    folder = tmp_path_factory.mktemp("authority")
    return authority(folder, *(f"DNS:{name}" for name in names), "IP:127.0.0.1")
