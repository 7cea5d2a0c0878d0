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
_BUSY_TIMEOUT = 5.0
#: Seconds between two attempts. Writing a lockfile takes a few milliseconds.
_RETRY_INTERVAL = 0.01


def atomic_write(path: Path, make_content: Callable[[], bytes]) -> os.stat_result:
    """Replace the content of a file by the return value of ``make_content``, and return its new status.

    Calls of several programs for the same file exclude each other from before ``make_content`` is called
    until the file is written, so ``make_content`` can read the old content. Permissions and a symbolic link
    are kept. The partial file of a killed run is removed by the next call. Raises NotSaved, with the code
    ``busy`` if another program does not finish in time.
    """
    target = Path(os.path.realpath(path))
    deadline = time.monotonic() + _BUSY_TIMEOUT
    while True:
        try:
            with PartialFile(target.with_name(f".{target.name}.part")) as part:
                part.write(make_content())
                # The file may not exist yet, and some file systems have no modes.
                with suppress(OSError):
                    os.chmod(part.path, stat.S_IMODE(target.stat().st_mode))
                status = part.status
                part.move_to(target, overwrite=True)
                return status
        except NotSaved as error:
            if error.code != "busy":
                raise
            if time.monotonic() > deadline:
                raise NotSaved(f"another program is writing {path} all the time", code="busy") from None
        time.sleep(_RETRY_INTERVAL)
