"""What the steps of a task's life work with."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..client import Client
from ..errors import HistoryUnusable
from ..events import Event, Noticed
from ..history import History
from ..models import Operation
from ..naming import Output
from ..retry import Retries, Spread

#: One step: its events, and the operation as it stands afterwards.
Steps = Generator[Event, None, Operation]


@dataclass(frozen=True)
class Work:
    """What the steps work with. ``pause`` waits some seconds, or raises Stopped.

    ``output`` is where images go; None: where their operation wanted them. ``deliver`` writes a
    verified file to stdout and tells whether anyone took it.
    """

    client: Client
    history: History
    timeout: float
    poll_interval: float
    max_bytes: int
    pause: Callable[[float], None]
    output: Output | None = None
    overwrite: bool = False
    deliver: Callable[[Path], bool] | None = None
    scratch: Path = Path(os.curdir)
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    spread: Spread = random.uniform

    def retries(self, attempts: int, seconds: float) -> Retries:
        return Retries(attempts=attempts, seconds=seconds, clock=self.clock, spread=self.spread)


def remember(work: Work, operation: Operation) -> Iterator[Event]:
    """Record what has happened already: the image matters more than its entry."""
    try:
        work.history.record(operation)
    except HistoryUnusable as error:
        yield Noticed(operation, f"{error.message}: {error.detail}")
