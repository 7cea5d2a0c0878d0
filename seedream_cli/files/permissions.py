"""Folders and files for their owner alone, whatever the umask says."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make_private_dir(folder: Path) -> None:
    """Make the folder and those above it that are missing, each with mode 0700.

    In a folder above that others may write to, they could put one of their own in its place.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        try:
            each.mkdir(mode=0o700)
        except FileExistsError:
            # Another program was faster, or it is something else than a folder.
            if not each.is_dir():
                raise
        else:
            _give_mode(each, 0o700)


def open_private(path: Path, flags: int) -> int:
    """A descriptor of the file, which is made if need be: with mode 0600 from its first moment.

    A chmod afterwards alone would leave a moment in which others can open it.
    """
    descriptor = os.open(path, flags | os.O_CREAT, 0o600)
    # It may have been made by something else, such as a restored backup.
    _give_mode(descriptor, 0o600)
    return descriptor


def fsync_dir(folder: Path) -> None:
    """See to it that the names in the folder survive a power cut, where the system has a way to that."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _give_mode(what: Path | int, mode: int) -> None:
    """Also the owner's own rights, which a umask can take."""
    if os.name == "posix" and os.stat(what).st_mode & 0o777 != mode:
        # File systems of other systems have no modes, and say so.
        with suppress(PermissionError):
            os.chmod(what, mode)
