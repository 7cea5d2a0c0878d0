"""Fixtures of the tests of completion in shells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from completion.scene import Scene


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Scene:
    """Return one home for all tests of a shell."""
    return Scene(tmp_path_factory.mktemp("scene") / "home")


@pytest.fixture(autouse=True)
def no_command_of_a_prompt_runs(scene: Scene) -> Iterator[None]:
    """Reset the calls before each test, and assert afterwards that no command inside a prompt was run."""
    scene.calls()
    yield
    assert not (scene.cwd / "done").exists()
