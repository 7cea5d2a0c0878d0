"""Two concurrent runs in one project: neither loses an image or a lockfile entry."""

from __future__ import annotations

import threading

import pytest
from support.checkout import Checkout, NewCheckout
from support.raw import Exchange
from support.service import IMAGE, FaultRule, Honest, Service

NAMES = [f"{who}{number}" for who in "ab" for number in range(5)]
MANIFEST = "".join(f'[assets.{name}]\nprompt = "a {name}"\n' for name in NAMES)


def deliver_images_in_pairs(service: Service) -> None:
    """Deliver images two at a time: one to each of two runs with one worker."""
    both = threading.Barrier(2, timeout=20)

    def together(service: Service, exchange: Exchange, honest: Honest) -> None:
        whole = honest()
        both.wait()
        exchange.connection.sendall(whole)

    service.fault_rules.append(FaultRule(IMAGE, together))


def check_is_complete(checkout: Checkout, service: Service) -> None:
    assert [entry["name"] for entry in checkout.entries()] == NAMES
    assert checkout.is_consistent()
    assert len(service.tasks) == len(NAMES)
    assert len({create.headers["idempotency-key"] for create in service.creates}) == len(NAMES)
    assert checkout("--check").exit_code == 0


@pytest.mark.parametrize("machines", [1, 2], ids=["one history", "a history each"])
def test_concurrent_runs_of_different_images_share_a_lockfile(
    new_checkout: NewCheckout, service: Service, machines: int
) -> None:
    # Two histories, as on two machines that share a network folder.
    deliver_images_in_pairs(service)
    first = new_checkout(service, MANIFEST)
    second = new_checkout(service, folder=first.folder) if machines == 2 else first
    runs = [one.start("--jobs", "1", "--only", glob) for one, glob in ((first, "a*"), (second, "b*"))]
    for run in runs:
        result = run.result()
        assert result.exit_code == 0, result.stderr
    check_is_complete(first, service)


def test_concurrent_runs_of_the_same_images_pay_once(new_checkout: NewCheckout, service: Service) -> None:
    checkout = new_checkout(service, MANIFEST)
    results = [run.result() for run in [checkout.start("--jobs", "2"), checkout.start("--jobs", "2")]]
    for result in results:
        # 9: an image was being saved by the other run.
        assert result.exit_code in (0, 9), result.stderr
        assert "Traceback" not in result.stderr
    assert checkout().exit_code == 0
    check_is_complete(checkout, service)
