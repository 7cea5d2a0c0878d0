"""The command line as data, read from the Typer tree, for completion and man pages."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import typer.main

from seedream_cli import cli

from .values import kind_of

#: What a setting's help says besides: man pages and --help have room for it, a list below a prompt has not.
_VARIABLES = re.compile(r" \(env [A-Z_a-z ]+(?:; (default [^;]+))?(?:; .+)?\)\.?$")


@dataclass(frozen=True, slots=True)
class Option:
    """``flags`` has the short one first. ``metavar`` and ``kind`` are None where it takes no value."""

    flags: tuple[str, ...]
    metavar: str | None
    kind: str | None
    what: str
    group: str
    repeatable: bool
    #: What --help shows besides the text: the default, and variables that Typer itself reads.
    default: str | None
    variables: tuple[str, ...]

    @property
    def brief(self) -> str:
        """The help in a few words."""
        text = _VARIABLES.sub(lambda found: f" ({found[1]})" if found[1] else "", self.what)
        return text.removesuffix(".")


@dataclass(frozen=True, slots=True)
class Argument:
    """``shown`` is how the synopsis has it, ``metavar`` its bare name."""

    metavar: str
    shown: str
    kind: str
    what: str
    repeatable: bool


@dataclass(frozen=True, slots=True)
class Command:
    """``path`` is empty for the program itself. ``paragraphs`` are the rest of its help, examples apart."""

    path: tuple[str, ...]
    what: str
    examples: tuple[str, ...]
    paragraphs: tuple[str, ...]
    options: tuple[Option, ...]
    arguments: tuple[Argument, ...]
    commands: tuple[Command, ...]

    @property
    def name(self) -> str:
        return self.path[-1] if self.path else "seedream"

    @property
    def brief(self) -> str:
        return self.what.removesuffix(".")

    def walk(self) -> Iterator[Command]:
        """This command and all below it."""
        yield self
        for command in self.commands:
            yield from command.walk()


def program() -> Command:
    """The whole tree."""
    return _command(typer.main.get_command(cli.app), None, ())


def _command(command: Any, parent: typer.Context | None, path: tuple[str, ...]) -> Command:
    context = typer.Context(
        command, info_name=path[-1] if path else "seedream", parent=parent, **command.context_settings
    )
    names = command.list_commands(context) if hasattr(command, "list_commands") else ()
    below = [one for one in (command.get_command(context, name) for name in names) if not one.hidden]
    what, examples, paragraphs = _parts(inspect.cleandoc(command.help or ""))
    parameters = [one for one in command.get_params(context) if not getattr(one, "hidden", False)]
    return Command(
        path,
        what,
        examples,
        paragraphs,
        tuple(_option(one, context) for one in parameters if one.param_type_name == "option"),
        tuple(_argument(one) for one in parameters if one.param_type_name == "argument"),
        tuple(_command(one, context, (*path, one.name)) for one in below),
    )


def _parts(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """A help's first sentence, its examples (which stand below a \\b, as they are), its other paragraphs."""
    what, *rest = text.split("\n\n")
    examples = [part.removeprefix("\b\n") for part in rest if part.startswith("\b\n")]
    paragraphs = [" ".join(part.split()) for part in rest if not part.startswith("\b\n")]
    lines = tuple(line for part in examples for line in part.split("\n"))
    return " ".join(what.split()), lines, tuple(paragraphs)


def _option(option: Any, context: typer.Context) -> Option:
    # The context turns one of its names into both of those that help goes by.
    names = context.help_option_names if option.name == "help" else [*option.opts, *option.secondary_opts]
    metavar = None if option.is_flag else _metavar(option)
    shown = option.show_default and not option.is_flag and option.default is not None
    return Option(
        flags=tuple(sorted(names, key=lambda flag: flag.startswith("--"))),
        metavar=metavar,
        kind=kind_of(option.name, metavar) if metavar is not None else None,
        what=_line(option.help),
        group=getattr(option, "rich_help_panel", None) or "Options",
        repeatable=bool(option.multiple),
        default=str(option.default) if shown else None,
        variables=tuple(_variables(option.envvar)),
    )


def _argument(argument: Any) -> Argument:
    shown = argument.metavar or argument.name.upper()
    if argument.metavar is None and not argument.required:
        shown = f"[{shown}]"
    metavar = shown.strip("[].")
    return Argument(
        metavar=metavar,
        shown=shown,
        kind=kind_of(argument.name, metavar),
        what=_line(argument.help),
        repeatable=argument.nargs == -1,
    )


def _metavar(option: Any) -> str:
    return str(option.metavar or {"str": "TEXT"}.get(option.type.name, "N"))


def _variables(given: str | Iterable[str] | None) -> Iterable[str]:
    return (given,) if isinstance(given, str) else given or ()


def _line(text: str | None) -> str:
    return " ".join((text or "").split())
