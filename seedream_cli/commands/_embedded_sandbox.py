"""Creation of the sandbox: inside this process for ``--sandbox``, or as a server."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import UsageError
from ..settings import locations

if TYPE_CHECKING:
    from ..sandbox.server import Sandbox

# Names of the environment variables that configure every sandbox.
SECONDS = "SEEDREAM_SANDBOX_SECONDS"
FAULT = "SEEDREAM_SANDBOX_FAULT"
DIALECT = "SEEDREAM_SANDBOX_DIALECT"


def store_path() -> Path:
    """Return the database that all sandboxes of this machine share."""
    return Path(locations.state_folder(), "sandbox.sqlite3")


def sandbox_from_environment() -> Sandbox:
    """Return a sandbox on free ports, configured by environment variables. Raises UsageError."""
    seconds = os.environ.get(SECONDS) or "3"
    try:
        return start_sandbox(
            seconds=float(seconds),
            dialect=os.environ.get(DIALECT) or "live",
            faults=(os.environ.get(FAULT) or "").split(),
        )
    except ValueError as error:
        raise UsageError(f"{SECONDS}, {FAULT} or {DIALECT}: {error}") from None


def start_sandbox(
    *,
    port: int = 0,
    seconds: float,
    dialect: str,
    faults: list[str],
    log: Callable[[str], None] | None = None,
) -> Sandbox:
    """Return a new sandbox.

    Raises ValueError for an unknown fault or dialect, and UsageError if the sandbox cannot start.
    """
    from ..files.permissions import make_private_dir
    from ..sandbox import picture
    from ..sandbox.server import Sandbox

    try:
        picture.require()
    except picture.PillowMissing:
        from ..install_hints import install_command

        raise UsageError(
            "the sandbox draws with Pillow, which is not installed",
            code="sandbox_missing",
            hint=install_command("sandbox"),
        ) from None
    try:
        make_private_dir(store_path().parent)
        return Sandbox(store_path(), port=port, dialect=dialect, seconds=seconds, faults=faults, log=log)
    except OSError as error:
        raise UsageError(f"the sandbox cannot start: {error.strerror}", code="sandbox_failed") from None
