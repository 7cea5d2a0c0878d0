"""What a plan consists of: an image, its state, and what is to become of it."""

from __future__ import annotations

from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from .assets import Image, label_of
from .lockfile import OF_THE_SANDBOX, Entry, Key


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
    #: Create a task (which is paid for), and save its image.
    GENERATE = "generate"
    #: Get the image of the entry's task again.
    FETCH = "fetch"
    #: Give the image its new place, or the entry its new name.
    MOVE = "move"
    #: Write the line that a run was stopped before writing.
    RECORD = "record"
    #: Take the bytes that are there for the image.
    ADOPT = "adopt"
    #: Take the entry out of the lock.
    FORGET = "forget"
    #: And remove its file.
    REMOVE = "remove"


class PlanItem(Struct, frozen=True):
    """One image, and what is to become of it.

    ``image`` is None for an orphan. ``entry`` is the lock's line, if there is one: of an asset that was
    renamed, the orphan's; for RECORD, the line to write. ``path`` is where the image is or will be (for
    FETCH, whatever ending suits the bytes), None as long as its ending is open; for EDITED, the file that
    nobody knows. ``old`` is a file with the very bytes of the lock's line, which is not needed any more
    once the image is at ``path`` (for MOVE, it is what is moved, or what a move before left behind); it
    is to stay if it has other bytes by then, or if another line of the lock has come to have its path.
    ``overwrites`` are paths whose unknown bytes may be lost. ``sha256`` is that of the file to adopt.
    ``leaves`` are orphans' lines that go once the image has its own: what they had is its.
    """

    name: str
    number: int
    state: State
    action: Action = Action.NOTHING
    image: Image | None = None
    entry: Entry | None = None
    path: str | None = None
    old: str | None = None
    overwrites: tuple[str, ...] = ()
    sha256: str | None = None
    leaves: tuple[Key, ...] = ()

    @property
    def key(self) -> Key:
        return (self.name, self.number)

    @property
    def label(self) -> str:
        """What the image is called where there is room for one word."""
        if self.image is not None:
            return self.image.label
        return label_of(self.name, self.number) if self.number > 1 else self.name

    @property
    def costs_money(self) -> bool:
        return self.action == Action.GENERATE

    def locked(
        self, *, path: str, sha256: str, task_id: str | None, time: str, sandbox: bool = False
    ) -> Entry:
        """The lock's line of the image once it is saved. ``time`` is as ``lock.timestamp`` makes it."""
        image = self._image
        more = OF_THE_SANDBOX if sandbox else {}
        return Entry(image.name, image.number, image.digest, image.take, path, sha256, task_id, time, more)

    def moved(self) -> Entry:
        """The lock's line once the file is at ``path``: all else, its time too, stays as it was."""
        assert self.entry is not None and self.path is not None, "only for MOVE"  # noqa: S101, PT018
        return replace(self.entry, name=self.name, number=self.number, path=self.path)

    def adopted(self, time: str) -> Entry:
        """The lock's line of adopted bytes: no task has them, so that none can give them again."""
        assert self.path is not None and self.sha256 is not None, "only for ADOPT"  # noqa: S101, PT018
        return self.locked(path=self.path, sha256=self.sha256, task_id=None, time=time)

    @property
    def _image(self) -> Image:
        assert self.image is not None, "an orphan is not generated"  # noqa: S101
        return self.image
