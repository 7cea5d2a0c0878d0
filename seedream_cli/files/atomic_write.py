"""Atomic replacement of a small file that several programs may write at the same time."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from ..errors import NotSaved
from .partial_file import PartialFile

#: Seconds to wait for another program that is writing the same file.
_PATIENCE = 5.0
_PAUSE = 0.01


def atomic_write(path: Path, make: Callable[[], bytes]) -> os.stat_result:
    """Replace the content of a file by what ``make`` returns. Permissions and a symbolic link are kept.

    Calls of several programs for the same file exclude each other, from before ``make`` is called until the
    file is written. Returns the stat() result of the written file. Raises NotSaved. The partial file of a
    killed run is removed by the next call.
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
    # The file may not exist yet, and some file systems have no modes.
    with suppress(OSError):
        os.chmod(part, stat.S_IMODE(target.stat().st_mode))
