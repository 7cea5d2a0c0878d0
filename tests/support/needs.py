"""Programs and fonts that tests need beyond pip: where one is missing, a test skips and says so.

In CI, which installs them, a missing one is a failure.
"""

from __future__ import annotations

import os
import shutil

import pytest


def program(name: str) -> str:
    """The path of a program."""
    found = shutil.which(name)
    if found is None:
        missing(f"the program {name}")
    assert found is not None
    return found


def missing(what: str) -> None:
    """Skip for want of something, unless nothing may be missing here."""
    if os.environ.get("SEEDREAM_TESTS_NEED_ALL"):
        pytest.fail(f"missing here, although everything was to be installed: {what}")
    pytest.skip(f"missing: {what}")
