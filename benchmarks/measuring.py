"""What one run of a command costs, and tables of it.

A process's peak of memory is never below that of the process that started it, as Linux counts: whoever
measures stays small.
"""

from __future__ import annotations

import operator
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path

from .environment import Environment

#: Bytes in the unit of `ru_maxrss`.
_UNIT = 1 if sys.platform == "darwin" else 1024


class Failed(Exception):
    """Something that was to be measured did not work."""


@dataclass(frozen=True)
class Cost:
    """Seconds by the clock, seconds of computing, the most memory at a time, and bytes read and written.

    Memory is in bytes. What is received from sockets, or sent to them, counts as neither read nor written.
    """

    wall: float
    cpu: float
    peak: float
    read: float
    written: float

    def over(self, other: Cost) -> Cost:
        return Cost(*map(operator.sub, astuple(self), astuple(other)))


class Machine:
    """The program in a home of its own, below ``folder``; ``variables`` are for its environment."""

    def __init__(self, environment: Environment, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.state = folder / "state" / "apipod-seedream"
        self.variables: Mapping[str, str] = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "XDG_CONFIG_HOME": str(folder / "config"),
            "XDG_STATE_HOME": str(folder / "state"),
            **environment.variables,
            **variables,
        }
        self._seedream = environment.seedream

    def serve(self, base_url: str) -> Machine:
        """The API is there from now on, for any key."""
        self.variables = {
            **self.variables,
            "SEEDREAM_BASE_URL": base_url,
            "SEEDREAM_API_KEY": "sk-of-a-measurement",
        }
        return self

    def cost(self, *arguments: str, cwd: Path) -> Cost:
        """Run the program to its end, which must be a good one; what it prints is dropped."""
        return cost((*self._seedream, *arguments), cwd=cwd, variables=self.variables)

    def start(self, *arguments: str, cwd: Path) -> subprocess.Popen[bytes]:
        return start((*self._seedream, *arguments), cwd=cwd, variables=self.variables)


def cost(command: Sequence[str], *, cwd: Path, variables: Mapping[str, str]) -> Cost:
    """What the command takes, which must end well; what it prints is dropped."""
    began = time.perf_counter()
    used, status = ended(start(command, cwd=cwd, variables=variables), began)
    if status != 0:
        raise Failed(f"{' '.join(command)} in {cwd} ended with {status}")
    return used


def start(command: Sequence[str], *, cwd: Path, variables: Mapping[str, str]) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=variables,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def interleaved(
    contestants: Mapping[str, Callable[[], Cost]], rounds: int, *, unmeasured: int = 1
) -> dict[str, list[Cost]]:
    """Run all in turn, again and again: whatever else this machine does meets them all.

    The first ``unmeasured`` rounds are for caches to fill.
    """
    costs: dict[str, list[Cost]] = {name: [] for name in contestants}
    for number in range(unmeasured + rounds):
        for name, run in contestants.items():
            found = run()
            if number >= unmeasured:
                costs[name].append(found)
    return costs


def described(costs: Mapping[str, Sequence[Cost]]) -> str:
    """A table of medians, with the least and the most computing."""
    rows = []
    for name, runs in costs.items():
        middle, cpus = median(runs), [run.cpu for run in runs]
        spread = f"{milliseconds(min(cpus))} … {milliseconds(max(cpus))}"
        cells = (milliseconds(middle.wall), milliseconds(middle.cpu), spread, megabytes(middle.peak))
        rows.append((name, str(len(runs)), *cells))
    return table(("medians", "runs", "wall", "CPU", "least … most", "peak"), rows)


def ended(process: subprocess.Popen[bytes], began: float) -> tuple[Cost, int]:
    """Wait for its end: what it took since ``began`` (`time.perf_counter`), and how it ended."""
    # Left as it is for a moment: the system tells of a process what it read only until it is waited for.
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    wall = time.perf_counter() - began
    read, written = _traffic(process.pid)
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    cpu = used.ru_utime + used.ru_stime
    return Cost(wall, cpu, used.ru_maxrss * _UNIT, read, written), process.returncode


def _traffic(pid: int) -> tuple[int, int]:
    """Bytes that it has read and written, without those of `recv` and `send`. Only Linux tells."""
    try:
        lines = Path(f"/proc/{pid}/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0, 0
    counted = dict(line.split(": ") for line in lines)
    return int(counted["rchar"]), int(counted["wchar"])


def median(costs: Iterable[Cost]) -> Cost:
    return Cost(*map(statistics.median, zip(*map(astuple, costs), strict=True)))


def seconds(value: float) -> str:
    return f"{value:.3f} s"


def milliseconds(value: float) -> str:
    return f"{1000 * value:.1f} ms"


def megabytes(value: float) -> str:
    return f"{value / 1e6:.1f} MB"


def number(value: float) -> str:
    """Of things: whole, or with what a mean has beyond that."""
    return f"{value:.2f}".rstrip("0").rstrip(".")


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
