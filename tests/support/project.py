"""A folder with a manifest on which `seedream sync` is run, and what it asked the service for."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedream_cli.sandbox.server import Sandbox
from seedream_cli.sync.lockfile import Entry, text_of
from seedream_cli.sync.manifest import load

from .images import png
from .program import Result


@dataclass(frozen=True)
class RequestCounts:
    """How many requests of each kind a service had."""

    creates: int = 0
    statuses: int = 0
    images: int = 0


NOTHING = RequestCounts()


def asked(sandbox: Sandbox) -> RequestCounts:
    """What the service was asked for since the last time."""
    requests = sandbox.requests[:]
    sandbox.requests.clear()
    creates = sum(one.method == "POST" for one in requests)
    images = sum(one.origin == "image" for one in requests)
    return RequestCounts(creates, len(requests) - creates - images, images)


class Project:
    """Called with options, it runs `seedream sync` in its folder."""

    def __init__(self, run: Callable[..., Result], folder: Path) -> None:
        self.folder = folder
        self.manifest = folder / "seedream.toml"
        self.lock_file = folder / "seedream.lock"
        self._run = run

    def __call__(
        self, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Result:
        return self._run("sync", *arguments, env=env, cwd=cwd or self.folder)

    def write(self, manifest: str) -> None:
        self.manifest.write_text(manifest, encoding="utf-8")

    def replace(self, old: str, new: str) -> None:
        """Edit the manifest."""
        text = self.manifest.read_text(encoding="utf-8")
        assert old in text
        self.write(text.replace(old, new))

    def settle(self, **values: Any) -> None:
        """Leave the files and the lock that a run on another machine would have left.

        ``values`` are those of the lock's lines.
        """
        entries = []
        for shade, image in enumerate(load(self.manifest).images(), 1):
            file = self.folder / image.wanted.path("png")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(shade=shade))
            given = {
                "name": image.name,
                "number": image.number,
                "digest": image.digest,
                "take": image.take,
                "path": image.wanted.path("png"),
                "sha256": hashlib.sha256(png(shade=shade)).hexdigest(),
                "task_id": f"task_{image.name}_{image.number}",
                "time": "2026-01-01T00:00:00Z",
            }
            entries.append(Entry(**{**given, **values}))
        self.lock_file.write_bytes(text_of(entries))

    @property
    def lock(self) -> dict[str, dict[str, Any]]:
        """The lock's lines in their order, by name and, from the second image of an asset on, number."""
        if not self.lock_file.exists():
            return {}
        lines = map(json.loads, self.lock_file.read_text(encoding="utf-8").splitlines())
        return {f"{one['name']}{one['number']}" if one["number"] > 1 else one["name"]: one for one in lines}

    def sha256(self, path: str) -> str:
        return hashlib.sha256((self.folder / path).read_bytes()).hexdigest()

    @property
    def files(self) -> list[str]:
        """Everything in the folder but manifest and lock."""
        own = (self.manifest, self.lock_file)
        found = (path for path in self.folder.rglob("*") if path.is_file() and path not in own)
        return sorted(path.relative_to(self.folder).as_posix() for path in found)


def states(result: Result) -> dict[str, str]:
    """The state of each image in a document of `sync --json`; keys are as those of `Project.lock`."""
    return {
        f"{image['name']}{image['number']}" if image["number"] > 1 else image["name"]: image["state"]
        for image in result.document["images"]
    }
