"""Data models: requests, tasks, operations, files.

Facts of the API come from its reference at docs.apipod.ai (OpenAPI 3.1, August 2026). Everything
here is frozen and typed; the wire's JSON is read in :mod:`seedream_cli.wire` and written by
:meth:`GenerationRequest.body`, and nowhere else.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .catalog import DEFAULT_ASPECT_RATIO, DEFAULT_MODEL, DEFAULT_QUALITY, MODELS
from .errors import InvalidRequest
from .prompt import PromptParts
from .request_fields import IMAGE_FIELDS, REQUEST_FIELDS


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
        model = MODELS.get(self.model)
        if model is not None and len(self.prompt) > model.prompt_limit:
            raise InvalidRequest(
                f"the prompt has {len(self.prompt)} characters; "
                f"{model.name} takes at most {model.prompt_limit}"
            )
        for field in REQUEST_FIELDS.values():
            field.check(getattr(self, field.name), model)
        if model is not None and model.needs_images and not self.image_urls:
            raise InvalidRequest(
                f"{model.name} edits images and none was given",
                hint='seedream generate "as a watercolour" -i photo.jpg',
            )
        if model is not None and len(self.image_urls) > model.max_images:
            raise InvalidRequest(f"{model.name} takes at most {model.max_images} source images")

    @property
    def image_fields(self) -> dict[str, Any]:
        """Return the values of the fields that decide what the image looks like, by name."""
        return {name: getattr(self, name) for name in IMAGE_FIELDS}

    def body(self) -> dict[str, Any]:
        """Return the JSON body. Optional fields that were not asked for are left out.

        A source image that is sent as data is in it as a reference; the bytes replace it on the way out.
        """
        body = {
            "model": self.model,
            "prompt": self.prompt,
            **self.image_fields,
            "image_urls": list(self.image_urls) or None,
            **{name: getattr(self, name) for name in REQUEST_FIELDS},
        }
        return {name: value for name, value in body.items() if value is not None}

    @classmethod
    def from_body(cls, body: Mapping[str, Any]) -> GenerationRequest:
        """Return the request that :meth:`body` wrote.

        Its body is equal: an operation is repeated with the same key and the same body.
        """
        optional: dict[str, Any] = {
            name: body[name] if field.default is not None else body.get(name)
            for name, field in REQUEST_FIELDS.items()
        }
        return cls(prompt=body["prompt"], image_urls=tuple(body.get("image_urls", ())), **optional)


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
