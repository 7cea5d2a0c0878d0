"""The option that accepts screens as they are now."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept-screens", action="store_true", help="rewrite tests/moments/screens")


@pytest.fixture
def accepting(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("accept_screens"))
