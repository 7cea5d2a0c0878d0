"""Fixtures of all tests. None of them uses the network beyond loopback."""

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

# No deadline: a test must not fail because the machine is slow.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")


def pytest_xdist_auto_num_workers() -> int:
    """Return two workers per processor for `-n auto`, because tests wait more than they compute."""
    return int(os.environ.get("PYTEST_XDIST_AUTO_NUM_WORKERS") or 2 * (os.cpu_count() or 1))


# Ignored signals are inherited by child processes, for example below nohup. Tests send these signals to them.
for _name in ("SIGINT", "SIGTERM", "SIGHUP"):
    if hasattr(signal, _name) and signal.getsignal(getattr(signal, _name)) is signal.SIG_IGN:
        signal.signal(getattr(signal, _name), signal.SIG_DFL)


@pytest.fixture
def seedream(tmp_path: Path, request: pytest.FixtureRequest) -> Program:
    """Program in a temporary home, without a service. Calls run in this process.

    In a test marked `started`, each call starts a process.
    """
    is_started = request.node.get_closest_marker("started") is not None
    return Program(tmp_path / "home", in_process=not is_started)


@pytest.fixture
def seedream_process(seedream: Program) -> Program:
    """Program in the home of ``seedream``, with a process for each call."""
    return seedream.as_process()


@pytest.fixture
def no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the clock of this process skip every pause."""
    sleep, monotonic = time.sleep, time.monotonic
    skipped = 0.0

    def skip(seconds: float) -> None:
        nonlocal skipped
        sleep(min(seconds, 0.0001))
        skipped += seconds

    monkeypatch.setattr(time, "sleep", skip)
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + skipped)


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Fork server of this test process."""
    if not hasattr(os, "fork"):
        pytest.skip("this system has no fork()")
    with ForkServer() as running:
        yield running


@pytest.fixture
def forked(fork_server: ForkServer, seedream: Program) -> Callable[..., Result]:
    """Function that runs ``seedream`` in a forked process, with a clock that skips every pause."""

    def run(*arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None) -> Result:
        environment = {**seedream.environment, **(env or {})}
        return Run(fork_server, arguments, env=environment, cwd=cwd or seedream.cwd).result()

    return run


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Function that starts a sandbox with quick tasks and tiny images. It has the arguments of Sandbox."""
    with ExitStack() as running:

        def start(**options: Any) -> Sandbox:
            options = {"seconds": 0.0, "draw": lambda body: png(), **options}
            return running.enter_context(Sandbox(tmp_path / "sandbox.sqlite3", **options))

        yield start


@pytest.fixture
def sandbox(start_sandbox: Callable[..., Sandbox], seedream: Program) -> Sandbox:
    """Running sandbox that ``seedream`` uses as its service."""
    started = start_sandbox()
    seedream.use(started.base_url)
    return started


@pytest.fixture
def start_raw() -> Iterator[Callable[..., RawServer]]:
    """Function that starts a server with the given replies."""
    with ExitStack() as running:

        def start(*replies: Reply) -> RawServer:
            return running.enter_context(RawServer(replies))

        yield start
