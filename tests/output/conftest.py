"""Fixtures of the tests of reporters."""

from __future__ import annotations

from functools import partial

import pytest
from support.reporters import Report, report_events


@pytest.fixture
def report(capfd: pytest.CaptureFixture[str]) -> Report:
    """Function that passes events to a reporter, and returns stdout and stderr."""
    return partial(report_events, capfd)
