"""No more tasks are paid for than were allowed, however many workers ask at once."""

from __future__ import annotations

import threading

import pytest

from seedream_cli.errors import Drift, UsageProblem
from seedream_cli.sync.purse import Purse


def empty() -> UsageProblem:
    return UsageProblem("no task is left", code="spending_cap")


def test_without_a_limit_nothing_is_refused() -> None:
    purse = Purse(None, empty)
    for _ in range(1000):
        purse.take()


def test_nothing_at_all_may_be_allowed() -> None:
    with pytest.raises(Drift):
        Purse(0, lambda: Drift("nothing is generated")).take()


def test_what_had_been_paid_for_before_is_given_back() -> None:
    purse = Purse(1, empty)
    for _ in range(3):
        purse.take()
        purse.give_back()
    purse.take()
    with pytest.raises(UsageProblem):
        purse.take()


def test_workers_that_ask_at_once_get_no_more_together() -> None:
    purse = Purse(100, empty)
    together = threading.Barrier(8)
    got: list[int] = []

    def worker() -> None:
        together.wait()
        for _ in range(50):
            try:
                purse.take()
            except UsageProblem:
                return
            got.append(1)

    workers = [threading.Thread(target=worker) for _ in range(8)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert len(got) == 100
