"""Records behave as frozen dataclasses do."""

from __future__ import annotations

import copy
from typing import Any, ClassVar

import pytest

from seedream_cli.records import Record, made, replace


class Fox(Record):
    name: str
    age: int = 3
    friends: list[str] = made(default_factory=list)
    KIND: ClassVar[str] = "vulpes"

    @property
    def old(self) -> bool:
        return self.age > 5


class RedFox(Fox):
    red: bool = True
    secret: str = made(default_factory=lambda: "s3cret", shown=False, compared=False)


def test_values_are_given_in_order_or_by_name_and_the_others_have_their_defaults() -> None:
    fox = RedFox("Ben", friends=["Ann"])
    assert (fox.name, fox.age, fox.friends, fox.red, fox.KIND) == ("Ben", 3, ["Ann"], True, "vulpes")
    assert RedFox.FIELDS == ("name", "age", "friends", "red", "secret")


def test_what_is_made_is_made_for_each() -> None:
    one, other = Fox("Ben"), Fox("Ben")
    one.friends.append("Ann")
    assert other.friends == []


@pytest.mark.parametrize(("values", "named"), [((), {}), (("a", 1, [], 4), {}), (("a",), {"colour": "red"})])
def test_too_few_too_many_and_unknown_values_are_refused(
    values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match="Fox has name, age, friends"):
        Fox(*values, **named)


def test_a_record_does_not_change() -> None:
    fox = Fox("Ben")
    with pytest.raises(AttributeError, match="age"):
        fox.age = 4  # type: ignore[misc]
    with pytest.raises(AttributeError, match="age"):
        del fox.age
    assert fox.age == 3


def test_records_are_equal_where_what_they_hold_and_their_class_are() -> None:
    assert Fox("Ben", 4) == Fox("Ben", 4)
    assert Fox("Ben", 4) != Fox("Ben", 5)
    assert RedFox("Ben", secret="a") == RedFox("Ben", secret="b")
    assert Fox("Ben") != RedFox("Ben")
    assert Fox("Ben") != "Ben"


class Point(Record):
    x: int
    y: int = 0


def test_records_of_what_can_be_hashed_can_be() -> None:
    assert {Point(1), Point(1, 0), Point(2)} == {Point(1), Point(2)}


def test_repr_shows_what_may_be_shown() -> None:
    assert repr(RedFox("Ben")) == "RedFox(name='Ben', age=3, friends=[], red=True)"


def test_replace_keeps_what_it_is_not_told_to_change() -> None:
    fox = RedFox("Ben", 7, secret="mine")
    older = replace(fox, age=8)
    assert (older.name, older.age, older.secret, type(older)) == ("Ben", 8, "mine", RedFox)
    assert fox.age == 7
    with pytest.raises(TypeError, match="colour"):
        replace(fox, colour="red")


def test_a_copy_is_equal() -> None:
    assert copy.deepcopy(Point(1, 2)) == Point(1, 2)
