"""Example operation and file, for events that are passed to reporters."""

from __future__ import annotations

from typing import Any

from msgspec.structs import replace

from seedream_cli.models import GenerationRequest, Operation, SavedFile

FILE = SavedFile(
    number=1,
    path="/home/ada/red-fox.png",
    sha256="ab" * 32,
    bytes=1234,
    media_type="image/png",
    width=4,
    height=3,
)

SENT = Operation(
    id="op_12345678",
    service="https://api.apipod.ai/v1",
    created=1_800_000_000.0,
    output="/home/ada/{slug}-{task}.{ext}",
    request=GenerationRequest(prompt="A red fox [bold]"),
    idempotency_key="0c9f",
)


def operation(**changes: Any) -> Operation:
    """Return the operation after the API accepted it, with changes."""
    return replace(SENT, **{"task_id": "img_1", "status": "pending", **changes})
