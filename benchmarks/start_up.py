"""Measure the CPU of `--version`, `--help`, completion, and of `generate` until its POST has arrived.

Each runs 21 times, in turn with the others, with a history of 50 tasks. The medians are compared.
"""

from __future__ import annotations

import shutil
import socket
import time
from functools import partial
from itertools import repeat

from .fake_api import FakeAPI
from .measure import Cost, Program, Row, interleave, wait

#: A completion request for the values of an option, which come from the config file.
_STATIC = ("completion", "--list=", "--", "generate", "--style")
#: A completion request for the ids of tasks, which come from the history.
_DYNAMIC = ("completion", "--list=task_", "--", "download")
#: The reference for --help: a small program that uses Typer.
_TWO_COMMANDS = """
import typer
app = typer.Typer()
@app.command()
def draw(prompt: str, ratio: str = typer.Option("1:1", help="The aspect ratio.")) -> None:
    "Draw a picture."
@app.command()
def show(name: str, large: bool = typer.Option(False, help="Show it in full size.")) -> None:
    "Show a picture."
app()
"""


def run(program: Program, *, quick: bool) -> list[Row]:
    """Run the benchmark, or tiny cases of it if ``quick``, and return its rows."""
    with FakeAPI(repeat(0.0)) as api:
        program.at(program.home, api.base_url).run("generate", "a red fox", "--no-wait", "-n", "50")
    python = program.run_python
    costs = interleave(
        {
            "pass": partial(python, "-c", "pass"),
            "libraries": partial(python, "-c", "import typer, httpx"),
            "two commands": partial(python, "-c", _TWO_COMMANDS, "--help"),
            "version": partial(program.run, "--version"),
            "help": partial(program.run, "--help"),
            "static": partial(program.run, *_STATIC),
            "dynamic": partial(program.run, *_DYNAMIC),
            "generate": partial(_until_posted, program),
        },
        rounds=1 if quick else 21,
    )

    def row(name: str, measured: str, reference: str, target: float) -> Row:
        return Row(name, costs[measured].cpu * 1000, costs[reference].cpu * 1000, "{:.1f} ms", target)

    return [
        row("--version / python -c pass", "version", "pass", 2),
        row("--help / two Typer commands", "help", "two commands", 0.8),
        row("completion of values / python -c pass", "static", "pass", 2.5),
        row("completion of task ids / python -c pass", "dynamic", "pass", 2.5),
        row("generate until POST / import typer, httpx", "generate", "libraries", 1.4),
    ]


def _until_posted(program: Program) -> Cost:
    """Run `generate` until the last byte of its POST has arrived, kill it, and return its cost.

    Each run gets a fresh copy of the history, because a killed run leaves an unfinished operation.
    """
    home = program.home / "killed"
    shutil.copytree(program.home / "state", home / "state")
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(30)
        local = program.at(home, f"http://127.0.0.1:{listener.getsockname()[1]}/v1")
        began = time.perf_counter()
        process = local.start(str(program.path), "generate", "a red fox", "--json")
        try:
            connection, _ = listener.accept()
            with connection:
                received = b""
                # The body is a JSON object.
                while not received.endswith(b"}"):
                    received += connection.recv(65536)
        finally:
            process.kill()
            cost = wait(process, began)
    shutil.rmtree(home)
    return cost
