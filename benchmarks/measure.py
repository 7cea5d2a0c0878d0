"""Measure child processes, and compare the results with a reference."""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

#: Bytes in the unit of `ru_maxrss`.
_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


class Cost(NamedTuple):
    """Resources that a process used: seconds of wall time and of CPU (user + system), peak RSS in bytes.

    Linux lets a process inherit the peak of its parent, so a benchmark must stay smaller than its child.
    """

    wall: float
    cpu: float
    peak: float


class Row(NamedTuple):
    """A row of the table. ``target`` is the greatest acceptable ratio; without one, it is informational."""

    name: str
    measured: float
    reference: float
    #: Formats both values, for example ``"{:.2f} s"``.
    unit: str
    target: float | None = None

    @property
    def cells(self) -> tuple[str, ...]:
        """Return name, measured value, reference, ratio, target and verdict."""
        ratio = self.measured / self.reference
        target, verdict = "", "informational"
        if self.target is not None:
            target, verdict = f"≤ {self.target:g}", "met" if ratio <= self.target else "missed"
        values = self.unit.format(self.measured), self.unit.format(self.reference)
        return (self.name, *values, f"{ratio:.2f}", target, verdict)


class Program:
    """The program to measure, in a home folder of its own, without the user's environment."""

    def __init__(self, path: Path, home: Path, base_url: str | None = None) -> None:
        self.path = path
        self.home = home
        home.mkdir(exist_ok=True)
        #: The interpreter of the program's environment. It also runs the references.
        self.python = path.resolve().with_name("python")
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(home),
            "XDG_CONFIG_HOME": str(home / "config"),
            "XDG_STATE_HOME": str(home / "state"),
            "SEEDREAM_API_KEY": "sk-benchmark",
        }
        if base_url is not None:
            self.environment["SEEDREAM_BASE_URL"] = base_url

    def at(self, home: Path, base_url: str) -> Program:
        """Return the same program with another home, which is created, and another API."""
        return Program(self.path, home, base_url)

    def run(self, *arguments: str) -> Cost:
        """Run the program in its home folder. Raise CalledProcessError if it fails."""
        return self._run(str(self.path), *arguments)

    def run_python(self, *arguments: str) -> Cost:
        """Run the interpreter of the program in the same home folder."""
        return self._run(str(self.python), *arguments)

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        """Start a command in the home folder, without stdin and output."""
        null = subprocess.DEVNULL
        return subprocess.Popen(
            command, cwd=self.home, env=self.environment, stdin=null, stdout=null, stderr=null
        )

    def _run(self, *command: str) -> Cost:
        began = time.perf_counter()
        process = self.start(*command)
        cost = wait(process, began)
        if process.returncode:
            raise subprocess.CalledProcessError(process.returncode, command)
        return cost


def wait(process: subprocess.Popen[bytes], began: float) -> Cost:
    """Wait for a process that was started at ``began`` (of `time.perf_counter`), and return its cost."""
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return Cost(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss * _RSS_UNIT)


def interleave(contestants: Mapping[str, Callable[[], Cost]], rounds: int) -> dict[str, Cost]:
    """Run all contestants in turn, so that other load affects all alike, and return the median of each.

    The first of ``rounds`` + 1 rounds only fills caches and does not count.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in contestants}
    for number in range(rounds + 1):
        for name, run in contestants.items():
            cost = run()
            if number:
                costs[name].append(cost)
    return {name: median(values) for name, values in costs.items()}


def median(costs: list[Cost]) -> Cost:
    """Return the median of each figure."""
    return Cost(*map(statistics.median, zip(*costs, strict=True)))
