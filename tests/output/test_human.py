"""The live block, as it is seen on a real terminal."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support.images import png
from support.program import Program
from support.raw import Exchange, accepted, answer, success
from support.starting import StartRaw, StartSandbox
from support.terminal import Terminal

from seedream_cli.sandbox.server import Sandbox

#: A frame of the spinner, then state, elapsed time and progress.
BLOCK = re.compile(r"^[⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏] (processing|pending) · \d+\.\d s · \d+%$")


@pytest.fixture
def service(seedream: Program, start_sandbox: StartSandbox) -> Callable[..., None]:
    """Makes a sandbox whose tasks take a moment the service."""

    def use(seconds: float = 0.6, **options: object) -> None:
        seedream.use(start_sandbox(seconds=seconds, **options).base_url)

    return use


Service = Callable[..., None]


def live_lines(terminal: Terminal) -> set[str]:
    return {
        line for screen in terminal.screens for line in screen.split("\n") if line[:1] in set("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
    }


def test_state_elapsed_time_and_progress_are_seen_and_only_the_answer_stays(seedream: Program) -> None:
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
    # One row at a time: never is there a second one, which a wrapped line would make.
    for screen in terminal.screens:
        assert len([line for line in screen.split("\n") if "·" in line]) <= 1
    assert max(map(len, live_lines(terminal))) < columns
    assert done.raw.endswith(b"\r\n")
    assert done.raw.count(b"\x1b[?25h") == done.raw.count(b"\x1b[?25l"), "the cursor is shown again"


def test_a_long_reason_for_waiting_is_cut_and_not_wrapped(seedream: Program, start_raw: StartRaw) -> None:
    server = start_raw(answer(429, {"message": "slow down " * 30}, headers={"Retry-After": "30"}))
    seedream.use(server.base_url)
    with Terminal(seedream, "generate", "a fox", columns=40) as terminal:
        terminal.screen_until(lambda screen: "…" in screen)
        rows = [[line for line in screen.split("\n") if line] for screen in terminal.screens]
        terminal.send(b"\x03")
        assert terminal.result().exit_code == 130
    assert max(map(len, rows)) == 1
    assert {len(row) for [row] in filter(None, rows)} <= set(range(40))


def test_an_answer_that_goes_elsewhere_leaves_the_summary_alone(
    seedream: Program, service: Service, tmp_path: Path
) -> None:
    service()
    file = tmp_path / "answer.txt"
    arguments = ("generate", "a fox", "-o", "fox.png")
    with Terminal(seedream, *arguments, stdout=file) as terminal:
        terminal.screen_until(lambda screen: BLOCK.match(screen.strip()))
        done = terminal.result()
    assert file.read_text() == "fox.png\n"
    assert len(done.lines) == 1


def test_a_failure_takes_the_blocks_place(seedream: Program, service: Service) -> None:
    service(faults=["task-failed"])
    with Terminal(seedream, "generate", "a fox", columns=120) as terminal:
        done = terminal.result()
    assert done.exit_code == 3
    assert done.lines[0].startswith("error: img_")
    assert len(done.lines) <= 3
    assert b"\x1b[1;31merror:\x1b[0m" in done.raw


def test_ctrl_c_leaves_the_command_that_resumes(seedream: Program, service: Service) -> None:
    service(3600)
    with Terminal(seedream, "generate", "a fox", columns=120) as terminal:
        terminal.screen_until(lambda screen: "pending" in screen)
        terminal.send(b"\x03")
        done = terminal.result()
    assert done.exit_code == 130
    assert done.lines[0].startswith("error: ")
    assert re.fullmatch(r"  seedream download img_\w+", done.lines[-1])
    assert not [line for line in done.lines if "·" in line]
    assert done.raw.count(b"\x1b[?25h") == done.raw.count(b"\x1b[?25l"), "the cursor is shown again"


def test_a_window_that_is_closed_ends_the_program_quietly(seedream: Program, service: Service) -> None:
    service(3600)
    with Terminal(seedream, "generate", "a fox") as terminal:
        terminal.screen_until(lambda screen: "pending" in screen)
        assert terminal.hang_up() == 143


def test_a_program_that_outlives_its_window_finishes_the_work(seedream: Program, service: Service) -> None:
    service()
    arguments = ("generate", "a fox", "-o", "fox.png", "--verbose")
    with Terminal(seedream, *arguments, nohup=True) as terminal:
        terminal.screen_until(bool)
        assert terminal.hang_up() == 0
    assert (seedream.cwd / "fox.png").is_file()


@pytest.mark.parametrize("env", [{"TERM": "dumb"}, {"CI": "true"}], ids=lambda env: "-".join(env))
def test_where_nothing_may_be_drawn_there_are_plain_lines(
    seedream: Program, service: Service, env: dict[str, str]
) -> None:
    service()
    with Terminal(seedream, "generate", "a fox", "-o", "fox.png", columns=120, env=env) as terminal:
        done = terminal.result()
    assert b"\x1b" not in done.raw
    assert any(re.fullmatch(r"img_\w+: completed", line) for line in done.lines)
    assert "fox.png" in done.lines


def test_no_color_leaves_the_block_and_takes_the_colours(seedream: Program, service: Service) -> None:
    service(faults=["task-failed"])
    env = {"NO_COLOR": "1"}
    with Terminal(seedream, "generate", "a fox", env=env) as terminal:
        terminal.screen_until(lambda screen: BLOCK.match(screen.strip()))
        done = terminal.result()
    assert not re.search(rb"\x1b\[[0-9;]*m", done.raw)


@pytest.mark.parametrize("option", ["--quiet", "--json"])
def test_quiet_and_json_draw_nothing(seedream: Program, service: Service, option: str) -> None:
    service()
    arguments = ("generate", "a fox", "-o", "fox.png", option)
    with Terminal(seedream, *arguments, columns=200, lines=80) as terminal:
        done = terminal.result()
    assert b"\x1b" not in done.raw
    if option == "--quiet":
        assert done.lines == ["fox.png"]


def test_an_ascii_locale_gets_an_ascii_spinner_or_utf8(seedream: Program, service: Service) -> None:
    service()
    env = {"LC_ALL": "C", "PYTHONIOENCODING": "ascii"}
    with Terminal(seedream, "generate", "红狐", columns=120, env=env) as terminal:
        terminal.screen_until(lambda screen: re.search("pending|processing", screen))
        done = terminal.result()
    assert done.exit_code == 0
    assert done.lines[0].startswith("红狐-img_")


EVIL = "[bold]x[/bold]\x1b[2J\x1b[31m\x1b]0;owned\x07\u202e\x9b7mend"


def test_what_a_server_says_is_text_in_the_block_and_in_an_error(
    seedream: Program, start_raw: StartRaw
) -> None:
    server = start_raw(
        accepted("img_[red]1"),
        *[success({"status": EVIL, "progress": 7, "result": []})] * 3,
        success({"status": "failed", "error": {"message": EVIL, "code": "x"}}),
    )
    seedream.use(server.base_url)
    with Terminal(
        seedream, "generate", EVIL.replace("\x1b", ""), columns=120, env={"SEEDREAM_POLL_INTERVAL": "0.3"}
    ) as terminal:
        screen = terminal.screen_until(lambda screen: "end · " in screen)
        done = terminal.result()
    assert "[bold]x[/bold] [2J [31m ]0;owned 7mend" in screen
    assert done.exit_code == 3
    assert "img_[red]1" in done.lines[0]
    assert "[bold]x[/bold] [2J [31m ]0;owned 7mend" in done.text
    for sequence in (b"\x1b[2J", b"\x1b[31m", b"\x1b]0", b"\xe2\x80\xae", b"\xc2\x9b", b"\x07"):
        assert sequence not in done.raw


def test_bytes_and_speed_are_seen_while_an_image_comes(seedream: Program, start_raw: StartRaw) -> None:
    image = png(200, 200)
    rest = threading.Event()

    def slowly(exchange: Exchange) -> None:
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {len(image)}\r\nConnection: close\r\n\r\n"
        exchange.connection.sendall(head.encode() + image[:100])
        rest.wait(20)
        exchange.connection.sendall(image[100:])

    images = start_raw(slowly)
    url = f"{images.origin}/1.png"
    server = start_raw(accepted(), success({"status": "completed", "result": [url]}))
    seedream.use(server.base_url)
    with Terminal(seedream, "generate", "a fox", "-o", "fox.png") as terminal:
        terminal.screen_until(lambda screen: re.search(rf"downloading · .* of {len(image)} B", screen))
        rest.set()
        assert terminal.result().exit_code == 0
    assert (seedream.cwd / "fox.png").read_bytes() == image


def test_status_on_a_terminal_leaves_the_state_alone(seedream: Program, sandbox: Sandbox) -> None:
    task = seedream("generate", "a fox", "--no-wait").stdout.strip()
    with Terminal(seedream, "status", task, "--watch") as terminal:
        done = terminal.result()
    assert done.exit_code == 0
    assert [re.split(r"\s+", line) for line in done.lines] == [[task, "completed"]]
