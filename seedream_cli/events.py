"""What happens in the life of a task, as the reporters see it.

Each event carries the operation as it stands after it happened, so that a reporter folds a
stream of events by keeping the latest operation of each id.
"""

from __future__ import annotations

from msgspec import Struct

from .errors import SeedreamError
from .models import Operation, SavedFile


class Event(Struct, frozen=True):
    operation: Operation


class Sending(Event, frozen=True):
    """The intent is recorded; the request is about to leave."""


class Submitted(Event, frozen=True):
    """The API accepted the create."""

    replayed: bool = False


class Asking(Event, frozen=True):
    """The API is about to be asked for the state of a task that exists already."""


class SubmitRejected(Event, frozen=True):
    """The API refused the create: there is no task and nothing is to be paid."""


class Polled(Event, frozen=True):
    """The API told the task's state."""


class Waited(Event, frozen=True):
    """The wait has lasted ``seconds`` already: worth a word."""

    seconds: float


class Retrying(Event, frozen=True):
    """A call failed with ``cause`` and is repeated after ``pause`` seconds."""

    cause: SeedreamError
    pause: float
    what: str


class Receiving(Event, frozen=True):
    """``received`` bytes of image ``number`` of ``count`` are here; ``total`` where it was announced."""

    number: int
    count: int
    received: int
    total: int | None


class Saved(Event, frozen=True):
    """An image is on disk. ``shown`` is its path as it is printed."""

    file: SavedFile
    shown: str


class FileKept(Event, frozen=True):
    """An image was on disk already, and that is enough."""

    file: SavedFile
    shown: str


class Notice(Event, frozen=True):
    """Something that the person should know and that is no failure."""

    text: str


class TaskFinished(Event, frozen=True):
    """The last event of an operation; ``error`` says why it fell short, if it did."""

    error: SeedreamError | None = None


class ImageEvent(Struct, frozen=True):
    """``event`` in the life of the image ``label`` of a set."""

    label: str
    event: Event


class ImageDone(Struct, frozen=True):
    """The image ``label`` of a set is as it was wanted, and the lock says so.

    ``state`` is what it was in, ``done`` what was done about it. ``path`` is relative to the manifest's
    folder. ``bytes`` is its size, ``seconds`` how long its task took; None where nothing was fetched.
    ``note`` is what a person should know besides.
    """

    label: str
    state: str
    done: str
    path: str
    task_id: str | None = None
    sha256: str | None = None
    bytes: int | None = None
    cost: str | None = None
    seconds: float | None = None
    note: str | None = None


class ImageFailed(Struct, frozen=True):
    """The image ``label`` of a set is not as it was wanted; what has been paid for is not lost."""

    label: str
    error: SeedreamError
    operation: Operation | None = None


class HttpCall(Struct, frozen=True):
    """One HTTP call, for ``--verbose``. The URL has no query: signatures are secrets."""

    method: str
    url: str
    status: int | None
    seconds: float
    request_id: str | None
    problem: str | None
