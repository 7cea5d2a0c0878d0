"""From the command to the image on disk, less what the service takes to generate it.

Three are compared, with tasks that take equally long: the program with an empty history, the program whose
history knows how long such tasks take, and the loop of the documentation. Several run side by side, each
begun at a moment of chance: nearly all that they do is wait, so that this hardly disturbs them. What each
takes is told in pieces, too.
"""

from __future__ import annotations

import random
import shutil
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from .environment import Environment
from .measuring import Failed, Machine, ended, milliseconds, number, seconds, start, table
from .rows import Row, at_least, at_most, times
from .serving import Measurements, Served, Serving, serving

_DRAWS, _QUICK_DRAWS = 48, 1
#: What the history knows: as many tasks as the program looks at.
_EARLIER, _QUICK_EARLIER = 48, 1
_BANDS: Mapping[str, tuple[float, float]] = {"6–12 s": (6.0, 12.0), "10–30 s": (10.0, 30.0)}
#: Over before anybody can ask, whatever moment is drawn for that: what is counted does not depend on chance.
_QUICK_BANDS: Mapping[str, tuple[float, float]] = {"6–12 s": (0.0, 0.0)}
_IMAGE = 3_000_000
_SIDE_BY_SIDE = 12
#: Each is begun up to so many seconds later than it could be.
_LATER, _QUICK_LATER = 2.5, 0.0
_PROMPT = "a red fox in snow"
_FIRST, _KNOWN, _LOOP = "empty history", "history knows", "documented loop"
_LOOP_PROGRAM = Path(__file__).with_name("loop.py")


@dataclass(frozen=True)
class Run:
    """One process; its times are those of the service's clock, in seconds."""

    kind: str
    task: str
    began: float
    ended: float
    cpu: float


@dataclass(frozen=True)
class Draw:
    """What a process did, and what the service saw of it; lengths are in seconds."""

    run: Run
    task: Served

    @property
    def over(self) -> float:
        """What it took, less the generation."""
        return self.run.ended - self.run.began - self.task.seconds

    @property
    def pieces(self) -> tuple[float, ...]:
        """Until the task was created; from its end to the poll that saw it; to the image; to the end."""
        created, seen, sent = self.task.created, self.task.polls[-1], self.task.downloads[-1][1]
        return created - self.run.began, seen - self.task.finished, sent - seen, self.run.ended - sent


def run(environment: Environment, *, quick: bool) -> list[Row]:
    rows: list[Row] = []
    distances: list[float] = []
    opened = 0.0
    for seed, (band, limits) in enumerate((_QUICK_BANDS if quick else _BANDS).items(), start=1):
        with tempfile.TemporaryDirectory(prefix="seedream-benchmark-") as name:
            comparison = Comparison(environment, Path(name), limits, seed, quick=quick)
            draws, connections = comparison.run()
        print(f"Tasks of {band}, {len(draws[_LOOP])} of each; means")
        print(_told(draws))
        loop = draws[_LOOP]
        for kind, most in ((_FIRST, 1.0), (_KNOWN, 0.6)):
            own = draws[kind]
            what = f"time to image, tasks of {band}, {kind}"
            rows.append(Row(what, _mean(own, _over), seconds, _LOOP, _mean(loop, _over), times(1.0)))
            what = f"requests a task, {band}, {kind}"
            rows.append(Row(what, _mean(own, _asked), number, _LOOP, _mean(loop, _asked), times(most)))
            distances += [distance for draw in own for distance in draw.task.distances]
            opened = max(opened, connections[kind])
    least = min(distances, default=float("inf"))
    return [
        *rows,
        Row("least time between two polls of one of these tasks", least, seconds, reach=at_least(2.0, "2 s")),
        Row("connections a task, to the API and for images", opened, number, reach=at_most(2, "2")),
    ]


def _over(draw: Draw) -> float:
    return draw.over


def _asked(draw: Draw) -> float:
    return draw.task.requests


def _mean(draws: Sequence[Draw], what: Callable[[Draw], float]) -> float:
    return statistics.mean(map(what, draws))


def _told(draws: Mapping[str, Sequence[Draw]]) -> str:
    rows = []
    for kind, found in draws.items():
        overs = sorted(map(_over, found))
        pieces = [statistics.mean(one) for one in zip(*(draw.pieces for draw in found), strict=True)]
        rows.append(
            (
                kind,
                f"{_mean(found, lambda draw: draw.task.seconds):.2f} s",
                seconds(statistics.mean(overs)),
                f"{overs[0]:.2f} … {overs[-1]:.2f}",
                *map(seconds, pieces),
                number(_mean(found, _asked)),
                milliseconds(_mean(found, lambda draw: draw.run.cpu)),
            )
        )
    heading = ("", "task", "over", "least … most", "created", "late", "image", "end", "requests", "CPU")
    return table(heading, rows)


class Comparison:
    """With tasks of one band of lengths."""

    def __init__(
        self, environment: Environment, folder: Path, limits: tuple[float, float], seed: int, *, quick: bool
    ) -> None:
        self._environment = environment
        self._folder = folder
        self._limits = limits
        self._seed = seed
        self._count = _QUICK_DRAWS if quick else _DRAWS
        self._earlier = _QUICK_EARLIER if quick else _EARLIER
        self._later = _QUICK_LATER if quick else _LATER
        self._chance = random.Random(seed)  # noqa: S311 - nothing here is a secret.

    def run(self) -> tuple[Mapping[str, Sequence[Draw]], Mapping[str, float]]:
        """All draws by kind; and how many connections each of its runs opened."""
        with ExitStack() as running:
            # The same lengths for all three: what the history learns from was drawn before those.
            services = {
                kind: running.enter_context(self._service(skip=0 if kind == _KNOWN else self._earlier))
                for kind in (_FIRST, _KNOWN, _LOOP)
            }
            learned = self._folder / "learned"
            earlier = partial(self._generate, _KNOWN, services[_KNOWN], learned)
            self._side_by_side([earlier] * self._earlier, later=self._earlier / 2)
            before = services[_KNOWN].measurements()
            runs = self._side_by_side(list(self._jobs(services, learned)), self._later, _SIDE_BY_SIDE)
            counted = {kind: service.measurements() for kind, service in services.items()}
        tasks = {(kind, task.name): task for kind, found in counted.items() for task in found.tasks}
        draws = {
            kind: [Draw(run, tasks[kind, run.task]) for run in runs if run.kind == kind] for kind in services
        }
        connections = {kind: _opened(found) / self._count for kind, found in counted.items()}
        connections[_KNOWN] -= _opened(before) / self._count
        return draws, connections

    def _service(self, skip: int) -> AbstractContextManager[Serving]:
        return serving(seconds=self._limits, seed=self._seed, skip=skip, image_bytes=_IMAGE)

    def _jobs(self, services: Mapping[str, Serving], learned: Path) -> Iterator[Callable[[], Run]]:
        for index in range(self._count):
            yield partial(self._generate, _FIRST, services[_FIRST], self._folder / f"first-{index}")
            known = self._folder / f"known-{index}"
            shutil.copytree(learned, known, ignore=shutil.ignore_patterns("*.png"))
            yield partial(self._generate, _KNOWN, services[_KNOWN], known)
            yield partial(self._loop, services[_LOOP], self._folder / f"loop-{index}")

    def _side_by_side(
        self, jobs: Sequence[Callable[[], Run]], later: float, at_a_time: int | None = None
    ) -> list[Run]:
        def one(job: Callable[[], Run]) -> Run:
            time.sleep(self._chance.uniform(0, later))
            return job()

        with ThreadPoolExecutor(at_a_time or len(jobs)) as pool:
            return list(pool.map(one, jobs))

    def _generate(self, kind: str, service: Serving, home: Path) -> Run:
        machine = Machine(self._environment, home).serve(service.base_url)
        return _timed(kind, home, lambda: machine.start("generate", _PROMPT, cwd=home))

    def _loop(self, service: Serving, home: Path) -> Run:
        command = (self._environment.python, str(_LOOP_PROGRAM), service.base_url)
        variables = Machine(self._environment, home).variables
        return _timed(_LOOP, home, lambda: start(command, cwd=home, variables=variables))


def _timed(kind: str, home: Path, begin: Callable[[], subprocess.Popen[bytes]]) -> Run:
    home.mkdir(exist_ok=True)
    there = set(home.glob("*.png"))
    began = time.monotonic()
    process = begin()
    used, status = ended(process, time.perf_counter())
    end = time.monotonic()
    if status != 0:
        raise Failed(f"{process.args!r} ended with {status}")
    # Its name tells the task: where several share a home, any new one.
    image = next(path for path in home.glob("*.png") if path not in there)
    if image.stat().st_size != _IMAGE:
        raise Failed(f"{image.name} has {image.stat().st_size} bytes")
    return Run(kind, f"task_{image.stem.rpartition('task_')[2]}", began, end, used.cpu)


def _opened(counted: Measurements) -> int:
    return counted.api_connections + counted.image_connections
