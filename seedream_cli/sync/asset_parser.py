"""From the table of an asset to the request for its images."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from msgspec.structs import replace

from ..catalog import DEFAULT_MODEL, DEFAULT_QUALITY, MODELS, edit_model_for
from ..errors import InvalidRequest
from ..images.source_images import SourceImage, check_source_url, check_total_size, is_url, read_source_image
from ..models import GenerationRequest
from ..prompt import join_parts, resolve_style
from ..request_fields import IMAGE_FIELDS, RequestField
from .diagnostics import DiagnosticCollector, Keys, Table, type_name
from .path_template import resolve_path
from .templates import InvalidTemplate, expand_variables, read_prompt_file


class AssetParser:
    """Builds the requests of a manifest's assets.

    The manifest parser sets ``defaults``, ``variables`` and ``styles`` before the first asset is read.
    Mistakes go to the collector; an asset with mistakes gets a placeholder request, so that all are found.
    """

    def __init__(self, diagnostics: DiagnosticCollector, folder: Path) -> None:
        self.defaults: dict[str, str] = {}
        self.variables: dict[str, str] = {}
        self.styles: dict[str, str] = {}
        self._diagnostics = diagnostics
        self._folder = folder
        self._real = os.path.realpath(folder)
        self._prompt_files: dict[str, str] = {}
        self._images: dict[str, SourceImage] = {}

    def parse(self, keys: Keys, table: Table) -> tuple[GenerationRequest, tuple[SourceImage, ...]]:
        prompt = self._prompt(keys, table)
        images = self._source_images((*keys, "images"), table.get("images", []))
        values = {field.name: self._value(keys, table, field) for field in IMAGE_FIELDS.values()}
        # Its images may be what is wrong with an asset: that it has some is what counts here.
        edits = bool(table.get("images"))
        try:
            values["model"] = edit_model_for(values["model"]) if edits else values["model"]
        except InvalidRequest as error:
            self._diagnostics.add(self._origin(keys, table, "model"), error.message)
        request = GenerationRequest(
            prompt="x" if prompt is None else prompt,
            image_urls=tuple(image.name for image in images),
            **values,
        )
        to_validate = request if images or not edits else replace(request, image_urls=("x",))
        try:
            to_validate.validate()
        except InvalidRequest:
            self._refuse(keys, table, request, edits=edits)
        return request, tuple(images)

    def _value(self, keys: Keys, table: Table, field: RequestField) -> Any:
        """Return the asset's value of a request field, or the one that [defaults] or the field itself has."""
        keys, value = (*keys, field.name), table.get(field.name)
        if field.is_valid(value):
            return value
        if field.type is int and value is not None:
            self._diagnostics.add(keys, f"is not a whole number: {str(value)[:40]!r}")
        elif value is not None and self._diagnostics.is_text(value, keys):
            self._diagnostics.add(keys, "is empty")
        text = self.defaults.get(field.name, field.default)
        return text if text is None else field.parse(text)

    def _refuse(self, keys: Keys, table: Table, request: GenerationRequest, *, edits: bool) -> None:
        """Report the mistake of each value. `validate()` stops at the first."""
        row = MODELS.get(request.model)
        needs = row is not None and row.needs_images
        valid = GenerationRequest(
            "x",
            request.model or DEFAULT_MODEL,
            quality=row.qualities[0] if row else DEFAULT_QUALITY,
            image_urls=("x",) if needs else (),
        )
        if needs and not edits:
            what = f"is {request.model}, which edits images, and the asset has none (images)"
            self._diagnostics.add(self._origin(keys, table, "model"), what)
        if row is not None and len(request.image_urls) > row.max_images:
            what = f"has {len(request.image_urls)} source images; {row.name} takes at most {row.max_images}"
            self._diagnostics.add((*keys, "images"), what)
        for name in ("prompt", *IMAGE_FIELDS):
            try:
                replace(valid, **{name: getattr(request, name)}).validate()
            except InvalidRequest as error:
                self._diagnostics.add(self._origin(keys, table, name), error.message)

    def _origin(self, keys: Keys, table: Table, name: str) -> Keys:
        """Return the key that a value comes from, or the key of the model that does not accept it."""
        for key in (name, "prompt_file") if name == "prompt" else (name, "model"):
            if key in table:
                return (*keys, key)
        return next((("defaults", key) for key in (name, "model") if key in self.defaults), keys)

    # The prompt

    def _prompt(self, keys: Keys, table: Table) -> str | None:
        """Join the prompt from its parts. Return None if one of them has a mistake."""
        subject = self._subject(keys, table)
        details = self._part((*keys, "details"), table, self._filled)
        style = self._part((*keys, "style"), table, self._styled)
        if subject is None or details is None or style is None:
            return None
        # An empty subject is reported as an empty prompt, even if details or a style would follow it.
        return join_parts((subject, details, style)) if subject else subject

    def _subject(self, keys: Keys, table: Table) -> str | None:
        if "prompt" not in table and "prompt_file" not in table:
            self._diagnostics.add(keys, "has neither prompt nor prompt_file")
            return None
        key = "prompt" if "prompt" in table else "prompt_file"
        keys, value = (*keys, key), table[key]
        if "prompt" in table and "prompt_file" in table:
            self._diagnostics.add((*keys[:-1], "prompt_file"), "contradicts prompt: an asset has one of them")
        if not self._diagnostics.is_text(value, keys):
            return None
        try:
            text = value if key == "prompt" else self._text_of(value)
        except InvalidTemplate as error:
            self._diagnostics.add(keys, *error.args)
            return None
        try:
            return self._filled(text)
        except InvalidTemplate as error:
            where = "" if key == "prompt" else f"{value} "
            self._diagnostics.add(keys, *(where + reason for reason in error.args))
            return None

    def _part(self, keys: Keys, table: Table, read: Callable[[str], str]) -> str | None:
        """Return an optional part, "" if it is absent, None if it has a mistake."""
        if keys[-1] not in table:
            return ""
        value = table[keys[-1]]
        if not self._diagnostics.is_text(value, keys):
            return None
        try:
            return read(value)
        except ValueError as error:
            self._diagnostics.add(keys, *map(str, error.args))
            return None

    def _filled(self, text: str) -> str:
        return expand_variables(text, self.variables).strip()

    def _styled(self, text: str) -> str:
        if text in self.styles:
            # As in `generate --style`, which has no variables: braces in a named style are text.
            return self.styles[text].strip()
        try:
            resolve_style(text, self.styles)
        except ValueError as error:
            raise InvalidTemplate(f"is no style's name: {error}") from None
        return self._filled(text)

    def _text_of(self, name: str) -> str:
        """Return the text of a prompt file. Raise InvalidTemplate if it cannot be used."""
        if name not in self._prompt_files:
            self._prompt_files[name] = read_prompt_file(self._folder, resolve_path(name))
        return self._prompt_files[name]

    # Source images

    def _source_images(self, keys: Keys, value: object) -> list[SourceImage]:
        if not isinstance(value, list):
            self._diagnostics.add(keys, f"is {type_name(value)}, not an array of paths and URLs")
            return []
        found: list[SourceImage] = []
        for text in value:
            if not self._diagnostics.is_text(text, keys):
                continue
            try:
                found.append(self._source_image(text))
                check_total_size([image.name for image in found], text)
            except InvalidRequest as error:
                self._diagnostics.add(keys, f"has a wrong one: {error.message}")
            except InvalidTemplate as error:
                self._diagnostics.add(keys, *(f"has {text[:80]!r}, which {reason}" for reason in error.args))
        return found

    def _source_image(self, text: str) -> SourceImage:
        if is_url(text):
            check_source_url(text, local=False)
            return SourceImage(text)
        if text not in self._images:
            path = self._folder / resolve_path(text)
            real = os.path.realpath(path)
            if os.path.commonpath([real, self._real]) != self._real:
                # Otherwise a symbolic link in a checkout could send any picture on this machine.
                raise InvalidTemplate("leaves the project")
            self._images[text] = read_source_image(path, text)
        return self._images[text]
