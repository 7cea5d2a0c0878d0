"""The create requests that a sandbox or a raw server received, oldest first."""

from __future__ import annotations

import json
from typing import Any

from seedream_cli.sandbox.server import RecordedRequest, Sandbox

from .raw import RawServer, Request


def create_requests(server: Sandbox | RawServer) -> list[RecordedRequest | Request]:
    return [request for request in server.requests if request.method == "POST"]


def create_bodies(server: Sandbox | RawServer) -> list[dict[str, Any]]:
    return [json.loads(request.body) for request in create_requests(server)]


def idempotency_keys(server: Sandbox | RawServer) -> list[str]:
    return [request.headers["idempotency-key"] for request in create_requests(server)]
