"""Validation of the body of a create request. Each check raises ApiError."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from ..catalog import DEFAULT_MODEL, MODELS, Model
from ..request_fields import REQUEST_FIELDS, RequestField
from .responses import SEED, ApiError

#: The first description of the service knows one model.
_SEED_MODELS = frozenset({"seedream-v4.5"})


def parse(raw: bytes) -> dict[str, Any]:
    """Parse a request body, which must be a JSON object."""
    try:
        body = json.loads(raw.decode("utf-8"), parse_constant=_refuse_constant)
    except (ValueError, RecursionError):
        raise _invalid("The request body is not valid JSON", code="invalid_request") from None
    if not isinstance(body, dict):
        raise _invalid("The request body must be a JSON object", code="invalid_request")
    return body


def check(body: Mapping[str, Any], dialect: str) -> dict[str, Any]:
    """Check every field, and return the body with the defaults filled in.

    ``callback_url`` is checked and never called: the sandbox sends no requests.
    """
    row = _model(body, dialect)
    _prompt(body, row)
    fields = {
        field.name: _field(body, field, row) for field in REQUEST_FIELDS.values() if field.name != "model"
    }
    _images(body, row)
    if fields["callback_url"] is not None and not _is_http(fields["callback_url"]):
        raise _invalid("callback_url must be an http or https URL")
    given = {name: value for name, value in fields.items() if value is not None}
    return {**body, "model": row.name, **given}


def _invalid(message: str, code: str = "invalid_parameter") -> ApiError:
    return ApiError(400, code, message)


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _model(body: Mapping[str, Any], dialect: str) -> Model:
    name = body.get("model", DEFAULT_MODEL)
    if not isinstance(name, str):
        raise _invalid("model must be a string")
    row = MODELS.get(name)
    if row is None or (dialect == SEED and name not in _SEED_MODELS):
        raise ApiError(404, "model_not_available", f"Model {name[:80]} is not available")
    return row


def _prompt(body: Mapping[str, Any], row: Model) -> None:
    prompt = body.get("prompt")
    if prompt is None or prompt == "":
        raise _invalid("prompt is required")
    if not isinstance(prompt, str):
        raise _invalid("prompt must be a string")
    if len(prompt) > row.prompt_limit:
        raise _invalid(f"prompt is too long: {len(prompt)} characters, at most {row.prompt_limit}")


def _images(body: Mapping[str, Any], row: Model) -> None:
    if "image_urls" not in body:
        if row.needs_images:
            raise _invalid(f"image_urls is required for {row.name}")
        return
    if not row.max_images:
        raise _invalid(f"image_urls is not supported by {row.name}")
    urls = body["image_urls"]
    if not isinstance(urls, list) or not 1 <= len(urls) <= row.max_images:
        raise _invalid(f"image_urls must be an array of 1 to {row.max_images} strings")
    for number, url in enumerate(urls):
        if not isinstance(url, str) or not (_is_http(url) or url.startswith("data:image/")):
            raise _invalid(f"image_urls[{number}] must be a public URL or a data:image/ URI")


def _field(body: Mapping[str, Any], field: RequestField, row: Model) -> Any:
    """Return the value of an optional field, or its default."""
    if field.name not in body:
        return field.default
    if field.models is not None and row.name not in field.models:
        raise _invalid(f"{field.name} is not supported by {row.name}")
    value = body[field.name]
    accepted = tuple(field.accepted_by(row)) if field.accepted_by else None
    if not field.is_valid(value) or (accepted is not None and value not in accepted):
        takes = (
            f": {row.name} takes {', '.join(accepted)}"
            if accepted not in (None, tuple(field.choices))
            else ""
        )
        raise _invalid(f"Invalid {field.name} value{takes}")
    return value


def _is_http(url: str) -> bool:
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False
