"""A home in which lines are completed: with tasks, profiles and files, and a `seedream` that keeps count."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

from support.program import Program
from support.tasks import operation

from seedream_cli.history.store import History
from seedream_cli.models import GenerationRequest, TaskStatus
from seedream_cli.settings.locations import DEFAULT_BASE_URL, SANDBOX_SERVICE

ROOT = Path(__file__).parents[2]
COMPLETIONS = ROOT / "completions"

#: A prompt in which a shell could find something to do.
PROMPT = "a fox: 16:9 [b] 100% $(touch done) `touch done` 'x' \"y\" {z} \\"

_COUNTING = """#!/bin/sh
echo "$@" >> "{log}"
exec "{python}" -m seedream_cli "$@"
"""


class Scene(Program):
    """``seedream`` on its PATH notes each of its calls."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._log = home / "calls"
        programs = home / "programs"
        programs.mkdir()
        for name in ("seedream", "apipod-seedream"):
            (programs / name).write_text(_COUNTING.format(log=self._log, python=sys.executable))
            (programs / name).chmod(0o755)
        self.environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        self._keep_tasks()
        self.config.parent.mkdir(parents=True)
        self.config.write_text('[profiles.default]\n[profiles."my work"]\n[profiles."it\'s:so"]\n')
        self.config.chmod(0o600)
        (self.cwd / "a prompt.md").touch()
        (self.cwd / "folder").mkdir()

    def _keep_tasks(self) -> None:
        history = History(self.state / "history.sqlite3", now=lambda: 1e9)
        request = GenerationRequest(prompt=PROMPT)
        for number, (service, task, status, delivered) in enumerate(
            [
                (DEFAULT_BASE_URL, "img_old", TaskStatus.COMPLETED, "-"),
                (SANDBOX_SERVICE, "img_trial", TaskStatus.PENDING, None),
                (DEFAULT_BASE_URL, "img_new", TaskStatus.PENDING, None),
                (DEFAULT_BASE_URL, None, TaskStatus.UNANSWERED, None),
            ]
        ):
            known: dict[str, Any] = {
                "task_id": task,
                "status": status,
                "delivered": delivered,
                "request": request,
            }
            name, created = f"op_0000000{number}", 1e9 + number
            history.record(operation(self.cwd, id=name, service=service, created=created, **known))
        history.close()

    def calls(self) -> list[str]:
        """The calls of the program since this was asked last."""
        found = self._log.read_text().splitlines() if self._log.exists() else []
        self._log.unlink(missing_ok=True)
        return found


def readme_line(shell: str) -> str:
    """The line with which README switches completion on."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines: list[str] = re.findall(rf"^.*seedream completion {shell}.*$", readme, re.MULTILINE)
    assert len(lines) == 1
    return lines[0].partition("  #")[0]
