"""The stand-in of the API as a process beside the measurement, and what it has counted."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Served:
    """One task as the service saw it; times are those of `time.monotonic`, in seconds."""

    name: str
    #: How long it took to be generated.
    seconds: float
    created: float
    #: When it was asked for, and answered.
    polls: tuple[float, ...]
    #: How often it was asked for in vain, because of the rate limit.
    refused: int
    #: When its image was sent: begin and end.
    downloads: tuple[tuple[float, float], ...]

    @property
    def finished(self) -> float:
        return self.created + self.seconds

    @property
    def requests(self) -> int:
        """All that were made for it: the one that created it, polls, images. Without repeated creates."""
        return 1 + len(self.polls) + self.refused + len(self.downloads)

    @property
    def distances(self) -> list[float]:
        """Seconds between two polls."""
        return [later - earlier for earlier, later in pairwise(self.polls)]


@dataclass(frozen=True)
class Measurements:
    """``requests`` are the calls of the API, of which ``refused`` were too many for the rate limit."""

    tasks: tuple[Served, ...]
    requests: int
    refused: int
    #: Connections that were opened to the API, and to the host of images.
    api_connections: int
    image_connections: int


@dataclass(frozen=True)
class Serving:
    """A running service. ``images`` is the address of its images: any path below it is one."""

    base_url: str
    images: str

    def measurements(self) -> Measurements:
        """What has been counted so far."""
        found = self._ask("GET /measurements")
        tasks = (
            Served(
                **{**task, "polls": tuple(task["polls"]), "downloads": tuple(map(tuple, task["downloads"]))}
            )
            for task in found["tasks"]
        )
        opened = found["connections"]
        return Measurements(
            tuple(tasks), found["requests"], found["refused"], opened["api"], opened["images"]
        )

    def create(self) -> str:
        """A task's id, without the program that is measured."""
        task: str = self._ask("POST /v1/images/generations")["data"]["task_id"]
        return task

    def _ask(self, what: str) -> dict[str, Any]:
        # By hand: a module that speaks HTTP would make this process larger than those that it measures.
        with socket.create_connection(("127.0.0.1", urlsplit(self.base_url).port)) as connection:
            connection.sendall(f"{what} HTTP/1.1\r\nConnection: close\r\n\r\n".encode())
            with connection.makefile("rb") as answer:
                found: dict[str, Any] = json.loads(answer.read().partition(b"\r\n\r\n")[2])
        return found


@contextmanager
def serving(
    *,
    seconds: tuple[float, float] = (0.0, 0.0),
    seed: int = 0,
    skip: int = 0,
    image_bytes: int = 1000,
    rate: float = 0.0,
    progress: bool = False,
) -> Iterator[Serving]:
    """Run the service: tasks take evenly drawn ``seconds``; ``rate`` API calls a second, 0 for no limit.

    The same ``seed`` draws the same again, less so many as ``skip`` says.
    """
    command = [sys.executable, "-m", "benchmarks.service", "--seconds", *map(str, seconds)]
    command += [
        "--seed",
        str(seed),
        "--skip",
        str(skip),
        "--image-bytes",
        str(image_bytes),
        "--rate",
        str(rate),
    ]
    command += ["--progress"] if progress else []
    process = subprocess.Popen(
        command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
    )
    assert process.stdin is not None  # noqa: S101
    assert process.stdout is not None  # noqa: S101
    try:
        yield Serving(**json.loads(process.stdout.readline()))
    finally:
        process.stdin.close()
        process.wait()
        process.stdout.close()
