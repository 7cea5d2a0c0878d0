"""What one run of a command costs, and tables of it.

A process's peak of memory is never below that of the process that started it, as Linux counts: whoever
measures stays small.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

#: Bytes in the unit of `ru_maxrss`.
_UNIT = 1 if sys.platform == "darwin" else 1024


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, seconds of computing, and the most memory at a time, in bytes."""

    wall: float
    cpu: float
    peak: float

    def over(self, other: Cost) -> Cost:
        return Cost(self.wall - other.wall, self.cpu - other.cpu, self.peak - other.peak)


class Machine:
    """Runs this checkout's `seedream` in a home of its own, below ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "state" / "apipod-seedream"
        self._environment: Mapping[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            "PYTHONPATH": str(Path(__file__).parent.parent),
        }

    def cost(self, *arguments: str, cwd: Path) -> Cost:
        """Run to the end, which must be a good one; what it prints is dropped."""
        began = time.perf_counter()
        process = subprocess.Popen(
            [sys.executable, "-m", "seedream_cli", *arguments],
            cwd=cwd,
            env=self._environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode != 0:
            raise SystemExit(f"seedream {' '.join(arguments)} in {cwd} ended with {process.returncode}")
        return Cost(wall, used.ru_utime + used.ru_stime, used.ru_maxrss * _UNIT)


def median(costs: Iterable[Cost]) -> Cost:
    walls, cpus, peaks = zip(*((one.wall, one.cpu, one.peak) for one in costs), strict=True)
    return Cost(statistics.median(walls), statistics.median(cpus), statistics.median(peaks))


def seconds(value: float) -> str:
    return f"{value:.3f} s"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB"


def table(heading: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Columns, of which all but the first are aligned to the right."""
    lines = [heading, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place == 0 else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
