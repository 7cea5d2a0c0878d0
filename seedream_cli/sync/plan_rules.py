"""What is to become of one image, by what the manifest, the lock and the disk say of it."""

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

#: What this machine knows of an image besides the lock.
HistoryLookup = Callable[[Image], Entry | None]


class FileState(Protocol):
    """What can be told of the project's files, whose paths are relative to it, with ``/``."""

    def exists(self, path: str) -> bool:
        """Whether anything at all has the name."""

    def sha256(self, path: str) -> str | None:
        """The file's SHA-256 (hex); None where there is nothing, UNREADABLE for what is no readable file."""

    def extension(self, path: str) -> str | None:
        """The ending (``png``) that suits an image's bytes; None for what is no image."""


class Classifier:
    """Tells what is to become of one image at a time."""

    def __init__(
        self,
        entries: Mapping[Key, Entry],
        orphans: Iterable[Key],
        look: FileState,
        remembered: HistoryLookup,
        *,
        force: bool,
        accept: bool,
        sandbox: bool,
    ) -> None:
        self._entries = entries
        #: Orphans that no image has taken over.
        self._orphans = {*orphans}
        self._look = look
        self._remembered = remembered
        self._force = force
        self._accept = accept
        self._sandbox = sandbox

    @cached_property
    def _owners(self) -> Mapping[tuple[str, str], Sequence[Key]]:
        """Whose lines have a path with these bytes: a file in the way of one image may be another's."""
        owners: dict[tuple[str, str], list[Key]] = defaultdict(list)
        for key, entry in self._entries.items():
            owners[entry.path, entry.sha256].append(key)
        return owners

    def renamed(self, images: Iterable[Image], orphans: Iterable[Entry]) -> dict[Key, PlanItem]:
        """Items of new images for which an orphan is the same by another name, and can be had for nothing."""
        free: dict[tuple[str, int, int], list[Entry]] = defaultdict(list)
        for entry in sorted(orphans, key=lambda entry: entry.key, reverse=True):
            free[entry.digest, entry.take, entry.number].append(entry)
        found: dict[Key, PlanItem] = {}
        for image in images:
            same = free.get((image.digest, image.take, image.number))
            if same and self._asks_the_same(same[-1], image):
                item = self._known(image, same[-1])
                if item.state == State.MISSING and not item.costs_money:
                    taken = same.pop().key
                    self._orphans.remove(taken)
                    found[image.key] = replace(item, state=State.NEW, leaves=(taken,))
        return found

    def image(self, image: Image) -> PlanItem:
        entry = self._entries.get(image.key)
        if entry is None:
            return self._unknown(image)
        if not self._asks_the_same(entry, image):
            return self._changed(image, entry)
        return self._known(image, entry)

    def orphaned(self, left: Sequence[Entry], images: Iterable[Image], *, prune: bool) -> Iterator[PlanItem]:
        needed = self._needed(images) if prune and left else frozenset()
        for entry in left:
            action = Action.NOTHING
            if prune:
                own = case_insensitive_key(entry.path) not in needed and self._is_whole(entry)
                action = Action.REMOVE if own else Action.FORGET
            yield PlanItem(entry.name, entry.number, State.ORPHAN, action, entry=entry, path=entry.path)

    def _needed(self, images: Iterable[Image]) -> frozenset[str]:
        """Where images are or will be: after a merge, the file that one line loses may be another's."""
        entries = [self._entries[image.key] for image in images if image.key in self._entries]
        wanted = [key for image in images for key in image.wanted.case_insensitive_keys]
        return frozenset((*wanted, *(case_insensitive_key(entry.path) for entry in entries)))

    def _unknown(self, image: Image) -> PlanItem:
        if found := self._in_the_way(image, but=None):
            return self._edited(image, None, found)
        return _item(image, State.NEW, Action.GENERATE, path=_certain_path(image))

    def _changed(self, image: Image, entry: Entry) -> PlanItem:
        present = self._look.sha256(entry.path)
        found = [] if present in (None, entry.sha256) else [entry.path]
        found += self._in_the_way(image, but=entry.path)
        if found:
            return self._edited(image, entry, found)
        old = entry.path if present is not None else None
        return _item(image, State.CHANGED, Action.GENERATE, entry, path=_certain_path(image), old=old)

    def _known(self, image: Image, entry: Entry) -> PlanItem:
        """An image that is in the lock as it is wanted."""
        present = self._look.sha256(entry.path)
        if present not in (None, entry.sha256):
            return self._edited(image, entry, [entry.path, *self._in_the_way(image, but=entry.path)])
        if entry.path not in image.wanted.paths:
            return self._elsewhere(image, entry, present)
        if present is None:
            return self._missing(image, entry, entry.path)
        if entry.key != image.key:
            return _item(image, State.MISSING, Action.MOVE, entry, path=entry.path)
        return _item(image, State.OK, Action.NOTHING, entry, path=entry.path)

    def _elsewhere(self, image: Image, entry: Entry, present: str | None) -> PlanItem:
        """An image whose path is another than it was."""
        old = entry.path if present is not None else None
        found = self._in_the_way(image, but=None)
        for path in found:
            # The same request may have given another image the very same bytes.
            is_own_sidecar = not {*self._owners.get((path, entry.sha256), ())} - {entry.key}
            if is_own_sidecar and self._look.sha256(path) == entry.sha256:
                # Moved by hand, or by a run that was stopped before it could tell.
                return _item(image, State.MISSING, Action.MOVE, entry, path=path, old=old)
        if found:
            return self._edited(image, entry, found)
        wanted = _certain_path(image) or self._path_as_before(image, entry)
        if present is None:
            return self._missing(image, entry, wanted)
        return _item(image, State.MISSING, Action.MOVE, entry, path=wanted, old=old)

    def _path_as_before(self, image: Image, entry: Entry) -> str | None:
        """The new path with the ending that suits the bytes, or else the one that the old path has."""
        path = image.wanted.path(self._look.extension(entry.path) or entry.path.rpartition(".")[2])
        return path if path in image.wanted.paths else None

    def _missing(self, image: Image, entry: Entry, path: str | None) -> PlanItem:
        if entry.task_id is not None:
            return _item(image, State.MISSING, Action.FETCH, entry, path=path)
        # What no task can give again is generated, and may be of another kind than it was.
        if found := self._in_the_way(image, but=None):
            return self._edited(image, entry, found)
        return _item(image, State.MISSING, Action.GENERATE, entry, path=_certain_path(image))

    def _edited(self, image: Image, entry: Entry | None, found: Sequence[str]) -> PlanItem:
        """An image in whose place there are bytes that the lock does not know."""
        if (unwritten := self._unwritten(image)) is not None:
            return self._recorded(image, entry, unwritten)
        item = _item(image, State.EDITED, Action.NOTHING, entry, path=found[0])
        if self._accept:
            return self._adopted(item, found[0])
        if not self._force or any(self._look.sha256(path) == UNREADABLE for path in found):
            return item
        action, path = Action.GENERATE, _certain_path(image)
        if entry is not None and entry.task_id is not None and self._asks_the_same(entry, image):
            action, path = Action.FETCH, entry.path if entry.path in image.wanted.paths else path
        old = entry.path if entry is not None and self._is_whole(entry) else None
        return replace(item, action=action, path=path, old=old, overwrites=tuple(found))

    def _adopted(self, item: PlanItem, path: str) -> PlanItem:
        sha256 = self._look.sha256(path)
        owners = self._owners.get((path, sha256 or ""), ())
        # What is another image's may be about to move away; an orphan's is for whoever wants it.
        if not sha256 or not self._orphans >= {*owners}:
            return item
        return replace(item, action=Action.ADOPT, sha256=sha256, leaves=tuple(owners))

    def _unwritten(self, image: Image) -> Entry | None:
        """The line of a file that is here, which a run was stopped before writing."""
        entry = self._remembered(image)
        if entry is None or entry.path not in image.wanted.paths or not self._asks_the_same(entry, image):
            return None
        return entry if self._is_whole(entry) else None

    def _recorded(self, image: Image, before: Entry | None, entry: Entry) -> PlanItem:
        if before is None:
            return _item(image, State.NEW, Action.RECORD, entry, path=entry.path)
        state = State.MISSING if self._asks_the_same(before, image) else State.CHANGED
        moved = before.path != entry.path and self._is_whole(before)
        return _item(image, state, Action.RECORD, entry, path=entry.path, old=before.path if moved else None)

    def _asks_the_same(self, entry: Entry, image: Image) -> bool:
        if entry.is_trial and not self._sandbox:
            # A placeholder is not what was asked for; in the sandbox, the real picture is more than enough.
            return False
        return (entry.digest, entry.take) == (image.digest, image.take)

    def _is_whole(self, entry: Entry) -> bool:
        return self._look.sha256(entry.path) == entry.sha256

    def _in_the_way(self, image: Image, *, but: str | None) -> list[str]:
        return [path for path in image.wanted.paths if path != but and self._look.exists(path)]


def _item(
    image: Image,
    state: State,
    action: Action,
    entry: Entry | None = None,
    *,
    path: str | None,
    old: str | None = None,
) -> PlanItem:
    return PlanItem(image.name, image.number, state, action, image, entry, path, old)


def _certain_path(image: Image) -> str | None:
    """The path, where it does not depend on the bytes."""
    return None if image.wanted.open else image.wanted.paths[0]
