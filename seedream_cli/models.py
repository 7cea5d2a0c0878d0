"""Data models: requests, tasks, operations, files. All are frozen and typed.

Facts about the API come from its reference at docs.apipod.ai (OpenAPI 3.1, August 2026). Only
:mod:`seedream_cli.api.responses` reads the API's JSON, and only :meth:`GenerationRequest.body` writes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from .catalog import DEFAULT_ASPECT_RATIO, DEFAULT_MODEL, DEFAULT_QUALITY, MODELS
from .errors import InvalidRequest
from .prompt import PromptParts
from .request_fields import IMAGE_FIELDS, REQUEST_FIELDS

#: Seconds for which the service keeps idempotency keys (API reference). A later repetition is billed again.
IDEMPOTENCY_KEY_LIFETIME = 7 * 86400.0


class GenerationRequest(Struct, frozen=True):
    """The request that ``POST /images/generations`` gets.

    ``image_urls`` holds URLs and, for images that are sent as data, references
    (:class:`~seedream_cli.images.source_images.SourceImage`). The bytes themselves would make every row and
    document about a request megabytes long. The other optional fields are those of
    :data:`~seedream_cli.request_fields.REQUEST_FIELDS`.
    """

    prompt: str
    model: str = DEFAULT_MODEL
    aspect_ratio: str = DEFAULT_ASPECT_RATIO
    quality: str = DEFAULT_QUALITY
    image_urls: tuple[str, ...] = ()
    callback_url: str | None = None

    @property
    def kind(self) -> tuple[str, str, bool]:
        """Return what the duration of a task depends on: model, quality, and whether it has source images."""
        return self.model, self.quality, bool(self.image_urls)

    def validate(self) -> None:
        """Raise InvalidRequest, which names the field, if the model does not accept the request.

        A model that is not in the catalog accepts anything except an empty value: the API decides.
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
    """The states of a task and of an operation. A word that is not listed counts as unfinished."""

    PENDING = "pending"
    PROCESSING = "processing"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    REJECTED = "rejected"

    #: The states of a task that ended without an image.
    UNSUCCESSFUL = frozenset({FAILED, CANCELLED, REJECTED})

    # The states below are ours, not the API's.
    #: A task of another machine, before its first poll.
    UNKNOWN = "unknown"
    #: A create request whose answer never came.
    UNANSWERED = "unanswered"
    #: A create request that the API refused.
    REFUSED = "refused"
    #: A task that the service no longer has.
    GONE = "gone"
    #: Nothing was sent, because the file exists.
    SKIPPED = "skipped"

    ALL = (
        *(PENDING, PROCESSING, COMPLETED, FAILED, CANCELLED, REJECTED),
        *(UNKNOWN, UNANSWERED, REFUSED, GONE, SKIPPED),
    )


class Accepted(Struct, frozen=True):
    """The API's answer to a create request that it accepted. ``cost`` is text, as the API sent it.

    ``replayed``: the idempotency key was known, so that this is an earlier task and nothing new was paid.
    """

    task_id: str
    request_id: str | None = None
    cost: str | None = None
    replayed: bool = False


class Task(Struct, frozen=True):
    """The state of a task as the API reports it.

    ``progress`` is 0 to 100; ``completed_at`` is in Unix seconds; ``results`` are URLs that expire.
    """

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
        """Return True if the state is final. `completed` without a URL is not: the URL is yet to come."""
        return self.has_failed or (self.status.lower() == TaskStatus.COMPLETED and bool(self.results))


class SavedFile(Struct, frozen=True):
    """An image file on this machine. ``path`` is absolute; ``number`` counts the task's images from 1."""

    number: int
    path: str
    sha256: str
    bytes: int
    media_type: str | None
    width: int | None
    height: int | None


class Operation(Struct, frozen=True):
    """This machine's record of one create request, from before it is sent until its files are on disk.

    ``created`` and ``accepted`` are Unix seconds; ``seconds`` is how long the task took, as reported by the
    service or observed by polling. ``output`` is the absolute path template of its files. ``key_id`` is a
    fingerprint of the API key, because the service scopes idempotency keys to the API key, which itself is
    never stored. A task of another machine has neither request nor idempotency key.
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
    #: `-` once the image was written to stdout; None for an image that is saved as a file.
    delivered: str | None = None
    files: tuple[SavedFile, ...] = ()
    #: The parts of the prompt, if it was joined from parts.
    parts: PromptParts | None = None
    #: Whether a sidecar is written beside each image.
    sidecar: bool = False

    @property
    def has_failed(self) -> bool:
        """Return True if the task ended without an image, or was refused."""
        return self.status.lower() in TaskStatus.UNSUCCESSFUL or self.status == TaskStatus.REFUSED

    @property
    def is_final(self) -> bool:
        """Return True if the service has, or will have, no image to download."""
        return self.has_failed or self.status in (TaskStatus.SKIPPED, TaskStatus.GONE)

    @property
    def is_done(self) -> bool:
        """Return True if nothing is left to do: the images are here, or there are none."""
        if self.is_final or self.delivered:
            return True
        return bool(self.files) and len(self.files) >= max(1, len(self.results))
