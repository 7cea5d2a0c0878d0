"""A project folder on which `seedream sync` is run, and counts of the requests that it made."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from seedream_cli.sandbox.server import Sandbox
from seedream_cli.sync.lockfile import Entry, format_lockfile
from seedream_cli.sync.manifest import load_manifest

from .images import png
from .program import Result


@dataclass(frozen=True)
class RequestCounts:
    """Number of requests of each kind that a service received."""

    creates: int = 0
    statuses: int = 0
    images: int = 0


NOTHING = RequestCounts()


def asked(sandbox: Sandbox) -> RequestCounts:
    """Return the number of requests since the last call, and clear the record."""
    requests = sandbox.requests[:]
    sandbox.requests.clear()
    creates = sum(request.method == "POST" for request in requests)
    images = sum(request.origin == "image" for request in requests)
    return RequestCounts(creates, len(requests) - creates - images, images)


class Project:
    """A project folder. Calling it with options runs `seedream sync` there."""

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
        """Write the manifest."""
        self.manifest.write_text(manifest, encoding="utf-8")

    def replace(self, old: str, new: str) -> None:
        """Replace a text in the manifest."""
        text = self.manifest.read_text(encoding="utf-8")
        assert old in text
        self.write(text.replace(old, new))

    def settle(self, **values: Any) -> None:
        """Write the files and the lockfile of a finished run on another machine.

        ``values`` replace fields of each lockfile entry.
        """
        entries = []
        for shade, image in enumerate(load_manifest(self.manifest).images(), 1):
            file = self.folder / image.target.path("png")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png(shade=shade))
            given = {
                "name": image.name,
                "number": image.number,
                "digest": image.digest,
                "take": image.take,
                "path": image.target.path("png"),
                "sha256": hashlib.sha256(png(shade=shade)).hexdigest(),
                "task_id": f"task_{image.name}_{image.number}",
                "time": "2026-01-01T00:00:00Z",
            }
            entries.append(Entry(**{**given, **values}))
        self.lock_file.write_bytes(format_lockfile(entries))

    @property
    def lock(self) -> dict[str, dict[str, Any]]:
        """Return the lockfile's entries in their order, by name, and number if it is above 1."""
        if not self.lock_file.exists():
            return {}
        lines = map(json.loads, self.lock_file.read_text(encoding="utf-8").splitlines())
        return {f"{one['name']}{one['number']}" if one["number"] > 1 else one["name"]: one for one in lines}

    def sha256(self, path: str) -> str:
        return hashlib.sha256((self.folder / path).read_bytes()).hexdigest()

    @property
    def files(self) -> list[str]:
        """Return all files in the folder but the manifest and the lockfile."""
        own = (self.manifest, self.lock_file)
        found = (path for path in self.folder.rglob("*") if path.is_file() and path not in own)
        return sorted(path.relative_to(self.folder).as_posix() for path in found)


def states(result: Result) -> dict[str, str]:
    """Return the state of each image in a document of `sync --json`, with the keys of `Project.lock`."""
    return {
        f"{image['name']}{image['number']}" if image["number"] > 1 else image["name"]: image["state"]
        for image in result.document["images"]
    }
