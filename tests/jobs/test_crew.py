"""Threads that tell one listener, and end at once."""

from __future__ import annotations

import threading
from contextlib import nullcontext

import pytest

from seedream_cli.jobs.crew import Brake, Crew


def crew(*, break_off: threading.Event | None = None) -> Crew[str]:
    return Crew(Brake(), break_off.set if break_off else lambda: None, nullcontext)


def test_all_that_they_tell_is_heard() -> None:
    one = crew()
    works = [lambda name=name: one.tell(name) for name in "abc"]
    assert sorted(word for batch in one.batches(works) for word in batch) == ["a", "b", "c"]


def test_without_work_there_is_nothing_to_hear() -> None:
    assert list(crew().batches([])) == []


def test_a_bug_of_one_is_raised_where_they_are_listened_to() -> None:
    def fall() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        list(crew().batches([fall]))


def test_the_end_ends_waits_and_calls_and_keeps_what_was_told() -> None:
    broken = threading.Event()
    one = crew(break_off=broken)
    told = threading.Event()

    def wait() -> None:
        one.brake.pause(60)

    def call() -> None:
        broken.wait(60)
        one.tell("broken off")

    def finish() -> None:
        one.tell("first")
        told.wait(60)
        one.tell("late")

    batches = one.batches([wait, call, finish])
    assert next(batches) == ["first"]
    told.set()
    assert sorted(one.end()) == ["broken off", "late"]
