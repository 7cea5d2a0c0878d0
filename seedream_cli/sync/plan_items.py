"""The items of a plan: one image each, with its state and the action to take."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from .assets import Image, label_of
from .lockfile import SANDBOX_MARK, Entry, Key


class State(StrEnum):
    NEW = "new"
    CHANGED = "changed"
    MISSING = "missing"
    OK = "ok"
    EDITED = "edited"
    ORPHAN = "orphan"


class Action(StrEnum):
    #: Leave everything as it is.
    NOTHING = "nothing"
    #: Create a task, which costs money, and save its image.
    GENERATE = "generate"
    #: Download the image of the entry's task again.
    FETCH = "fetch"
    #: Move the file to its new path, or give the entry its new name.
    MOVE = "move"
    #: Write the entry of a file that an interrupted run saved.
    RECORD = "record"
    #: Accept the file that is at the image's path.
    ADOPT = "adopt"
    #: Remove the entry from the lockfile.
    FORGET = "forget"
    #: Remove the entry and its file.
    REMOVE = "remove"


class PlanItem(Struct, frozen=True):
    """One image of a plan. Paths are relative to the project, with ``/``."""

    name: str
    number: int
    state: State
    action: Action = Action.NOTHING
    #: None for an orphan.
    image: Image | None = None
    #: The lockfile's entry, if there is one. For a renamed asset it is the orphan's; for RECORD it is the
    #: entry to write.
    entry: Entry | None = None
    #: Where the image is or will be; for EDITED, the unknown file. None if its bytes decide the extension.
    #: A FETCH keeps this path even if the bytes have another format.
    path: str | None = None
    #: A file with exactly the entry's bytes that is not needed once the image is at ``path``. For MOVE it is
    #: the file to move, or one that an interrupted move left. It stays if it has other bytes by then, or if
    #: another entry has its path.
    old_path: str | None = None
    #: Paths whose unknown bytes may be overwritten.
    overwrites: tuple[str, ...] = ()
    #: SHA-256 (hex) of the file to adopt.
    sha256: str | None = None
    #: Keys of the orphans that this image takes over. Their entries are dropped once it has its own.
    supersedes: tuple[Key, ...] = ()

    @property
    def key(self) -> Key:
        return (self.name, self.number)

    @property
    def label(self) -> str:
        """Return the image's unique name in one word, such as ``badge[2]``."""
        if self.image is not None:
            return self.image.label
        return label_of(self.name, self.number) if self.number > 1 else self.name

    @property
    def costs_money(self) -> bool:
        return self.action == Action.GENERATE

    def required_image(self) -> Image:
        """Return the image. Only an orphan has none, and orphans are neither generated nor saved."""
        assert self.image is not None, "an orphan has no image"  # noqa: S101
        return self.image

    def saved_entry(
        self, *, path: str, sha256: str, task_id: str | None, time: str, sandbox: bool = False
    ) -> Entry:
        """Return the entry of the saved image. ``time`` is formatted by ``lockfile.timestamp``."""
        image = self.required_image()
        extra = SANDBOX_MARK if sandbox else {}
        return Entry(image.name, image.number, image.digest, image.take, path, sha256, task_id, time, extra)

    def moved_entry(self) -> Entry:
        """Return the entry after a MOVE: only name, number and path change, not the time."""
        assert self.entry is not None and self.path is not None, "only for MOVE"  # noqa: S101, PT018
        return replace(self.entry, name=self.name, number=self.number, path=self.path)

    def adopted_entry(self, time: str) -> Entry:
        """Return the entry after an ADOPT. It has no task, because no task can deliver these bytes again."""
        assert self.path is not None and self.sha256 is not None, "only for ADOPT"  # noqa: S101, PT018
        return self.saved_entry(path=self.path, sha256=self.sha256, task_id=None, time=time)
