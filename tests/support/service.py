"""Fake API with fault injection.

It records the create requests with their keys and bodies, and has another image for each task, so that tests
can check for duplicate payments and lost images. A `FaultRule` replaces some of its responses by a fault.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .images import noise
from .raw import Exchange, RawServer, Request, answer, success

#: Polls until a task is completed.
POLLS = 3
#: Stages, which are kinds of requests.
SUBMIT = "submit"
POLL = "poll"
IMAGE = "image"

#: Performs the requested step, and returns the correct response.
Honest = Callable[[], bytes]
#: Sends something else in place of the correct response.
Fault = Callable[["Service", Exchange, Honest], None]


@dataclass
class Task:
    """A task of the service, with the key and the body of its create request."""

    id: str
    key: str
    body: bytes
    image: bytes
    polls: int = 0
    #: Number of result URLs issued.
    links: int = 0


@dataclass(frozen=True)
class FaultRule:
    """Rule that replaces responses of a stage by a fault: ``times`` (None: all) from the ``first`` on."""

    stage: str
    fault: Fault
    first: int = 1
    times: int | None = None

    def applies_to(self, count: int) -> bool:
        """Return True for the request with this number, counted from 1 within the stage."""
        return count >= self.first and (self.times is None or count < self.first + self.times)


@dataclass
class Service:
    """Fake API, which responds while ``server`` is running. ``counts`` are the requests of each stage."""

    fault_rules: list[FaultRule] = field(default_factory=list)
    #: Host name of the base URL and of result URLs.
    host: str = "127.0.0.1"
    #: Fields that are added to the status of a completed task, or replace some.
    ends_as: dict[str, object] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.tasks: list[Task] = []
        self.creates: list[Request] = []
        self.counts: Counter[str] = Counter()
        self._lock = threading.RLock()
        self.server = RawServer([self._serve])

    @property
    def base_url(self) -> str:
        return f"{self.origin}/v1"

    @property
    def origin(self) -> str:
        return f"http://{self.host}:{self.server.port}"

    def _serve(self, exchange: Exchange) -> None:
        stage, honest = self._step(exchange.request)
        with self._lock:
            self.counts[stage] += 1
            count = self.counts[stage]
        for rule in self.fault_rules:
            if rule.stage == stage and rule.applies_to(count):
                rule.fault(self, exchange, honest)
                return
        exchange.connection.sendall(honest())

    def _step(self, request: Request) -> tuple[str, Honest]:
        if request.method == "POST":
            return SUBMIT, lambda: self._create(request)
        if "/images/status/" in request.path:
            return POLL, lambda: self._status(request.path.rpartition("/")[2])
        return IMAGE, lambda: self._image(request)

    def _create(self, request: Request) -> bytes:
        key = request.headers["idempotency-key"]
        with self._lock:
            self.creates.append(request)
            for task in self.tasks:
                if task.key == key:
                    if task.body != request.body:
                        return refusal(409, "idempotency_conflict")
                    break
            else:
                number = len(self.tasks) + 1
                task = Task(f"task_{number}", key, request.body, noise(number))
                self.tasks.append(task)
        return success({"task_id": task.id}, headers={"X-Request-Cost": "0.035"})

    def _status(self, task_id: str) -> bytes:
        with self._lock:
            task = next((task for task in self.tasks if task.id == task_id), None)
            if task is None:
                return refusal(404, "task_not_found")
            task.polls += 1
            if task.polls < POLLS:
                return success({"task_id": task.id, "status": "processing"})
            task.links += 1
            url = f"{self.origin}/images/{task.id}/{task.links}"
        return success({"task_id": task.id, "status": "completed", "result": [url], **self.ends_as})

    def _image(self, request: Request) -> bytes:
        # The API key must not be sent to an image host.
        assert "authorization" not in request.headers
        _, _, task_id, _ = request.path.split("/")
        task = next(task for task in self.tasks if task.id == task_id)
        return answer(200, task.image, headers={"Content-Type": "image/png"})


def refusal(status: int, code: str, *, headers: dict[str, str] | None = None) -> bytes:
    """Return an error response of the API."""
    body = {"error": {"message": f"The service says {status}.", "type": "error", "code": code}}
    return answer(status, body, headers=headers)
