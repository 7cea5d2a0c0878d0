"""WorkerPool: threads that process a list, post messages, and end at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from seedream_cli.errors import AuthenticationError, NotSaved, QuotaExceeded, SeedreamError
from seedream_cli.files.partial_file import PartialFile
from seedream_cli.tasks.worker_pool import CancelToken, WorkerPool

Process = Callable[["WorkerPool[str, str]", str], None]


def pool(
    items: Iterable[str],
    process: Process,
    *,
    costs_money: Callable[[str], bool] = lambda _: True,
    parts: Iterable[PartialFile] = (),
) -> WorkerPool[str, str]:
    workers: WorkerPool[str, str] = WorkerPool(
        items,
        lambda item: process(workers, item),
        costs_money=costs_money,
        cancel_token=CancelToken(),
        parts=list(parts),
    )
    return workers


def process_all(workers: WorkerPool[str, str], *, threads: int) -> list[str]:
    """Start workers, and return all messages until the last worker has ended."""
    messages: list[str] = []
    workers.start(threads)
    while workers.is_busy:
        workers.wait()
        messages += workers.drain()
    return messages


def echo(workers: WorkerPool[str, str], item: str) -> None:
    workers.post(item)


@pytest.mark.parametrize("threads", [1, 2, 9])
def test_pool_processes_all_items(threads: int) -> None:
    assert sorted(process_all(pool("abcd", echo), threads=threads)) == [*"abcd"]
    assert process_all(pool("", echo), threads=threads) == []


def test_pool_processes_paid_items_first() -> None:
    assert process_all(pool("AbCd", echo, costs_money=str.isupper), threads=1) == [*"bdAC"]


def test_start_adds_workers() -> None:
    both = threading.Barrier(2, timeout=10)

    def meet(workers: WorkerPool[str, str], item: str) -> None:
        workers.post(item)
        both.wait()

    workers = pool("ab", meet)
    workers.start(1)
    workers.wait()
    messages = workers.drain()
    assert messages == ["a"]
    assert sorted(messages + process_all(workers, threads=5)) == ["a", "b"]


@pytest.mark.parametrize(
    ("error", "done", "not_begun"),
    [
        pytest.param(AuthenticationError("no"), [], ["b", "C"], id="a refused key stops all others"),
        pytest.param(QuotaExceeded("no"), ["b"], ["C"], id="a used-up quota stops those that cost money"),
    ],
)
def test_stop_starting_skips_items_that_would_fail(
    error: SeedreamError, done: list[str], not_begun: list[str]
) -> None:
    def process(workers: WorkerPool[str, str], item: str) -> None:
        workers.post(item)
        workers.stop_starting(error)

    workers = pool("abC", process, costs_money=str.isupper)
    assert process_all(workers, threads=1) == ["a", *done]
    assert workers.not_begun == not_begun


def test_bug_in_a_worker_is_raised_after_its_messages() -> None:
    def fail(workers: WorkerPool[str, str], item: str) -> None:
        workers.post(item)
        raise ZeroDivisionError

    workers = pool("a", fail)
    workers.start(1)
    messages: list[str] = []

    def drain_all() -> None:
        while workers.is_busy:
            workers.wait()
            messages.extend(workers.drain())

    with pytest.raises(ZeroDivisionError):
        drain_all()
    assert messages == ["a"]


def test_wait_loses_no_message() -> None:
    workers = pool("", echo)
    workers.post("a")
    later = threading.Timer(0.01, workers.post, ["b"])
    later.start()
    workers.wait(rest=0.2)
    assert workers.drain() == ["a", "b"]
    later.join()


def test_wait_collects_messages_of_many_workers() -> None:
    threads, count = 32, 10
    barrier = threading.Barrier(threads, timeout=10)

    def post_often(workers: WorkerPool[str, str], item: str) -> None:
        barrier.wait()
        for _ in range(count):
            workers.post(item)
            time.sleep(0.0005)

    workers = pool(map(str, range(threads)), post_often)
    workers.start(threads)
    batch_sizes: list[int] = []
    while workers.is_busy:
        workers.wait()
        batch_sizes.append(len(workers.drain()))
    assert sum(batch_sizes) == threads * count
    # A busy machine may need more batches.
    assert len(batch_sizes) <= threads * count / 4


def seconds_to_end(workers: WorkerPool[str, str]) -> float:
    began = time.monotonic()
    workers.end()
    return time.monotonic() - began


def test_end_waits_for_local_work_only() -> None:
    begun, never = threading.Barrier(4, timeout=10), threading.Event()
    cancel_token = CancelToken()

    def process(item: str) -> None:
        begun.wait()
        if item == "waits":
            cancel_token.pause(60)
        elif item == "calls":
            never.wait(60)
        else:
            time.sleep(0.1)
            workers.post("finished")

    items = ["waits", "calls", "writes", "not begun"]
    workers: WorkerPool[str, str] = WorkerPool(
        items, process, costs_money=lambda _: True, cancel_token=cancel_token, parts=[]
    )
    workers.start(3)
    begun.wait()
    assert seconds_to_end(workers) < 1
    assert workers.drain() == ["finished"]
    assert workers.not_begun == ["not begun"]
    never.set()


def test_end_leaves_no_file_of_a_later_response(tmp_path: Path) -> None:
    """Remove the file that was open, and allow no new one."""
    is_open, answered, made = threading.Event(), threading.Event(), threading.Event()
    cancel_token = CancelToken()
    first, second = (
        PartialFile(tmp_path / "a", cancel_token.shield),
        PartialFile(tmp_path / "b", cancel_token.shield),
    )

    def process(item: str) -> None:
        with first:
            is_open.set()
            answered.wait(60)
        with second:
            made.set()

    workers: WorkerPool[str, str] = WorkerPool(
        ["image"], process, costs_money=lambda _: True, cancel_token=cancel_token, parts=[first, second]
    )
    workers.start(1)
    assert is_open.wait(10)
    assert seconds_to_end(workers) < 1
    assert list(tmp_path.iterdir()) == []
    answered.set()
    assert not made.wait(0.2)
    assert list(tmp_path.iterdir()) == []


def test_end_does_not_wait_for_a_hanging_file_system(tmp_path: Path) -> None:
    hangs, hung = threading.Event(), threading.Event()
    cancel_token = CancelToken()
    part = PartialFile(tmp_path / "a", cancel_token.shield)

    def process(item: str) -> None:
        with part, cancel_token.shield():
            hangs.set()
            hung.wait(20)

    workers: WorkerPool[str, str] = WorkerPool(
        ["image"], process, costs_money=lambda _: True, cancel_token=cancel_token, parts=[part]
    )
    workers.start(1)
    assert hangs.wait(10)
    assert seconds_to_end(workers) < 1
    hung.set()


class TestThreadLimit:
    @pytest.fixture
    def threads_left(self, monkeypatch: pytest.MonkeyPatch) -> list[int]:
        """Set how many threads the system allows: the first item of the list."""
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
        assert sorted(process_all(pool("abcd", echo), threads=4)) == [*"abcd"]

    def test_start_raises_without_any_thread(self, threads_left: list[int]) -> None:
        with pytest.raises(NotSaved, match="can't start new thread"):
            pool("abcd", echo).start(4)
