"""What the parts of a `generate` take until its request leaves, as JSON: seconds of computing by name.

Run as a program where it is measured, in a home of its own. A part has what it adds to all that comes
before it: a module is the part's that imports it first.
"""

from __future__ import annotations

import json
import os
import time
import uuid

import httpx
import typer

_ = httpx, typer
_at = time.process_time()
_parts: dict[str, float] = {}


def _lap(part: str) -> None:
    global _at
    now = time.process_time()
    _parts[part] = now - _at
    _at = now


from seedream_cli import naming  # noqa: E402
from seedream_cli.models import GenerationRequest, Operation  # noqa: E402

_lap("models")

from seedream_cli import config  # noqa: E402

settings = config.load(profile=None, flags={}, project=None)
for name in ("base_url", "model", "aspect_ratio", "quality", "timeout", "poll_interval", "max_bytes"):
    settings.value(name)
key = settings.api_key(lambda: "")
_lap("config")

from seedream_cli.history import History  # noqa: E402

history = History(config.history_path(), now=time.time)
history.record(
    Operation(
        id=naming.new_operation_id(),
        service=config.service_of(settings.value("base_url")),
        created=time.time(),
        output=naming.parse_output(None, cwd=os.getcwd()).template,
        request=GenerationRequest("a red fox in snow"),
        idempotency_key=str(uuid.uuid4()),
        key_id=config.fingerprint(key),
    )
)
_lap("history")

from seedream_cli import cli, client, jobs  # noqa: E402

client.Client(settings.value("base_url"), key).close()
_ = cli, jobs
_lap("commands, jobs and client")
print(json.dumps(_parts))
