"""Shards: each image belongs to exactly one, and --shard is parsed the same on every machine."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedream_cli.errors import UsageError
from seedream_cli.sync.sharding import WHOLE, Shard, shard_of


@given(st.integers(1, 12), st.integers(0, 200))
def test_shards_are_complete_disjoint_and_balanced(total: int, count: int) -> None:
    shards = [
        [position for position in range(count) if Shard(index, total).contains(position)]
        for index in range(1, total + 1)
    ]
    assert sorted(position for shard in shards for position in shard) == list(range(count))
    assert max(map(len, shards)) - min(map(len, shards)) <= 1


@pytest.mark.parametrize(
    ("text", "expected"),
    [("1/1", WHOLE), ("2/4", Shard(2, 4)), ("04/4", Shard(4, 4)), ("100000/100000", Shard(100000, 100000))],
)
def test_shard_of_index_and_total(text: str, expected: Shard) -> None:
    # The environment only counts for auto.
    assert shard_of(text, {"CI_NODE_INDEX": "1", "CI_NODE_TOTAL": "9"}) == expected


@pytest.mark.parametrize(
    "text",
    [
        *("", "2", "2/", "-1/4", " 1/4", "1/4\n", "²/4", "1/9999999", "AUTO"),
        *("0/4", "5/4", "0/0", "1/100001"),
    ],
)
def test_shard_of_rejects_invalid_text(text: str) -> None:
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
        # A GitLab job in a Kubernetes pod.
        (
            {"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "4", "JOB_COMPLETION_INDEX": "0", "JOB_COMPLETIONS": "9"},
            Shard(2, 4),
        ),
        ({"CI_NODE_TOTAL": "1", "JOB_COMPLETION_INDEX": "1", "JOB_COMPLETIONS": "2"}, Shard(2, 2)),
    ],
)
def test_shard_of_auto(environment: dict[str, str], expected: Shard) -> None:
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
def test_shard_of_auto_rejects_incomplete_environment(environment: dict[str, str], named: str) -> None:
    with pytest.raises(UsageError, match=named):
        shard_of("auto", environment)
