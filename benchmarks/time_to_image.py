"""Compare time to image and requests per task with the loop of the API's documentation.

48 tasks of 10 to 30 s are generated in real time by the loop, by `generate` with an empty history, and by
`generate` with a history that knows 24 such tasks: 144 processes, 24 at once, in about three minutes. The
durations are evenly spread, in shuffled order. The time to image is the wall time without the duration of the
task: start-up, the delay until a poll sees the end, download and exit.

The last row is the peak memory of `generate` with an image of 100 MB, compared with one of 1 MB.
"""

from __future__ import annotations

import random
import shutil
import statistics
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from itertools import repeat
from pathlib import Path

from .fake_api import FakeAPI
from .measure import Program, Row, interleave

_LOOP = str(Path(__file__).with_name("loop.py"))
_KINDS = ("loop", "empty", "known")


def run(program: Program, *, quick: bool) -> list[Row]:
    """Run the benchmark, or tiny cases of it if ``quick``, and return its rows."""
    tasks, earlier, shortest, longest = (1, 3, 0.0, 0.1) if quick else (48, 24, 10.0, 30.0)
    durations = _spread(tasks, shortest, longest)
    learned = program.home / "learned"
    chance = random.Random(0)  # noqa: S311 - not a secret
    with ExitStack() as running:
        known_api = running.enter_context(FakeAPI(_spread(earlier, shortest, longest) + durations))
        program.at(learned, known_api.base_url).run("generate", "a red fox", "-n", str(earlier))
        known_api.requests = 0
        apis = {
            "loop": running.enter_context(FakeAPI(durations)),
            "empty": running.enter_context(FakeAPI(durations)),
            "known": known_api,
        }

        def generate(kind: str, number: int) -> float:
            """Return the wall time in seconds."""
            home = program.home / f"{kind}-{number}"
            if kind == "known":
                shutil.copytree(learned, home, ignore=shutil.ignore_patterns("*.png"))
            local = program.at(home, apis[kind].base_url)
            # Spread the starts: processes that start at the same time slow each other down.
            time.sleep(chance.uniform(0, tasks / 16))
            if kind == "loop":
                cost = local.run_python(_LOOP, apis[kind].base_url)
            else:
                cost = local.run("generate", "a red fox")
            if len(list(home.glob("*.png"))) != 1:
                raise RuntimeError(f"{kind} saved no image")
            return cost.wall

        with ThreadPoolExecutor(24) as pool:
            walls = list(pool.map(generate, _KINDS * tasks, [n for n in range(tasks) for _ in _KINDS]))
    delay = {
        kind: statistics.mean(walls[index :: len(_KINDS)]) - statistics.mean(durations)
        for index, kind in enumerate(_KINDS)
    }
    requests = {kind: apis[kind].requests / tasks for kind in _KINDS}
    return [
        Row("time to image / loop, empty history", delay["empty"], delay["loop"], "{:.2f} s", 1.05),
        Row("requests per task / loop, empty history", requests["empty"], requests["loop"], "{:.2f}", 1.05),
        Row("time to image / loop, known durations", delay["known"], delay["loop"], "{:.2f} s"),
        Row("requests per task / loop, known durations", requests["known"], requests["loop"], "{:.2f}", 0.65),
        _memory(program, large=3_000_000 if quick else 100_000_000, rounds=1 if quick else 5),
    ]


def _spread(count: int, shortest: float, longest: float) -> list[float]:
    """Return evenly spread durations in seconds, in shuffled order."""
    durations = [shortest + (longest - shortest) * (number + 0.5) / count for number in range(count)]
    random.Random(count).shuffle(durations)  # noqa: S311 - not a secret
    return durations


def _memory(program: Program, *, large: int, rounds: int) -> Row:
    with FakeAPI(repeat(0.0), 1_000_000) as small_api, FakeAPI(repeat(0.0), large) as large_api:
        generate = ("generate", "a red fox", "-o", "image.png", "--overwrite")
        costs = interleave(
            {
                "small": partial(program.at(program.home / "small", small_api.base_url).run, *generate),
                "large": partial(program.at(program.home / "large", large_api.base_url).run, *generate),
            },
            rounds,
        )
    return Row(
        "peak memory, 100 MB / 1 MB", costs["large"].peak / 1e6, costs["small"].peak / 1e6, "{:.1f} MB", 1.1
    )
