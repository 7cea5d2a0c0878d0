"""Names of files that no two programs take: a temporary file is locked, a free name is taken at once."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import BinaryIO

try:
    import fcntl
except ImportError:
    fcntl = None  # type: ignore[assignment]

#: Errors that a file system without hard links answers os.link with.
_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK, errno.EXDEV}


def create_locked(path: Path) -> BinaryIO:
    # O_EXCL follows no symbolic link that someone put at the name.
    flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    file = os.fdopen(os.open(path, flags, 0o666), "w+b")
    try:
        _lock(file)
        if not is_same(file, path):
            # Between making and locking it, another run took it for abandoned.
            raise BlockingIOError
    except BaseException:
        file.close()
        raise
    return file


def create_locked_or_busy(path: Path) -> BinaryIO:
    """Raises BlockingIOError when another run was faster."""
    try:
        return create_locked(path)
    except FileExistsError:
        raise BlockingIOError from None


def is_same(file: BinaryIO, path: Path) -> bool:
    """Whether the open file is still the one of this name."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), os.lstat(path))
    except FileNotFoundError:
        return False


def _lock(file: BinaryIO) -> None:
    """Raises BlockingIOError when another program holds the file."""
    if fcntl is None:
        # Windows: an open file cannot be removed, which serves the same end.
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise
    except OSError:
        # Some network file systems have no locks; two runs of one operation are then on their own.
        pass


def remove_stale(path: Path) -> None:
    """Remove the temporary file that a killed run of this operation left.

    Raises BlockingIOError while a run still writes it.
    """
    if path.is_symlink():
        path.unlink(missing_ok=True)
        return
    if os.name == "nt":
        # What a run writes cannot be removed there, and neither could what is opened here.
        try:
            path.unlink(missing_ok=True)
        except PermissionError:
            raise BlockingIOError from None
        return
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return  # Its run has just ended.
    with file:
        _lock(file)
        if not is_same(file, path):
            # What was opened is gone: the name is that of a run which writes just now.
            raise BlockingIOError
        path.unlink()


def link_exclusive(part: Path, target: Path) -> bool:
    """Give the file its name if that is free; no program can take it in between."""
    try:
        if os.name == "nt":
            os.rename(part, target)
        else:
            os.link(part, target)
        return True
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    try:
        os.close(os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    except FileExistsError:
        return False
    try:
        os.replace(part, target)
    except BaseException:
        target.unlink(missing_ok=True)
        raise
    return True
