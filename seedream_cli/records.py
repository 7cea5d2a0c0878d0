"""Values as classes: frozen, equal where what they hold is equal.

What `dataclasses` makes of a class is compiled whenever the class is loaded, which costs about a
millisecond: for the forty that a call of the program loads, a quarter of what Typer and httpx cost. A
record is read like a frozen dataclass, by type checkers too, and its class costs next to nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from operator import attrgetter
from typing import Any, ClassVar, NoReturn, TypeVar, cast, dataclass_transform

T = TypeVar("T")
R = TypeVar("R", bound="Record")


class _Made:
    """How the default of a field is made, for each record anew."""

    def __init__(self, make: Callable[[], Any], *, shown: bool, compared: bool) -> None:
        self.make = make
        self.shown = shown
        self.compared = compared


def made(*, default_factory: Callable[[], T], shown: bool = True, compared: bool = True) -> T:
    """A field whose default is made for each record.

    ``shown``: it is part of what `repr` shows; ``compared``: of what makes two records equal.
    """
    return cast(T, _Made(default_factory, shown=shown, compared=compared))


@dataclass_transform(frozen_default=True, field_specifiers=(made,))
class Record:
    """A subclass's annotations are its fields, in their order, behind those of the record it extends."""

    FIELDS: ClassVar[tuple[str, ...]] = ()
    #: The values of fields that need not be given, and what makes those that are not shared.
    DEFAULTS: ClassVar[dict[str, Any]] = {}
    _makers: ClassVar[dict[str, _Made]] = {}
    _names: ClassVar[frozenset[str]] = frozenset()
    #: Gets what makes two of them equal.
    _compared: ClassVar[Any] = id

    def __init_subclass__(cls) -> None:
        own = [name for name, kind in cls.__annotations__.items() if not str(kind).startswith("ClassVar")]
        given = {name: vars(cls)[name] for name in own if name in vars(cls)}
        cls.FIELDS = (*cls.FIELDS, *(name for name in own if name not in cls.FIELDS))
        cls._names = frozenset(cls.FIELDS)
        cls._makers = {
            **cls._makers,
            **{name: value for name, value in given.items() if isinstance(value, _Made)},
        }
        compared = [name for name in cls.FIELDS if name not in cls._makers or cls._makers[name].compared]
        cls._compared = attrgetter(*compared)
        cls.DEFAULTS = {
            **cls.DEFAULTS,
            **{name: value for name, value in given.items() if name not in cls._makers},
        }

    def __init__(self, *values: Any, **named: Any) -> None:
        # In place, and without a step of Python for each field: thousands are made of some.
        cls = type(self)
        held = self.__dict__
        held |= cls.DEFAULTS
        if values:
            held.update(zip(cls.FIELDS, values, strict=False))
        held |= named
        if cls._makers:
            for name, maker in cls._makers.items():
                if name not in held:
                    held[name] = maker.make()
        # As many as there are fields, and none that is not one of them.
        count = len(cls.FIELDS)
        if len(held) != count or len(values) > count or not cls._names.issuperset(named):
            raise TypeError(f"{cls.__name__} has {', '.join(cls.FIELDS)}; got {', '.join(held)}")

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} does not change: {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} does not change: {name}")

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and self._compared(self) == self._compared(other)

    def __hash__(self) -> int:
        return hash(self._compared(self))

    def __repr__(self) -> str:
        shown = (
            f"{name}={value!r}"
            for name, value in self._values().items()
            if name not in self._makers or self._makers[name].shown
        )
        return f"{type(self).__name__}({', '.join(shown)})"

    def _values(self) -> dict[str, Any]:
        # In their order; without what a cached property has put beside them.
        held = vars(self)
        return {name: held[name] for name in self.FIELDS}


def replace(record: R, **changes: Any) -> R:
    """The same record with other values for some fields."""
    return type(record)(**{**record._values(), **changes})
