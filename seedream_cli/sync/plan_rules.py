"""The rules of the plan: classify one image from its manifest entry, its lockfile entry and its files."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import Protocol

from msgspec.structs import replace

from .assets import Image
from .hash_cache import UNREADABLE
from .lockfile import Entry, Key
from .path_template import case_insensitive_key
from .plan_items import Action, PlanItem, State

#: Returns the entry of an image that this machine's history knows to be saved, or None.
HistoryLookup = Callable[[Image], Entry | None]


class FileState(Protocol):
    """The project's files. Paths are relative to the project, with ``/``."""

    def exists(self, path: str) -> bool:
        """Return True if anything has this path: a file, a folder or a broken link."""

    def sha256(self, path: str) -> str | None:
        """Return the file's SHA-256 (hex), None if it does not exist, UNREADABLE if it cannot be read."""

    def extension(self, path: str) -> str | None:
        """Return the extension for the image's format, such as ``png``. None if it is not an image."""


class Classifier:
    """Decides state and action of one image at a time."""

    def __init__(
        self,
        entries: Mapping[Key, Entry],
        orphans: Mapping[Key, Entry],
        files: FileState,
        history_lookup: HistoryLookup,
        *,
        force: bool,
        accept: bool,
        sandbox: bool,
    ) -> None:
        self._entries = entries
        #: Orphans that no image has taken over.
        self._orphans = {**orphans}
        self._files = files
        self._history_lookup = history_lookup
        self._force = force
        self._accept = accept
        self._sandbox = sandbox

    @cached_property
    def _owners(self) -> Mapping[tuple[str, str], Sequence[Key]]:
        """Map path and SHA-256 to the keys of all entries with both: the file may belong to another image."""
        owners: dict[tuple[str, str], list[Key]] = defaultdict(list)
        for key, entry in self._entries.items():
            owners[entry.path, entry.sha256].append(key)
        return owners

    def match_renamed(self, new_images: Iterable[Image]) -> dict[Key, PlanItem]:
        """Return items for the new images that equal an orphan and can be moved or fetched free of charge."""
        candidates: dict[tuple[str, int, int], list[Entry]] = defaultdict(list)
        for entry in sorted(self._orphans.values(), key=lambda entry: entry.key, reverse=True):
            candidates[entry.digest, entry.take, entry.number].append(entry)
        items: dict[Key, PlanItem] = {}
        for image in new_images:
            matches = candidates.get((image.digest, image.take, image.number))
            if matches and self._is_same_request(matches[-1], image):
                item = self._unchanged(image, matches[-1])
                if item.state == State.MISSING and not item.costs_money:
                    orphan = matches.pop().key
                    del self._orphans[orphan]
                    items[image.key] = replace(item, state=State.NEW, supersedes=(orphan,))
        return items

    def classify(self, image: Image) -> PlanItem:
        """Return the item of an image of the manifest."""
        entry = self._entries.get(image.key)
        if entry is None:
            if conflicts := self._conflicting_paths(image):
                return self._edited(image, None, conflicts)
            return _item(image, State.NEW, Action.GENERATE, path=_fixed_path(image))
        if self._is_same_request(entry, image):
            return self._unchanged(image, entry)
        present = self._files.sha256(entry.path)
        conflicts = [] if present in (None, entry.sha256) else [entry.path]
        conflicts += self._conflicting_paths(image, except_path=entry.path)
        if conflicts:
            return self._edited(image, entry, conflicts)
        old_path = entry.path if present is not None else None
        return _item(image, State.CHANGED, Action.GENERATE, entry, path=_fixed_path(image), old_path=old_path)

    def classify_orphans(
        self, orphans: Sequence[Entry], images: Iterable[Image], *, prune: bool
    ) -> Iterator[PlanItem]:
        """Yield the items of these orphans. ``images`` are all images of the manifest.

        Pruning keeps a file at a path that an image has or will have: after a merge, two entries may share
        one file.
        """
        needed: set[str] = set()
        if prune and orphans:
            for image in images:
                needed.update(image.target.case_insensitive_keys)
                if image.key in self._entries:
                    needed.add(case_insensitive_key(self._entries[image.key].path))
        for entry in orphans:
            action = Action.NOTHING
            if prune:
                is_removable = case_insensitive_key(entry.path) not in needed and self._is_intact(entry)
                action = Action.REMOVE if is_removable else Action.FORGET
            yield PlanItem(entry.name, entry.number, State.ORPHAN, action, entry=entry, path=entry.path)

    def _unchanged(self, image: Image, entry: Entry) -> PlanItem:
        """Classify an image whose request is the entry's. Its path, its file or its name may differ."""
        present = self._files.sha256(entry.path)
        if present not in (None, entry.sha256):
            return self._edited(
                image, entry, [entry.path, *self._conflicting_paths(image, except_path=entry.path)]
            )
        if entry.path not in image.target.paths:
            return self._relocated(image, entry, present)
        if present is None:
            return self._missing(image, entry, entry.path)
        if entry.key != image.key:
            return _item(image, State.MISSING, Action.MOVE, entry, path=entry.path)
        return _item(image, State.OK, Action.NOTHING, entry, path=entry.path)

    def _relocated(self, image: Image, entry: Entry, present: str | None) -> PlanItem:
        """Classify an image whose path in the manifest has changed. ``present`` is the old file's SHA-256."""
        old_path = entry.path if present is not None else None
        conflicts = self._conflicting_paths(image)
        for path in conflicts:
            # The same request may have given another image the very same bytes.
            has_other_owner = bool({*self._owners.get((path, entry.sha256), ())} - {entry.key})
            if not has_other_owner and self._files.sha256(path) == entry.sha256:
                # Moved by hand, or by a run that was interrupted before it wrote the lockfile.
                return _item(image, State.MISSING, Action.MOVE, entry, path=path, old_path=old_path)
        if conflicts:
            return self._edited(image, entry, conflicts)
        target = _fixed_path(image)
        if target is None:
            # The format decides the extension. If the file is gone, the old path's extension will do.
            extension = self._files.extension(entry.path) or entry.path.rpartition(".")[2]
            target = image.target.path(extension)
            target = target if target in image.target.paths else None
        if present is None:
            return self._missing(image, entry, target)
        return _item(image, State.MISSING, Action.MOVE, entry, path=target, old_path=old_path)

    def _missing(self, image: Image, entry: Entry, path: str | None) -> PlanItem:
        """Classify an image whose file is gone. ``path`` is where a fetched file goes."""
        if entry.task_id is not None:
            return _item(image, State.MISSING, Action.FETCH, entry, path=path)
        # An adopted file has no task: the image is generated, and its format may differ from the file's.
        if conflicts := self._conflicting_paths(image):
            return self._edited(image, entry, conflicts)
        return _item(image, State.MISSING, Action.GENERATE, entry, path=_fixed_path(image))

    def _edited(self, image: Image, entry: Entry | None, conflicts: Sequence[str]) -> PlanItem:
        """Classify an image with files at its paths that the lockfile does not know."""
        if (recorded := self._recorded(image, entry)) is not None:
            return recorded
        item = _item(image, State.EDITED, Action.NOTHING, entry, path=conflicts[0])
        if self._accept:
            sha256 = self._files.sha256(conflicts[0])
            owners = self._owners.get((conflicts[0], sha256 or ""), ())
            # Do not adopt a file owned by another image (it may be about to move); orphaned files are free.
            if not sha256 or not self._orphans.keys() >= {*owners}:
                return item
            return replace(item, action=Action.ADOPT, sha256=sha256, supersedes=tuple(owners))
        if not self._force or any(self._files.sha256(path) == UNREADABLE for path in conflicts):
            return item
        action, path = Action.GENERATE, _fixed_path(image)
        if entry is not None and entry.task_id is not None and self._is_same_request(entry, image):
            action, path = Action.FETCH, entry.path if entry.path in image.target.paths else path
        old_path = entry.path if entry is not None and self._is_intact(entry) else None
        return replace(item, action=action, path=path, old_path=old_path, overwrites=tuple(conflicts))

    def _recorded(self, image: Image, before: Entry | None) -> PlanItem | None:
        """Classify an image whose file an interrupted run saved without writing its lockfile entry.

        Returns None if the history knows no such file. ``before`` is the present entry.
        """
        entry = self._history_lookup(image)
        if entry is None or entry.path not in image.target.paths:
            return None
        if not (self._is_same_request(entry, image) and self._is_intact(entry)):
            return None
        if before is None:
            return _item(image, State.NEW, Action.RECORD, entry, path=entry.path)
        state = State.MISSING if self._is_same_request(before, image) else State.CHANGED
        is_moved = before.path != entry.path and self._is_intact(before)
        old_path = before.path if is_moved else None
        return _item(image, state, Action.RECORD, entry, path=entry.path, old_path=old_path)

    def _is_same_request(self, entry: Entry, image: Image) -> bool:
        """Return True if the entry's image was generated from the image's request and take.

        Outside the sandbox, a placeholder made by the sandbox never counts.
        """
        if entry.is_trial and not self._sandbox:
            return False
        return (entry.digest, entry.take) == (image.digest, image.take)

    def _is_intact(self, entry: Entry) -> bool:
        """Return True if the entry's file has the entry's bytes."""
        return self._files.sha256(entry.path) == entry.sha256

    def _conflicting_paths(self, image: Image, *, except_path: str | None = None) -> list[str]:
        """Return the possible paths of the image at which something exists."""
        return [path for path in image.target.paths if path != except_path and self._files.exists(path)]


def _item(
    image: Image,
    state: State,
    action: Action,
    entry: Entry | None = None,
    *,
    path: str | None,
    old_path: str | None = None,
) -> PlanItem:
    return PlanItem(image.name, image.number, state, action, image, entry, path, old_path)


def _fixed_path(image: Image) -> str | None:
    """Return the image's path, or None if its extension depends on the bytes."""
    return None if image.target.open else image.target.paths[0]
