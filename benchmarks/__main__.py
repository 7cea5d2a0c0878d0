"""``python -m benchmarks [--quick] [NAME…]``: runs these measurements, or all of them."""

from __future__ import annotations

import argparse
import os
import platform
from collections.abc import Callable, Mapping

from . import sync_plan

#: By name; each is told whether it has to be quick, at the cost of meaning little, and prints its table.
BENCHMARKS: Mapping[str, Callable[[bool], None]] = {"sync-plan": sync_plan.run}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the program.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="few runs of small cases, to see that it works")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"there is no {unknown[0]}: there is {', '.join(BENCHMARKS)}")
    print(f"Python {platform.python_version()}, {platform.system()}, {os.cpu_count()} processors")
    for name in options.names or BENCHMARKS:
        print()
        BENCHMARKS[name](options.quick)


main()
