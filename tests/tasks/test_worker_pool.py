"""Threads that work off a list, tell one listener, and end at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from seedream_cli.errors import AuthenticationError, NotSaved, QuotaExceeded, SeedreamError
from seedream_cli.files.partial_file import PartialFile
from seedream_cli.tasks.worker_pool import CancelToken, WorkerPool

Works = Callable[["WorkerPool[str, str]", str], None]


def pool(
    todo: Iterable[str],
    serve: Works,
    *,
    costs_money: Callable[[str], bool] = lambda _: True,
    parts: Iterable[PartialFile] = (),
) -> WorkerPool[str, str]:
    one: WorkerPool[str, str] = WorkerPool(
        todo,
        lambda what: serve(one, what),
        costs_money=costs_money,
        cancel_token=CancelToken(),
        parts=list(parts),
    )
    return one


def heard(one: WorkerPool[str, str], *, threads: int) -> list[str]:
    """All that they say until the last has ended."""
    words: list[str] = []
    one.start(threads)
    while one.is_busy:
        one.wait()
        words += one.drain()
    return words


def echo(one: WorkerPool[str, str], what: str) -> None:
    one.post(what)


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_pool_processes_all_items(threads: int) -> None:
    assert sorted(heard(pool("abcd", echo), threads=threads)) == [*"abcd"]
    assert heard(pool("", echo), threads=threads) == []


def test_pool_processes_paid_items_first() -> None:
    assert heard(pool("AbCd", echo, costs_money=str.isupper), threads=1) == [*"bdAC"]


def test_start_adds_workers() -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(one: WorkerPool[str, str], what: str) -> None:
        one.post(what)
        both.wait()

    one = pool("ab", meet)
    one.start(1)
    one.wait()
    words = one.drain()
    assert words == ["a"]
    assert sorted(words + heard(one, threads=5)) == ["a", "b"]


@pytest.mark.parametrize(
    ("verdict", "done", "not_begun"),
    [
        pytest.param(AuthenticationError("no"), [], ["b", "C"], id="a refused key spares all others"),
        pytest.param(QuotaExceeded("no"), ["b"], ["C"], id="a quota spares those that pay"),
    ],
)
def test_stop_starting_skips_items_that_would_fail(
    verdict: SeedreamError, done: list[str], not_begun: list[str]
) -> None:
    def serve(one: WorkerPool[str, str], what: str) -> None:
        one.post(what)
        one.stop_starting(verdict)

    one = pool("abC", serve, costs_money=str.isupper)
    assert heard(one, threads=1) == ["a", *done]
    assert one.not_begun == not_begun


def test_bug_in_a_worker_is_raised_after_its_messages() -> None:
    def fall(one: WorkerPool[str, str], what: str) -> None:
        one.post(what)
        raise ZeroDivisionError

    one = pool("a", fall)
    one.start(1)
    words: list[str] = []

    def listen() -> None:
        while one.is_busy:
            one.wait()
            words.extend(one.drain())

    with pytest.raises(ZeroDivisionError):
        listen()
    assert words == ["a"]


def test_wait_loses_no_message() -> None:
    one = pool("", echo)
    one.post("a")
    later = threading.Timer(0.01, one.post, ["b"])
    later.start()
    one.wait(rest=0.2)
    assert one.drain() == ["a", "b"]
    later.join()


def test_wait_collects_messages_of_many_workers() -> None:
    threads, each = 32, 10
    together = threading.Barrier(threads, timeout=10)

    def talk(one: WorkerPool[str, str], what: str) -> None:
        together.wait()
        for _ in range(each):
            one.post(what)
            time.sleep(0.0005)

    one = pool(map(str, range(threads)), talk)
    one.start(threads)
    heard_at_once: list[int] = []
    while one.is_busy:
        one.wait()
        heard_at_once.append(len(one.drain()))
    assert sum(heard_at_once) == threads * each
    # A busy machine may jitter them out.
    assert len(heard_at_once) <= threads * each / 4


def seconds_to_end(one: WorkerPool[str, str]) -> float:
    began = time.monotonic()
    one.end()
    return time.monotonic() - began


def test_end_waits_for_local_work_only() -> None:
    begun, never = threading.Barrier(4, timeout=10), threading.Event()
    cancel_token = CancelToken()

    def serve(what: str) -> None:
        begun.wait()
        if what == "waits":
            cancel_token.pause(60)
        elif what == "calls":
            never.wait(60)
        else:
            time.sleep(0.1)
            one.post("finished")

    todo = ["waits", "calls", "writes", "never begun"]
    one: WorkerPool[str, str] = WorkerPool(
        todo, serve, costs_money=lambda _: True, cancel_token=cancel_token, parts=[]
    )
    one.start(3)
    begun.wait()
    assert seconds_to_end(one) < 1
    assert one.drain() == ["finished"]
    assert one.not_begun == ["never begun"]
    never.set()


def test_end_leaves_no_file_of_a_later_response(tmp_path: Path) -> None:
    """Neither the file that was open nor one that would be made now."""
    is_open, answered, made = threading.Event(), threading.Event(), threading.Event()
    cancel_token = CancelToken()
    first, second = (
        PartialFile(tmp_path / "a", cancel_token.shield),
        PartialFile(tmp_path / "b", cancel_token.shield),
    )

    def serve(what: str) -> None:
        with first:
            is_open.set()
            answered.wait(60)
        with second:
            made.set()

    one: WorkerPool[str, str] = WorkerPool(
        ["image"], serve, costs_money=lambda _: True, cancel_token=cancel_token, parts=[first, second]
    )
    one.start(1)
    assert is_open.wait(10)
    assert seconds_to_end(one) < 1
    assert list(tmp_path.iterdir()) == []
    answered.set()
    assert not made.wait(0.2)
    assert list(tmp_path.iterdir()) == []


def test_end_does_not_wait_for_a_hanging_file_system(tmp_path: Path) -> None:
    hangs, hung = threading.Event(), threading.Event()
    cancel_token = CancelToken()
    part = PartialFile(tmp_path / "a", cancel_token.shield)

    def serve(what: str) -> None:
        with part, cancel_token.shield():
            hangs.set()
            hung.wait(20)

    one: WorkerPool[str, str] = WorkerPool(
        ["image"], serve, costs_money=lambda _: True, cancel_token=cancel_token, parts=[part]
    )
    one.start(1)
    assert hangs.wait(10)
    assert seconds_to_end(one) < 1
    hung.set()


class TestThreadLimit:
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

    def test_start_uses_the_threads_that_it_gets(self, threads_left: list[int]) -> None:
        threads_left[0] = 2
        assert sorted(heard(pool("abcd", echo), threads=4)) == [*"abcd"]

    def test_start_raises_without_any_thread(self, threads_left: list[int]) -> None:
        with pytest.raises(NotSaved, match="can't start new thread"):
            pool("abcd", echo).start(4)
