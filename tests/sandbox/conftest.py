"""A clock that stands still until it is told otherwise, and a sandbox that speaks real HTTP."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from seedream_cli.sandbox.faults import Faults
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.sandbox.service import Service
from seedream_cli.sandbox.store import Store

TINY_IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


class Clock:
    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now


@dataclass(frozen=True)
class Got:
    status: int
    headers: dict[str, str]
    raw: bytes

    @property
    def json(self) -> dict[str, Any]:
        found = json.loads(self.raw)
        assert isinstance(found, dict)
        return found


def fetch(
    url: str, method: str = "GET", body: Any = None, headers: dict[str, str] | None = None, timeout: float = 5
) -> Got:
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=timeout)
    raw = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
    try:
        connection.request(method, url.removeprefix(f"{parts.scheme}://{parts.netloc}"), raw, headers or {})
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Got(answer.status, found, answer.read())
    finally:
        connection.close()


class Caller:
    """What a client would send to a sandbox."""

    def __init__(self, sandbox: Sandbox, key: str = "sk-test") -> None:
        self.sandbox = sandbox
        self.headers = {"Authorization": f"Bearer {key}"}

    def create(self, idempotency_key: str | None = None, timeout: float = 5, **body: Any) -> Got:
        extra = {} if idempotency_key is None else {"Idempotency-Key": idempotency_key}
        url = f"{self.sandbox.base_url}/images/generations"
        return fetch(url, "POST", {"prompt": "a fox", **body}, {**self.headers, **extra}, timeout)

    def task_id(self, **body: Any) -> str:
        return str(self.create(**body).json["data"]["task_id"])

    def status(self, task_id: str, timeout: float = 5) -> Got:
        return fetch(
            f"{self.sandbox.base_url}/images/status/{task_id}", headers=self.headers, timeout=timeout
        )

    def account(self) -> Got:
        return fetch(f"{self.sandbox.base_url}/account/status", headers=self.headers)

    def image_url(self) -> str:
        """The link of a new task, in a sandbox where tasks take no time."""
        return str(self.status(self.task_id()).json["data"]["result"][0])


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Sandbox]]:
    """Starts sandboxes that share one store, and ends them with the test."""
    with ExitStack() as stack:

        def start_one(**options: Any) -> Sandbox:
            options = {"clock": clock, "rate": 0, "seconds": 0, "draw": lambda body: TINY_IMAGE, **options}
            return stack.enter_context(Sandbox(tmp_path / "store" / "tasks.db", **options))

        yield start_one


@pytest.fixture
def as_caller() -> type[Caller]:
    return Caller


@pytest.fixture
def get() -> Callable[..., Got]:
    return fetch


@pytest.fixture
def tiny_image() -> bytes:
    return TINY_IMAGE


@pytest.fixture
def make(tmp_path: Path, clock: Callable[[], float]) -> Iterator[Callable[..., Service]]:
    """Makes services that share one store and take the handed-in clock."""
    store = Store(tmp_path / "tasks.db")

    def make_one(dialect: str = "live", faults: tuple[str, ...] = (), **options: Any) -> Service:
        options = {"seconds": 10.0, "rate": 0, "url_seconds": 60.0, "clock": clock, **options}
        return Service(
            store,
            dialect=dialect,
            faults=Faults(faults),
            image_origin=lambda: "http://images.test",
            **options,
        )

    yield make_one
    store.close()
