"""Shards: split a manifest's images among several machines."""

from __future__ import annotations

import re
from collections.abc import Mapping

from msgspec import Struct

from ..errors import UsageError

MAX_SHARDS = 100_000

_SHARD = re.compile(r"([0-9]{1,6})/([0-9]{1,6})")


class Shard(Struct, frozen=True):
    """Shard ``index`` (from 1) of ``total``."""

    index: int = 1
    total: int = 1

    def contains(self, position: int) -> bool:
        """Return True if the shard has the image at this position (from 0) in the manifest's order."""
        return position % self.total == self.index - 1

    @property
    def is_first(self) -> bool:
        """Return True for the shard that also handles what belongs to no image, such as orphans."""
        return self.index == 1


WHOLE = Shard()


def shard_of(text: str, environment: Mapping[str, str]) -> Shard:
    """Parse ``--shard``: ``I/N``, or ``auto`` for the numbers that GitLab or Kubernetes sets.

    Raises UsageError.
    """
    if text == "auto":
        return _from_scheduler(environment)
    match = _SHARD.fullmatch(text)
    if match is None:
        raise UsageError(f"--shard {text!r} is neither I/N, such as 2/4, nor auto")
    return _checked_shard(int(match[1]), int(match[2]), f"--shard {text}")


def _from_scheduler(environment: Mapping[str, str]) -> Shard:
    gitlab_total = environment.get("CI_NODE_TOTAL")
    if environment.get("CI_NODE_INDEX"):
        if not gitlab_total:
            raise UsageError("--shard auto: CI_NODE_INDEX is set, and CI_NODE_TOTAL is not")
        return _checked_shard(
            _number(environment, "CI_NODE_INDEX"),
            _number(environment, "CI_NODE_TOTAL"),
            "--shard auto: CI_NODE_INDEX/CI_NODE_TOTAL",
        )
    if environment.get("JOB_COMPLETION_INDEX"):
        for name in ("SEEDREAM_SHARD_TOTAL", "JOB_COMPLETIONS"):
            if environment.get(name):
                return _checked_shard(
                    # Kubernetes numbers completions from 0.
                    _number(environment, "JOB_COMPLETION_INDEX") + 1,
                    _number(environment, name),
                    f"--shard auto: JOB_COMPLETION_INDEX of {name}",
                )
        raise UsageError(
            "--shard auto: Kubernetes sets JOB_COMPLETION_INDEX and no total: "
            "set SEEDREAM_SHARD_TOTAL (or JOB_COMPLETIONS) to the job's completions"
        )
    if gitlab_total == "1":
        # GitLab sets CI_NODE_TOTAL to 1 without CI_NODE_INDEX if a job is not parallel.
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


def _checked_shard(index: int, total: int, source: str) -> Shard:
    if not 1 <= index <= total <= MAX_SHARDS:
        raise UsageError(f"{source}: there is no shard {index} of {total}")
    return Shard(index, total)
