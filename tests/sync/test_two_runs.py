"""Two runs at the same time in one folder: no line of the lock and no image of either is lost."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support.forked import ForkServer
from support.raw import Exchange
from support.service import IMAGE, FaultRule, Honest, Service
from sync.checkout import Checkout

NAMES = [f"{who}{number}" for who in "ab" for number in range(5)]
MANIFEST = "".join(f'[assets.{name}]\nprompt = "a {name}"\n' for name in NAMES)


def in_step(service: Service) -> None:
    """Two images come at the same time, again and again: one for each of two runs with one worker."""
    both = threading.Barrier(2, timeout=20)

    def together(service: Service, exchange: Exchange, honest: Honest) -> None:
        whole = honest()
        both.wait()
        exchange.connection.sendall(whole)

    service.fault_rules.append(FaultRule(IMAGE, together))


def is_whole(checkout: Checkout, service: Service) -> None:
    assert [one["name"] for one in checkout.lines()] == NAMES
    assert (checkout.disagreements(), checkout.temporary()) == ([], [])
    assert len(service.tasks) == len(NAMES)
    assert len({create.headers["idempotency-key"] for create in service.creates}) == len(NAMES)
    assert checkout("--check").exit_code == 0


@pytest.mark.parametrize("machines", [1, 2], ids=["one history", "a history each"])
def test_of_other_images_write_one_lock(
    fork_server: ForkServer, tmp_path: Path, service: Service, machines: int
) -> None:
    """The folder may be a network's, on which two machines work."""
    in_step(service)
    first = Checkout(fork_server, tmp_path / "home", service.base_url)
    first.write(MANIFEST)
    second = (
        Checkout(fork_server, tmp_path / "other", service.base_url, first.folder) if machines == 2 else first
    )
    runs = [one.start("--jobs", "1", "--only", glob) for one, glob in ((first, "a*"), (second, "b*"))]
    for run in runs:
        result = run.result()
        assert result.exit_code == 0, result.stderr
    is_whole(first, service)


def test_of_the_same_images_pay_for_each_once(
    fork_server: ForkServer, tmp_path: Path, service: Service
) -> None:
    checkout = Checkout(fork_server, tmp_path / "home", service.base_url)
    checkout.write(MANIFEST)
    results = [run.result() for run in [checkout.start("--jobs", "2"), checkout.start("--jobs", "2")]]
    for result in results:
        # Whoever comes while the other is saving an image says so, and the image is the other's to save.
        assert result.exit_code in (0, 9), result.stderr
        assert "Traceback" not in result.stderr
    assert checkout().exit_code == 0
    is_whole(checkout, service)
