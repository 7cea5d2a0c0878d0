"""Pytest option that rewrites the golden files."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--accept-screens", action="store_true", help="rewrite tests/screens/golden")


@pytest.fixture
def accept_screens(pytestconfig: pytest.Config) -> bool:
    """Return True if the golden files are to be rewritten."""
    return bool(pytestconfig.getoption("accept_screens"))
