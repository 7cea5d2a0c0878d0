"""The command line as data, for completion and man pages: read from the Typer app, independent of Typer."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import typer.main

from seedream_cli import cli

from .values import kind_of

#: The environment variables at the end of a setting's help. Lists of completions have no room for them.
_VARIABLES = re.compile(r" \(env [A-Z_a-z ]+(?:; (default [^;]+))?(?:; .+)?\)\.?$")


@dataclass(frozen=True, slots=True)
class Option:
    """An option. ``flags`` begins with the short one. ``metavar`` and ``kind`` are None for a switch.

    ``default`` and ``variables`` are those that Typer adds to the help in --help.
    """

    flags: tuple[str, ...]
    metavar: str | None
    kind: str | None
    what: str
    group: str
    repeatable: bool
    default: str | None
    variables: tuple[str, ...]

    @property
    def brief(self) -> str:
        """Return the help without variables and final full stop, for a list of completions."""
        text = _VARIABLES.sub(lambda found: f" ({found[1]})" if found[1] else "", self.what)
        return text.removesuffix(".")


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument. ``shown`` is as in the synopsis, such as `[TASK]...`; ``metavar`` is the bare name."""

    metavar: str
    shown: str
    kind: str
    what: str
    repeatable: bool


@dataclass(frozen=True, slots=True)
class Command:
    """A command or group. ``path`` is the words after `seedream`, empty for the program itself.

    Its help consists of ``what`` (one sentence), ``examples`` (lines) and ``paragraphs``.
    """

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
        """Yield this command and all of its subcommands."""
        yield self
        for command in self.commands:
            yield from command.walk()


def program() -> Command:
    """Return the program with all of its commands."""
    return _command(typer.main.get_command(cli.app), None, ())


def _command(command: Any, parent: typer.Context | None, path: tuple[str, ...]) -> Command:
    context = typer.Context(
        command, info_name=path[-1] if path else "seedream", parent=parent, **command.context_settings
    )
    names = command.list_commands(context) if hasattr(command, "list_commands") else ()
    subcommands = [command.get_command(context, name) for name in names]
    what, examples, paragraphs = _split_help(inspect.cleandoc(command.help or ""))
    parameters = [
        parameter for parameter in command.get_params(context) if not getattr(parameter, "hidden", False)
    ]
    return Command(
        path,
        what,
        examples,
        paragraphs,
        tuple(_option(option, context) for option in parameters if option.param_type_name == "option"),
        tuple(_argument(argument) for argument in parameters if argument.param_type_name == "argument"),
        tuple(_command(sub, context, (*path, sub.name)) for sub in subcommands if not sub.hidden),
    )


def _split_help(text: str) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    """Return the first sentence, the lines of examples (paragraphs marked with \\b) and other paragraphs."""
    what, *rest = text.split("\n\n")
    examples = [part.removeprefix("\b\n") for part in rest if part.startswith("\b\n")]
    paragraphs = [" ".join(part.split()) for part in rest if not part.startswith("\b\n")]
    lines = tuple(line for part in examples for line in part.split("\n"))
    return " ".join(what.split()), lines, tuple(paragraphs)


def _option(option: Any, context: typer.Context) -> Option:
    # The help option has only one name here; Typer adds -h from the context.
    names = context.help_option_names if option.name == "help" else [*option.opts, *option.secondary_opts]
    metavar = None
    if not option.is_flag:
        metavar = str(option.metavar or {"str": "TEXT"}.get(option.type.name, "N"))
    shows_default = option.show_default and not option.is_flag and option.default is not None
    variables = (option.envvar,) if isinstance(option.envvar, str) else option.envvar or ()
    return Option(
        flags=tuple(sorted(names, key=lambda flag: flag.startswith("--"))),
        metavar=metavar,
        kind=kind_of(option.name, metavar) if metavar is not None else None,
        what=_one_line(option.help),
        group=getattr(option, "rich_help_panel", None) or "Options",
        repeatable=bool(option.multiple),
        default=str(option.default) if shows_default else None,
        variables=tuple(variables),
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
        what=_one_line(argument.help),
        repeatable=argument.nargs == -1,
    )


def _one_line(text: str | None) -> str:
    return " ".join((text or "").split())
