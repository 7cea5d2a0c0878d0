"""The option that accepts screens as they are now."""

from __future__ import annotations

import os

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept-screens", action="store_true", help="rewrite tests/moments/screens")


def pytest_configure(config: pytest.Config) -> None:
    # SEEDREAM_TESTS_NEED_ALL is set where no person is, too.
    if config.getoption("accept_screens") and (
        os.environ.get("CI") or os.environ.get("SEEDREAM_TESTS_NEED_ALL")
    ):
        raise pytest.UsageError("--accept-screens is for a person who looks at them, not for CI")


@pytest.fixture
def accepting(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("accept_screens"))
