"""Fixtures of what is about shells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from completion.scene import Scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    return Scene(tmp_path_factory.mktemp("scene") / "home")


@pytest.fixture(autouse=True)
def nothing_is_obeyed(scene: Scene) -> Iterator[None]:
    """Each test begins with no calls counted, and ends without a prompt's commands having run."""
    scene.calls()
    yield
    assert not (scene.cwd / "done").exists()
