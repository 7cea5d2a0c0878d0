"""`--preview` and `--open` on a pseudo-terminal."""

from __future__ import annotations

import io
import os
import re
import signal
import stat
import sys
import time
from pathlib import Path

import pytest
from PIL import Image
from support import needs
from support.images import png_of
from support.program import Program
from support.raw import accepted, answer, success
from support.starting import StartRaw, StartSandbox
from support.terminal import Terminal

from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.slow

#: Left half red, right half blue.
PICTURE = png_of([[(255, 0, 0)] * 150 + [(0, 0, 255)] * 150] * 200)
GENERATE = ("generate", "a fox", "-o", "fox.png", "--preview")
QUERY = b"\x1b[16t\x1b[c"
KITTY = {"TERM": "xterm-kitty"}
#: Answer of a terminal with sixel (4 in the Device Attributes).
SIXEL = b"\x1b[6;16;8t\x1b[?62;4;22c"
#: Answer of a terminal without sixel, whose class is 4.
NO_SIXEL = b"\x1b[?4;22c"

#: Script that compares the terminal's modes before and after, and reads the remaining input.
CHECK_TERMINAL = f"""
before=$(stty -g)
"{sys.executable}" -m seedream_cli "$@"
echo "exit $?"
[ "$before" = "$(stty -g)" ] && echo "as it was"
IFS= read -r -s -t 0.1 -n 99 left
echo "left: $left"
"""
IN_THE_BACKGROUND = f'set -m; "{sys.executable}" -m seedream_cli "$@" & wait'
WITH_OTHER_INPUT = f'"{sys.executable}" -m seedream_cli "$@" < /dev/null'


@pytest.fixture
def service(seedream: Program, start_sandbox: StartSandbox) -> None:
    """Start a sandbox that returns a known image."""
    seedream.use(start_sandbox(draw=lambda body: PICTURE).base_url)


def answer_no_sixel(terminal: Terminal) -> None:
    """Answer the program's query as a terminal without sixel."""
    terminal.raw_until(QUERY)
    terminal.send(NO_SIXEL)


@pytest.mark.usefixtures("service")
def test_preview_draws_half_blocks_below_path(seedream: Program) -> None:
    with Terminal(seedream, *GENERATE, env={"COLORTERM": "truecolor"}) as terminal:
        answer_no_sixel(terminal)
        done = terminal.result()
    assert done.exit_code == 0
    path, *blocks, summary = done.lines
    assert path == "fox.png"
    assert blocks == ["▀" * 30] * 10
    assert summary.startswith("saved 1 image to ./")
    rows = [row for row in terminal.cells() if row[0][0] == "▀"]
    assert {row[0][1:] for row in rows} == {("ff0000", "ff0000")}
    assert {row[29][1:] for row in rows} == {("0000ff", "0000ff")}
    picture = done.raw[done.raw.index("▀".encode()) : done.raw.rindex("▀".encode())]
    assert b"\x1b[?25" not in picture, "the live display is off meanwhile"


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("typed", "late", "reply", "left"),
    [
        pytest.param(b"", 0.0, SIXEL + b"ls", "ls", id="sixel and what is typed next"),
        pytest.param(b"", 0.7, SIXEL, "", id="a slow line"),
        pytest.param(b"", 0.0, b"", "", id="no answer"),
        pytest.param(b"ls", 0.0, b"", "ls", id="typed ahead"),
    ],
)
def test_preview_query_restores_terminal(
    seedream: Program, typed: bytes, late: float, reply: bytes, left: str
) -> None:
    command = (needs.program("bash"), "-c", CHECK_TERMINAL, "bash")
    with Terminal(seedream, *GENERATE, command=command) as terminal:
        if typed:
            terminal.send(typed)
        else:
            terminal.raw_until(QUERY)
            time.sleep(late)
            terminal.send(reply)
        done = terminal.result()
    assert done.lines[-3:] == ["exit 0", "as it was", f"left: {left}".rstrip()]
    assert done.raw.count(b"\x1b[c") == (not typed)
    if reply:
        # 300 by 200 pixels in cells of 8 by 16, of which the terminal has 12 lines to spare.
        assert b'"1;1;%d;%d#' % (36 * 8, 12 * 16) in done.raw
    else:
        assert "▀" * 30 in done.lines


@pytest.mark.usefixtures("service")
def test_preview_query_restores_terminal_on_ctrl_c(seedream: Program) -> None:
    with Terminal(
        seedream, *GENERATE, command=(needs.program("bash"), "-c", CHECK_TERMINAL, "bash")
    ) as terminal:
        terminal.raw_until(QUERY)
        terminal.send(b"\x03")
        # Time for the program to end too early, which would leave the answer to the shell.
        time.sleep(0.5)
        assert b"exit" not in terminal.raw
        terminal.send(SIXEL)
        done = terminal.result()
    assert done.lines[-3:] == ["exit 130", "as it was", "left:"]
    assert b"\x1bP" not in done.raw
    assert (seedream.cwd / "fox.png").read_bytes() == PICTURE


@pytest.mark.parametrize(
    ("env", "begins", "end"),
    [(KITTY, b"\x1b_G", b"\x1b\\\x1b[0m\x1b_Gm=0,q=2;\x1b\\"), ({}, b"\x1bP", b"\x1b\\\x1b[0m\x1b8")],
    ids=["kitty", "sixel"],
)
def test_ctrl_c_while_drawing_ends_escape_sequence(
    seedream: Program, start_sandbox: StartSandbox, env: dict[str, str], begins: bytes, end: bytes
) -> None:
    file = io.BytesIO()
    Image.frombytes("RGB", (1000, 500), os.urandom(1_500_000)).save(file, "PNG", compress_level=0)
    seedream.use(start_sandbox(draw=lambda body: file.getvalue()).base_url)
    with Terminal(seedream, *GENERATE, env=env, reads=4096, columns=100, lines=50) as terminal:
        if not env:
            terminal.raw_until(QUERY)
            terminal.send(b"\x1b[?62;4;22c")
        terminal.raw_until(begins)
        terminal.send(b"\x03")
        done = terminal.result()
    assert done.exit_code == 130
    _, cut, rest = done.raw.rpartition(b"\x18")
    assert cut
    assert rest.startswith(end)
    assert (seedream.cwd / "fox.png").read_bytes() == file.getvalue()


@pytest.mark.usefixtures("service")
def test_preview_for_kitty_is_not_written_to_stdout(seedream: Program, tmp_path: Path) -> None:
    stdout = tmp_path / "stdout"
    with Terminal(seedream, *GENERATE, env=KITTY, stdout=stdout) as terminal:
        done = terminal.result()
    assert stdout.read_text() == "fox.png\n"
    assert re.search(rb"\x1b_Ga=p,i=\d+,c=30,r=10,U=1,q=2\x1b", done.raw)
    assert b"\x1b[c" not in done.raw, "kitty is recognized by TERM"


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("script", [IN_THE_BACKGROUND, WITH_OTHER_INPUT], ids=["background", "other stdin"])
def test_preview_does_not_query_terminal_in_background(seedream: Program, script: str) -> None:
    """Changing the modes would stop a background job, and the shell would receive the answer."""
    with Terminal(seedream, *GENERATE, command=(needs.program("bash"), "-c", script, "bash")) as terminal:
        done = terminal.result()
    assert "▀" * 30 in done.lines
    assert b"\x1b[c" not in done.raw


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("extra", "env"),
    [
        pytest.param([], {"CI": "true"}, id="CI"),
        pytest.param([], {"TERM": "dumb"}, id="dumb"),
        pytest.param(["--quiet"], {}, id="--quiet"),
        pytest.param(["--json"], {}, id="--json"),
    ],
)
def test_preview_is_skipped_without_live_display(
    seedream: Program, extra: list[str], env: dict[str, str]
) -> None:
    with Terminal(seedream, *GENERATE, *extra, env=env, columns=100, lines=60) as terminal:
        done = terminal.result()
    assert done.exit_code == 0
    assert "▀" not in done.text
    assert b"\x1b" not in done.raw


@pytest.mark.usefixtures("service")
def test_preview_and_open_are_skipped_in_pipe(seedream: Program, viewer: Path) -> None:
    plain = seedream(*GENERATE, "--open", "--overwrite")
    verbose = seedream(*GENERATE, "--open", "--overwrite", "--verbose")
    for done in (plain, verbose):
        assert (done.exit_code, done.stdout) == (0, "fox.png\n")
        assert "\x1b" not in done.stderr
        assert "note: --open is for a person: nothing is opened in CI or without a terminal\n" in done.stderr
    assert "preview" not in plain.stderr
    assert "note: no preview: stderr is not a terminal to draw on\n" in verbose.stderr
    assert not viewer.exists()


def test_preview_without_extra_prints_one_note(
    seedream: Program, start_raw: StartRaw, tmp_path: Path
) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "textual_image.py").write_text("raise ImportError")
    seedream.environment["PYTHONPATH"] = str(tmp_path / "shadow")
    images = start_raw(*[answer(200, PICTURE)] * 2)
    urls = [f"{images.origin}/{number}.png" for number in (1, 2)]
    server = start_raw(accepted(), success({"status": "completed", "result": urls}))
    seedream.use(server.base_url)
    with Terminal(seedream, *GENERATE, columns=160) as terminal:
        done = terminal.result()
    assert done.exit_code == 0
    assert [line for line in done.lines if "preview" in line] == [
        "note: no preview: textual-image is not installed: pip install 'apipod-seedream[preview]'"
    ]
    assert b"\x1b[c" not in done.raw, "no query if the image cannot be drawn"
    assert {file.read_bytes() for file in seedream.cwd.glob("fox-*.png")} == {PICTURE}


@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "a fox", "--no-wait", "--preview"),
        ("generate", "a fox", "--dry-run", "--open"),
        ("generate", "a fox", "-o", "-", "--open"),
        ("download", "img_1", "-o", "-", "--preview"),
    ],
    ids=" ".join,
)
def test_preview_and_open_need_saved_image(
    seedream: Program, sandbox: Sandbox, arguments: tuple[str, ...]
) -> None:
    done = seedream(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {arguments[-1]} shows saved images")


@pytest.fixture
def viewer(seedream: Program, tmp_path: Path) -> Path:
    """Install a viewer that writes its arguments into the returned file, and keeps running."""
    folder, report = tmp_path / "bin", tmp_path / "report"
    folder.mkdir()
    script = folder / "xdg-open"
    script.write_text(
        f"""#!/bin/sh
printf '%s\\n' "$$" "$#" "$1" "${{SEEDREAM_API_KEY-no key}}" > {report}.part
ls -l /proc/self/fd >> {report}.part
mv {report}.part {report}
exec sleep 60
"""
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    seedream.environment |= {"PATH": f"{folder}:{seedream.environment['PATH']}", "DISPLAY": ":0"}
    return report


@pytest.mark.usefixtures("service")
def test_open_starts_viewer_as_detached_process(seedream: Program, viewer: Path) -> None:
    with Terminal(seedream, "generate", "a fox", "--output=-fox.png", "--open") as terminal:
        done = terminal.result()
    deadline = time.monotonic() + 20
    while not viewer.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)
    pid, count, path, key, *descriptors = viewer.read_text().splitlines()
    try:
        assert done.exit_code == 0
        assert (count, path, key) == ("1", str(seedream.cwd / "-fox.png"), "no key")
        assert Path(path).read_bytes() == PICTURE
        assert os.getsid(int(pid)) != terminal.process.pid, "the viewer has its own session"
        assert not [line for line in descriptors if "/dev/pts" in line or "socket" in line]
    finally:
        os.kill(int(pid), signal.SIGKILL)
