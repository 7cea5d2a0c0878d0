"""The spending cap holds when many workers reserve at the same time."""

from __future__ import annotations

import threading

from seedream_cli.errors import UsageError
from seedream_cli.sync.spending_cap import SpendingCap


def refusal() -> UsageError:
    return UsageError("no task is left", code="spending_cap")


def test_reserve_is_thread_safe() -> None:
    spending_cap = SpendingCap(100, refusal)
    # A released reservation can be reserved again.
    for _ in range(200):
        spending_cap.reserve()
        spending_cap.release()
    start = threading.Barrier(8)
    reserved: list[int] = []

    def worker() -> None:
        start.wait()
        for _ in range(50):
            try:
                spending_cap.reserve()
            except UsageError:
                return
            reserved.append(1)

    workers = [threading.Thread(target=worker) for _ in range(8)]
    for thread in workers:
        thread.start()
    for thread in workers:
        thread.join()
    assert len(reserved) == 100
