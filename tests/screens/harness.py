"""Harness of the golden screens: a home, a scripted fake API, and what a user sees of a run.

`_normalize` replaces everything that differs between runs.
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
from support.raw import Exchange, RawServer, answer, success
from support.terminal import Terminal

#: Id of the first task, in the format of the service. Later tasks count up from it.
TASK = "img_563d1f90c1535bfac57a354e"
#: Prompt of most scenarios.
PROMPT = "a red fox in snow"
MANIFEST = """
[assets.fox]
prompt = "a red fox in snow"

[assets.owl]
prompt = "a snowy owl"
aspect_ratio = "16:9"
"""
#: Homes have paths of the same length, so that a terminal wraps them at the same place in every run.
_HOME = re.compile(r"/tmp/home-\w{8}(?=/)")  # noqa: S108 - a name, not a file
_REPLACEMENTS: tuple[tuple[re.Pattern[str], str], ...] = (
    (_HOME, "/tmp/home-########"),  # noqa: S108
    (re.compile(r"\bop_[0-9a-z]{8}\b"), "op_########"),
    # Durations below two minutes, after a separator.
    (re.compile(r"(?<=[·,;] )\d{1,3}\.\d s(?=$|[\s,·])|(?<=not finished after )\d{1,3}\.\d s(?=:)"), "#.# s"),
    # The order of concurrent tasks is not defined.
    (re.compile(r"(?<=hero-)\d(?=\.png)"), "#"),
    # A frame of the spinner, before a status.
    (re.compile(r"[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏](?= \w)"), "⠋"),
)


def _normalize(text: str) -> str:
    """Replace what differs between runs by as many characters."""
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    return text


@dataclass
class Screenshot:
    """Content of a golden file. ``parts`` are titles and texts."""

    typed: str
    where: str
    exit_code: int | None
    parts: list[tuple[str, str]]
    #: Width of the terminal, and of the rules between the parts.
    columns: int = 80

    def page(self, name: str, promise: str) -> str:
        """Return the golden file: a head, and each part below a rule of the terminal's width."""
        ending = "it still runs" if self.exit_code is None else str(self.exit_code)
        head = [name, "", *(f"  {line.strip()}" for line in promise.strip().splitlines()), ""]
        head += [f"  typed      {self.typed}", f"  where      {self.where}", f"  exit code  {ending}"]
        lines = [line.rstrip() for line in head]
        for title, text in self.parts:
            lines += ["", f"── {title} ".ljust(self.columns, "─"), *text.splitlines()]
        return "\n".join(lines) + "\n"


@dataclass
class ScriptedService:
    """Fake API that answers polls of a task with ``states`` in turn, and repeats the last one."""

    #: False: create requests get no response.
    accepts: bool = True
    states: list[dict[str, object]] = field(
        default_factory=lambda: [
            {"status": "pending", "progress": 4},
            {"status": "processing", "progress": 41},
            {"status": "completed"},
        ]
    )
    #: Final state of the first task, instead of the last of ``states``.
    first_ends: dict[str, object] | None = None
    #: Until it is set, only the first task ends.
    others: threading.Event = field(default_factory=threading.Event)
    _tasks: dict[str, list[dict[str, object]]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def serving(self) -> Iterator[str]:
        """Serve requests in the block, and return the base URL."""
        with RawServer([self._serve]) as server:
            self._origin = server.origin
            # With this path the program takes it for the sandbox, and shows no port.
            yield f"{server.origin}/sandbox/v1"

    def stays(self, status: str, progress: int) -> None:
        """Keep all tasks in this state."""
        self.states = [{"status": status, "progress": progress}]

    def _serve(self, exchange: Exchange) -> None:
        request = exchange.request
        if request.method == "POST":
            if not self.accepts:
                exchange.closed.wait(60)
                return
            reply = success({"task_id": self._begin()}, headers={"X-Request-Cost": "0.035", **_request_id(1)})
        elif "/images/status/" in request.path:
            task = request.path.rpartition("/")[2]
            states = self._tasks[task]
            more = len(states) > (2 if self._is_held(task) else 1)
            state = states.pop(0) if more else states[0]
            links = [f"{self._origin}/results/1.png"]
            result = {"result": links} if state["status"] == "completed" else {}
            reply = success({"task_id": task, **state, **result}, headers=_request_id(2))
        else:
            reply = answer(200, png(), headers={"Content-Type": "image/png"})
        exchange.connection.sendall(reply)

    def _is_held(self, task: str) -> bool:
        """Return True if this task must not end yet, because the first one has to end before it."""
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
    """The program on a terminal, as its user sees it."""

    def __init__(self, terminal: Terminal, typed: str, where: str) -> None:
        self._terminal = terminal
        self._typed = typed
        self._where = where

    def until(self, words: str) -> bytes:
        """Wait until these words are on the screen. Return all bytes received until then."""
        raw = b""

        def shown(screen: str) -> bool:
            nonlocal raw
            # Neither an earlier screen, nor a line that is only half drawn.
            raw = self._terminal.raw
            return words in screen and screen is self._terminal.screen

        self._terminal.screen_until(shown)
        return raw

    def type(self, keys: str) -> None:
        self._terminal.send(keys.encode())

    def now(self, words: str) -> Screenshot:
        """Return the screenshot when these words appear."""
        return self._seen(self.until(words), None)

    def end(self, *earlier: bytes) -> Screenshot:
        """Wait for the end, and return the screenshot with the shell's next prompt.

        ``earlier`` are the bytes of earlier screens, which are shown before it.
        """
        done = self._terminal.result()
        seen = self._seen(done.raw, done.exit_code)
        before = [("the screen then", self._drawn(raw)) for raw in earlier]
        return Screenshot(seen.typed, seen.where, seen.exit_code, [*before, *seen.parts], seen.columns)

    def _seen(self, raw: bytes, exit_code: int | None) -> Screenshot:
        ended = exit_code is not None
        screen = self._render(raw, ended)
        parts = [("the screen", _text(screen)), ("its styles", _styles(screen, raw))]
        return Screenshot(self._typed, self._where, exit_code, parts, self._terminal.columns)

    def _drawn(self, raw: bytes) -> str:
        return _text(self._render(raw, ended=False))

    def _render(self, raw: bytes, ended: bool) -> pyte.Screen:
        screen = pyte.Screen(self._terminal.columns, 80)
        text = _normalize(raw.decode("utf-8", "backslashreplace"))
        # A shell writes its prompt at the cursor.
        pyte.Stream(screen).feed(text + ("$" if ended else ""))
        return screen


def _text(screen: pyte.Screen) -> str:
    return "\n".join(line.rstrip() for line in screen.display).rstrip("\n")


def _styles(screen: pyte.Screen, raw: bytes) -> str:
    """List all styled characters, and other lasting changes of the terminal."""
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


class Harness:
    """Home and service of one scenario. ``service`` must be set up before the program is started."""

    def __init__(self, home: Path, running: ExitStack) -> None:
        self.program = Program(home)
        self.program.environment |= {"LANG": "C.UTF-8"}
        self.service = ScriptedService()
        self._running = running

    def with_a_key(self) -> None:
        """Start the service, and set an API key for it."""
        self.program.use(self._running.enter_context(self.service.serving()))

    def with_a_manifest(self) -> None:
        """Write a manifest with two images."""
        (self.program.cwd / "seedream.toml").write_text(MANIFEST)

    @contextmanager
    def terminal(self, *words: str, columns: int = 80, **environment: str) -> Iterator[Screen]:
        """Run `seedream` with these arguments on a terminal."""
        with Terminal(self.program, *words, columns=columns, env=environment) as terminal:
            yield Screen(terminal, _typed(words, environment), f"a terminal of {columns} columns")

    def pipe(self, *words: str) -> Screenshot:
        """Run `seedream` with these arguments and pipes for all three streams."""
        done = self.program(*words)
        parts = [("stdout", _normalize(done.stdout)), ("stderr", _normalize(done.stderr))]
        return Screenshot(_typed(words, {}), "pipes", done.exit_code, parts)


def _typed(words: tuple[str, ...], environment: Mapping[str, str]) -> str:
    return " ".join(
        [*(f"{name}={value}" for name, value in environment.items()), shlex.join(["seedream", *words])]
    )


@contextmanager
def harness() -> Iterator[Harness]:
    """Create a harness in a home whose path has a fixed length."""
    with tempfile.TemporaryDirectory(prefix="home-", dir="/tmp") as home, ExitStack() as running:
        yield Harness(Path(home), running)


#: Runs a scenario. Its docstring says what the screen must show and why.
Scenario = Callable[[Harness], Screenshot]
