"""What is wrong with a manifest or a lock: all of it at once, each with its file, line and key."""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache

from ..errors import Problem, ProblemsFound
from ..settings import did_you_mean

__all__ = ["InvalidLock", "InvalidManifest", "Problem", "ProblemsFound", "dotted", "suggestion"]

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")

#: Ten thousand assets can have the same slip.
suggestion = lru_cache(did_you_mean)


class InvalidManifest(ProblemsFound):
    default_code = "invalid_manifest"


class InvalidLock(ProblemsFound):
    default_code = "invalid_lock"


def dotted(keys: Iterable[str]) -> str:
    """A key's parts as TOML writes them: quoted where they have to be."""
    return ".".join(key if _BARE_KEY.fullmatch(key) else f'"{key}"' for key in keys)
