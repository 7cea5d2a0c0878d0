"""Fixtures of all tests. Nothing here reaches beyond loopback."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from support.images import png
from support.program import Program
from support.raw import RawServer, Reply

from seedream_cli.sandbox.server import Sandbox


@pytest.fixture
def seedream(tmp_path: Path) -> Program:
    """The program in a home of its own; no service is set."""
    return Program(tmp_path / "home")


@pytest.fixture
def start_sandbox(tmp_path: Path) -> Iterator[Callable[..., Sandbox]]:
    """Starts sandboxes with quick tasks and tiny pictures; keywords as for Sandbox."""
    with ExitStack() as running:

        def start(**options: Any) -> Sandbox:
            options = {"seconds": 0.2, "draw": lambda body: png(), **options}
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
