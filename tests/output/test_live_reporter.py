"""Live reporter on a pseudo-terminal."""

from __future__ import annotations

import re
import sys
import threading
from collections.abc import Callable

import pytest
from rich.console import Console
from rich.live import Live
from support.images import png
from support.program import Program
from support.raw import Exchange, accepted, answer, success
from support.starting import StartRaw, StartSandbox
from support.terminal import Terminal

from seedream_cli.output.live_reporter import _StderrAboveDisplay

pytestmark = pytest.mark.slow

#: A frame of the spinner, then state, elapsed time and progress.
BLOCK = re.compile(r"^[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] (processing|pending) · \d+\.\d s · \d+%$")


@pytest.fixture
def service(seedream: Program, start_sandbox: StartSandbox) -> Callable[..., None]:
    """Function that starts a sandbox with slow tasks as the service."""

    def use(seconds: float = 0.6, **options: object) -> None:
        seedream.use(start_sandbox(seconds=seconds, **options).base_url)

    return use


Service = Callable[..., None]


def live_lines(terminal: Terminal) -> set[str]:
    """Return all lines with a spinner that were on the screen."""
    return {
        line for screen in terminal.screens for line in screen.split("\n") if line[:1] in set("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
    }


def test_live_display_shows_status_and_leaves_only_the_result(seedream: Program) -> None:
    columns = 40
    seedream.environment["SEEDREAM_SANDBOX_SECONDS"] = "0.6"
    arguments = ("generate", "a fox", "--sandbox", "-o", "fox.png")
    with Terminal(seedream, *arguments, columns=columns) as terminal:
        terminal.screen_until(lambda screen: BLOCK.match(screen.strip()))
        done = terminal.result()
    assert done.exit_code == 0
    path, summary = done.lines
    assert path == "fox.png"
    assert "0.035" in summary
    # A wrapped line would use a second row.
    for screen in terminal.screens:
        assert len([line for line in screen.split("\n") if "·" in line]) <= 1
    assert max(map(len, live_lines(terminal))) < columns
    assert done.raw.endswith(b"\r\n")
    assert done.raw.count(b"\x1b[?25h") == done.raw.count(b"\x1b[?25l"), "the cursor is shown again"


def test_live_display_truncates_long_error(seedream: Program, start_raw: StartRaw) -> None:
    server = start_raw(answer(429, {"message": "slow down " * 30}, headers={"Retry-After": "30"}))
    seedream.use(server.base_url)
    with Terminal(seedream, "generate", "a fox", columns=40) as terminal:
        terminal.screen_until(lambda screen: "…" in screen)
        rows = [[line for line in screen.split("\n") if line] for screen in terminal.screens]
        terminal.send(b"\x03")
        assert terminal.result().exit_code == 130
    assert max(map(len, rows)) == 1
    assert {len(row) for [row] in filter(None, rows)} <= set(range(40))


def test_closed_terminal_ends_program_quietly(seedream: Program, service: Service) -> None:
    service(3600)
    with Terminal(seedream, "generate", "a fox") as terminal:
        terminal.screen_until(lambda screen: "pending" in screen)
        assert terminal.hang_up() == 143


def test_live_display_shows_download_progress(seedream: Program, start_raw: StartRaw) -> None:
    image = png(200, 200)
    finish = threading.Event()

    def slowly(exchange: Exchange) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(image)}\r\nConnection: close\r\n\r\n"
        exchange.connection.sendall(head.encode() + image[:100])
        finish.wait(20)
        exchange.connection.sendall(image[100:])

    images = start_raw(slowly)
    url = f"{images.origin}/1.png"
    server = start_raw(accepted(), success({"status": "completed", "result": [url]}))
    seedream.use(server.base_url)
    with Terminal(seedream, "generate", "a fox", "-o", "fox.png") as terminal:
        terminal.screen_until(lambda screen: re.search(rf"downloading · .* of {len(image)} B", screen))
        finish.set()
        assert terminal.result().exit_code == 0
    assert (seedream.cwd / "fox.png").read_bytes() == image


def test_line_is_printed_if_display_is_removed_concurrently(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """With --verbose, a worker prints between the response to submit and its record in the history."""
    displays: list[Live | None] = [Live(console=Console(file=sys.stderr)), None]
    # The main thread removes the display after the worker has read the attribute once.
    monkeypatch.setattr(_StderrAboveDisplay, "live", property(lambda self: displays.pop(0)))
    _StderrAboveDisplay(colour=False).line("POST http://127.0.0.1/ → HTTP 200")
    assert "HTTP 200" in capsys.readouterr().err
