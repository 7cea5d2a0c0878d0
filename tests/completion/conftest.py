"""Fixtures of the tests of completion in shells."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from completion.logged_program import LoggedProgram


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> LoggedProgram:
    """Return one home for all tests of a shell."""
    return LoggedProgram(tmp_path_factory.mktemp("program") / "home")


@pytest.fixture(autouse=True)
def no_command_of_a_prompt_runs(program: LoggedProgram) -> Iterator[None]:
    """Reset the calls before each test, and assert afterwards that no command inside a prompt was run."""
    program.calls()
    yield
    assert not (program.cwd / "done").exists()
