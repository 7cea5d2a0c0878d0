"""The service, small and honest, at a socket where any step of it can go wrong.

It knows what the program must not get wrong: which creates it has had, with which key and body, and
which image belongs to which task. A `FaultRule` puts a fault in the place of some of its answers.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from .images import noise
from .raw import HttpCall, RawServer, Request, answer, success

#: Polls until a task is completed.
POLLS = 3
SUBMIT, POLL, IMAGE = "submit", "poll", "image"

#: Does the step of the service, and gives its honest answer as bytes.
Honest = Callable[[], bytes]
#: What goes over the line instead.
Fault = Callable[["Service", HttpCall, Honest], None]


@dataclass
class Task:
    id: str
    key: str
    body: bytes
    image: bytes
    polls: int = 0
    #: How many links to its image were given.
    links: int = 0


@dataclass(frozen=True)
class FaultRule:
    """``fault`` in the place of this stage's answers, from the ``first`` on, ``times`` (None: for ever)."""

    stage: str
    fault: Fault
    first: int = 1
    times: int | None = None

    def applies_to(self, count: int) -> bool:
        return count >= self.first and (self.times is None or count < self.first + self.times)


@dataclass
class Service:
    """At ``base_url`` while its server is up. Counts every request of a stage from 1."""

    fault_rules: list[FaultRule] = field(default_factory=list)
    #: By which name it is known, and gives links to itself.
    host: str = "127.0.0.1"
    #: What the last status answers have besides, or instead.
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

    def _serve(self, exchange: HttpCall) -> None:
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
        # An image's host has nothing to do with the key.
        assert "authorization" not in request.headers
        _, _, task_id, _ = request.path.split("/")
        task = next(task for task in self.tasks if task.id == task_id)
        return answer(200, task.image, headers={"Content-Type": "image/png"})


def refusal(status: int, code: str, *, headers: dict[str, str] | None = None) -> bytes:
    body = {"error": {"message": f"The service says {status}.", "type": "error", "code": code}}
    return answer(status, body, headers=headers)
