"""Helpers and fixture types for tests of the API client."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from seedream_cli.api.client import Client

from .raw import RawServer

KEY = "sk-test-0123456789"

#: ``connect(base_url, key=KEY, **options)``
Connect = Callable[..., Client]
#: ``api(*replies, end="", **options)``
Api = Callable[..., tuple[RawServer, Client]]


def fetch_image(client: Client, url: str, **options: Any) -> bytes:
    with client.stream_image(url, **options) as image:
        return b"".join(image.chunks)
