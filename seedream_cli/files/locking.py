"""File locking: partial files that only one program writes, and names that only one program takes.

A partial file is locked with ``flock`` while it is written. A lock ends with its process, so a partial file
without a lock was left by a run that was killed, and can be removed.
"""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

#: Errors of os.link on a file system without hard links.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


def create_locked(path: Path) -> BinaryIO:
    """Create a file and lock it. Raises FileExistsError, or BlockingIOError if another run takes it first."""
    # O_EXCL does not follow a symbolic link that someone put at this name.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags, 0o666), "w+b")
    try:
        _lock(file)
        if not is_same(file, path):
            # Between creation and lock, another run took the file for a stale one and removed it.
            raise BlockingIOError
    except BaseException:
        file.close()
        raise
    return file


def create_locked_or_busy(path: Path) -> BinaryIO:
    """Create a file and lock it. Raises BlockingIOError if another run was faster."""
    try:
        return create_locked(path)
    except FileExistsError:
        raise BlockingIOError from None


def is_same(file: BinaryIO, path: Path) -> bool:
    """Return True if ``path`` still names the open file."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False


def _lock(file: BinaryIO) -> None:
    """Lock the file without waiting. Raises BlockingIOError if another program has locked it."""
    if fcntl is None:
        # Windows does not remove open files, which has the same effect.
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # Some network file systems have no locks. Two runs of one operation are then not protected.
        pass


def remove_stale(path: Path) -> None:
    """Remove the partial file of a run that was killed. Raises BlockingIOError if a run is still writing it.

    Does nothing if the file does not exist.
    """
    if path.is_symlink():
        path.unlink(missing_ok=True)
        return
    if os.name == "nt":
        # Windows does not remove a file that is open, in another run or here.
        try:
            path.unlink(missing_ok=True)
        except PermissionError:
            raise BlockingIOError from None
        return
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return  # The other run has just ended.
    with file:
        _lock(file)
        if not is_same(file, path):
            # The stale file is gone already, and another run has created a new one with this name.
            raise BlockingIOError
        path.unlink()


def link_exclusive(source: Path, target: Path) -> bool:
    """Give the file the name ``target`` in one atomic step. Return False if that name is taken.

    On systems with hard links the file keeps its old name as well.
    """
    try:
        if os.name == "nt":
            # Windows does not rename over an existing file.
            os.rename(source, target)
        else:
            os.link(source, target)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    # Without hard links: reserve the name with an empty file, then replace that.
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return False
    try:
        os.replace(source, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return True
