"""What it takes to begin: a version, help, and a `generate` up to the moment when its request has left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import statistics
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

from .environment import Environment
from .measuring import (
    Cost,
    Failed,
    Machine,
    cost,
    described,
    ended,
    interleaved,
    median,
    milliseconds,
    table,
)
from .rows import Row, times

_ROUNDS, _QUICK_ROUNDS = 31, 1
_PATIENCE = 30.0
_HERE = Path(__file__).parent

_NOTHING = "`python -c pass`"
_BY_COMMAND, _BY_MODULE = "`seedream --version`", "`python -m seedream_cli --version`"
_BUNDLED = "`seedream --version`, as the pip that comes with Python installs it"
_TWO_COMMANDS = "two commands of Typer's, `--help`"
_HELP, _HELP_OF_GENERATE = "`seedream --help`", "`seedream generate --help`"
_LIBRARIES = '`python -c "import typer, httpx"`'
_UNTIL_SENT = "`seedream generate … --json` until the POST has left"


def run(environment: Environment, *, quick: bool) -> list[Row]:
    rounds = _QUICK_ROUNDS if quick else _ROUNDS
    with tempfile.TemporaryDirectory(prefix="seedream-benchmark-") as name:
        folder = Path(name)
        machine = Machine(environment, folder)
        # Compiled once and imported, as what it is compared with.
        shutil.copy(_HERE / "two_commands.py", folder)
        prepared = _prepared(environment, folder)

        path = os.pathsep.join([str(folder), *filter(None, [environment.variables.get("PYTHONPATH")])])
        with_folder = {**machine.variables, "PYTHONPATH": path}

        def python(*arguments: str, variables: Mapping[str, str] = machine.variables) -> Cost:
            return cost((environment.python, *arguments), cwd=folder, variables=variables)

        costs = interleaved(
            {
                _NOTHING: lambda: python("-c", "pass"),
                _BY_COMMAND: lambda: machine.cost("--version", cwd=folder),
                _BUNDLED: lambda: cost(
                    (*environment.bundled, "--version"), cwd=folder, variables=machine.variables
                ),
                _BY_MODULE: lambda: python("-m", "seedream_cli", "--version"),
                _TWO_COMMANDS: lambda: python(
                    "-c", "from two_commands import app; app()", "--help", variables=with_folder
                ),
                _HELP: lambda: machine.cost("--help", cwd=folder),
                _HELP_OF_GENERATE: lambda: machine.cost("generate", "--help", cwd=folder),
                _LIBRARIES: lambda: python("-c", "import typer, httpx"),
                _UNTIL_SENT: lambda: _until_sent(environment, prepared),
            },
            rounds,
            unmeasured=0 if quick else 1,
        )
        parts = [_parts(environment, prepared) for _ in range(rounds)]
    print(described(costs))
    lengths = {part: statistics.median(one[part] for one in parts) for part in parts[0]}
    print("\nOf `generate`, beyond `import typer, httpx`; medians of what each part adds to those before it:")
    print(table(("part", "CPU"), [(part, milliseconds(length)) for part, length in lengths.items()]))
    cpu = {name: median(runs).cpu for name, runs in costs.items()}

    def row(what: str, against: str, limit: float) -> Row:
        return Row(f"{what}, CPU", cpu[what], milliseconds, against, cpu[against], times(limit))

    return [
        row(_BY_COMMAND, _NOTHING, 1.5),
        row(_BUNDLED, _NOTHING, 1.5),
        row(_BY_MODULE, _NOTHING, 1.5),
        row(_HELP, _TWO_COMMANDS, 1.15),
        row(_HELP_OF_GENERATE, _TWO_COMMANDS, 1.15),
        row(_UNTIL_SENT, _LIBRARIES, 1.15),
        *(
            Row(f"the {part}'s part of that, CPU", lengths[part], milliseconds, "the whole", cpu[_UNTIL_SENT])
            for part in ("config", "history")
        ),
    ]


def _prepared(environment: Environment, folder: Path) -> Path:
    """A home with a history that has been used, so that no run is the one that creates it."""
    machine = Machine(environment, folder / "prepared")
    machine.folder.mkdir()
    cost((environment.python, str(_HERE / "past.py"), "50"), cwd=folder, variables=machine.variables)
    return machine.folder


def _until_sent(environment: Environment, prepared: Path) -> Cost:
    """`generate` up to the last byte of its request: whoever has read that ends the program on the spot."""
    with tempfile.TemporaryDirectory(prefix="seedream-home-") as name:
        home = Path(name, "home")
        shutil.copytree(prepared, home)
        with socket.create_server(("127.0.0.1", 0)) as listener:
            listener.settimeout(_PATIENCE)
            port = listener.getsockname()[1]
            machine = Machine(environment, home).serve(f"http://127.0.0.1:{port}/v1")
            began = time.perf_counter()
            process = machine.start("generate", "a red fox in snow", "--json", cwd=home)
            try:
                _read_request(listener)
            except OSError as error:
                raise Failed(f"no request came: {error}") from error
            finally:
                os.kill(process.pid, signal.SIGKILL)
                used, _ = ended(process, began)
    return used


def _read_request(listener: socket.socket) -> None:
    connection, _ = listener.accept()
    with connection:
        connection.settimeout(_PATIENCE)
        received = b""
        while not _is_whole(received):
            piece = connection.recv(65536)
            if not piece:
                raise Failed(f"the request broke off: {received!r}")
            received += piece


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    lengths = [
        int(line.partition(b":")[2])
        for line in head.lower().split(b"\r\n")
        if line.startswith(b"content-length")
    ]
    return bool(end) and len(body) >= sum(lengths)


def _parts(environment: Environment, prepared: Path) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="seedream-home-") as name:
        home = Path(name, "home")
        shutil.copytree(prepared, home)
        machine = Machine(environment, home).serve("http://127.0.0.1:9/v1")
        done = subprocess.run(
            (environment.python, str(_HERE / "parts.py")),
            cwd=home,
            env=machine.variables,
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode != 0:
        raise Failed(f"parts.py: {done.stderr}")
    found: dict[str, float] = json.loads(done.stdout)
    return found
