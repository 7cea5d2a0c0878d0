"""Help as plain text, with options in groups, as wide as the terminal.

Typer would draw help with rich, which takes longer to import than everything else that help needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    Formatter = Any

_ARGUMENTS = "Arguments"
_OPTIONS = "Options"
#: Limit in characters for a command's first sentence: high enough to wrap it instead of cutting it.
_SHORT_HELP_LIMIT = 1000


class Command(TyperCommand):
    """A command with help as plain text."""

    def format_options(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """A group of commands with help as plain text. Its commands come before its options."""

    def format_options(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        commands: Iterable[Any] = (self.get_command(ctx, name) for name in self.list_commands(ctx))
        rows = [(command.name, command.get_short_help_str(_SHORT_HELP_LIMIT)) for command in commands]
        _write_rows(ctx, formatter, "Commands", rows)
        _write_parameters(self, ctx, formatter)


def _write_parameters(command: Any, context: typer.Context, formatter: Formatter) -> None:
    groups: dict[str, list[tuple[str, str]]] = {}
    for parameter in command.get_params(context):
        name = _ARGUMENTS if parameter.param_type_name == "argument" else _OPTIONS
        if (record := parameter.get_help_record(context)) is not None:
            groups.setdefault(getattr(parameter, "rich_help_panel", None) or name, []).append(record)
    for name, rows in groups.items():
        _write_rows(context, formatter, name, rows)


def _write_rows(
    context: typer.Context, formatter: Formatter, heading: str, rows: Iterable[tuple[str, str]]
) -> None:
    with formatter.section(_styled(context, heading, bold=True)):
        styled_rows = [(_styled(context, name, fg="cyan"), text) for name, text in rows]
        # On a narrow terminal, put long names on lines of their own, so that their texts have room to wrap.
        formatter.write_dl(styled_rows, col_max=min(30, formatter.width // 3))


def _styled(context: typer.Context, text: str, **style: Any) -> str:
    return typer.style(text, **style) if context.color else text
