"""The tree as completion scripts see it: what can follow which words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .tree import Command, Option
from .values import After, Asked, Files, Kind, Row, Words

#: Both names of the program.
NAMES = ("seedream", "apipod-seedream")

#: What stands at the head of every script.
HEADER = "Completion of seedream. Written by `python -m scripts.generate`: change that."


@dataclass(frozen=True, slots=True)
class Place:
    """An argument's place. A repeatable one is the last, and all that follow are like it."""

    kind: Kind | None
    metavar: str
    repeatable: bool


@dataclass(frozen=True, slots=True)
class Level:
    """``path`` is the words that lead here; ``commands`` the words that lead on."""

    path: tuple[str, ...]
    commands: tuple[Row, ...]
    options: tuple[Option, ...]
    places: tuple[Place, ...]

    @property
    def words(self) -> str:
        return " ".join(self.path)

    @property
    def valued(self) -> tuple[str, ...]:
        """The flags that take a value."""
        return tuple(flag for one in self.options if one.metavar is not None for flag in one.flags)

    @property
    def option_rows(self) -> tuple[tuple[str, ...], ...]:
        """Of each option: its flags, the kind of its value (. none, - anything), how often, what it is."""
        return tuple(
            (
                " ".join(one.flags),
                "." if one.metavar is None else _name(one.kind),
                "often" if one.repeatable else "once",
                one.brief,
            )
            for one in self.options
        )

    @property
    def place_words(self) -> str:
        """The kinds of its arguments; one that repeats has a +."""
        return " ".join(_name(place.kind) + "+" * place.repeatable for place in self.places)


def levels(program: Command) -> tuple[Level, ...]:
    return tuple(
        Level(
            path=command.path,
            commands=_rows(command),
            options=command.options,
            places=tuple(_places(command, program)),
        )
        for command in program.walk()
    )


def kinds(found: tuple[Level, ...]) -> tuple[Kind, ...]:
    """Every kind of value, each once, by name; those come first that others refer to."""
    seen: dict[str, Kind] = {}
    for level in found:
        for kind in (*(one.kind for one in level.options), *(one.kind for one in level.places)):
            if isinstance(kind, After):
                seen |= {part.name: part for _, part in kind.kinds}
            if kind is not None:
                seen[kind.name] = kind
    order = (Words, Asked, Files, After)
    return tuple(sorted(seen.values(), key=lambda kind: (order.index(type(kind)), kind.name)))


def _name(kind: Kind | None) -> str:
    return kind.name if kind is not None else "-"


def _rows(command: Command) -> tuple[Row, ...]:
    return tuple((one.name, one.brief) for one in command.commands)


def _places(command: Command, program: Command) -> Iterator[Place]:
    for argument in command.arguments:
        if command.path == ("help",):
            # Its words are those of the tree itself.
            groups = [one for one in program.commands if one.commands]
            below = tuple((one.name, Words(f"{one.name}_command", _rows(one))) for one in groups)
            yield Place(Words("command", _rows(program)), argument.metavar, repeatable=False)
            yield Place(After("subcommand", below), argument.metavar, repeatable=False)
        else:
            yield Place(argument.kind, argument.metavar, argument.repeatable)
