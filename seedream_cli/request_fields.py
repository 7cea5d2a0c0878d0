"""The optional fields of a create request, each defined once.

An entry here decides everything about a field: its option, environment variable and setting, the check before
anything is sent, its place in the request body and in the history, the check of the sandbox, completion and
schemas. A new field also needs an attribute in ``GenerationRequest`` and, if it changes the image, in the
documents that state their fields one by one (``TaskDocument``, ``SidecarDocument``, ``AssetTable``);
`tests/test_request_fields.py` goes over all fields and fails for whatever was forgotten.

The prompt and the source images are not here: they are read, joined and sent in ways of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from msgspec import Struct

from .catalog import (
    ASPECT_RATIOS,
    DEFAULT_ASPECT_RATIO,
    DEFAULT_MODEL,
    DEFAULT_QUALITY,
    MODELS,
    QUALITIES,
    Model,
)
from .errors import InvalidRequest

Value = str | int


def parse_text(value: str) -> str:
    if not value.strip():
        raise ValueError("it is empty")
    return value


def parse_whole_number(value: str) -> int:
    if not value.isascii() or not value.isdecimal() or len(value) > 18:
        raise ValueError(f"{value[:40]!r} is not a whole number")
    return int(value)


class RequestField(Struct, frozen=True):
    """One field of ``POST /images/generations``.

    ``description`` completes the sentence "It is …". A field without a ``default`` is left out of the body
    unless it was asked for.
    """

    name: str
    description: str
    #: Turns the text of an option, variable or config file into the value. Raises ValueError.
    parse: Callable[[str], Value] = parse_text
    default: str | None = None
    #: Values to choose from, each with what it is for.
    choices: Mapping[str, str] = {}
    #: The choices that a model accepts. None: any value, whether it is among the choices or not.
    accepted_by: Callable[[Model], Iterable[str]] | None = None
    #: The models that take the field; None: all of them.
    models: frozenset[str] | None = None
    #: False for a field that leaves the image as it is. Then it is not in the manifest and the sidecar, and
    #: another value does not make it another request for `sync`.
    changes_image: bool = True
    metavar: str = "TEXT"
    short_option: str | None = None

    @property
    def type(self) -> type[str] | type[int]:
        return int if self.parse is parse_whole_number else str

    @property
    def label(self) -> str:
        """Return the name as messages write it."""
        return self.name.replace("_", " ")

    def is_valid(self, value: object) -> bool:
        """Return True if a value of JSON or TOML has the right type and could also be an option."""
        if not isinstance(value, self.type) or isinstance(value, bool):
            return False
        try:
            return self.parse(str(value)) == value
        except ValueError:
            return False

    def check(self, value: Value | None, model: Model | None) -> None:
        """Raise InvalidRequest if the model does not take the value. A model without a row takes any."""
        if value is None:
            return
        if value == "":
            raise InvalidRequest(f"the {self.label} is empty")
        if model is None:
            return
        if self.models is not None and model.name not in self.models:
            unsupported = InvalidRequest(f"{model.name} does not support {self.name}")
            unsupported.unsupported_field = self.name
            raise unsupported
        if self.accepted_by is not None and value not in (accepted := tuple(self.accepted_by(model))):
            # The model is named where another one accepts other values.
            of_model = f" ({model.name})" if accepted != tuple(self.choices) else ""
            raise InvalidRequest(f"{self.label} {value!r} is not one of {', '.join(accepted)}{of_model}")


REQUEST_FIELDS: Mapping[str, RequestField] = {
    field.name: field
    for field in (
        RequestField(
            "model",
            "the model",
            default=DEFAULT_MODEL,
            choices={row.name: row.what for row in MODELS.values()},
            metavar="NAME",
            short_option="-m",
        ),
        RequestField(
            "aspect_ratio",
            "the aspect ratio",
            default=DEFAULT_ASPECT_RATIO,
            choices=ASPECT_RATIOS,
            accepted_by=lambda model: ASPECT_RATIOS,
            metavar="RATIO",
            short_option="-a",
        ),
        RequestField(
            "quality",
            "the quality",
            default=DEFAULT_QUALITY,
            choices=QUALITIES,
            accepted_by=lambda model: model.qualities,
        ),
        RequestField(
            "callback_url",
            "a URL that the service calls at a task's end",
            models=frozenset({"seedream-v4.5", "seedream-v4.5-edit"}),
            changes_image=False,
            metavar="URL",
        ),
    )
}

#: The fields that decide what the image looks like, in the order in which they are shown.
IMAGE_FIELDS: Mapping[str, RequestField] = {
    name: field for name, field in REQUEST_FIELDS.items() if field.changes_image
}
