"""`seedream sync --check` over a project in which everything is in step: what it takes to see that.

Measured with the digests of the files known from the run before (warm), and with none of them known,
as in a fresh checkout (cold). From each figure, that of `seedream --version` is taken away.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
import time
import zlib
from collections.abc import Sequence
from pathlib import Path

from .measuring import Cost, Machine, median, megabytes, seconds, table

_COUNTS, _ROUNDS = (100, 1000, 10_000), 7
_QUICK_COUNTS, _QUICK_ROUNDS = (3, 30), 1
#: Seconds after which a digest is trusted: file systems' clocks tick in up to two.
_SETTLED = 2.5
_CASES = ("warm", "cold")


def run(quick: bool) -> None:
    """Measure and print; ``quick`` shows that it works."""
    counts, rounds = (_QUICK_COUNTS, _QUICK_ROUNDS) if quick else (_COUNTS, _ROUNDS)
    with tempfile.TemporaryDirectory(prefix="seedream-benchmark-") as name:
        folder = Path(name)
        machine = Machine(folder)
        projects = {count: _project(machine, folder / str(count), count) for count in counts}
        if not quick:
            time.sleep(_SETTLED)
        # All cases in turn, again and again: whatever else this machine does meets them all.
        startups: list[Cost] = []
        costs: dict[tuple[int, str], list[Cost]] = {(count, case): [] for count in counts for case in _CASES}
        for _ in range(rounds):
            startups.append(machine.cost("--version", cwd=folder))
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
    for case in _CASES:
        few, many = (over[count, case] for count in counts[-2:])
        print(f"time({counts[-1]}) / time({counts[-2]}), {case}: {many.wall / few.wall:.1f}")


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
        (images / f"{name}.png").write_bytes(_png(number))
    (folder / "seedream.toml").write_text("".join(manifest), encoding="utf-8")
    machine.cost("sync", "--accept", cwd=folder)
    return folder


def _png(colour: int) -> bytes:
    """A picture of one pixel; each colour has bytes of its own."""
    header = struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" + colour.to_bytes(3, "big"))
    chunks = _chunk(b"IHDR", header), _chunk(b"IDAT", data), _chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
