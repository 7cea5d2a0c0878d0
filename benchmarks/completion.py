"""What a Tab takes: which processes the script for bash starts, and what the one for task ids computes.

The real bash runs the generated script. What it could start of the program is, on its PATH, a small shell
script that notes how it was called.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

from .environment import ROOT, Environment
from .measuring import Cost, Failed, Machine, cost, described, interleaved, median, milliseconds, number
from .rows import Row, at_most, times

_ROUNDS, _QUICK_ROUNDS = 31, 1
_TASKS, _QUICK_TASKS = 50, 2
_SCRIPT = ROOT / "completions" / "seedream.bash"
#: Lines that are completed at their end, and what has to be among the candidates.
_STATIC = {
    ("seedream", "gen"): "generate",
    ("seedream", "generate", "--asp"): "--aspect-ratio",
    ("seedream", "generate", "-a", "1"): "1:1",
    ("seedream", "generate", "-m", ""): "seedream-v4.5",
    ("seedream", "status", "--state", "co"): "completed",
    ("seedream", "completion", "b"): "bash",
}
_IDS = ("seedream", "download", "task_")
_NOTING = '#!/bin/sh\nprintf "%s\\n" "$0 $*" >>"{notes}"\n'
_COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) COMP_LINE="$*" COMP_POINT=$((${#COMP_LINE}))
_seedream
printf '%s\\n' "${COMPREPLY[@]}"
"""
_SQLITE = '`python -c "import sqlite3"`'
_BY_COMMAND, _BUNDLED = "task ids", "task ids, as the pip that comes with Python installs it"


def run(environment: Environment, *, quick: bool) -> list[Row]:
    if shutil.which("bash") is None:
        raise Failed("there is no bash")
    rounds, tasks = (_QUICK_ROUNDS, _QUICK_TASKS) if quick else (_ROUNDS, _TASKS)
    with tempfile.TemporaryDirectory(prefix="seedream-benchmark-") as name:
        folder = Path(name)
        machine = Machine(environment, folder / "home")
        machine.folder.mkdir()
        cost(
            (environment.python, str(Path(__file__).with_name("past.py")), str(tasks)),
            cwd=folder,
            variables=machine.variables,
        )
        started = [_processes(folder, line, expected) for line, expected in _STATIC.items()]
        static = [call for calls in started for call in calls]
        asked = _processes(folder, _IDS, None)[-1]
        if len(_answered(environment, machine, asked)) != tasks:
            raise Failed(f"seedream {' '.join(asked)} does not tell all tasks")

        def python(*arguments: str) -> Cost:
            return cost((environment.python, *arguments), cwd=folder, variables=machine.variables)

        costs = interleaved(
            {
                _SQLITE: lambda: python("-c", "import sqlite3"),
                _BY_COMMAND: lambda: machine.cost(*asked, cwd=folder),
                _BUNDLED: lambda: cost(
                    (*environment.bundled, *asked), cwd=folder, variables=machine.variables
                ),
            },
            rounds,
            unmeasured=0 if quick else 1,
        )
    print(f"{len(_STATIC)} lines with static values started {len(static)} processes;")
    print(f"a line with task ids, of which there are {tasks}, started seedream {' '.join(asked)}")
    print(described(costs))
    cpu = {name: median(runs).cpu for name, runs in costs.items()}
    ids = [
        Row(f"completion of {what}, CPU", cpu[what], milliseconds, _SQLITE, cpu[_SQLITE], times(1.2))
        for what in (_BY_COMMAND, _BUNDLED)
    ]
    return [
        Row("completion of static values, processes of Python", len(static), number, reach=at_most(0, "0")),
        *ids,
    ]


def _processes(folder: Path, line: Sequence[str], expected: str | None) -> list[list[str]]:
    """The arguments of every call of the program, or of Python, that completing the line makes."""
    programs, notes = folder / "programs", folder / "notes"
    programs.mkdir(exist_ok=True)
    for name in ("seedream", "apipod-seedream", "python", "python3"):
        program = programs / name
        program.write_text(_NOTING.format(notes=notes), encoding="utf-8")
        program.chmod(0o755)
    notes.write_text("", encoding="utf-8")
    bash = shutil.which("bash") or "bash"
    done = subprocess.run(
        (bash, "--norc", "--noprofile", "-c", _COMPLETE, "bash", str(_SCRIPT), *line),
        capture_output=True,
        cwd=folder,
        env={"PATH": f"{programs}:/usr/bin:/bin", "HOME": str(folder)},
        text=True,
        check=False,
    )
    offered = [candidate.strip() for candidate in done.stdout.splitlines()]
    if expected is not None and expected not in offered:
        raise Failed(f"{' '.join(line)} does not complete to {expected}: {offered} {done.stderr}")
    return [call.split(" ")[1:] for call in notes.read_text(encoding="utf-8").splitlines()]


def _answered(environment: Environment, machine: Machine, arguments: Sequence[str]) -> list[str]:
    done = subprocess.run(
        (*environment.seedream, *arguments),
        capture_output=True,
        env=machine.variables,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()
