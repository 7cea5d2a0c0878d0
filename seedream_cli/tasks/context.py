"""What the steps of a task need: client, history, limits, clock, and where to report events."""

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
from .retry import Jitter, Retries

T = TypeVar("T")


class TaskContext(Struct, frozen=True):
    """Everything that the steps of a task share. Durations are in seconds."""

    client: Client
    history: History
    #: How long to wait for a task to finish.
    timeout: float
    poll_interval: float
    #: Size limit of one image.
    max_bytes: int
    #: Waits, or raises Stopped if the run was interrupted.
    pause: Callable[[float], None]
    #: Request bodies that are too large for the history, because they contain source images.
    bodies: RequestBodyStore
    #: Where images go. None: the output of their operation.
    output: OutputTemplate | None = None
    #: Replace files that exist, except those in ``placed``.
    overwrite: bool = False
    #: Files that this run has saved.
    placed: set[Path] = field(default_factory=set)
    #: Fingerprint of the API key.
    key_id: str | None = None
    #: Returns a context manager in which no signal interrupts.
    shield: Shield = nullcontext
    #: Writes a verified file to stdout. Returns False if the reader has closed it.
    deliver: Callable[[Path], bool] | None = None
    #: A private folder for the file that ``deliver`` writes.
    scratch: Path = Path(os.curdir)
    clock: Callable[[], float] = time.monotonic
    now: Callable[[], float] = time.time
    jitter: Jitter = random.uniform
    #: Shared with other threads that call the API at the same time.
    rate_limiter: RateLimiter | None = None
    on_event: Callable[[Event], None] = lambda event: None
    #: Partial files that are open.
    parts: set[PartialFile] = field(default_factory=set)

    def retries(self, attempts: int, seconds: float) -> Retries:
        """Return a budget of ``attempts`` attempts within ``seconds`` seconds."""
        return Retries(attempts=attempts, seconds=seconds, clock=self.clock, jitter=self.jitter)

    def call(self, make: Callable[[], T], *, max_wait: float, retries: Retries | None = None) -> T:
        """Make one API call, as soon as the rate limiter allows it.

        Waiting for the rate limiter does not use up the budget of ``retries``. Raises RateLimited at once if
        that wait would be longer than ``max_wait`` seconds.
        """
        if self.rate_limiter is None:
            return make()
        began = self.clock()
        left_at = self.rate_limiter.acquire(self.pause, max_wait)
        # Raises Stopped if the run was interrupted meanwhile: nobody would report the result of this call.
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
    """Record the operation. Return False, after a notice, if that failed.

    A history that cannot be written does not stop a task: the image matters more than its entry.
    """
    try:
        context.history.record(operation)
    except HistoryUnusable as error:
        context.on_event(Notice(operation, f"{error.message}: {error.detail}"))
        return False
    return True
