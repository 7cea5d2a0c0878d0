"""Where the program that is measured is installed: as a user has it, in an environment with nothing else.

What else is installed changes what is measured: where there is `click`, httpx imports rich for a command of
its own, and whatever is compared with `import httpx` looks better than it is.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parent.parent


@dataclass(frozen=True)
class Environment:
    """``seedream`` is the command that starts the program, and ``variables`` what it needs for that."""

    python: str
    seedream: Sequence[str]
    #: The same command as the pip that comes with Python writes it: an old one's imports `re` at every start.
    bundled: Sequence[str]
    variables: Mapping[str, str]
    #: What it is, for whoever reads the figures.
    words: str


def present(why: str) -> Environment:
    """The interpreter that runs the measurements, with this checkout."""
    command = (sys.executable, "-m", "seedream_cli")
    variables = {"PYTHONPATH": str(ROOT)}
    return Environment(sys.executable, command, command, variables, f"the present environment ({why})")


def fresh(folder: Path) -> Environment:
    """A new one in ``folder``, with this checkout, and requests for what is compared.

    The present one where packages are out of reach.
    """
    python, command = folder / "bin" / "python", folder / "bin" / "seedream"
    bundled = command.with_name("seedream-by-bundled-pip")
    install = (str(python), "-m", "pip", "install", "--quiet")
    try:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(*install, str(ROOT), "requests")
        before = _version_of_pip(python)
        command.rename(bundled)
        _run(*install, "--upgrade", "pip")
        _run(*install, "--force-reinstall", "--no-deps", str(ROOT))
    except subprocess.CalledProcessError as error:
        said = [line.strip() for line in error.stderr.splitlines()]
        reasons = [line for line in said if line.startswith("ERROR: ")] or said or ["no reason given"]
        return present(f"no new one could be made: {reasons[0]}")
    words = (
        f"a new environment with the program alone, installed by pip {_version_of_pip(python)} "
        f"(with Python came {before})"
    )
    return Environment(str(python), (str(command),), (str(bundled),), {}, words)


def _version_of_pip(python: Path) -> str:
    return _run(str(python), "-m", "pip", "--version").split()[1]


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
