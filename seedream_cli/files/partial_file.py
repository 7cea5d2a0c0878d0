"""Partial files: written beside their target, verified, then moved into place.

A file appears whole or not at all, and replaces another one only if that was asked for.
"""

from __future__ import annotations

import hashlib
import itertools
import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from ..errors import ImageDamaged, InvalidOutput, NotSaved
from ..images.inspect import DamagedImage, ImageInfo, inspect
from ..models import SavedFile
from .locking import create_locked, create_locked_or_busy, is_same, link_exclusive, remove_stale
from .output_path import free_name

#: Returns a context manager in which no signal interrupts.
Shield = Callable[[], AbstractContextManager[None]]


class PartialFile:
    """The partial file of one image. It is locked while it is written, and removed when the block ends.

    Creation and removal happen within ``shield``. Every error of the file system becomes NotSaved, with the
    name of the folder.
    """

    def __init__(self, path: Path, shield: Shield = nullcontext) -> None:
        self.path = path
        self._shield = shield
        self.size = 0
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        # Each attempt starts from the beginning.
        self.size, self._digest = 0, hashlib.sha256()
        try:
            with self._shield():
                self._create()
            return self
        except BaseException:
            # A signal that came meanwhile is raised at the end of the shield. __exit__ is then not called.
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _create(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            try:
                self._file = create_locked(self.path)
            except FileExistsError:
                remove_stale(self.path)
                self._file = create_locked_or_busy(self.path)
        except BlockingIOError:
            raise NotSaved("another program is saving this image just now", code="busy") from None
        except OSError as error:
            raise self._not_saved(error) from None

    def close(self) -> None:
        """Remove the partial file, if it exists. Can be called any number of times."""
        try:
            with self._shield():
                self._close()
        finally:
            self._close()

    def _close(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        # Remove it before the lock is released by close(). After that, another run may take the file for a
        # stale one and create its own with this name. Windows cannot remove an open file.
        with suppress(OSError):
            if os.name != "nt" and is_same(file, self.path):
                self.path.unlink()
        # A full disk may fail again for the last bytes. write() has reported that already.
        with suppress(OSError):
            file.close()
        if os.name == "nt":
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        """Return the hex digest of the bytes written so far."""
        return self._digest.hexdigest()

    @property
    def status(self) -> os.stat_result:
        """Return the status of the file with everything written. It is the same after a move."""
        try:
            self._open.flush()
            return os.fstat(self._open.fileno())
        except OSError as error:
            raise self._not_saved(error) from None

    def write(self, chunk: bytes) -> None:
        """Append the bytes. Raises NotSaved, as for a full disk."""
        try:
            self._open.write(chunk)
        except OSError as error:
            raise self._not_saved(error) from None
        self._digest.update(chunk)
        self.size += len(chunk)

    def verify(self, announced: int | None) -> ImageInfo:
        """Check length (in bytes, if it was announced), format and completeness. Raises ImageDamaged."""
        if announced is not None and announced != self.size:
            raise ImageDamaged(f"the image came with {self.size} of {announced} bytes")
        try:
            self._open.flush()
            return inspect(self._open)
        except DamagedImage as error:
            raise ImageDamaged(f"what came is not a whole image: {error}") from None
        except OSError as error:
            raise self._not_saved(error) from None

    def move_to(self, target: Path, *, overwrite: bool, beside: bool = True) -> Path:
        """Move the file to ``target``, and return its path.

        Without ``overwrite``, an existing file is not replaced: the new one gets a free name in the same
        folder, or, without ``beside``, NotSaved is raised. An existing file with the same bytes is kept and
        returned.
        """
        try:
            # No one may see the name before all bytes are on disk.
            self._open.flush()
            os.fsync(self._open.fileno())
            if os.name == "nt":
                # Windows does not move open files.
                self._open.close()
            target.parent.mkdir(parents=True, exist_ok=True)
            if overwrite:
                os.replace(self.path, target)
                return target
            for attempt in itertools.count(1) if beside else (1,):
                candidate = target if attempt == 1 else free_name(target, attempt)
                # The same bytes: an earlier run was stopped between saving the image and recording it.
                if link_exclusive(self.path, candidate) or sha256_of(candidate) == self.sha256:
                    return candidate
        except OSError as error:
            raise self._not_saved(error) from None
        raise NotSaved(f"{target} is taken", code="taken")

    @property
    def _open(self) -> BinaryIO:
        assert self._file is not None, "used outside of its block"  # noqa: S101 - a programming error
        return self._file

    def _not_saved(self, error: OSError) -> NotSaved:
        reason = error.strerror or str(error)
        if isinstance(error, FileExistsError | NotADirectoryError):
            reason = "it is, or stands in, something that is no folder"
        return NotSaved(f"cannot write in {self.path.parent}: {reason}", code="cannot_write")


def ensure_writable(trial: Path, shield: Shield = nullcontext) -> None:
    """Create the folder of the file ``trial``, and a file in it for a moment. Raises InvalidOutput.

    Permissions alone prove nothing: they allow everything to root, even on a read-only file system.
    """
    try:
        # Linux creates a file without a name, which is removed however the program ends.
        trial.parent.mkdir(parents=True, exist_ok=True)
        os.close(os.open(trial.parent, os.O_TMPFILE | os.O_RDWR, 0o600))
        return
    except (AttributeError, OSError):
        # Another system, or a folder that does not allow it: try a file with a name.
        pass
    try:
        with PartialFile(trial, shield):
            pass
    except NotSaved as error:
        # "busy": another program is saving there, so files can be created.
        if error.code != "busy":
            raise InvalidOutput(error.message) from None


def move_file(source: Path, target: Path) -> None:
    """Rename a file without overwriting another one. Raises NotSaved."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if link_exclusive(source, target):
            source.unlink(missing_ok=True)
        elif os.path.samefile(source, target):
            # The names differ only in case, or both exist since a run was killed between link and unlink.
            os.rename(source, target)
            if source.name in os.listdir(source.parent):
                source.unlink()
        else:
            raise NotSaved(f"{target} is taken", code="taken")
    except OSError as error:
        reason = f"{source} cannot be moved to {target}: {error.strerror}"
        raise NotSaved(reason, code="cannot_write") from None


def sha256_of(path: Path) -> str | None:
    """Return the hex digest of the file; None if it is not a readable regular file."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def saved_file_from_disk(path: Path) -> SavedFile:
    """Return a record of an existing file, image or not. Raises NotSaved if it cannot be read."""
    try:
        size, digest = path.stat().st_size, sha256_of(path)
        with path.open("rb") as file:
            image = inspect(file)
    except DamagedImage:
        image = None
    except OSError as error:
        raise NotSaved(f"{path} cannot be read: {error.strerror}") from None
    return SavedFile(
        number=1,
        path=str(path),
        sha256=digest or "",
        bytes=size,
        media_type=image.media_type if image else None,
        width=image.width if image else None,
        height=image.height if image else None,
    )
