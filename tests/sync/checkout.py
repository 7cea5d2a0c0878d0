"""A checkout of a project on a machine of its own, and `seedream sync` as processes in it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from support.forked import ForkServer, Point, Run
from support.program import Program, Result
from support.project import Project


class Checkout(Project):
    """``home`` is the machine's, on which the project is in ``folder``."""

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
        """Start `seedream sync` and go on; ``act`` is done when it is stopped ``at`` a point."""
        return Run(
            self._fork_server,
            ["sync", *arguments],
            env={**self.program.environment, **(env or {})},
            cwd=self.folder,
            at=at,
            act=act,
            # Nothing here is silent for long but where that is the test.
            patience=20.0,
        )

    def command(
        self, command: str, *arguments: str, env: Mapping[str, str] | None = None, cwd: Path | None = None
    ) -> Result:
        """Run any command to its end."""
        environment = {**self.program.environment, **(env or {})}
        words = [command, *arguments]
        return Run(self._fork_server, words, env=environment, cwd=cwd or self.folder, patience=20.0).result()

    def status(self) -> list[dict[str, Any]]:
        """What `seedream status` knows, the newest first."""
        tasks: list[dict[str, Any]] = self.command("status", "--json").document["tasks"]
        return tasks

    def lines(self) -> list[dict[str, Any]]:
        """The lock's, in their order."""
        if not self.lock_file.exists():
            return []
        return [json.loads(line) for line in self.lock_file.read_text(encoding="utf-8").splitlines()]

    def disagreements(self) -> list[str]:
        """Lines of the lock whose file is not there, or has other bytes."""
        return [line["path"] for line in self.lines() if not self._agrees(line)]

    def _agrees(self, line: Mapping[str, str]) -> bool:
        file = self.folder / line["path"]
        return file.is_file() and line["sha256"] == hashlib.sha256(file.read_bytes()).hexdigest()

    def temporary(self) -> list[str]:
        """Temporary files that were left behind."""
        return sorted(path.name for path in self.folder.rglob(".*.part"))
