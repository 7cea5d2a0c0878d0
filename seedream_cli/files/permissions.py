"""Private folders and files (modes 0700 and 0600), whatever the umask."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path


def make_private_dir(folder: Path) -> None:
    """Create the folder and its missing parents, each with mode 0700.

    The parents too: in a parent that others may write to, they could replace the folder.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    for path in reversed(missing):
        try:
            path.mkdir(mode=0o700)
        except FileExistsError:
            # Another program was faster, or it is not a folder.
            if not path.is_dir():
                raise
        else:
            _set_mode(path, 0o700)


def open_private(path: Path, flags: int) -> int:
    """Return a descriptor of the file, created with mode 0600 if it does not exist.

    A chmod after the creation would leave a moment in which others can open it.
    """
    descriptor = os.open(path, flags | os.O_CREAT, 0o600)
    # An existing file may have another mode, as after a backup was restored.
    _set_mode(descriptor, 0o600)
    return descriptor


def fsync_dir(folder: Path) -> None:
    """Write the names in the folder to disk, if the system can, so that they survive a power failure."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _set_mode(file: Path | int, mode: int) -> None:
    """Set the mode if it differs: a umask may have removed even the owner's rights."""
    if os.name == "posix" and os.stat(file).st_mode & 0o777 != mode:
        # Foreign file systems (FAT, some network mounts) have no modes and raise an error.
        with suppress(PermissionError):
            os.chmod(file, mode)
