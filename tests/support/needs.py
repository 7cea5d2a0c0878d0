"""External programs and fonts that tests need. A test is skipped if one is missing.

In CI, which installs all of them, a missing one is a failure.
"""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str) -> str:
    """Return the path of a program, or skip the test."""
    found = shutil.which(name)
    if found is None:
        missing(f"the program {name}")
    assert found is not None
    return found


def missing(what: str) -> None:
    """Skip the test, or fail if SEEDREAM_TESTS_NEED_ALL is set."""
    if os.environ.get("SEEDREAM_TESTS_NEED_ALL"):
        pytest.fail(f"missing, although SEEDREAM_TESTS_NEED_ALL is set: {what}")
    pytest.skip(f"missing: {what}")
