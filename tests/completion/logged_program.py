"""A home folder for completion: with tasks, profiles and files, and a `seedream` that logs its calls."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

from support.program import Program
from support.tasks import operation

from seedream_cli.history.store import History
from seedream_cli.models import GenerationRequest, TaskStatus
from seedream_cli.settings.locations import DEFAULT_BASE_URL, SANDBOX_SERVICE

ROOT = Path(__file__).parents[2]
COMPLETIONS = ROOT / "completions"

#: A prompt with everything that a shell might expand or run.
PROMPT = "a fox: 16:9 [b] 100% $(touch done) `touch done` 'x' \"y\" {z} \\"

_LOGGING_SCRIPT = """#!/bin/sh
echo "$@" >> "{log}"
exec "{python}" -m seedream_cli "$@"
"""


class LoggedProgram(Program):
    """The program in a home with tasks and profiles. `seedream` on its PATH logs each call."""

    def __init__(self, home: Path) -> None:
        super().__init__(home)
        self._log = home / "calls"
        programs = home / "programs"
        programs.mkdir()
        for name in ("seedream", "apipod-seedream"):
            (programs / name).write_text(_LOGGING_SCRIPT.format(log=self._log, python=sys.executable))
            (programs / name).chmod(0o755)
        self.environment |= {"PATH": f"{programs}:{os.environ['PATH']}", "LC_ALL": "C.UTF-8"}
        self._record_tasks()
        self.write_config('[profiles.default]\n[profiles."my work"]\n[profiles."it\'s:so"]\n')
        (self.cwd / "a prompt.md").touch()
        (self.cwd / "folder").mkdir()

    def _record_tasks(self) -> None:
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
            history.record(
                operation(
                    self.cwd,
                    id=f"op_0000000{number}",
                    service=service,
                    created=1e9 + number,
                    task_id=task,
                    status=status,
                    delivered=delivered,
                    request=request,
                )
            )
        history.close()

    def calls(self) -> list[str]:
        """Return the arguments of each call since the last use of this method."""
        calls = self._log.read_text().splitlines() if self._log.exists() else []
        self._log.unlink(missing_ok=True)
        return calls


def readme_line(shell: str) -> str:
    """Return the line of the README that enables completion."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    lines: list[str] = re.findall(rf"^.*seedream completion {shell}.*$", readme, re.MULTILINE)
    assert len(lines) == 1
    return lines[0].partition("  #")[0]
