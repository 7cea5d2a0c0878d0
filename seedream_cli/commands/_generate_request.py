"""From the command line of `generate` to a request, with its prompt and source images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import typer
from msgspec import Struct
from msgspec.structs import replace

from ..catalog import MODELS, edit_model_for
from ..errors import InvalidRequest, UsageError
from ..models import GenerationRequest
from ..prompt import PromptParts, resolve_style
from ..request_fields import REQUEST_FIELDS
from ._context import CommandContext, read_bytes_of_stdin, read_stdin

_STDIN = ("-", "/dev/stdin")


class RequestArgs(Struct, frozen=True):
    """The arguments that describe a request. ``literal``: the prompt follows `--`, so that `-` is text."""

    argument: str | None
    file: Path | None
    literal: bool
    images: tuple[str, ...] = ()
    details: str | None = None
    style: str | None = None

    def build(self, context: CommandContext) -> tuple[GenerationRequest, PromptParts | None]:
        """Return a valid request, and the parts of its prompt if it was joined from parts.

        Source images have been read and checked. Raises UsageError.
        """
        self._check_stdin_has_one_reader(context)
        values: dict[str, Any] = {name: context.settings.value(name) for name in REQUEST_FIELDS}
        if self.images:
            values["model"] = edit_model_for(values["model"])
        parts = self._parts(context)
        prompt = self._prompt() if parts is None else parts.prompt
        # Validate before reading images: most mistakes do not concern them.
        request = GenerationRequest(prompt=prompt, **values, image_urls=("x",) if self.images else ())
        try:
            request.validate()
        except InvalidRequest as error:
            # An option is on the command line; a setting may have been made long ago.
            if (
                error.unsupported_field
                and (setting := context.settings.get(error.unsupported_field)).rank > 0
            ):
                error.message += f", which comes from {setting.origin}"
            raise
        return replace(request, image_urls=self._image_urls(context, values["model"])), parts

    def _parts(self, context: CommandContext) -> PromptParts | None:
        if self.details is None and self.style is None:
            return None
        details = as_text(self.details).strip() if self.details is not None else None
        style, name = None, None
        if self.style is not None:
            styles = {one.name: one.text for one in context.settings.styles.values()}
            try:
                style, name = resolve_style(as_text(self.style).strip(), styles)
            except ValueError as error:
                raise UsageError(
                    f"--style: {error}", code="unknown_style", hint="seedream config list"
                ) from None
        subject = self._prompt().strip()
        if not subject:
            # Otherwise the style alone would become the prompt.
            raise InvalidRequest("the prompt is empty", hint='seedream generate "a red fox in snow"')
        return PromptParts(subject, details, style, name)

    def _image_urls(self, context: CommandContext, model: str) -> tuple[str, ...]:
        if not self.images:
            return ()
        from ..images.source_images import read_source_images

        row = MODELS.get(model)
        found = read_source_images(
            self.images,
            most=row.max_images if row else len(self.images),
            local=context.service_is_local,
            stdin=read_bytes_of_stdin,
        )
        context.bodies.attach(found)
        return tuple(image.name for image in found)

    def _prompt(self) -> str:
        if self.argument is not None and self.file is not None:
            raise UsageError("the prompt is given twice: as an argument and as a file")
        if self.file is not None and str(self.file) == "-":
            return read_stdin().strip()
        if self.file is not None:
            try:
                return self.file.read_text(encoding="utf-8-sig").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise InvalidRequest(
                    f"the prompt's file cannot be read: {self.file}", detail=str(error)
                ) from None
        if self.argument is None:
            raise InvalidRequest("no prompt was given", hint='seedream generate "a red fox in snow"')
        if self.argument == "-" and not self.literal:
            return read_stdin().strip()
        return as_text(self.argument)

    def _check_stdin_has_one_reader(self, context: CommandContext) -> None:
        readers = {
            "the prompt": (self.argument == "-" and not self.literal) or str(self.file) == "-",
            "a source image": "-" in self.images,
            "the API key": context.settings.value("api_key_file") in _STDIN,
        }
        wanting = [what for what, wants in readers.items() if wants]
        if len(wanting) > 1:
            raise UsageError(f"{' and '.join(wanting)} {'both' if len(wanting) == 2 else 'all'} want stdin")


def as_text(argument: str) -> str:
    """Return an argument as it was typed: in an ASCII locale Python decodes UTF-8 to surrogates."""
    try:
        return argument.encode("utf-8", "surrogateescape").decode("utf-8")
    except UnicodeError:
        return argument


def is_literal(context: typer.Context) -> bool:
    """Return True if the prompt follows `--`, so that `-` is text and not stdin.

    Typer passes the same value in both cases, so the raw arguments are examined. If an option with a value
    precedes `--`, then `--` is that value.
    """
    arguments: list[str] = context.obj or []
    if arguments[-2:] != ["--", "-"]:
        return False
    valued = {
        name
        for one in context.command.params
        if not getattr(one, "is_flag", False)
        for name in getattr(one, "opts", ())
    }
    return arguments[-3:-2] == [] or arguments[-3] not in valued
