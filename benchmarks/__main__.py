"""``python -m benchmarks [--quick] [NAME…]``: runs these measurements, or all, and prints one table."""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from . import completion, environment, large_images, start_up, sync_plan, sync_run, time_to_image
from .measuring import Failed
from .rows import Row, in_columns, in_markdown


class Measurement(Protocol):
    """Prints its details as it goes, and returns its rows of the table. Raises Failed."""

    def __call__(self, environment: environment.Environment, *, quick: bool) -> Sequence[Row]: ...


#: In the order of the table.
BENCHMARKS: Mapping[str, Measurement] = {
    "start-up": start_up.run,
    "completion": completion.run,
    "time-to-image": time_to_image.run,
    "large-images": large_images.run,
    "sync-run": sync_run.run,
    "sync-plan": sync_plan.run,
}


def main() -> int:
    options = _options()
    rows: list[Row] = []
    failed = False
    with tempfile.TemporaryDirectory(prefix="seedream-environment-") as folder:
        place = (
            environment.present("small cases below the names of the real ones: the figures mean nothing")
            if options.quick
            else environment.fresh(Path(folder))
        )
        print(f"Measured on {time.strftime('%Y-%m-%d')} with {_machine()}, in {place.words}.")
        for name in options.names or BENCHMARKS:
            print(f"\n== {name}, load average {os.getloadavg()[0]:.2f}", flush=True)
            began = time.perf_counter()
            try:
                rows += BENCHMARKS[name](place, quick=options.quick)
            except Failed as error:
                # What the others took minutes to tell is not lost to this one.
                failed = True
                print(f"{name}: {error}", file=sys.stderr)
            print(f"({time.perf_counter() - began:.0f} s)")
    print(f"\n{(in_markdown if options.markdown else in_columns)(rows)}")
    if options.json:
        options.json.write_text(json.dumps([_fields(row) for row in rows], indent=1), encoding="utf-8")
    return 1 if failed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measure the program.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"one of: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="few runs of small cases, to see that it works")
    parser.add_argument("--markdown", action="store_true", help="print the table as README has it")
    parser.add_argument("--json", metavar="FILE", type=Path, help="write the rows to this file as well")
    options = parser.parse_args()
    if unknown := [name for name in options.names if name not in BENCHMARKS]:
        parser.error(f"there is no {unknown[0]}: there is {', '.join(BENCHMARKS)}")
    return options


def _machine() -> str:
    return (
        f"Python {platform.python_version()} on {platform.system()} {platform.machine()}, "
        f"{os.cpu_count()} processors, load average {os.getloadavg()[0]:.2f} before"
    )


def _fields(row: Row) -> dict[str, object]:
    return {
        "what": row.what,
        "ours": row.ours,
        "against": row.against,
        "theirs": row.theirs,
        "ratio": row.ratio,
        "reach": row.reach.words if row.reach is not None else None,
        "held": row.held,
    }


if __name__ == "__main__":
    sys.exit(main())
