"""Fixtures of all tests. Nothing here reaches beyond loopback."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from support.forked import ForkServer, Run
from support.images import png
from support.program import Program, Result
from support.raw import RawServer, Reply

from seedream_cli.sandbox.server import Sandbox

# A slow machine is no failure.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


def pytest_xdist_auto_num_workers() -> int:
    """Return two workers a processor for `-n auto`: tests wait more than they compute."""
    return int(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") or 2 * (os.cpu_count() or 1))


# Programs inherit what is ignored, as below nohup or in a shell's background: these are to reach them.
for _name in ("SIGINT", "SIGTERM", "SIGHUP"):
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _name), signal.SIG_DFL)


@pytest.fixture
def seedream(tmp_path: Path, request: pytest.FixtureRequest) -> Program:
    """The program in a home of its own; no service is set. Calls are made in this process.

    A test that is marked `started` has Python start for every call.
    """
    is_started = request.node.get_closest_marker("started") is not None
    return Program(tmp_path / "home", in_process=not is_started)


@pytest.fixture
def seedream_process(seedream: Program) -> Program:
    """The same, in the same home, with a process for every call."""
    return seedream.as_process()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the clock of calls in this process jump over every pause."""
    sleep, monotonic = time.sleep, time.monotonic
    ahead = 0.0

    def jump(seconds: float) -> None:
        nonlocal ahead
        sleep(min(seconds, 0.0001))
        ahead += seconds

    monkeypatch.setattr(time, "sleep", jump)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + ahead)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """What all runs of this test process are forked from that are not started."""
    if not hasattr(os, "fork"):
        pytest.skip("this system forks no processes")
    with ForkServer() as running:
        yield running


@pytest.fixture
def forked(fork_server: ForkServer, seedream: Program) -> Callable[..., Result]:
    """The program as `seedream` runs it, at a tenth of the cost, with a clock that jumps over every wait."""

    def run(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Result:
        environment = {**seedream.environment, **(env or {})}
        return Run(fork_server, arguments, env=environment, cwd=cwd or seedream.cwd).result()

    return run


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Starts sandboxes with quick tasks and tiny pictures; keywords as for Sandbox."""
    with ExitStack() as running:

        def start(**options: Any) -> Sandbox:
            options = {"seconds": 0.0, "draw": lambda body: png(), **options}
            return running.enter_context(Sandbox(tmp_path / "sandbox.sqlite3", **options))

        yield start


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Sandbox], seedream: Program) -> Sandbox:
    """A sandbox that is the program's service."""
    started = start_sandbox()
    seedream.use(started.base_url)
    return started


@pytest.fixture
def start_raw() -> Iterator[Callable[..., RawServer]]:
    """Starts servers that answer with the given replies in turn."""
    with ExitStack() as running:

        def start(*replies: Reply) -> RawServer:
            return running.enter_context(RawServer(replies))

        yield start
