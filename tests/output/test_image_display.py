"""`--preview` and `--open`, as a person at a terminal meets them."""

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

#: Red beside blue.
PICTURE = png_of([[(255, 0, 0)] * 150 + [(0, 0, 255)] * 150] * 200)
GENERATE = ("generate", "a fox", "-o", "fox.png", "--preview")
QUERY = b"\x1b[16t\x1b[c"
KITTY = {"TERM": "xterm-kitty"}
#: What one terminal with sixel answers, and one without it: the class of a terminal may be 4, too.
SIXEL, NO_SIXEL = b"\x1b[6;16;8t\x1b[?62;4;22c", b"\x1b[?4;22c"

#: The terminal's modes before and after, and what the program has left to be read.
AROUND = f"""
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
    """A sandbox whose pictures are known."""
    seedream.use(start_sandbox(draw=lambda body: PICTURE).base_url)


def answer_that_there_is_no_sixel(terminal: Terminal) -> None:
    terminal.raw_until(QUERY)
    terminal.send(NO_SIXEL)


@pytest.mark.usefixtures("service")
def test_half_blocks_are_drawn_below_the_path(seedream: Program) -> None:
    with Terminal(seedream, *GENERATE, env={"COLORTERM": "truecolor"}) as terminal:
        answer_that_there_is_no_sixel(terminal)
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
    assert b"\x1b[?25" not in picture, "the live block is off meanwhile"


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
def test_a_terminal_is_asked_and_left_as_it_was(
    seedream: Program, typed: bytes, late: float, reply: bytes, left: str
) -> None:
    command = (needs.program("bash"), "-c", AROUND, "bash")
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
def test_ctrl_c_waits_for_the_answer_and_leaves_the_terminal_as_it_was(seedream: Program) -> None:
    with Terminal(seedream, *GENERATE, command=(needs.program("bash"), "-c", AROUND, "bash")) as terminal:
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
def test_ctrl_c_in_a_picture_ends_its_sequence(
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
def test_a_picture_for_kitty_is_no_part_of_what_stdout_is(seedream: Program, tmp_path: Path) -> None:
    answers = tmp_path / "stdout"
    with Terminal(seedream, *GENERATE, env=KITTY, stdout=answers) as terminal:
        done = terminal.result()
    assert answers.read_text() == "fox.png\n"
    assert re.search(rb"\x1b_Ga=p,i=\d+,c=30,r=10,U=1,q=2\x1b", done.raw)
    assert b"\x1b[c" not in done.raw, "it is known by its name"


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize("script", [IN_THE_BACKGROUND, WITH_OTHER_INPUT], ids=["background", "other stdin"])
def test_a_terminal_whose_answer_would_go_elsewhere_is_not_asked(seedream: Program, script: str) -> None:
    """A background job would be stopped for changing its modes, and the shell would get the answer."""
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
def test_where_nothing_is_drawn_there_is_no_picture(
    seedream: Program, extra: list[str], env: dict[str, str]
) -> None:
    with Terminal(seedream, *GENERATE, *extra, env=env, columns=100, lines=60) as terminal:
        done = terminal.result()
    assert done.exit_code == 0
    assert "▀" not in done.text
    assert b"\x1b" not in done.raw


@pytest.mark.usefixtures("service")
def test_in_a_pipe_nothing_is_shown_and_only_verbose_says_so(seedream: Program, viewer: Path) -> None:
    plain = seedream(*GENERATE, "--open", "--overwrite")
    verbose = seedream(*GENERATE, "--open", "--overwrite", "--verbose")
    for done in (plain, verbose):
        assert (done.exit_code, done.stdout) == (0, "fox.png\n")
        assert "\x1b" not in done.stderr
        assert "note: --open is for a person: nothing is opened in CI or without a terminal\n" in done.stderr
    assert "preview" not in plain.stderr
    assert "note: no preview: stderr is not a terminal to draw on\n" in verbose.stderr
    assert not viewer.exists()


def test_without_the_extra_one_notice_names_it_and_every_image_is_saved(
    seedream: Program, start_raw: StartRaw, tmp_path: Path
) -> None:
    (tmp_path / "shadow").mkdir()
    (tmp_path / "shadow" / "textual_image.py").write_text("raise ImportError('there is none')")
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
    assert b"\x1b[c" not in done.raw, "nothing is asked for a picture that cannot be drawn"
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
def test_what_saves_no_image_has_none_to_show(
    seedream: Program, sandbox: Sandbox, arguments: tuple[str, ...]
) -> None:
    done = seedream(*arguments)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {arguments[-1]} shows saved images")


@pytest.fixture
def viewer(seedream: Program, tmp_path: Path) -> Path:
    """A viewer that writes what it is given into a file, and stays."""
    folder, told = tmp_path / "bin", tmp_path / "told"
    folder.mkdir()
    script = folder / "xdg-open"
    script.write_text(
        f"""#!/bin/sh
printf '%s\\n' "$$" "$#" "$1" "${{SEEDREAM_API_KEY-no key}}" > {told}.part
ls -l /proc/self/fd >> {told}.part
mv {told}.part {told}
exec sleep 60
"""
    )
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    seedream.environment |= {"PATH": f"{folder}:{seedream.environment['PATH']}", "DISPLAY": ":0"}
    return told


@pytest.mark.usefixtures("service")
def test_open_starts_the_desktops_viewer_and_leaves_it_alone(seedream: Program, viewer: Path) -> None:
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
        assert os.getsid(int(pid)) != terminal.process.pid, "it is in a session of its own"
        assert not [line for line in descriptors if "/dev/pts" in line or "socket" in line]
    finally:
        os.kill(int(pid), signal.SIGKILL)
