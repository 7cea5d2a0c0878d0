"""A checkout of a project, in which `seedream sync` runs as a process."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .forked import ForkServer, Point, Run
from .program import Program, Result
from .project import Project

#: The type of the fixture `new_checkout`.
NewCheckout = Callable[..., "Checkout"]


class Checkout(Project):
    """The project in ``folder``, used by a machine whose home is ``home``."""

    def __init__(
        self, fork_server: ForkServer, home: Path, base_url: str, folder: Path | None = None
    ) -> None:
        self.program = Program(home)
        self.program.use(base_url)
        self._fork_server = fork_server
        super().__init__(self.command, folder or self.program.cwd)

    def start(
        self,
        *arguments: str,
        at: Point | None = None,
        act: Callable[[Run], None] = lambda run: None,
        env: Mapping[str, str] | None = None,
    ) -> Run:
        """Start `seedream sync` in the background. ``act`` is called while it is paused ``at`` a point."""
        return Run(
            self._fork_server,
            ["sync", *arguments],
            env={**self.program.environment, **(env or {})},
            cwd=self.folder,
            at=at,
            act=act,
            # Longer than any wait in a run, unless the test makes it hang.
            patience=20.0,
        )

    def command(
        self, command: str, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Result:
        """Run any command and wait for its end."""
        environment = {**self.program.environment, **(env or {})}
        words = [command, *arguments]
        return Run(self._fork_server, words, env=environment, cwd=cwd or self.folder, patience=20.0).result()

    def entries(self) -> list[dict[str, Any]]:
        """Return the lockfile's lines in their order, duplicates included."""
        if not self.lock_file.exists():
            return []
        return [json.loads(line) for line in self.lock_file.read_text(encoding="utf-8").splitlines()]

    def mismatched_files(self) -> list[str]:
        """Return the paths of lockfile entries whose file is missing or has other bytes."""

        def matches(entry: Mapping[str, str]) -> bool:
            file = self.folder / entry["path"]
            return file.is_file() and entry["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()

        return [entry["path"] for entry in self.entries() if not matches(entry)]

    def partial_files(self) -> list[str]:
        """Return the names of partial files that are in the project."""
        return sorted(path.name for path in self.folder.rglob(".*.part"))

    def is_consistent(self) -> bool:
        """Return True if every lockfile entry has its file, and no partial file is left."""
        return (self.mismatched_files(), self.partial_files()) == ([], [])
