"""A home, a fake API and a program, and their state after a run."""

from __future__ import annotations

import contextlib
import pkgutil
import shlex
import sqlite3
import subprocess
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from support.fork_server import NO_NAMES
from support.forked import ForkServer, Point, Run
from support.program import Program, Result
from support.service import Fault, FaultRule, Service

Action = Callable[["Scenario"], None]

#: Points of the program where a run can be stopped, in the order in which they are reached.
START: Point = ("seedream_cli.cli:run", 1)
INTENT_RECORDED: Point = ("seedream_cli.api.client:Client.submit", 1)
RESPONSE_UNRECORDED: Point = ("seedream_cli.tasks.submit:_mark_accepted", 1)
RESULT_RECEIVED: Point = ("seedream_cli.tasks.download:save_results", 1)
FILE_UNRECORDED: Point = ("seedream_cli.files.partial_file:PartialFile.sha256", 1)


@dataclass(frozen=True)
class Expected:
    """Outcome of a run, as a row of the fault table expects it."""

    exit_code: int
    tasks: int
    #: Number of files that contain the image of a task.
    images: int
    #: Status of the operation in the history, or "saved" if its image is recorded there.
    history: str
    #: The command that the error message suggests: "generate --resume", "download", "mv", or "-" for none.
    resume: str


class Scenario:
    """A home with an empty folder `out`, where the image will be saved as `fox.png`."""

    def __init__(self, fork_server: ForkServer, home: Path, service: Service) -> None:
        self.service = service
        self.program = Program(home)
        del self.program.environment["SEEDREAM_POLL_INTERVAL"]
        self.program.environment["SEEDREAM_TIMEOUT"] = "45"
        self.program.environment[NO_NAMES] = str(home / "no-names")
        # A name instead of an address, so that its resolution can fail.
        service.host = "localhost"
        self.program.use(service.base_url)
        self.folder = self.program.cwd / "out"
        self.folder.mkdir()
        self.history = self.program.state / "history.sqlite3"
        self.running: Run | None = None
        #: Real seconds after which the program gives up on a silent peer.
        self.patience = 5.0
        self._fork_server = fork_server
        #: Callbacks that undo the changes of the machine.
        self.repairs = ExitStack()
        self._server = ExitStack()

    def __enter__(self) -> Self:
        self._server.enter_context(self.service.server)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.repair()
        self._server.close()

    def inject(self, stage: str, fault: Fault, first: int = 1, times: int | None = None) -> None:
        """Replace responses of a stage of the service by a fault; see :class:`FaultRule`."""
        self.service.fault_rules.append(FaultRule(stage, fault, first, times))

    def generate(self, *options: str, at: Point | None = None, action: Action | None = None) -> Result:
        return self.run("generate", "a red fox", "-o", "out/fox.png", *options, at=at, action=action)

    def run(
        self, *arguments: str, at: Point | None = None, action: Action | None = None, clock: float = 0.0
    ) -> Result:
        """Run the program to its end. ``action`` is performed when it is stopped at the point ``at``."""
        return self.start(*arguments, at=at, action=action, clock=clock).result()

    def start(
        self, *arguments: str, at: Point | None = None, action: Action | None = None, clock: float = 0.0
    ) -> Run:
        if at is not None and ":" in at[0]:
            # Check that the function exists: a renamed one would never be reached, and the test would pass.
            pkgutil.resolve_name(at[0])
        self.running = Run(
            self._fork_server,
            arguments,
            env=self.program.environment,
            cwd=self.program.cwd,
            at=at,
            act=lambda run: action(self) if action is not None else None,
            clock=clock,
            patience=self.patience,
        )
        return self.running

    def repair(self) -> None:
        """End all faults of the service and the machine."""
        self.service.fault_rules.clear()
        self.repairs.close()

    def outcome(self, result: Result) -> Expected:
        """Return the outcome of a run, for comparison with the expected one."""
        return Expected(
            exit_code=result.exit_code,
            tasks=len(self.service.tasks),
            images=len(self.images()),
            history=self.state(),
            resume=self._resume_of(result),
        )

    def images(self) -> list[Path]:
        """Return all files with the image of a task, under any name."""
        paid_for = {task.image for task in self.service.tasks}
        found = sorted(self.program.cwd.parent.rglob("*"))
        return [path for path in found if path.is_file() and path.read_bytes() in paid_for]

    def parts(self) -> list[Path]:
        """Return temporary files that were not removed."""
        return sorted(self.program.cwd.rglob(".*"))

    def state(self) -> str:
        """Return the status of the only operation in the history."""
        rows = self.rows()
        if not rows:
            return "nothing"
        assert len(rows) == 1, rows
        return rows[0]

    def rows(self) -> list[str]:
        """Return the status of each operation in the history."""
        if not self.history.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.history)) as db:
            try:
                query = "SELECT status, id IN (SELECT operation FROM files) FROM operations"
                return ["saved" if saved else str(status) for status, saved in db.execute(query)]
            except sqlite3.DatabaseError as error:
                return [] if "no such table" in str(error) else ["unreadable"]

    def operation_id(self) -> str:
        """Return the id of the only operation."""
        (task,) = self.run("status", "--json").document["tasks"]
        return str(task["operation"])

    def _resume_of(self, result: Result) -> str:
        if "--resume" in result.stderr:
            return "generate --resume"
        if "seedream download" in result.stderr:
            return "download"
        return "mv" if "mv " in result.stderr else "-"

    def follow(self, result: Result) -> Result:
        """Run the command that the error message ends with."""
        *_, last = result.stderr.strip().splitlines()
        commands = [shlex.split(command) for command in last.split(" && ")]
        done = result
        for words in commands:
            if words[0] == "mv":
                subprocess.run(words, check=True)
            elif words[0] != "unset" and words[1] != "config":
                # Commands that change the key are skipped: the test has set a valid one.
                assert words[0] == "seedream", last
                done = self.run(*words[1:])
        return done
