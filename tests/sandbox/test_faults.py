from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from seedream_cli.sandbox.faults import SUBMIT, Faults


def test_fault_count_is_used_up() -> None:
    faults = Faults(["submit-429=2"])
    assert [faults.next_fault(SUBMIT) is not None for _ in range(4)] == [True, True, False, False]


def test_faults_of_one_stage_in_order() -> None:
    faults = Faults(["submit-500=2", "image-404", "submit-429=1", "submit-500=1"])
    taken = [faults.next_fault(SUBMIT) for _ in range(5)]
    names = ["submit-500", "submit-500", "submit-429", "submit-500", None]
    assert [fault and fault.name for fault in taken] == names


def test_fault_not_ready_keeps_its_place() -> None:
    faults = Faults(["submit-500=1", "submit-429=1"])
    assert faults.next_fault(SUBMIT, lambda fault: fault.name != "submit-500") is None
    taken = faults.next_fault(SUBMIT)
    assert taken is not None
    assert taken.name == "submit-500"


@pytest.mark.parametrize(
    ("spec", "meant"),
    [
        ("submit-42", "submit-429"),
        ("sumbit-drop", "submit-drop"),
        ("image_truncated=1", "image-truncated"),
        ("zzz", "known are: submit-400"),
        ("", "known are"),
        ("submit-429=", "submit-429=1"),
        ("submit-429=0", "submit-429=1"),
        ("submit-429=-1", "submit-429=1"),
        ("submit-429=two", "submit-429=1"),
        ("submit-429=1.5", "submit-429=1"),
        ("submit-429=²", "submit-429=1"),
    ],
)
def test_fault_spec_refused_with_suggestion(spec: str, meant: str) -> None:
    with pytest.raises(ValueError, match=meant):
        Faults([spec])


def test_fault_count_is_shared_by_threads() -> None:
    faults = Faults(["submit-429=50"])

    def count_faults(_: int) -> int:
        return sum(faults.next_fault(SUBMIT) is not None for _ in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(count_faults, range(8))) == 50
