"""Requests to a sandbox over HTTP, and to a fake API without it."""

from __future__ import annotations

import http.client
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from seedream_cli.sandbox.fake_api import FakeApi
from seedream_cli.sandbox.responses import ApiResponse
from seedream_cli.sandbox.server import Sandbox

KEY = {"authorization": "Bearer sk-test"}
IMAGE = "https://example.com/a.png"
TINY_IMAGE = b"\x89PNG\r\n\x1a\n" + bytes(range(200))


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
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Got(response.status, found, response.read())
    finally:
        connection.close()


class Caller:
    """A client of a sandbox with an API key."""

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
        """Return the image URL of a new task, in a sandbox where tasks take no time."""
        return str(self.status(self.task_id()).json["data"]["result"][0])


def create(api: FakeApi, headers: Mapping[str, str] = KEY, **body: Any) -> ApiResponse:
    """Create a task without HTTP."""
    return api.create(headers, json.dumps({"prompt": "a fox", **body}).encode())


Start = Callable[..., Sandbox]
Make = Callable[..., FakeApi]
