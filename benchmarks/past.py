"""Writes a past into the history of the home that it is run in: so many tasks of the service."""

from __future__ import annotations

import sys
import time
import uuid

from seedream_cli import config, naming
from seedream_cli.history import History
from seedream_cli.models import GenerationRequest, Operation
from seedream_cli.services import DEFAULT_BASE_URL

history = History(config.history_path(), now=time.time)
for number in range(int(sys.argv[1])):
    history.record(
        Operation(
            id=naming.new_operation_id(),
            service=config.service_of(DEFAULT_BASE_URL),
            created=time.time(),
            output="fox.png",
            request=GenerationRequest("a red fox in snow"),
            idempotency_key=str(uuid.uuid4()),
            key_id="0" * 8,
            task_id=f"task_{number:06}",
            accepted=time.time(),
        )
    )
history.close()
