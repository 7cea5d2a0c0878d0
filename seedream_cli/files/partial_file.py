"""Bytes → a verified file: a temporary file beside the target, checked, then moved into place.

A file appears whole or not at all, and never over another one that was not asked to be replaced.
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

Shield = Callable[[], AbstractContextManager[None]]


class PartialFile:
    """The temporary file of one image, locked while it is written; gone when the block ends.

    ``shield`` gives blocks in which no signal interrupts. Raises NotSaved, naming the folder, for
    whatever the file system refuses.
    """

    def __init__(self, path: Path, shield: Shield = nullcontext) -> None:
        self.path = path
        self._shield = shield
        self.size = 0
        self._digest = hashlib.sha256()
        self._file: BinaryIO | None = None

    def __enter__(self) -> Self:
        # Each attempt begins anew.
        self.size, self._digest = 0, hashlib.sha256()
        try:
            with self._shield():
                self._make()
            return self
        except BaseException:
            # A signal that came meanwhile is obeyed at the shield's end, and then nobody leaves the block.
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _make(self) -> None:
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
        """Remove the temporary file, if it is there; any number of times."""
        try:
            with self._shield():
                self._close()
        finally:
            self._close()

    def _close(self) -> None:
        if self._file is None:
            return
        file, self._file = self._file, None
        # Only while the lock is held is the name surely ours: without it, another run may have taken
        # the file for abandoned and write its own under this name. Windows removes no open file.
        with suppress(OSError):
            if os.name != "nt" and is_same(file, self.path):
                self.path.unlink()
        # A full disk may refuse the last bytes again; what failed has been told by write().
        with suppress(OSError):
            file.close()
        if os.name == "nt":
            with suppress(OSError):
                self.path.unlink(missing_ok=True)

    @property
    def sha256(self) -> str:
        return self._digest.hexdigest()

    @property
    def status(self) -> os.stat_result:
        """That of the file with all that was written, which moving it does not change."""
        try:
            self._open.flush()
            return os.fstat(self._open.fileno())
        except OSError as error:
            raise self._not_saved(error) from None

    def write(self, chunk: bytes) -> None:
        try:
            self._open.write(chunk)
        except OSError as error:
            raise self._not_saved(error) from None
        self._digest.update(chunk)
        self.size += len(chunk)

    def verify(self, announced: int | None) -> ImageInfo:
        """Check length, kind and completeness. Raises ImageDamaged."""
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
        """Put the file in place and return where it is.

        A name that is taken is left alone (the file goes beside it under a free one) unless
        ``overwrite``, or unless it holds these very bytes already. Without ``beside`` it goes nowhere
        else: raises NotSaved.
        """
        try:
            # Whoever sees the name sees every byte.
            self._open.flush()
            os.fsync(self._open.fileno())
            if os.name == "nt":
                # Windows moves no open file.
                self._open.close()
            target.parent.mkdir(parents=True, exist_ok=True)
            if overwrite:
                os.replace(self.path, target)
                return target
            return self._claim_beside(target, most=None if beside else 1)
        except OSError as error:
            raise self._not_saved(error) from None

    def _claim_beside(self, target: Path, *, most: int | None) -> Path:
        for attempt in itertools.islice(itertools.count(1), most):
            candidate = target if attempt == 1 else free_name(target, attempt)
            # The same bytes: a run before this one was stopped between saving and recording.
            if link_exclusive(self.path, candidate) or sha256_of(candidate) == self.sha256:
                return candidate
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
    """Make the folder of the file ``trial``, and a file in it for a moment.

    Only trying tells: permissions say yes to root where the file system says no. Raises InvalidOutput.
    """
    if _takes_unnamed(trial.parent):
        return
    try:
        with PartialFile(trial, shield):
            pass
    except NotSaved as error:
        # Where another program is saving, files can be made.
        if error.code != "busy":
            raise InvalidOutput(error.message) from None


def _takes_unnamed(folder: Path) -> bool:
    """Whether a file without a name can be made there: Linux removes it however the program ends."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        os.close(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600))
    except (AttributeError, OSError):
        # No such files in this system, or a folder that takes none: a named one will tell.
        return False
    return True


def move_file(source: Path, target: Path) -> None:
    """Give a file another name, never one that another file has. Raises NotSaved."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        if link_exclusive(source, target):
            source.unlink(missing_ok=True)
        elif os.path.samefile(source, target):
            # The same name where case makes no difference; or both are, since a run was killed in between.
            os.rename(source, target)
            if source.name in os.listdir(source.parent):
                source.unlink()
        else:
            raise NotSaved(f"{target} is taken", code="taken")
    except OSError as error:
        reason = f"{source} cannot be moved to {target}: {error.strerror}"
        raise NotSaved(reason, code="cannot_write") from None


def sha256_of(path: Path) -> str | None:
    """The file's digest; None if there is no readable regular file."""
    try:
        if not path.is_file():
            return None
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError:
        return None


def saved_file_from_disk(path: Path) -> SavedFile:
    """What is known of a file that was there before. Raises NotSaved if it cannot be read."""
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
