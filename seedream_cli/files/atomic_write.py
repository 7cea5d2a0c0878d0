"""A small file that appears whole or not at all, whoever else writes it at the same time."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import NotSaved
from .partial_file import PartialFile

#: Seconds for which another program that writes the same file is waited for.
_PATIENCE = 5.0
_PAUSE = 0.01


def atomic_write(path: Path, make: Callable[[], bytes]) -> os.stat_result:
    """Put what ``make`` returns into the file, which keeps its permissions, and stays a link if it is one.

    No other program's call for this file comes in between what ``make`` reads and what is written. Returns
    the status of what was written, which may have been replaced by then. Raises NotSaved. A temporary file
    that a killed run left is removed by the next one that writes.
    """
    target = Path(os.path.realpath(path))
    deadline = time.monotonic() + _PATIENCE
    while True:
        try:
            with PartialFile(target.with_name(f".{target.name}.part")) as part:
                part.write(make())
                _keep_mode(target, part.path)
                status = part.status
                part.move_to(target, overwrite=True)
                return status
        except NotSaved as error:
            if error.code != "busy":
                raise
            if time.monotonic() > deadline:
                raise NotSaved(f"another program is writing {path} all the time", code="busy") from None
        time.sleep(_PAUSE)


def _keep_mode(target: Path, part: Path) -> None:
    # There may be nothing yet, and file systems of other systems have no modes.
    with suppress(OSError):
        os.chmod(part, stat.S_IMODE(target.stat().st_mode))
