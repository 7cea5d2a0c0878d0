"""The measurements can be run. What they measure is not tested: a machine has other things to do."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def benchmarks(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", *arguments],
        capture_output=True,
        cwd=ROOT,
        env={"PATH": os.environ["PATH"], "PYTHONDONTWRITEBYTECODE": "1"},
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not tell what a process used")
def test_the_plan_of_sync_is_measured() -> None:
    done = benchmarks("sync-plan", "--quick")
    assert done.returncode == 0, done.stderr
    cells = [line.split()[:2] for line in done.stdout.splitlines()]
    for count in ("3", "30"):
        for known in ("warm", "cold"):
            assert [count, known] in cells


def test_a_benchmark_that_does_not_exist_is_refused_with_those_that_do() -> None:
    done = benchmarks("sync-plam")
    assert done.returncode == 2
    assert "sync-plan" in done.stderr
