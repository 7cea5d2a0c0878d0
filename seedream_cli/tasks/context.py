"""What the steps of a task's life work with."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import TypeVar

from msgspec import Struct, field

from ..api.client import Client
from ..errors import HistoryUnusable, RateLimited
from ..events import Event, Notice
from ..files.output_path import OutputTemplate
from ..files.partial_file import PartialFile, Shield
from ..history.request_bodies import RequestBodyStore
from ..history.store import History
from ..models import Operation
from .rate_limiter import RateLimiter
from .retry import Retries, Spread

T = TypeVar("T")


class TaskContext(Struct, frozen=True):
    """What the steps work with. ``pause`` waits, or raises Stopped; ``on_event`` gets each event.

    ``bodies`` has what source images make too large for the history. ``output`` is where images go;
    None: where their operation wanted them. ``overwrite`` does not concern what is in ``placed``, the
    images that this call has saved. ``deliver`` writes a verified file to stdout and tells whether anyone
    took it; ``scratch`` is a private folder for it.
    ``key_id`` is the API key's fingerprint. ``shield`` gives blocks in which no signal interrupts.
    ``rate_limiter`` is shared with other work that calls the API at the same time.
    """

    client: Client
    history: History
    timeout: float
    poll_interval: float
    max_bytes: int
    pause: Callable[[float], None]
    bodies: RequestBodyStore
    output: OutputTemplate | None = None
    overwrite: bool = False
    placed: set[Path] = field(default_factory=set)
    key_id: str | None = None
    shield: Shield = nullcontext
    deliver: Callable[[Path], bool] | None = None
    scratch: Path = Path(os.curdir)
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    spread: Spread = random.uniform
    rate_limiter: RateLimiter | None = None
    on_event: Callable[[Event], None] = lambda event: None
    #: Temporary files that are open.
    parts: set[PartialFile] = field(default_factory=set)

    def retries(self, attempts: int, seconds: float) -> Retries:
        return Retries(attempts=attempts, seconds=seconds, clock=self.clock, spread=self.spread)

    def call(self, make: Callable[[], T], *, patience: float, retries: Retries | None = None) -> T:
        """Make one API call, after waiting for its turn if the calls are rate limited.

        That wait does not use up the budget of ``retries``. Raises RateLimited if the limit lets no call
        through for more than ``patience`` seconds.
        """
        if self.rate_limiter is None:
            return make()
        began = self.clock()
        left_at = self.rate_limiter.acquire(self.pause, patience)
        # Once the workers are stopped, nothing is sent any more: nobody would report it.
        self.pause(0.0)
        if retries is not None:
            retries.extend(self.clock() - began)
        try:
            result = make()
        except RateLimited as error:
            self.rate_limiter.on_rate_limited(error, left_at)
            raise
        self.rate_limiter.on_success()
        return result


def record_or_warn(context: TaskContext, operation: Operation) -> bool:
    """Record what has happened. Return False if that failed: the image matters more than its entry."""
    try:
        context.history.record(operation)
    except HistoryUnusable as error:
        context.on_event(Notice(operation, f"{error.message}: {error.detail}"))
        return False
    return True
