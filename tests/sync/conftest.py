"""Fixtures of the tests of sync."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from support.service import Service


@pytest.fixture
def service() -> Iterator[Service]:
    served = Service()
    with served.server:
        yield served
