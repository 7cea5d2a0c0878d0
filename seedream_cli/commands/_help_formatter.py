"""Help as a page of text, its options in groups, as wide as the terminal allows.

Typer would draw it with rich, which takes longer to load than all else that help needs.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    Formatter = Any

_ARGUMENTS, _OPTIONS = "Arguments", "Options"
#: Characters of a command's first sentence that are shown: it is broken, not cut.
_WHOLE = 1000


class Command(TyperCommand):
    """A command with such a page."""

    def format_options(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        _write_parameters(self, ctx, formatter)


class Group(TyperGroup):
    """The same for what has commands below it: these come first."""

    def format_options(self, ctx: typer.Context, formatter: Formatter) -> None:  # type: ignore[override]
        commands: Iterable[Any] = (self.get_command(ctx, name) for name in self.list_commands(ctx))
        rows = [(command.name, command.get_short_help_str(_WHOLE)) for command in commands]
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
        named = [(_styled(context, name, fg="cyan"), what) for name, what in rows]
        # On a narrow terminal, long names stand on lines of their own: what they mean needs room for a word.
        formatter.write_dl(named, col_max=min(30, formatter.width // 3))


def _styled(context: typer.Context, text: str, **style: Any) -> str:
    return typer.style(text, **style) if context.color else text
