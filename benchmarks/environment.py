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
    variables: Mapping[str, str]
    #: What it is, for whoever reads the figures.
    words: str


def present(why: str) -> Environment:
    """The interpreter that runs the measurements, with this checkout."""
    return Environment(
        sys.executable,
        (sys.executable, "-m", "seedream_cli"),
        {"PYTHONPATH": str(ROOT)},
        f"the present environment ({why})",
    )


def fresh(folder: Path) -> Environment:
    """A new one in ``folder``, with this checkout, and requests for what is compared.

    The present one where packages are out of reach.
    """
    python = folder / "bin" / "python"
    pip = [str(python), "-m", "pip"]
    try:
        _run(sys.executable, "-m", "venv", str(folder))
        _run(*pip, "install", "--quiet", str(ROOT), "requests")
        installed = _run(*pip, "--version").split()[1]
    except subprocess.CalledProcessError as error:
        said = [line.strip() for line in error.stderr.splitlines()]
        reasons = [line for line in said if line.startswith("ERROR: ")] or said or ["no reason given"]
        return present(f"no new one could be made: {reasons[0]}")
    words = f"a new environment with the program alone, installed by pip {installed}"
    return Environment(str(python), (str(python.with_name("seedream")),), {}, words)


def _run(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout
