"""The project's files: save, copy, move and remove images without overwriting unknown files."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import cache
from pathlib import Path

from msgspec.structs import replace

from ..errors import InvalidOutput, NotSaved
from ..files.locking import remove_stale
from ..files.output_path import part_path
from ..files.partial_file import PartialFile, Shield, ensure_writable, move_file, sha256_of
from ..images.inspect import ImageInfo
from ..models import SavedFile
from .lockfile import Entry
from .plan_items import PlanItem

#: Bytes per read when a file is copied.
_CHUNK = 128 * 1024


class Project:
    """The project in ``folder``, the manifest's folder (absolute). Paths are relative to it, with ``/``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._real_folder = os.path.realpath(folder)
        #: Checks each folder only once.
        self._prepare_folder = cache(self._check_folder)

    def absolute(self, path: str) -> Path:
        return self.folder.joinpath(*path.split("/"))

    def prepare(self, item: PlanItem) -> None:
        """Create the image's folder. Raises InvalidOutput if it is not writable or outside the project."""
        self._prepare_folder(self._any_target(item).parent)

    def prepare_lockfile(self, path: Path, shield: Shield) -> None:
        """Check that the lockfile can be written. Raises InvalidOutput."""
        ensure_writable(part_path(Path(os.path.realpath(path)), "op_lock", 1), shield)

    def part(self, item: PlanItem, operation_id: str, shield: Shield) -> PartialFile:
        """Return the partial file for the image, not yet open."""
        return PartialFile(part_path(self._any_target(item), operation_id, 1), shield)

    def remove_part(self, item: PlanItem, operation_id: str) -> None:
        """Remove the partial file that a killed run left, unless another run is using it."""
        with suppress(OSError):
            remove_stale(part_path(self._any_target(item), operation_id, 1))

    def path_of(self, item: PlanItem, extension: str) -> str:
        """Return the path of the item's image, given the extension for its format (``png``)."""
        return item.path or item.required_image().target.path(extension)

    def check_replaceable(self, item: PlanItem, path: str, sha256: str) -> bool:
        """Return True if ``path`` has a file that the bytes of ``sha256`` may replace, False if it has none.

        Raises NotSaved for a file with other bytes, unless the lockfile has it or ``--force`` gave it up.
        """
        target = self.absolute(path)
        if not os.path.lexists(target):
            return False
        present = sha256_of(target)
        own = item.entry is not None and (item.entry.path, item.entry.sha256) == (path, present)
        if not own and present != sha256 and path not in item.overwrites:
            raise NotSaved(f"{path} has bytes that the lock does not know: it is left alone", code="taken")
        return True

    def put(self, item: PlanItem, part: PartialFile, image: ImageInfo) -> str:
        """Move the verified image to its path, and return that path. Raises NotSaved."""
        path = self.path_of(item, image.extension)
        replaces = self.check_replaceable(item, path, part.sha256)
        part.move_to(self.absolute(path), overwrite=replaces, beside=False)
        return path

    def copy(self, file: SavedFile, item: PlanItem, part: PartialFile) -> tuple[str, SavedFile]:
        """Copy a saved image to the item's path. Return path and file of the copy. Raises NotSaved."""
        with part:
            try:
                with open(file.path, "rb") as source:
                    while chunk := source.read(_CHUNK):
                        part.write(chunk)
            except OSError as error:
                raise NotSaved(f"{file.path} cannot be read: {error.strerror}") from None
            image = part.verify(file.bytes)
            path = self.put(item, part, image)
            return path, replace(file, path=str(self.absolute(path)))

    def move(self, item: PlanItem) -> None:
        """Move the file of the item's entry to its new path. Raises NotSaved."""
        assert item.entry is not None and item.path is not None, "only for MOVE"  # noqa: S101, PT018
        if item.old_path is None or sha256_of(self.absolute(item.path)) == item.entry.sha256:
            # Already moved; only the lockfile still has the old path.
            return
        if not self.is_intact(item.entry):
            raise NotSaved(
                f"{item.old_path} is not as the lock says any more: it is left alone", code="taken"
            )
        self.prepare(item)
        move_file(self.absolute(item.old_path), self.absolute(item.path))

    def remove(self, entry: Entry, *, unless_same_as: str | None = None) -> None:
        """Remove the entry's file, unless its bytes have changed or it is the same file as the given path.

        Two paths are one file on file systems that ignore case. Raises NotSaved.
        """
        target = self.absolute(entry.path)
        if not self.is_intact(entry):
            return
        if unless_same_as is not None and _is_same_file(target, self.absolute(unless_same_as)):
            return
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise NotSaved(f"{entry.path} cannot be removed: {error.strerror}", code="cannot_write") from None

    def is_intact(self, entry: Entry) -> bool:
        """Return True if the entry's file exists and has the entry's bytes."""
        return sha256_of(self.absolute(entry.path)) == entry.sha256

    def _any_target(self, item: PlanItem) -> Path:
        # The extension may be open. Any will do here: the folder does not depend on it.
        return self.absolute(self.path_of(item, "png"))

    def _check_folder(self, folder: Path) -> None:
        real = os.path.realpath(folder)
        try:
            inside = os.path.commonpath([real, self._real_folder]) == self._real_folder
        except ValueError:
            # Another drive on Windows.
            inside = False
        if not inside:
            raise InvalidOutput(f"{folder} leaves the project: it is {real}")
        ensure_writable(part_path(folder / "image", "op_sync", 1))


def _is_same_file(first: Path, second: Path) -> bool:
    try:
        return os.path.samefile(first, second)
    except OSError:
        return False
