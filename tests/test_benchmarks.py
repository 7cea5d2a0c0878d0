"""The benchmarks run. Their figures are not tested, because they depend on the load of the machine."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

pytestmark = [
    pytest.mark.slow,
    pytest.mark.once,
    pytest.mark.skipif(not hasattr(os, "wait4"), reason="this system does not report the cost of a process"),
]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False)


ROWS = {
    "start_up": """
        --version / python -c pass
        --help / two Typer commands
        completion of values / python -c pass
        completion of task ids / python -c pass
        generate until POST / import typer, httpx
    """,
    "time_to_image": """
        time to image / loop, empty history
        requests per task / loop, empty history
        time to image / loop, known durations
        requests per task / loop, known durations
        peak memory, 100 MB / 1 MB
    """,
    "sync_1000": """
        wall time / ideal
        peak memory / 120 MB
        requests per task / 3
        CPU / ideal wall time
    """,
}


@pytest.mark.parametrize("name", ROWS)
def test_benchmark_prints_its_rows(name: str) -> None:
    done = run(name, "--quick")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    for row in ROWS[name].strip().split("\n"):
        [line] = [line for line in lines if line.startswith(f"{row.strip()}  ")]
        assert line.endswith((" met", " missed", " informational"))


def test_unknown_benchmark_is_rejected() -> None:
    done = run("sync_1001")
    assert done.returncode == 2
    assert "sync_1000" in done.stderr
