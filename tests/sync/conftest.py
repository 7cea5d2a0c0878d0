"""Fixtures of the tests of sync."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Protocol

import pytest
from support.checkout import Checkout
from support.clock import Clock
from support.forked import ForkServer
from support.machine import Machine
from support.service import Service

#: A manifest with one image.
HERO = '[assets.hero]\nprompt = "fox"\n'


class Server(Protocol):
    """Anything that answers at a base URL: a Sandbox, a Service or a RawServer."""

    @property
    def base_url(self) -> str: ...


@pytest.fixture
def service() -> Iterator[Service]:
    served = Service()
    with served.server:
        yield served


@pytest.fixture
def new_machine(tmp_path: Path) -> Iterator[Callable[..., Machine]]:
    """Set up a machine with a history of its own, which runs sync in this process."""
    with ExitStack() as machines:
        count = 0

        def new_machine(server: Server, manifest: str = HERO, *, clock: Clock | None = None) -> Machine:
            nonlocal count
            count += 1
            machine = Machine(tmp_path / f"machine-{count}", server.base_url, clock=clock)
            machines.enter_context(machine)
            machine.write(manifest)
            return machine

        yield new_machine


@pytest.fixture
def new_checkout(fork_server: ForkServer, tmp_path: Path) -> Callable[..., Checkout]:
    """Set up a machine with a home of its own, which runs sync as a process, by default in a new project."""
    count = 0

    def new_checkout(server: Server, manifest: str | None = None, *, folder: Path | None = None) -> Checkout:
        nonlocal count
        count += 1
        checkout = Checkout(fork_server, tmp_path / f"checkout-{count}", server.base_url, folder)
        if manifest is not None:
            checkout.write(manifest)
        return checkout

    return new_checkout
