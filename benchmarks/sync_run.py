"""`seedream sync` of many new images: 64 tasks of one second at a time, with a rate limit and without.

Each run has a home of its own: nothing is known of earlier tasks. The ideal is what the service's own time
comes to if nothing else took any; under a rate limit, what the calls that are needed (a create and a poll
for each task) come to, less those that the service lets pass at once to begin with.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path

from .environment import Environment
from .measuring import Cost, Failed, Machine, described, median, megabytes, milliseconds, seconds
from .measuring import number as plain
from .rows import Row, at_most, times
from .serving import Measurements, serving

_COUNT, _JOBS, _SECONDS, _RATE, _ROUNDS = 1000, 64, 1.0, 20.0, 3
_QUICK_COUNT, _QUICK_JOBS, _QUICK_SECONDS, _QUICK_ROUNDS = 24, 12, 0.05, 1
#: What the service's limit has saved up to begin with.
_BURST = 2 * _RATE
_CALLS = 2
_FREE, _LIMITED = "`sync`, 1000 new images, 64 jobs", "`sync`, 1000 new images, 64 jobs, 20 calls a second"


@dataclass(frozen=True)
class _Size:
    count: int
    jobs: int
    seconds: float

    @property
    def ideal(self) -> float:
        return self.count / self.jobs * self.seconds

    @property
    def ideal_under_the_limit(self) -> float:
        return max((_CALLS * self.count - _BURST) / _RATE, self.ideal)


def run(environment: Environment, *, quick: bool) -> list[Row]:
    size = _Size(_QUICK_COUNT, _QUICK_JOBS, _QUICK_SECONDS) if quick else _Size(_COUNT, _JOBS, _SECONDS)
    rounds = _QUICK_ROUNDS if quick else _ROUNDS
    with tempfile.TemporaryDirectory(prefix="seedream-benchmark-") as name:
        folder = Path(name)
        runs = [_synced(environment, folder / f"free-{number}", size, rate=0.0) for number in range(rounds)]
        limited_cost, limited = _synced(environment, folder / "limited", size, rate=_RATE)
    costs = [cost for cost, _ in runs]
    free = median(costs)
    print(described({_FREE: costs, _LIMITED: [limited_cost]}))
    for what, seen in ((_FREE, runs[-1][1]), (_LIMITED, limited)):
        print(f"{what}: {_moments(seen)}")
    calls = max(sum(task.requests for task in seen.tasks) / size.count for _, seen in runs)
    lost = size.count - sum(bool(task.downloads) for task in limited.tasks)
    return [
        Row(f"{_FREE}, wall", free.wall, seconds, "rounds of 1 s", size.ideal, times(1.25)),
        Row(f"{_FREE}, requests a task", calls, plain, reach=at_most(4, "4")),
        Row(f"{_FREE}, peak of memory", free.peak, megabytes, reach=at_most(120e6, "120 MB")),
        Row(f"{_FREE}, CPU a task", free.cpu / size.count, milliseconds),
        Row(
            f"{_LIMITED}, wall",
            limited_cost.wall,
            seconds,
            "2 calls a task",
            size.ideal_under_the_limit,
            times(1.2),
        ),
        Row(f"{_LIMITED}, tasks without an image", lost, plain, reach=at_most(0, "0")),
        Row(
            f"{_LIMITED}, calls refused for one task",
            limited.refused / size.count,
            plain,
            reach=at_most(0.1, "0.1"),
        ),
    ]


def _synced(environment: Environment, home: Path, size: _Size, *, rate: float) -> tuple[Cost, Measurements]:
    """What the run took, and what the service saw of it."""
    project = home / "project"
    project.mkdir(parents=True)
    assets = (
        f'[assets.picture-{number:04}]\nprompt = "A red fox in snow, number {number}"\n'
        for number in range(size.count)
    )
    (project / "seedream.toml").write_text("\n".join(assets), encoding="utf-8")
    with serving(seconds=(size.seconds, size.seconds), rate=rate) as service:
        machine = Machine(environment, home).serve(service.base_url)
        used = machine.cost("sync", "--jobs", str(size.jobs), cwd=project)
        seen = service.measurements()
    if len(seen.tasks) != size.count:
        raise Failed(f"{len(seen.tasks)} tasks were created for {size.count} images")
    return used, seen


def _moments(seen: Measurements) -> str:
    """Where an image's time went, on average."""
    polled = statistics.mean(task.polls[-1] - task.finished for task in seen.tasks)
    fetched = statistics.mean(task.downloads[0][0] - task.polls[-1] for task in seen.tasks)
    created = max(task.created for task in seen.tasks) - min(task.created for task in seen.tasks)
    return (
        f"on average found {milliseconds(polled)} after its end and fetched {milliseconds(fetched)} later; "
        f"created within {seconds(created)}; {seen.refused} calls refused"
    )
