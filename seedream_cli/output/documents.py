"""The JSON documents that ``--json`` prints: one per call.

`python -m scripts.generate` writes ``output.schema.json`` from these classes: types, constraints,
descriptions and docstrings end up in it. A field that may be absent is ``UNSET`` by default; every other
field is always printed. Fields are added in later versions, never renamed or removed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType

from ..errors import Diagnostic, ExitCode
from ..images.source_images import describe_source
from ..models import Operation, SavedFile
from ..request_fields import IMAGE_FIELDS
from ..text import MAX_DETAIL_LENGTH, truncate
from .outcome import Failure, TaskOutcome

Count = Annotated[int, Meta(ge=0)]
Digest = Annotated[str, Meta(pattern="^[0-9a-f]{64}$")]
ErrorCode = Annotated[int, Meta(extra_json_schema={"enum": [code.value for code in ExitCode if code]})]
ConfigFile = Annotated[str, Meta(description="The config file, of config path and set; absolute.")]
SettingName = Annotated[str, Meta(description="The setting that config get, set or unset was about.")]

#: Enumerations of :mod:`seedream_cli.sync`, which cannot be imported from here. A test compares them.
State = Annotated[
    str, Meta(extra_json_schema={"enum": ["new", "changed", "missing", "ok", "edited", "orphan"]})
]
Action = Annotated[
    str,
    Meta(
        extra_json_schema={
            "enum": ["nothing", "generate", "fetch", "move", "record", "adopt", "forget", "remove"]
        }
    ),
]
Done = Annotated[
    str,
    Meta(
        extra_json_schema={
            "enum": [
                *("generated", "resumed", "fetched", "copied", "moved", "recorded", "adopted"),
                *("forgotten", "removed"),
            ]
        }
    ),
]

# The parts of documents


class ProblemDocument(Struct, frozen=True):
    file: str
    line: Annotated[int, Meta(ge=1)]
    key: Annotated[str | None, Meta(description="Dotted; null where the problem does not concern one key.")]
    what: str


class ErrorDocument(Struct, frozen=True):
    """Why the call, or one task of it, failed."""

    code: Annotated[str, Meta(description="One machine-readable word; the API's own where it sent one.")]
    exit_code: ErrorCode
    message: str
    detail: Annotated[str | None, Meta(description="The server's own words.")]
    hint: Annotated[str | None, Meta(description="What to do next, as a command.")]
    http_status: Count | None
    request_id: str | None
    task_id: str | None
    problems: Annotated[
        Annotated[list[ProblemDocument], Meta(min_length=1)] | UnsetType,
        Meta(description="Everything that is wrong with a manifest or a lockfile, where that is the error."),
    ] = UNSET


class SourceImageDocument(Struct, frozen=True):
    url: Annotated[str | None, Meta(description="As it was sent; null for an image that was sent as data.")]
    media_type: str | None
    bytes: Count | None
    sha256: str | None


class FileDocument(Struct, frozen=True):
    path: Annotated[str, Meta(description="Absolute.")]
    sha256: Digest
    bytes: Count
    media_type: str | None
    width: Annotated[Count | None, Meta(description="Pixels.")]
    height: Annotated[Count | None, Meta(description="Pixels.")]


class TaskDocument(Struct, frozen=True, kw_only=True):
    task_id: Annotated[str | None, Meta(description="The API's id; null until it has answered.")]
    operation: Annotated[
        str, Meta(description="This machine's id of the create request.", pattern="^op_[0-9a-z]{8}$")
    ]
    status: Annotated[
        str,
        Meta(description="The API's word as it came; unanswered, refused or skipped if there is no task."),
    ]
    progress: Annotated[
        Annotated[int, Meta(ge=0, le=100)] | None, Meta(description="Per cent, where the API sends it.")
    ]
    model: str | None
    prompt: str | None
    aspect_ratio: str | None
    quality: str | None
    source_images: Annotated[
        list[SourceImageDocument],
        Meta(description="What the image was made from: URLs, and the digests of images sent as data."),
    ]
    created: Annotated[float, Meta(description="When the operation was created, in Unix seconds.")]
    result: Annotated[list[str] | UnsetType, Meta(description="Signed URLs of the images (status only).")] = (
        UNSET
    )
    files: list[FileDocument]
    cost: Annotated[str | None, Meta(description="As the API wrote it.")]
    request_id: Annotated[str | None, Meta(description="The API's id of the create request.")]
    seconds: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="How long the task took, as observed from this machine."),
    ]
    error: ErrorDocument | None


class ImageDocument(Struct, frozen=True):
    """One image of sync, as the manifest or the lockfile has it."""

    name: Annotated[str, Meta(description="The asset's.")]
    number: Annotated[int, Meta(ge=1)]
    state: State
    action: Annotated[Action, Meta(description="What is to be done about it.")]
    done: Annotated[Done | None, Meta(description="What was done about it; null if nothing was.")]
    path: Annotated[str | None, Meta(description="Absolute; null until its extension is known.")]
    task_id: str | None
    sha256: Digest | None
    bytes: Count | None
    cost: Annotated[str | None, Meta(description="What this call paid for it, as the API wrote it.")]
    seconds: Annotated[
        Annotated[float, Meta(ge=0)] | None,
        Meta(description="How long the task took, as observed from this machine."),
    ]
    error: ErrorDocument | None


class CountsDocument(Struct, frozen=True):
    """How many images are in each state."""

    new: Count
    changed: Count
    missing: Count
    ok: Count
    edited: Count
    orphan: Count


class RequestDocument(Struct, frozen=True):
    method: str
    url: str
    json: Annotated[
        Mapping[str, Any], Meta(description="The body; a digest replaces each image that is sent as data.")
    ]
    prompt_characters: Annotated[int, Meta(description="How long the prompt is.", ge=1)]
    prompt_limit: Annotated[
        Count | None, Meta(description="How long it may be; null for a model that is not known.")
    ]


class SettingDocument(Struct, frozen=True):
    key: str
    value: Annotated[str | None, Meta(description="Null if it is not set; secrets are masked.")]
    origin: str


class StyleDocument(Struct, frozen=True):
    name: str
    value: str
    origin: str


class KeyOriginDocument(Struct, frozen=True):
    """Where the key comes from; never the key."""

    setting: str
    origin: str


class CheckDocument(Struct, frozen=True):
    """What config check found."""

    base_url: str
    key: KeyOriginDocument
    account: Annotated[
        Mapping[str, Any], Meta(description="What the service says about the account, in its own names.")
    ]


# Documents

Images = Annotated[
    list[ImageDocument],
    Meta(description="Those of sync, sorted by name and number; empty if an error came before the plan."),
]


class Document(Struct, frozen=True, kw_only=True):
    """The base is also the document of a command that failed before it had anything else to print.

    ``error`` is always printed, and always last: the reporter sets it when it prints the document.
    """

    error: ErrorDocument | UnsetType | None = UNSET


class TaskList(Document, frozen=True):
    tasks: list[TaskDocument]


class DryRun(Document, frozen=True):
    requests: list[RequestDocument]


class ConfigList(Document, frozen=True):
    settings: list[SettingDocument]
    styles: list[StyleDocument]


class ConfigGet(Document, frozen=True):
    key: SettingName
    value: Annotated[
        str | None, Meta(description="Of config get; null if it is not set, secrets are masked.")
    ]
    origin: Annotated[str, Meta(description="Of config get: where the value comes from.")]


class ConfigSet(Document, frozen=True):
    path: ConfigFile
    key: SettingName
    keyring: Annotated[
        bool | UnsetType,
        Meta(description="Of config set api_key: whether the key is in the desktop's keyring."),
    ] = UNSET


class ConfigUnset(Document, frozen=True):
    key: SettingName
    removed: Annotated[bool, Meta(description="Of config unset: whether there was something to remove.")]


class ConfigPath(Document, frozen=True):
    path: ConfigFile


class ConfigCheck(Document, frozen=True):
    check: CheckDocument


class CompletionScript(Document, frozen=True):
    shell: Annotated[str, Meta(description="Of completion.")]
    script: Annotated[str, Meta(description="Of completion: the script for that shell.")]


class SandboxServer(Document, frozen=True):
    base_url: Annotated[str, Meta(description="Of sandbox: where it is.")]


class SyncedProject(Document, frozen=True):
    manifest: Annotated[str, Meta(description="The manifest of sync; absolute.")]
    lock: Annotated[str, Meta(description="Its lockfile; absolute.")]
    to_pay: Annotated[Count, Meta(description="How many tasks the plan would pay for.")]
    counts: CountsDocument
    images: Images


class ImageList(Document, frozen=True):
    """The document of a sync that failed before it had a plan: there are no images in it."""

    images: Images


# Conversion of domain objects to documents


def task_list(outcomes: Sequence[TaskOutcome], *, with_result: bool = False) -> TaskList:
    """Return the document of a list of tasks. ``with_result`` is explained at :func:`task_document`."""
    return TaskList(
        [task_document(outcome.operation, outcome.failure, with_result=with_result) for outcome in outcomes]
    )


def task_document(
    operation: Operation, failure: Failure | None = None, *, with_result: bool = False
) -> TaskDocument:
    """Return one element of ``tasks``.

    ``with_result`` adds the result's URLs, which are signed: anyone who reads them can fetch the image.
    """
    request = operation.request
    sources = request.image_urls if request else ()
    return TaskDocument(
        task_id=operation.task_id,
        operation=operation.id,
        status=operation.status,
        progress=operation.progress,
        prompt=request.prompt if request else None,
        **(request.image_fields if request else dict.fromkeys(IMAGE_FIELDS)),
        source_images=[SourceImageDocument(**describe_source(name)) for name in sources],
        created=operation.created,
        result=list(operation.results) if with_result else UNSET,
        files=[_file_document(file) for file in operation.files],
        cost=operation.cost,
        request_id=operation.request_id,
        seconds=round(operation.seconds, 3) if operation.seconds is not None else None,
        error=error_document(failure) if failure else None,
    )


def _file_document(file: SavedFile) -> FileDocument:
    return FileDocument(file.path, file.sha256, file.bytes, file.media_type, file.width, file.height)


def error_document(failure: Failure) -> ErrorDocument:
    """Return the document of an error: of the call, or of one task."""
    error = failure.error
    return ErrorDocument(
        code=error.code,
        exit_code=int(error.exit_code),
        message=failure.message,
        detail=truncate(error.detail, MAX_DETAIL_LENGTH) if error.detail else None,
        hint=" && ".join(filter(None, ("\n".join(failure.settings), failure.hint))) or None,
        http_status=error.http_status,
        request_id=error.request_id,
        task_id=failure.task_id,
        problems=[problem_document(problem) for problem in failure.problems] or UNSET,
    )


def problem_document(problem: Diagnostic) -> ProblemDocument:
    """Return the document of one problem of a manifest or lockfile."""
    return ProblemDocument(problem.file, problem.line, problem.key or None, problem.what)
