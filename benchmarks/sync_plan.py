"""`seedream sync --check` over a project in which everything is in step: what it takes to see that.

Measured with the digests of the files known from the run before (warm), and with none of them known,
as in a fresh checkout (cold). From each figure, that of a project of one image is taken away, which is the
start-up of `sync`.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from .environment import Environment
from .measuring import Cost, Machine, median, megabytes, seconds, table
from .pictures import tiny_png
from .rows import Row, at_most, times

_COUNTS, _ROUNDS = (100, 1000, 10_000), 7
_QUICK_COUNTS, _QUICK_ROUNDS = (3, 30), 1
#: Seconds after which a digest is trusted: file systems' clocks tick in up to two.
_SETTLED = 2.5
_CASES = ("warm", "cold")
_WORDS = {"warm": "known", "cold": "not known"}


def run(environment: Environment, *, quick: bool) -> list[Row]:
    """Measure, and print the details; ``quick`` shows that it works."""
    counts, rounds = (_QUICK_COUNTS, _QUICK_ROUNDS) if quick else (_COUNTS, _ROUNDS)
    with tempfile.TemporaryDirectory(prefix="seedream-benchmark-") as name:
        folder = Path(name)
        machine = Machine(environment, folder)
        smallest = _project(machine, folder / "1", 1)
        projects = {count: _project(machine, folder / str(count), count) for count in counts}
        if not quick:
            time.sleep(_SETTLED)
        # All cases in turn, again and again: whatever else this machine does meets them all.
        startups: list[Cost] = []
        costs: dict[tuple[int, str], list[Cost]] = {(count, case): [] for count in counts for case in _CASES}
        for _ in range(rounds):
            startups.append(machine.cost("sync", "--check", cwd=smallest))
            for count, project in projects.items():
                shutil.rmtree(machine.state / "files")
                # What is cold for the first run is warm for the second.
                for case in ("cold", "warm"):
                    costs[count, case].append(machine.cost("sync", "--check", cwd=project))
    start = median(startups)
    over = {key: median(runs).over(start) for key, runs in costs.items()}
    print(f"seedream sync --check, all images ok, over the start-up; medians of {rounds} runs")
    print(f"start-up: {seconds(start.wall)}, CPU {seconds(start.cpu)}, peak {megabytes(start.peak)}")
    print(table(("images", "known", "wall", "CPU", "memory"), _rows(over, counts)))
    return list(_compared(over, counts))


def _compared(over: dict[tuple[int, str], Cost], counts: Sequence[int]) -> Iterator[Row]:
    *_, few, many = counts
    for case in _CASES:
        # Linear is ten times as much for ten times as many; a machine is never as even as that.
        yield Row(
            f"`sync` with nothing to do, 10,000 images, digests {_WORDS[case]}",
            over[many, case].wall,
            seconds,
            "the same with 1000",
            over[few, case].wall,
            times(12),
        )
    yield Row(
        "`sync` with nothing to do, 10,000 images, digests known, over the start-up",
        over[many, "warm"].wall,
        seconds,
        reach=at_most(1.5, "1.5 s"),
    )


def _rows(over: dict[tuple[int, str], Cost], counts: Sequence[int]) -> list[tuple[str, ...]]:
    return [
        (str(count), case, seconds(cost.wall), seconds(cost.cpu), megabytes(cost.peak))
        for case in _CASES
        for count in counts
        for cost in [over[count, case]]
    ]


def _project(machine: Machine, folder: Path, count: int) -> Path:
    """A project of so many images, whose lock the program itself has written."""
    images = folder / "assets"
    images.mkdir(parents=True)
    manifest = ['[defaults]\ndir = "assets"\n\n[vars]\nlook = "flat vector, warm palette"\n']
    for number in range(count):
        name = f"picture-{number:05}"
        manifest.append(f'\n[assets.{name}]\nprompt = "A red fox in snow, number {number}, {{look}}"\n')
        (images / f"{name}.png").write_bytes(tiny_png(number))
    (folder / "seedream.toml").write_text("".join(manifest), encoding="utf-8")
    machine.cost("sync", "--accept", cwd=folder)
    return folder
