"""Where a moment is played: a home, a service that keeps to a script, and what can be seen of a run.

What differs from run to run is made the same here, and only here: `_steady` has all of it.
"""

from __future__ import annotations

import re
import shlex
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyte
from support.images import png
from support.program import Program
from support.raw import HttpCall, RawServer, answer, success
from support.terminal import Terminal

#: The first task's id, of the kind and the length that the service gives; the others count on from it.
TASK = "img_563d1f90c1535bfac57a354e"
#: The command that most moments begin with.
PROMPT = "a red fox in snow"
MANIFEST = """
[assets.fox]
prompt = "a red fox in snow"

[assets.owl]
prompt = "a snowy owl"
aspect_ratio = "16:9"
"""
#: Homes are of one length: a terminal wraps their paths at the same place in every run.
_HOME = re.compile(r"/tmp/home-\w{8}(?=/)")  # noqa: S108 - a name, not a file
_STEADY: tuple[tuple[re.Pattern[str], str], ...] = (
    (_HOME, "/tmp/home-########"),  # noqa: S108
    (re.compile(r"\bop_[0-9a-z]{8}\b"), "op_########"),
    # Less than two minutes; behind what it is the duration of.
    (re.compile(r"(?<=[·,;] )\d{1,3}\.\d s(?=$|[\s,·])|(?<=not finished after )\d{1,3}\.\d s(?=:)"), "#.# s"),
    # Which of several tasks comes first is open.
    (re.compile(r"(?<=hero-)\d(?=\.png)"), "#"),
    # A frame of the spinner, in front of what goes on.
    (re.compile(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏](?= \w)"), "⠋"),
)


def _steady(text: str) -> str:
    """The text with what differs from run to run replaced, by as many characters."""
    for pattern, instead in _STEADY:
        text = pattern.sub(instead, text)
    return text


@dataclass
class Seen:
    """What a moment left to be seen: ``parts`` are titles and texts."""

    typed: str
    where: str
    exit_code: int | None
    parts: list[tuple[str, str]]
    #: Columns of the terminal, and of the rules between the parts.
    columns: int = 80

    def page(self, name: str, promise: str) -> str:
        """The golden file: a head, then each part below a rule that is as wide as the terminal."""
        ending = "it still runs" if self.exit_code is None else str(self.exit_code)
        head = [name, "", *(f"  {line.strip()}" for line in promise.strip().splitlines()), ""]
        head += [f"  typed      {self.typed}", f"  where      {self.where}", f"  exit code  {ending}"]
        lines = [line.rstrip() for line in head]
        for title, text in self.parts:
            lines += ["", f"── {title} ".ljust(self.columns, "─"), *text.splitlines()]
        return "\n".join(lines) + "\n"


@dataclass
class Service:
    """Answers each poll of a task with the next of ``states``, and with the last one for ever."""

    #: Whether the answer to a create ever comes.
    accepts: bool = True
    states: list[dict[str, object]] = field(
        default_factory=lambda: [
            {"status": "pending", "progress": 4},
            {"status": "processing", "progress": 41},
            {"status": "completed"},
        ]
    )
    #: What the first task comes to instead.
    first_ends: dict[str, object] | None = None
    #: Until it is set, only the first task comes to its end.
    others: threading.Event = field(default_factory=threading.Event)
    _tasks: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Its base URL, while it answers."""
        with RawServer([self._serve]) as server:
            self._origin = server.origin
            # The program takes whoever is found there for the sandbox, and shows no port.
            yield f"{server.origin}/sandbox/v1"

    def stays(self, status: str, progress: int) -> None:
        """No task ever comes further."""
        self.states = [{"status": status, "progress": progress}]

    def _serve(self, exchange: HttpCall) -> None:
        request = exchange.request
        if request.method == "POST":
            if not self.accepts:
                exchange.closed.wait(60)
                return
            reply = success({"task_id": self._begin()}, headers={"X-Request-Cost": "0.035", **_request_id(1)})
        elif "/images/status/" in request.path:
            task = request.path.rpartition("/")[2]
            states = self._tasks[task]
            more = len(states) > (2 if self._waits(task) else 1)
            state = states.pop(0) if more else states[0]
            links = [f"{self._origin}/results/1.png"]
            result = {"result": links} if state["status"] == "completed" else {}
            reply = success({"task_id": task, **state, **result}, headers=_request_id(2))
        else:
            reply = answer(200, png(), headers={"Content-Type": "image/png"})
        exchange.connection.sendall(reply)

    def _waits(self, task: str) -> bool:
        """Whether this task's end has to come after the first one's, as it is told."""
        return self.first_ends is not None and task != TASK and not self.others.is_set()

    def _begin(self) -> str:
        with self._lock:
            number = len(self._tasks)
            task = f"{TASK[:-2]}{int(TASK[-2:], 16) + number:02x}"
            states = list(self.states)
            if self.first_ends is not None and number == 0:
                states[-1] = self.first_ends
            self._tasks[task] = states
        return task


def _request_id(number: int) -> dict[str, str]:
    return {"X-Request-ID": f"req_{number:024x}"}


class Screen:
    """The program on a terminal, as whoever sits before it sees it."""

    def __init__(self, terminal: Terminal, typed: str, where: str) -> None:
        self._terminal = terminal
        self._typed = typed
        self._where = where

    def until(self, words: str) -> bytes:
        """Wait until these words stand on the screen; all bytes that came by then."""
        raw = b""

        def shown(screen: str) -> bool:
            nonlocal raw
            # Not a screen that has gone already, nor a line that is only half drawn.
            raw = self._terminal.raw
            return words in screen and screen is self._terminal.screen

        self._terminal.screen_until(shown)
        return raw

    def type(self, keys: str) -> None:
        self._terminal.send(keys.encode())

    def now(self, words: str) -> Seen:
        """What is seen once these words stand there."""
        return self._seen(self.until(words), None)

    def end(self, *earlier: bytes) -> Seen:
        """What is left at the end, with the shell’s next prompt; before it, what was seen ``earlier``."""
        done = self._terminal.result()
        seen = self._seen(done.raw, done.exit_code)
        before = [("the screen then", self._drawn(raw)) for raw in earlier]
        return Seen(seen.typed, seen.where, seen.exit_code, [*before, *seen.parts], seen.columns)

    def _seen(self, raw: bytes, exit_code: int | None) -> Seen:
        ended = exit_code is not None
        screen = self._render(raw, ended)
        parts = [("the screen", _text(screen)), ("its styles", _styles(screen, raw))]
        return Seen(self._typed, self._where, exit_code, parts, self._terminal.columns)

    def _drawn(self, raw: bytes) -> str:
        return _text(self._render(raw, ended=False))

    def _render(self, raw: bytes, ended: bool) -> pyte.Screen:
        screen = pyte.Screen(self._terminal.columns, 80)
        text = _steady(raw.decode("utf-8", "backslashreplace"))
        # A shell writes its prompt where the cursor was left.
        pyte.Stream(screen).feed(text + ("$" if ended else ""))
        return screen


def _text(screen: pyte.Screen) -> str:
    return "\n".join(line.rstrip() for line in screen.display).rstrip("\n")


def _styles(screen: pyte.Screen, raw: bytes) -> str:
    """Every run of characters that is not as all others are, and what the terminal is left with."""
    found = []
    for row in range(screen.lines):
        runs: list[tuple[str, str]] = []
        for column in range(screen.columns):
            cell = screen.buffer[row][column]
            style = _style(cell)
            if runs and runs[-1][0] == style:
                runs[-1] = (style, runs[-1][1] + cell.data)
            else:
                runs.append((style, cell.data))
        found += [
            f"line {row + 1}: {style} “{text.strip()}”" for style, text in runs if style and text.strip()
        ]
    if screen.cursor.hidden:
        found.append("the cursor is hidden")
    if not found and b"\x1b" not in raw:
        found.append("none, and no control sequence was sent")
    elif not re.search(rb"\x1b\[[\d;]*m", raw):
        found.append("none, and nothing that asks for one was sent")
    elif not found:
        found.append("none")
    return "\n".join(found)


def _style(cell: pyte.screens.Char) -> str:
    colour = {"default": "", "brown": "yellow"}.get(cell.fg, cell.fg)
    ground = f"on {cell.bg}" if cell.bg != "default" else ""
    marks = [name for name in ("bold", "italics", "underscore", "reverse") if getattr(cell, name)]
    return " ".join(filter(None, [*marks, colour, ground]))


class Stage:
    """One moment's own; ``service`` is to be set up before the program is started."""

    def __init__(self, home: Path, running: ExitStack) -> None:
        self.program = Program(home)
        self.program.environment |= {"LANG": "C.UTF-8"}
        self.service = Service()
        self._running = running

    def with_a_key(self) -> None:
        """The service is up, and there is a key for it."""
        self.program.use(self._running.enter_context(self.service.serving()))

    def with_a_manifest(self) -> None:
        """A project that wants two images."""
        (self.program.cwd / "seedream.toml").write_text(MANIFEST)

    @contextmanager
    def terminal(self, *words: str, columns: int = 80, **environment: str) -> Iterator[Screen]:
        """`seedream` with these words typed at a terminal."""
        with Terminal(self.program, *words, columns=columns, env=environment) as terminal:
            yield Screen(terminal, _typed(words, environment), f"a terminal of {columns} columns")

    def pipe(self, *words: str) -> Seen:
        """`seedream` with these words where nobody sits: all three streams are pipes."""
        done = self.program(*words)
        parts = [("stdout", _steady(done.stdout)), ("stderr", _steady(done.stderr))]
        return Seen(_typed(words, {}), "pipes", done.exit_code, parts)


def _typed(words: tuple[str, ...], environment: Mapping[str, str]) -> str:
    return " ".join(
        [*(f"{name}={value}" for name, value in environment.items()), shlex.join(["seedream", *words])]
    )


@contextmanager
def stage() -> Iterator[Stage]:
    """A stage in a home whose path is as long as any other's."""
    with tempfile.TemporaryDirectory(prefix="home-", dir="/tmp") as home, ExitStack() as running:
        yield Stage(Path(home), running)


#: Plays a moment; its docstring says what has to be seen and why.
Moment = Callable[[Stage], Seen]
