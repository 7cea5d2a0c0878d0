"""Measure `seedream sync --jobs 64` of 1000 new images, whose tasks take one second each.

The ideal is 15.6 s, the time that the tasks alone take with 64 in parallel. Figures are the medians of three
runs, each with an empty history.
"""

from __future__ import annotations

import statistics
from itertools import repeat

from .fake_api import FakeAPI
from .measure import Program, Row, median


def run(program: Program, *, quick: bool) -> list[Row]:
    """Run the benchmark, or tiny cases of it if ``quick``, and return its rows."""
    count, jobs, seconds, rounds = (24, 12, 0.05, 1) if quick else (1000, 64, 1.0, 3)
    manifest = "\n".join(
        f'[assets.picture-{number:04}]\nprompt = "A red fox, number {number}"' for number in range(count)
    )
    costs, requests = [], []
    for number in range(rounds):
        project = program.home / f"project-{number}"
        with FakeAPI(repeat(seconds)) as api:
            local = program.at(project, api.base_url)
            (project / "seedream.toml").write_text(manifest, encoding="utf-8")
            costs.append(local.run("sync", "--jobs", str(jobs)))
            requests.append(api.requests / count)
        if len(list(project.rglob("*.png"))) != count:
            raise RuntimeError("sync did not save all images")
    cost = median(costs)
    return [
        Row("wall time / ideal", cost.wall, count / jobs * seconds, "{:.1f} s", 1.5),
        Row("peak memory / 120 MB", cost.peak / 1e6, 120, "{:.1f} MB", 1),
        Row("requests per task / 3", statistics.median(requests), 3, "{:.2f}"),
        Row("CPU / ideal wall time", cost.cpu, count / jobs * seconds, "{:.1f} s"),
    ]
