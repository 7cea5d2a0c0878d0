"""No more tasks are paid for than were allowed, however many workers ask at once."""

from __future__ import annotations

import threading

from seedream_cli.errors import UsageError
from seedream_cli.sync.spending_cap import SpendingCap


def empty() -> UsageError:
    return UsageError("no task is left", code="spending_cap")


def test_workers_that_ask_at_once_get_no_more_together() -> None:
    spending_cap = SpendingCap(100, empty)
    # What turned out to have been paid for before is given back.
    for _ in range(200):
        spending_cap.reserve()
        spending_cap.release()
    together = threading.Barrier(8)
    got: list[int] = []

    def worker() -> None:
        together.wait()
        for _ in range(50):
            try:
                spending_cap.reserve()
            except UsageError:
                return
            got.append(1)

    workers = [threading.Thread(target=worker) for _ in range(8)]
    for one in workers:
        one.start()
    for one in workers:
        one.join()
    assert len(got) == 100
