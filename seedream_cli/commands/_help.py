"""Help as a page of text, its options in groups, as wide as the terminal allows.

Typer would draw it with rich, which takes longer to load than all else that help needs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    Formatter = Any

_ARGUMENTS, _OPTIONS = "Arguments", "Options"


class Command(TyperCommand):
    """A command with such a page."""

    def format_options(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """The same for what has commands below it: these come first."""

    def format_options(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        self.format_commands(ctx, formatter)
        _write_parameters(self, ctx, formatter)


def _write_parameters(command: Any, context: typer.Context, formatter: Formatter) -> None:
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        name = _ARGUMENTS if parameter.param_type_name == "argument" else _OPTIONS
        if (record := parameter.get_help_record(context)) is not None:
            flags, what = record
            group = groups.setdefault(getattr(parameter, "rich_help_panel", None) or name, [])
            group.append((_styled(context, flags, fg="cyan"), what))
    for name, rows in groups.items():
        with formatter.section(_styled(context, name, bold=True)):
            formatter.write_dl(rows)


def _styled(context: typer.Context, text: str, **style: Any) -> str:
    return typer.style(text, **style) if context.color else text
