"""Run the benchmarks and print a table of ratios. See docs/performance.md."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from pathlib import Path

from . import start_up, sync_1000, time_to_image
from .measure import Program, Row

BENCHMARKS = {"start_up": start_up.run, "time_to_image": time_to_image.run, "sync_1000": sync_1000.run}
_INSTALLED = Path(sys.executable).with_name("seedream")


def main() -> None:
    """Parse the command line, run the benchmarks and print their tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure seedream.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHMARKS)} (default: all)")
    parser.add_argument("--quick", action="store_true", help="run tiny cases, to check that they work")
    parser.add_argument(
        "--seedream", type=Path, default=_INSTALLED, metavar="PATH", help="program to measure"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(BENCHMARKS):
        parser.error(f"unknown benchmark {unknown.pop()!r}: choose from {', '.join(BENCHMARKS)}")
    if not options.seedream.exists():
        parser.error(f"{options.seedream} does not exist: name the program with --seedream")
    print(f"{options.seedream}, {os.cpu_count()} CPUs, load average {os.getloadavg()[0]:.1f}", flush=True)
    for name in options.names or BENCHMARKS:
        with tempfile.TemporaryDirectory(prefix="seedream-benchmark-") as folder:
            rows = BENCHMARKS[name](Program(options.seedream, Path(folder)), quick=options.quick)
        print(f"\n{_table(name, rows)}", flush=True)
    if options.quick:
        print("\nQuick cases: these figures mean nothing.")


def _table(name: str, rows: list[Row]) -> str:
    lines = [(name, "measured", "reference", "ratio", "target", ""), *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join("  ".join(map(str.ljust, line, widths)).rstrip() for line in lines)


if __name__ == "__main__":
    main()
