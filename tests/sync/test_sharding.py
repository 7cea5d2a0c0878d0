"""Every image is in one part, and every machine finds the same parts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedream_cli.errors import UsageError
from seedream_cli.sync.sharding import WHOLE, Shard, shard_of


@given(st.integers(1, 12), st.integers(0, 200))
def test_the_parts_are_all_of_it_do_not_overlap_and_are_balanced(total: int, count: int) -> None:
    parts = [
        [position for position in range(count) if Shard(index, total).contains(position)]
        for index in range(1, total + 1)
    ]
    assert sorted(position for part in parts for position in part) == list(range(count))
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1/1", WHOLE), ("2/4", Shard(2, 4)), ("04/4", Shard(4, 4)), ("100000/100000", Shard(100000, 100000))],
)
def test_shards_by_name(text: str, expected: Shard) -> None:
    # The environment decides nothing unless it is asked for.
    assert shard_of(text, {"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "9"}) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "2", "2/", "-1/4", " 1/4", "1/4\n", "²/4", "1/9999999", "AUTO"),
        *("0/4", "5/4", "0/0", "1/100001"),
    ],
)
def test_shards_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="--shard"):
        shard_of(text, {})


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "4"}, Shard(1, 4)),
        ({"CI_NODE_INDEX": "4", "CI_NODE_TOTAL": "4"}, Shard(4, 4)),
        ({"CI_NODE_TOTAL": "1"}, WHOLE),
        ({"CI_NODE_TOTAL": "1", "CI_NODE_INDEX": ""}, WHOLE),
        ({"JOB_COMPLETION_INDEX": "0", "SEEDREAM_SHARD_TOTAL": "4"}, Shard(1, 4)),
        ({"JOB_COMPLETION_INDEX": "3", "JOB_COMPLETIONS": "4"}, Shard(4, 4)),
        ({"JOB_COMPLETION_INDEX": "3", "SEEDREAM_SHARD_TOTAL": "8", "JOB_COMPLETIONS": "4"}, Shard(4, 8)),
        # A GitLab job that runs in a pod of Kubernetes.
        (
            {"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "4", "JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "9"},
            Shard(2, 4),
        ),
        ({"CI_NODE_TOTAL": "1", "JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "2"}, Shard(2, 2)),
    ],
)
def test_shards_of_a_scheduler(environment: dict[str, str], expected: Shard) -> None:
    assert shard_of("auto", environment) == expected


@pytest.mark.parametrize(
    ("environment", "named"),
    [
        ({}, "CI_NODE_INDEX.*JOB_COMPLETION_INDEX"),
        ({"CI_NODE_TOTAL": "4"}, "CI_NODE_INDEX"),
        ({"CI_NODE_INDEX": "1"}, "CI_NODE_TOTAL"),
        ({"CI_NODE_INDEX": "x", "CI_NODE_TOTAL": "4"}, "CI_NODE_INDEX.*'x'"),
        ({"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "-4"}, "CI_NODE_TOTAL.*'-4'"),
        ({"CI_NODE_INDEX": "0", "CI_NODE_TOTAL": "4"}, "0 of 4"),
        ({"CI_NODE_INDEX": "5", "CI_NODE_TOTAL": "4"}, "5 of 4"),
        ({"JOB_COMPLETION_INDEX": "0"}, "SEEDREAM_SHARD_TOTAL"),
        ({"JOB_COMPLETION_INDEX": "4", "JOB_COMPLETIONS": "4"}, "5 of 4"),
        ({"JOB_COMPLETION_INDEX": "9" * 5000, "JOB_COMPLETIONS": "4"}, "JOB_COMPLETION_INDEX"),
    ],
)
def test_schedulers_that_do_not_say_enough(environment: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        shard_of("auto", environment)
