"""A clock that only tests advance, and sandboxes that use it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from sandbox.caller import TINY_IMAGE
from support.clock import Clock

from seedream_cli.sandbox.fake_api import FakeApi
from seedream_cli.sandbox.faults import Faults
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.sandbox.store import Store


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def start(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., Sandbox]]:
    """Return a function that starts a sandbox. All share one store, and are closed after the test."""
    with ExitStack() as stack:

        def start_sandbox(**options: Any) -> Sandbox:
            options = {"clock": clock, "rate": 0, "seconds": 0, "draw": lambda body: TINY_IMAGE, **options}
            return stack.enter_context(Sandbox(tmp_path / "store" / "tasks.db", **options))

        yield start_sandbox


@pytest.fixture
def make(tmp_path: Path, clock: Clock) -> Iterator[Callable[..., FakeApi]]:
    """Return a function that makes a fake API. All share one store and the clock."""
    store = Store(tmp_path / "tasks.db")

    def make_api(dialect: str = "live", faults: tuple[str, ...] = (), **options: Any) -> FakeApi:
        options = {"seconds": 10.0, "rate": 0, "url_seconds": 60.0, "clock": clock, **options}
        return FakeApi(
            store,
            dialect=dialect,
            faults=Faults(faults),
            image_origin=lambda: "http://images.test",
            **options,
        )

    yield make_api
    store.close()
