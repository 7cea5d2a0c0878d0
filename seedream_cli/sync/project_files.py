"""The project's folder: images are put where they are wanted, and over nothing that is unknown."""

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

_CHUNK = 128 * 1024


class Project:
    """``folder`` is the manifest's, absolute; paths are relative to it, with ``/``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._real = os.path.realpath(folder)
        self._prepare_folder = cache(self._check)

    def absolute(self, path: str) -> Path:
        return self.folder.joinpath(*path.split("/"))

    def prepare(self, item: PlanItem) -> None:
        """Make sure that there is a folder of the project's for the image. Raises InvalidOutput."""
        self._prepare_folder(self._certain_target(item).parent)

    def prepare_lock(self, path: Path, shield: Shield) -> None:
        """Make sure that the lock can be written. Raises InvalidOutput."""
        ensure_writable(part_path(Path(os.path.realpath(path)), "op_lock", 1), shield)

    def part(self, item: PlanItem, operation_id: str, shield: Shield) -> PartialFile:
        """The temporary file in which the image grows."""
        return PartialFile(part_path(self._certain_target(item), operation_id, 1), shield)

    def remove_part(self, item: PlanItem, operation_id: str) -> None:
        """Remove the temporary file that a killed run left, if it did and no other run has it."""
        with suppress(OSError):
            remove_stale(part_path(self._certain_target(item), operation_id, 1))

    def path_of(self, item: PlanItem, extension: str) -> str:
        """Where an image of this kind (``png``) goes."""
        assert item.image is not None, "an orphan is not saved"  # noqa: S101
        return item.path or item.image.wanted.path(extension)

    def refuse_unknown(self, item: PlanItem, path: str, sha256: str) -> bool:
        """Whether there are bytes at ``path`` that may be replaced by those of ``sha256``.

        Raises NotSaved for bytes that neither the lock knows nor anyone gave up.
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
        """Move the verified image to its place, which is returned. Raises NotSaved."""
        path = self.path_of(item, image.extension)
        replaces = self.refuse_unknown(item, path, part.sha256)
        part.move_to(self.absolute(path), overwrite=replaces, beside=False)
        return path

    def copy(self, file: SavedFile, item: PlanItem, part: PartialFile) -> tuple[str, SavedFile]:
        """Give the image the bytes of one that is saved already; its path and file. Raises NotSaved."""
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
        """Give the file of the item's entry its new place. Raises NotSaved."""
        assert item.entry is not None and item.path is not None, "only for MOVE"  # noqa: S101, PT018
        if item.old is None or sha256_of(self.absolute(item.path)) == item.entry.sha256:
            # It is there already: only the lock does not know.
            return
        if not self.has(item.entry):
            raise NotSaved(f"{item.old} is not as the lock says any more: it is left alone", code="taken")
        self.prepare(item)
        move_file(self.absolute(item.old), self.absolute(item.path))

    def remove(self, entry: Entry, *, but: str | None = None) -> None:
        """Remove the entry's file, unless it is another file by now, or the one at ``but``."""
        target = self.absolute(entry.path)
        if not self.has(entry) or (but is not None and _is_same_file(target, self.absolute(but))):
            return
        try:
            target.unlink(missing_ok=True)
        except OSError as error:
            raise NotSaved(f"{entry.path} cannot be removed: {error.strerror}", code="cannot_write") from None

    def has(self, entry: Entry) -> bool:
        """Whether the entry's file is there, with its bytes."""
        return sha256_of(self.absolute(entry.path)) == entry.sha256

    def _certain_target(self, item: PlanItem) -> Path:
        # The ending may be open: the folder never depends on it.
        return self.absolute(self.path_of(item, "png"))

    def _check(self, folder: Path) -> None:
        real = os.path.realpath(folder)
        try:
            inside = os.path.commonpath([real, self._real]) == self._real
        except ValueError:
            # On Windows, another drive.
            inside = False
        if not inside:
            raise InvalidOutput(f"{folder} leaves the project: it is {real}")
        ensure_writable(part_path(folder / "image", "op_sync", 1))


def _is_same_file(one: Path, other: Path) -> bool:
    try:
        return os.path.samefile(one, other)
    except OSError:
        return False
