"""Homes with a service of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from faults.scene import Scene
from support.forked import Zygote
from support.service import Service


@pytest.fixture
def start_scene(zygote: Zygote, tmp_path: Path) -> Iterator[Callable[[], Scene]]:
    """Makes homes, each with a service."""
    with ExitStack() as scenes:
        count = 0

        def start() -> Scene:
            nonlocal count
            count += 1
            return scenes.enter_context(Scene(zygote, tmp_path / str(count), Service()))

        yield start


@pytest.fixture
def scene(start_scene: Callable[[], Scene]) -> Scene:
    return start_scene()
