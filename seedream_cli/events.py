"""Events of tasks and images, which reporters turn into output.

Each event carries the operation in its state after the event. A reporter therefore only has to keep the
latest operation of each id.
"""

from __future__ import annotations

from msgspec import Struct

from .errors import SeedreamError
from .models import Operation, SavedFile


class Event(Struct, frozen=True):
    """Base of the events of one task."""

    operation: Operation


class Sending(Event, frozen=True):
    """The create request is about to be sent. The history already has it."""


class Submitted(Event, frozen=True):
    """The API accepted the create request.

    ``replayed``: it knew the idempotency key, and returned the task of the earlier request.
    """

    replayed: bool = False


class Asking(Event, frozen=True):
    """The API is about to be asked for the status of an existing task."""


class SubmitRejected(Event, frozen=True):
    """The API refused the create request: there is no task, and nothing to pay."""


class Polled(Event, frozen=True):
    """The API returned the task's status."""


class Waited(Event, frozen=True):
    """The task has taken unusually long: ``seconds`` so far."""

    seconds: float


class Retrying(Event, frozen=True):
    """A call failed with ``cause`` and will be repeated after ``pause`` seconds.

    ``what`` names the call, such as "submitting".
    """

    cause: SeedreamError
    pause: float
    what: str


class Receiving(Event, frozen=True):
    """Image ``number`` of ``count`` is being downloaded; ``received`` bytes so far.

    ``total`` is its size in bytes, or None if the server did not announce it.
    """

    number: int
    count: int
    received: int
    total: int | None


class Saved(Event, frozen=True):
    """An image was saved. ``shown`` is its path as it is printed."""

    file: SavedFile
    shown: str


class FileKept(Event, frozen=True):
    """The image was already on disk, and was neither generated nor downloaded again."""

    file: SavedFile
    shown: str


class Notice(Event, frozen=True):
    """A message to the user that is not an error."""

    text: str


class TaskFinished(Event, frozen=True):
    """The last event of an operation. ``error`` is the reason if it failed."""

    error: SeedreamError | None = None


class ImageEvent(Struct, frozen=True):
    """An ``event`` of the task of the image ``label`` of a project."""

    label: str
    event: Event


class ImageDone(Struct, frozen=True):
    """The image ``label`` of a project is up to date, on disk and in the lockfile.

    ``state`` is its state in the plan, ``done`` what was done about it. ``path`` is relative to the
    manifest's folder. ``bytes`` is its size and ``seconds`` the duration of its task; both are None if
    nothing was downloaded. ``note`` is an additional message to the user.
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
    """The image ``label`` of a project is not up to date. A task that was paid for can be resumed."""

    label: str
    error: SeedreamError
    operation: Operation | None = None


class HttpCall(Struct, frozen=True):
    """One HTTP call, for ``--verbose``. The URL has no query, because signatures in it are secrets.

    ``status`` is None if there was no response; ``problem`` then says why.
    """

    method: str
    url: str
    status: int | None
    seconds: float
    request_id: str | None
    problem: str | None
