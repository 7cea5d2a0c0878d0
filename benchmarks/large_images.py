"""An image of 100 MB: the memory that `generate` takes for it, and how long `download` does.

Files are written where Python puts temporary ones (TMPDIR says where), and removed after each run.
"""

from __future__ import annotations

import shutil
import tempfile
from contextlib import ExitStack
from pathlib import Path

from .environment import Environment
from .measuring import Cost, Failed, Machine, cost, described, interleaved, median, megabytes, milliseconds
from .measuring import number as plain
from .rows import Row, at_most, more, times
from .serving import serving

_LARGE, _SMALL, _TINY = 100_000_000, 1_000_000, 1000
_QUICK_LARGE = 3_000_000
#: Each byte is written once. To see that it is whole, only where its chunks begin is looked at.
_ONCE, _HARDLY = at_most(1.01, "1"), at_most(0.1, "0.1")
_ROUNDS, _QUICK_ROUNDS = 11, 1
_ROUNDS_OF_MEMORY = 5
_GENERATED, _GENERATED_SMALL = "`generate`, 100 MB", "`generate`, 1 MB"
_DOWNLOADED, _DOWNLOADED_TINY = "`download`, 100 MB", "`download`, 1 kB"
_CURL, _CURL_TINY = "`curl -o`, 100 MB", "`curl -o`, 1 kB"
_CURL_OVER = "`curl -o`, 100 MB over 1 kB"


def run(environment: Environment, *, quick: bool) -> list[Row]:
    curl = shutil.which("curl")
    if curl is None:
        raise Failed("there is no curl")
    large = _QUICK_LARGE if quick else _LARGE
    rounds, rounds_of_memory = (_QUICK_ROUNDS, _QUICK_ROUNDS) if quick else (_ROUNDS, _ROUNDS_OF_MEMORY)
    with tempfile.TemporaryDirectory(prefix="seedream-benchmark-") as name, ExitStack() as running:
        folder = Path(name)
        served = {size: running.enter_context(serving(image_bytes=size)) for size in (large, _SMALL, _TINY)}
        machines = {
            size: Machine(environment, folder / str(size)).serve(service.base_url)
            for size, service in served.items()
        }

        def generate(size: int) -> Cost:
            return _saved(machines[size], size, "generate", "a red fox", "--poll-interval", "1")

        def download(size: int) -> Cost:
            return _saved(machines[size], size, "download", served[size].create())

        def fetch(size: int) -> Cost:
            target = folder / "fetched.png"
            url = f"{served[size].images}/image.png"
            used = cost((curl, "-sS", "-o", str(target), url), cwd=folder, variables={})
            return _removed(target, size, used)

        for machine in machines.values():
            machine.folder.mkdir()
        memory = interleaved(
            {_GENERATED: lambda: generate(large), _GENERATED_SMALL: lambda: generate(_SMALL)},
            rounds_of_memory,
            # Python may compile the program in the first, and write down what came of it.
            unmeasured=1,
        )
        speed = interleaved(
            {
                _DOWNLOADED: lambda: download(large),
                _CURL: lambda: fetch(large),
                _DOWNLOADED_TINY: lambda: download(_TINY),
                _CURL_TINY: lambda: fetch(_TINY),
            },
            rounds,
            unmeasured=0 if quick else 1,
        )
    print(f"Files in {folder.parent}.")
    print(described({**memory, **speed}))
    own, other = median(memory[_GENERATED]), median(memory[_GENERATED_SMALL])
    copied = own.over(other)
    bytes_more = large - _SMALL
    down, curled = median(speed[_DOWNLOADED]), median(speed[_CURL])
    down_over = down.over(median(speed[_DOWNLOADED_TINY]))
    curled_over = curled.over(median(speed[_CURL_TINY]))
    written, read = copied.written / bytes_more, copied.read / bytes_more
    return [
        Row(
            f"{_GENERATED}, peak of memory",
            own.peak,
            megabytes,
            _GENERATED_SMALL,
            other.peak,
            more(4e6, "4 MB"),
        ),
        Row("bytes written to files for each byte of an image", written, plain, reach=_ONCE),
        Row("bytes read from files for each byte of an image", read, plain, reach=_HARDLY),
        Row(f"{_DOWNLOADED}, wall", down.wall, milliseconds, _CURL, curled.wall, times(1.5)),
        Row(f"{_DOWNLOADED}, CPU", down.cpu, milliseconds, _CURL, curled.cpu, times(3)),
        Row(f"{_DOWNLOADED}, wall over 1 kB", down_over.wall, milliseconds, _CURL_OVER, curled_over.wall),
        Row(f"{_DOWNLOADED}, CPU over 1 kB", down_over.cpu, milliseconds, _CURL_OVER, curled_over.cpu),
    ]


def _saved(machine: Machine, size: int, *command: str) -> Cost:
    target = machine.folder / "image.png"
    return _removed(target, size, machine.cost(*command, "-o", str(target), "--json", cwd=machine.folder))


def _removed(target: Path, size: int, used: Cost) -> Cost:
    if target.stat().st_size != size:
        raise Failed(f"{target.stat().st_size} of {size} bytes were saved")
    target.unlink()
    return used
