"""One home, one service, one program, and what is true of them after a run."""

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

from support.forked import Point, Run, Zygote
from support.program import Program, Result
from support.service import Service
from support.zygote import NO_NAMES

Act = Callable[["Scene"], None]

#: Where in the program a run can be stopped, in the order in which a paid image passes.
START: Point = ("seedream_cli.cli:run", 1)
INTENT_RECORDED: Point = ("seedream_cli.api.client:Client.submit", 1)
ANSWER_UNRECORDED: Point = ("seedream_cli.tasks.submit:_mark_accepted", 1)
RESULT_RECEIVED: Point = ("seedream_cli.tasks.download:save_results", 1)
FILE_UNRECORDED: Point = ("seedream_cli.files.partial_file:PartialFile.sha256", 1)


@dataclass(frozen=True)
class Truth:
    """What a row of the table says of a run."""

    exit_code: int
    tasks: int
    #: Files that hold the image of a task.
    images: int
    #: The operation's state in the history; "saved" once its image is.
    history: str
    #: What the message tells to run: "generate --resume", "download", or nothing of these.
    resume: str


class Scene:
    """A home with an empty folder `out`, in which the image is wanted as `fox.png`."""

    def __init__(self, zygote: Zygote, home: Path, service: Service) -> None:
        self.service = service
        self.program = Program(home)
        del self.program.environment["SEEDREAM_POLL_INTERVAL"]
        self.program.environment["SEEDREAM_TIMEOUT"] = "45"
        self.program.environment[NO_NAMES] = str(home / "no-names")
        # By a name, so that it can be one that nobody knows.
        service.host = "localhost"
        self.program.use(service.base_url)
        self.folder = self.program.cwd / "out"
        self.folder.mkdir()
        self.history = self.program.state / "history.sqlite3"
        self.running: Run | None = None
        #: Real seconds after which the program gives a silent peer up: short where one is to be silent.
        self.patience = 5.0
        self._zygote = zygote
        #: What puts the machine in order again.
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

    def generate(self, *options: str, at: Point | None = None, act: Act | None = None) -> Result:
        return self.run("generate", "a red fox", "-o", "out/fox.png", *options, at=at, act=act)

    def run(
        self, *arguments: str, at: Point | None = None, act: Act | None = None, clock: float = 0.0
    ) -> Result:
        """Run the program to its end; ``act`` is done when it is stopped ``at`` that point."""
        return self.start(*arguments, at=at, act=act, clock=clock).result()

    def start(
        self, *arguments: str, at: Point | None = None, act: Act | None = None, clock: float = 0.0
    ) -> Run:
        if at is not None and ":" in at[0]:
            # A function that has another name now would never be reached: nothing would happen to the run.
            pkgutil.resolve_name(at[0])
        self.running = Run(
            self._zygote,
            arguments,
            env=self.program.environment,
            cwd=self.program.cwd,
            at=at,
            act=lambda run: act(self) if act is not None else None,
            clock=clock,
            patience=self.patience,
        )
        return self.running

    def repair(self) -> None:
        """The service is well again and so is the machine."""
        self.service.strikes.clear()
        self.repairs.close()

    def truth(self, result: Result) -> Truth:
        return Truth(
            exit_code=result.exit_code,
            tasks=len(self.service.tasks),
            images=len(self.images()),
            history=self.state(),
            resume=self._resume_of(result),
        )

    def images(self) -> list[Path]:
        """Every file that holds a task's image, whatever its name."""
        paid_for = {task.image for task in self.service.tasks}
        found = sorted(self.program.cwd.parent.rglob("*"))
        return [path for path in found if path.is_file() and path.read_bytes() in paid_for]

    def parts(self) -> list[Path]:
        """Temporary files that were left behind."""
        return sorted(self.program.cwd.rglob(".*"))

    def state(self) -> str:
        """The only operation's state, as the history has it."""
        rows = self.rows()
        if not rows:
            return "nothing"
        assert len(rows) == 1, rows
        return rows[0]

    def rows(self) -> list[str]:
        """All operations' states."""
        if not self.history.exists():
            return []
        with contextlib.closing(sqlite3.connect(self.history)) as db:
            try:
                query = "SELECT status, id IN (SELECT operation FROM files) FROM operations"
                return ["saved" if saved else str(status) for status, saved in db.execute(query)]
            except sqlite3.DatabaseError as error:
                return [] if "no such table" in str(error) else ["unreadable"]

    def operation_id(self) -> str:
        """Of the only operation."""
        (task,) = self.run("status", "--json").document["tasks"]
        return str(task["operation"])

    def _resume_of(self, result: Result) -> str:
        if "--resume" in result.stderr:
            return "generate --resume"
        if "seedream download" in result.stderr:
            return "download"
        return "mv" if "mv " in result.stderr else "-"

    def follow(self, result: Result) -> Result:
        """Run the command that the message ends with."""
        *_, last = result.stderr.strip().splitlines()
        commands = [shlex.split(command) for command in last.split(" && ")]
        done = result
        for words in commands:
            if words[0] == "mv":
                subprocess.run(words, check=True)
            elif words[0] != "unset" and words[1] != "config":
                # The key is a good one by now.
                assert words[0] == "seedream", last
                done = self.run(*words[1:])
        return done
