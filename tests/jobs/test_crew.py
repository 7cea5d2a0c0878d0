"""Threads that work off a list, tell one listener, and end at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from seedream_cli.errors import AuthenticationProblem, NotSaved, QuotaExceeded, SeedreamError
from seedream_cli.files.partial_file import Part
from seedream_cli.tasks.worker_pool import Brake, Crew

Works = Callable[["Crew[str, str]", str], None]


def crew(
    todo: Iterable[str],
    serve: Works,
    *,
    pays: Callable[[str], bool] = lambda _: True,
    parts: Iterable[Part] = (),
) -> Crew[str, str]:
    one: Crew[str, str] = Crew(
        todo,
        lambda what: serve(one, what),
        pays=pays,
        brake=Brake(),
        parts=list(parts),
    )
    return one


def heard(one: Crew[str, str], *, threads: int) -> list[str]:
    """All that they say until the last has ended."""
    words: list[str] = []
    one.start(threads)
    while one.is_busy:
        one.wait()
        words += one.said()
    return words


def echo(one: Crew[str, str], what: str) -> None:
    one.say(what)


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_all_is_done_and_heard(threads: int) -> None:
    assert sorted(heard(crew("abcd", echo), threads=threads)) == [*"abcd"]
    assert heard(crew("", echo), threads=threads) == []


def test_what_is_paid_for_already_comes_first() -> None:
    assert heard(crew("AbCd", echo, pays=str.isupper), threads=1) == [*"bdAC"]


def test_more_can_join_while_others_are_at_work() -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(one: Crew[str, str], what: str) -> None:
        one.say(what)
        both.wait()

    one = crew("ab", meet)
    one.start(1)
    one.wait()
    words = one.said()
    assert words == ["a"]
    assert sorted(words + heard(one, threads=5)) == ["a", "b"]


@pytest.mark.parametrize(
    ("verdict", "done", "not_begun"),
    [
        pytest.param(AuthenticationProblem("no"), [], ["b", "C"], id="a refused key spares all others"),
        pytest.param(QuotaExceeded("no"), ["b"], ["C"], id="a quota spares those that pay"),
    ],
)
def test_what_would_meet_with_the_same_is_not_begun(
    verdict: SeedreamError, done: list[str], not_begun: list[str]
) -> None:
    def serve(one: Crew[str, str], what: str) -> None:
        one.say(what)
        one.spare_others(verdict)

    one = crew("abC", serve, pays=str.isupper)
    assert heard(one, threads=1) == ["a", *done]
    assert one.not_begun == not_begun


def test_a_bug_of_one_is_raised_once_what_was_said_is_heard() -> None:
    def fall(one: Crew[str, str], what: str) -> None:
        one.say(what)
        raise ZeroDivisionError

    one = crew("a", fall)
    one.start(1)
    words: list[str] = []

    def listen() -> None:
        while one.is_busy:
            one.wait()
            words.extend(one.said())

    with pytest.raises(ZeroDivisionError):
        listen()
    assert words == ["a"]


def test_waiting_takes_no_word_away_and_what_is_said_while_the_listener_rests_is_heard_too() -> None:
    one = crew("", echo)
    one.say("a")
    later = threading.Timer(0.01, one.say, ["b"])
    later.start()
    one.wait(rest=0.2)
    assert one.said() == ["a", "b"]
    later.join()


def test_what_many_say_at_about_the_same_time_is_heard_at_once() -> None:
    threads, each = 32, 10
    together = threading.Barrier(threads, timeout=10)

    def talk(one: Crew[str, str], what: str) -> None:
        together.wait()
        for _ in range(each):
            one.say(what)
            time.sleep(0.0005)

    one = crew(map(str, range(threads)), talk)
    one.start(threads)
    heard_at_once: list[int] = []
    while one.is_busy:
        one.wait()
        heard_at_once.append(len(one.said()))
    assert sum(heard_at_once) == threads * each
    # A busy machine may spread them out.
    assert len(heard_at_once) <= threads * each / 4


def seconds_to_end(one: Crew[str, str]) -> float:
    began = time.monotonic()
    one.end()
    return time.monotonic() - began


def test_the_end_lets_a_step_on_this_machine_finish_and_waits_for_no_call() -> None:
    begun, never = threading.Barrier(4, timeout=10), threading.Event()
    brake = Brake()

    def serve(what: str) -> None:
        begun.wait()
        if what == "waits":
            brake.pause(60)
        elif what == "calls":
            never.wait(60)
        else:
            time.sleep(0.1)
            one.say("finished")

    todo = ["waits", "calls", "writes", "never begun"]
    one: Crew[str, str] = Crew(todo, serve, pays=lambda _: True, brake=brake, parts=[])
    one.start(3)
    begun.wait()
    assert seconds_to_end(one) < 1
    assert one.said() == ["finished"]
    assert one.not_begun == ["never begun"]
    never.set()


def test_a_call_that_returns_after_the_end_leaves_no_file(tmp_path: Path) -> None:
    """Neither the file that was open nor one that would be made now."""
    is_open, answered, made = threading.Event(), threading.Event(), threading.Event()
    brake = Brake()
    first, second = Part(tmp_path / "a", brake.shield), Part(tmp_path / "b", brake.shield)

    def serve(what: str) -> None:
        with first:
            is_open.set()
            answered.wait(60)
        with second:
            made.set()

    one: Crew[str, str] = Crew(["image"], serve, pays=lambda _: True, brake=brake, parts=[first, second])
    one.start(1)
    assert is_open.wait(10)
    assert seconds_to_end(one) < 1
    assert list(tmp_path.iterdir()) == []
    answered.set()
    assert not made.wait(0.2)
    assert list(tmp_path.iterdir()) == []


def test_the_end_does_not_wait_for_a_file_system_that_hangs(tmp_path: Path) -> None:
    hangs, hung = threading.Event(), threading.Event()
    brake = Brake()
    part = Part(tmp_path / "a", brake.shield)

    def serve(what: str) -> None:
        with part, brake.shield():
            hangs.set()
            hung.wait(20)

    one: Crew[str, str] = Crew(["image"], serve, pays=lambda _: True, brake=brake, parts=[part])
    one.start(1)
    assert hangs.wait(10)
    assert seconds_to_end(one) < 1
    hung.set()


class TestNoMoreThreads:
    @pytest.fixture
    def threads_left(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """How many threads the system gives."""
        left = [0]
        start = threading.Thread.start

        def limited(thread: threading.Thread) -> None:
            if left[0] == 0:
                raise RuntimeError("can't start new thread")
            left[0] -= 1
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", limited)
        return left

    def test_those_that_there_are_do_all_the_work(self, threads_left: list[int]) -> None:
        threads_left[0] = 2
        assert sorted(heard(crew("abcd", echo), threads=4)) == [*"abcd"]

    def test_with_none_at_all_the_machine_is_at_fault(self, threads_left: list[int]) -> None:
        with pytest.raises(NotSaved, match="can't start new thread"):
            crew("abcd", echo).start(4)
