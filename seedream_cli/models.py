"""Data models: requests, tasks, operations, files.

Facts of the API come from its reference at docs.apipod.ai (OpenAPI 3.1, August 2026). Everything
here is frozen and typed; the wire's JSON is read in :mod:`seedream_cli.wire` and written by
:meth:`GenerationRequest.body`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .catalog import ASPECT_RATIOS, DEFAULT_ASPECT_RATIO, DEFAULT_MODEL, DEFAULT_QUALITY, MODELS, Model
from .errors import InvalidRequest
from .prompt import PromptParts


class GenerationRequest(Struct, frozen=True):
    """What is asked of ``POST /images/generations``.

    ``image_urls`` are URLs, and the references of images that are sent as data
    (:class:`~seedream_cli.source_images.SourceImage`): their bytes would make every line about a request
    megabytes long.
    """

    prompt: str
    model: str = DEFAULT_MODEL
    aspect_ratio: str = DEFAULT_ASPECT_RATIO
    quality: str = DEFAULT_QUALITY
    image_urls: tuple[str, ...] = ()
    callback_url: str | None = None

    @property
    def kind(self) -> tuple[str, str, bool]:
        """What a task's duration depends on: model, quality, and whether images are edited."""
        return self.model, self.quality, bool(self.image_urls)

    def validate(self) -> None:
        """Refuse what the model's row does not allow, before anything is sent.

        Raises InvalidRequest that names the field. For a model that the table does not know,
        prompt, ratio and quality are only checked for being there.
        """
        if not self.prompt.strip():
            raise InvalidRequest("the prompt is empty", hint='seedream generate "a red fox in snow"')
        try:
            self.prompt.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidRequest("the prompt is not valid Unicode text") from None
        for field, value in (
            ("model", self.model),
            ("aspect ratio", self.aspect_ratio),
            ("quality", self.quality),
        ):
            if not value:
                raise InvalidRequest(f"the {field} is empty")
        row = MODELS.get(self.model)
        if row is not None:
            self._validate_against(row)

    def _validate_against(self, row: Model) -> None:
        length = len(self.prompt)
        if length > row.prompt_limit:
            raise InvalidRequest(
                f"the prompt has {length} characters; {row.name} takes at most {row.prompt_limit}"
            )
        if self.aspect_ratio not in ASPECT_RATIOS:
            raise InvalidRequest(
                f"aspect ratio {self.aspect_ratio!r} is not one of {', '.join(ASPECT_RATIOS)}"
            )
        if self.quality not in row.qualities:
            raise InvalidRequest(
                f"quality {self.quality!r} is not one of {', '.join(row.qualities)} ({row.name})"
            )
        if row.needs_images and not self.image_urls:
            raise InvalidRequest(
                f"{row.name} edits images and none was given",
                hint='seedream generate "as a watercolour" -i photo.jpg',
            )
        if len(self.image_urls) > row.max_images:
            raise InvalidRequest(f"{row.name} takes at most {row.max_images} source images")

    def body(self) -> dict[str, Any]:
        """The JSON body, with optional fields left out where they were not asked for.

        Of an image that is sent as data it has the reference; the bytes are put in as it is sent.
        """
        body: dict[str, Any] = {
            "model": self.model,
            "prompt": self.prompt,
            "aspect_ratio": self.aspect_ratio,
            "quality": self.quality,
        }
        if self.image_urls:
            body["image_urls"] = list(self.image_urls)
        if self.callback_url is not None:
            body["callback_url"] = self.callback_url
        return body

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> GenerationRequest:
        """The request that :meth:`body` wrote: repeating an operation sends an equal body."""
        return cls(
            prompt=body["prompt"],
            model=body["model"],
            aspect_ratio=body["aspect_ratio"],
            quality=body["quality"],
            image_urls=tuple(body.get("image_urls", ())),
            callback_url=body.get("callback_url"),
        )


class TaskStatus:
    """The words that the API uses for a task's state. Any other word is not terminal."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    #: The task ended without an image.
    UNSUCCESSFUL = frozenset({FAILED, CANCELLED, REJECTED})

    #: Words of this program. A task of another machine that was not asked for yet; a create without an
    #: answer; one that the API refused.
    UNKNOWN = "unknown"
    UNANSWERED = "unanswered"
    REFUSED = "refused"
    #: The service has the task no longer.
    GONE = "gone"
    #: Never begun, since the image is there.
    SKIPPED = "skipped"

    ALL = (
        *(PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED, REJECTED),
        *(UNKNOWN, UNANSWERED, REFUSED, GONE, SKIPPED),
    )


class Accepted(Struct, frozen=True):
    """A create that the API answered with success. ``cost`` is text, as the API sent it."""

    task_id: str
    request_id: str | None = None
    cost: str | None = None
    replayed: bool = False


class Task(Struct, frozen=True):
    """One answer of the status endpoint. ``progress`` is 0…100; ``completed_at`` is in Unix seconds."""

    status: str
    progress: int | None = None
    results: tuple[str, ...] = ()
    completed_at: int | None = None
    error_message: str | None = None
    error_code: str | None = None
    request_id: str | None = None

    @property
    def has_failed(self) -> bool:
        return self.status.lower() in TaskStatus.UNSUCCESSFUL

    @property
    def finished(self) -> bool:
        """Terminal. `completed` without a result is not: the result is still on its way."""
        return self.has_failed or (self.status.lower() == TaskStatus.COMPLETED and bool(self.results))


class SavedFile(Struct, frozen=True):
    """An image on this machine's disk. ``path`` is absolute; ``bytes`` is its size."""

    number: int
    path: str
    sha256: str
    bytes: int
    media_type: str | None
    width: int | None
    height: int | None


class Operation(Struct, frozen=True):
    """One create, as this machine knows it, from before the request left to the files on disk.

    ``created`` and ``accepted`` are Unix seconds; ``seconds`` is how long the task took, as far as the
    service and our polls tell. ``output`` is the absolute template of its files. ``key_id`` is a
    fingerprint of the API key, since the service scopes idempotency keys to it; the key itself is never
    kept. A task of another machine has neither request nor idempotency key.
    """

    id: str
    service: str
    created: float
    output: str
    request: GenerationRequest | None = None
    idempotency_key: str | None = None
    key_id: str | None = None
    task_id: str | None = None
    status: str = TaskStatus.UNANSWERED
    progress: int | None = None
    results: tuple[str, ...] = ()
    cost: str | None = None
    request_id: str | None = None
    accepted: float | None = None
    seconds: float | None = None
    error_code: str | None = None
    error_message: str | None = None
    #: Where the image went when it was not saved as a file: `-` once it was written to stdout.
    delivered: str | None = None
    files: tuple[SavedFile, ...] = ()
    #: What the prompt was joined from, where it was.
    parts: PromptParts | None = None
    #: A file that describes it is wanted beside each image.
    sidecar: bool = False

    @property
    def has_failed(self) -> bool:
        """Ended without an image, or never began: there is nothing to come back for."""
        return self.status.lower() in TaskStatus.UNSUCCESSFUL or self.status == TaskStatus.REFUSED

    @property
    def is_final(self) -> bool:
        """There is nothing to come back for, whatever became of earlier downloads."""
        return self.has_failed or self.status in (TaskStatus.SKIPPED, TaskStatus.GONE)

    @property
    def is_done(self) -> bool:
        """Nothing is left to do: its images are here, or it has none."""
        if self.is_final or self.delivered:
            return True
        return bool(self.files) and len(self.files) >= max(1, len(self.results))
