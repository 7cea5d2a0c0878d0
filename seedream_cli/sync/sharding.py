"""One part of a manifest's images: what one of several machines takes care of."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from ..errors import UsageError

MOST_SHARDS = 100_000

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


class Shard(Struct, frozen=True):
    """Part ``index`` (1…) of ``total``."""

    index: int = 1
    total: int = 1

    def has(self, position: int) -> bool:
        """Whether the image at this position (0…) of all, in the manifest's order, is in this part."""
        return position % self.total == self.index - 1

    @property
    def is_first(self) -> bool:
        """What belongs to no image in particular is done by one of them."""
        return self.index == 1


WHOLE = Shard()


def shard_of(text: str, environment: Mapping[str, str]) -> Shard:
    """Read ``--shard``: ``I/N``, or ``auto`` for what a scheduler says in the environment.

    Raises UsageProblem.
    """
    if text == "auto":
        return _from_scheduler(environment)
    found = _SHARD.fullmatch(text)
    if found is None:
        raise UsageError(f"--shard {text!r} is neither I/N, such as 2/4, nor auto")
    return _shard(int(found[1]), int(found[2]), f"--shard {text}")


def _from_scheduler(environment: Mapping[str, str]) -> Shard:
    total_of_gitlab = environment.get("CI_NODE_TOTAL")
    if environment.get("CI_NODE_INDEX"):
        if not total_of_gitlab:
            raise UsageError("--shard auto: CI_NODE_INDEX is set, and CI_NODE_TOTAL is not")
        return _shard(
            _number(environment, "CI_NODE_INDEX"),
            _number(environment, "CI_NODE_TOTAL"),
            "--shard auto: CI_NODE_INDEX/CI_NODE_TOTAL",
        )
    if environment.get("JOB_COMPLETION_INDEX"):
        for name in ("SEEDREAM_SHARD_TOTAL", "JOB_COMPLETIONS"):
            if environment.get(name):
                return _shard(
                    # Kubernetes counts from 0.
                    _number(environment, "JOB_COMPLETION_INDEX") + 1,
                    _number(environment, name),
                    f"--shard auto: JOB_COMPLETION_INDEX of {name}",
                )
        raise UsageError(
            "--shard auto: Kubernetes sets JOB_COMPLETION_INDEX and no total: "
            "set SEEDREAM_SHARD_TOTAL (or JOB_COMPLETIONS) to the job's completions"
        )
    if total_of_gitlab == "1":
        # GitLab gives a job that is not parallel a total without an index.
        return WHOLE
    raise UsageError(
        "--shard auto: neither CI_NODE_INDEX and CI_NODE_TOTAL (GitLab) nor JOB_COMPLETION_INDEX "
        "(Kubernetes) is set: name the shard, as in --shard 2/4"
    )


def _number(environment: Mapping[str, str], name: str) -> int:
    text = environment[name]
    if not (text.isascii() and text.isdecimal() and len(text) <= 6):
        raise UsageError(f"--shard auto: {name} is {text[:40]!r}, not a number")
    return int(text)


def _shard(index: int, total: int, what: str) -> Shard:
    if not 1 <= index <= total <= MOST_SHARDS:
        raise UsageError(f"{what}: there is no shard {index} of {total}")
    return Shard(index, total)
