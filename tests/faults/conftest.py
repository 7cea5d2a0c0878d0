"""Fixtures that create fault scenarios."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.scenario import Scenario
from support.forked import ForkServer
from support.service import Service


@pytest.fixture
def start_scenario(fork_server: ForkServer, tmp_path: Path) -> Iterator[Callable[[], Scenario]]:
    """Return a function that creates scenarios, each with a home and a service of its own."""
    with ExitStack() as scenarios:
        count = 0

        def start() -> Scenario:
            nonlocal count
            count += 1
            return scenarios.enter_context(Scenario(fork_server, tmp_path / str(count), Service()))

        yield start


@pytest.fixture
def scenario(start_scenario: Callable[[], Scenario]) -> Scenario:
    return start_scenario()
