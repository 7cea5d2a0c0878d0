"""`--preview` and `--open`, as a person at a terminal meets them."""

from __future__ import annotations

import io
import os
import signal
import stat
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from support import drawn, needs
from support.images import png_of
from support.program import Program, Result
from support.raw import RawServer, accepted, answer, success
from support.terminal import Terminal

from seedream_cli.sandbox.server import Sandbox

#: 30 by 20 pixels, no two rows equal; each colour is of whole percents, as sixels have them.
PIXELS: drawn.Pixels = [[(255, 51 * (x % 6), round(5 * y * 2.55)) for x in range(30)] for y in range(20)]
PICTURE = png_of(PIXELS)
GENERATE = ("generate", "a fox", "-o", "fox.png", "--preview")
TRUE_COLOURS = {"COLORTERM": "truecolor"}

#: The terminal's modes before and after, and what the program has left to be read.
AROUND = f"""
before=$(stty -g)
"{sys.executable}" -m seedream_cli "$@"
echo "exit $?"
[ "$before" = "$(stty -g)" ] && echo "as it was"
IFS= read -r -s -t 0.1 -n 99 left
echo "left: $left"
"""


@pytest.fixture
def service(seedream: Program, start_sandbox: Callable[..., Sandbox]) -> None:
    """A sandbox whose pictures are known."""
    seedream.use(start_sandbox(draw=lambda body: PICTURE).base_url)


def tell_that_there_is_no_sixel(terminal: Terminal) -> None:
    terminal.raw_until(b"\x1b[c")
    terminal.send(b"\x1b[?62;22c")


def half_blocks(terminal: Terminal) -> drawn.Pixels:
    """The pixels of the half blocks on the screen."""
    pixels: drawn.Pixels = []
    for row in terminal.cells():
        cells = [(colour, ground) for char, colour, ground in row if char == "▀"]
        for part in zip(*cells, strict=True):
            pixels.append([(int(one[:2], 16), int(one[2:4], 16), int(one[4:], 16)) for one in part])
    return pixels


@pytest.mark.usefixtures("service")
def test_half_blocks_have_the_colours_of_the_pixels(seedream: Program) -> None:
    with Terminal(seedream, *GENERATE, env=TRUE_COLOURS) as terminal:
        tell_that_there_is_no_sixel(terminal)
        done = terminal.result()
    assert done.exit_code == 0
    assert half_blocks(terminal) == PIXELS
    path, *blocks, summary = done.lines
    assert path == "fox.png"
    assert blocks == ["▀" * 30] * 10
    assert summary.startswith("saved 1 image to ./")
    picture = done.raw[done.raw.index("▀".encode()) : done.raw.rindex("▀".encode())]
    assert b"\x1b[?25" not in picture, "the live block is off meanwhile"


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("typed", "late", "reply", "left"),
    [
        pytest.param(b"", 0.0, b"\x1b[?62;4;22cls", "ls", id="sixel and what is typed next"),
        pytest.param(b"", 0.7, b"\x1b[?62;4;22c", "", id="a slow line"),
        pytest.param(b"", 0.0, b"", "", id="no answer"),
        pytest.param(b"ls", 0.0, b"", "ls", id="typed ahead"),
    ],
)
def test_a_terminal_is_asked_and_left_as_it_was(
    seedream: Program, typed: bytes, late: float, reply: bytes, left: str
) -> None:
    command = (needs.program("bash"), "-c", AROUND, "bash")
    with Terminal(seedream, *GENERATE, env=TRUE_COLOURS, command=command) as terminal:
        if typed:
            terminal.send(typed)
        else:
            terminal.raw_until(b"\x1b[c")
            time.sleep(late)
            terminal.send(reply)
        done = terminal.result()
    assert done.lines[-3:] == ["exit 0", "as it was", f"left: {left}".rstrip()]
    assert (b"\x1b[c" in done.raw) == (not typed)
    if b";4" in reply:
        assert drawn.sixel(done.raw) == PIXELS
    else:
        assert half_blocks(terminal) == PIXELS


@pytest.mark.usefixtures("service")
def test_ctrl_c_while_the_terminal_owes_an_answer_leaves_it_as_it_was(seedream: Program) -> None:
    with Terminal(seedream, *GENERATE) as terminal:
        before = terminal.modes()
        terminal.raw_until(b"\x1b[c")
        assert terminal.modes() != before
        terminal.send(b"\x03")
        assert terminal.process.wait(timeout=20) == 130
        assert terminal.modes() == before
        done = terminal.result()
    assert "▀" not in done.text
    assert (seedream.cwd / "fox.png").read_bytes() == PICTURE


def test_ctrl_c_in_a_picture_ends_its_sequence(
    seedream: Program, start_sandbox: Callable[..., Sandbox]
) -> None:
    file = io.BytesIO()
    Image.frombytes("RGB", (2000, 2000), os.urandom(12_000_000)).save(file, "PNG", compress_level=0)
    seedream.use(start_sandbox(draw=lambda body: file.getvalue()).base_url)
    with Terminal(seedream, *GENERATE, env={"TERM": "xterm-kitty"}, reads=4096) as terminal:
        terminal.raw_until(b"\x1b_G")
        terminal.send(b"\x03")
        done = terminal.result()
    assert done.exit_code == 130
    _, _, end = done.raw.rpartition(b"\x18")
    assert end.startswith(b"\x1b\\\x1b_Gm=0,q=2;\x1b\\\x1b[0m")
    assert len(done.raw) < 12_000_000
    assert (seedream.cwd / "fox.png").read_bytes() == file.getvalue()


@pytest.mark.usefixtures("service")
@pytest.mark.parametrize(
    ("extra", "env"),
    [
        pytest.param([], {"CI": "true"}, id="CI"),
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
def test_in_a_pipe_a_preview_is_left_out_and_only_verbose_says_so(forked: Callable[..., Result]) -> None:
    plain = forked(*GENERATE, "--overwrite")
    verbose = forked(*GENERATE, "--overwrite", "--verbose")
    for done in (plain, verbose):
        assert (done.exit_code, done.stdout) == (0, "fox.png\n")
        assert "\x1b" not in done.stderr
    assert "preview" not in plain.stderr
    assert "note: no preview: stderr is no terminal to draw on\n" in verbose.stderr


@pytest.fixture
def without_pillow(seedream: Program, tmp_path: Path) -> None:
    """Programs find a Pillow that cannot be imported."""
    (tmp_path / "shadow" / "PIL").mkdir(parents=True)
    (tmp_path / "shadow" / "PIL" / "__init__.py").write_text("raise ImportError('there is none')")
    seedream.environment["PYTHONPATH"] = str(tmp_path / "shadow")


@pytest.mark.usefixtures("without_pillow")
def test_without_the_extra_one_notice_names_it_and_every_image_is_saved(
    seedream: Program, start_raw: Callable[..., RawServer]
) -> None:
    images = start_raw(*[answer(200, PICTURE)] * 2)
    urls = [f"{images.origin}/{number}.png" for number in (1, 2)]
    server = start_raw(accepted(), success({"status": "completed", "result": urls}))
    seedream.use(server.base_url)
    with Terminal(seedream, *GENERATE, columns=160) as terminal:
        tell_that_there_is_no_sixel(terminal)
        done = terminal.result()
    assert done.exit_code == 0
    notices = [line for line in done.lines if "preview" in line]
    assert notices == [
        "note: no preview: this terminal needs Pillow for it: pip install 'apipod-seedream[preview]'"
    ]
    assert {file.read_bytes() for file in seedream.cwd.glob("fox-*.png")} == {PICTURE}


@pytest.mark.usefixtures("service", "without_pillow")
def test_a_terminal_that_decodes_images_needs_no_library(seedream: Program) -> None:
    with Terminal(seedream, *GENERATE, env={"TERM": "xterm-kitty"}) as terminal:
        done = terminal.result()
    assert drawn.kitty(done.raw)[1] == PICTURE
    assert b"\x1b[c" not in done.raw, "it is known by its name"


@pytest.mark.usefixtures("service")
def test_download_shows_what_is_on_disk_already(seedream: Program, forked: Callable[..., Result]) -> None:
    forked("generate", "a fox", "-o", "fox.png")
    [task] = forked("status", "--json").document["tasks"]
    arguments = ("download", task["task_id"], "--preview")
    with Terminal(seedream, *arguments, env=TRUE_COLOURS, columns=160) as terminal:
        tell_that_there_is_no_sixel(terminal)
        done = terminal.result()
    assert done.exit_code == 0
    assert half_blocks(terminal) == PIXELS


@pytest.mark.parametrize("flag", ["--preview", "--open"])
@pytest.mark.parametrize(
    "arguments",
    [
        ("generate", "a fox", "--no-wait"),
        ("generate", "a fox", "--dry-run"),
        ("generate", "a fox", "-o", "-"),
        ("download", "img_1", "-o", "-"),
    ],
    ids=" ".join,
)
def test_what_saves_no_image_has_none_to_show(
    forked: Callable[..., Result], sandbox: Sandbox, arguments: tuple[str, ...], flag: str
) -> None:
    done = forked(*arguments, flag)
    assert done.exit_code == 2
    assert done.stderr.startswith(f"error: {flag} shows saved images")


@pytest.mark.parametrize("carry_on", [("download", "{}"), ("generate", "--resume", "{}")], ids=" ".join)
def test_what_has_a_place_already_is_saved_there_whatever_the_setting_says(
    seedream: Program, forked: Callable[..., Result], sandbox: Sandbox, carry_on: tuple[str, ...]
) -> None:
    task = forked("generate", "a fox", "-o", "fox.png", "--no-wait").stdout.strip()
    arguments = [word.format(task) for word in carry_on]
    done = forked(*arguments, "--preview", env={"SEEDREAM_OUTPUT": "-"})
    assert (done.exit_code, done.stdout) == (0, f"{seedream.cwd / 'fox.png'}\n")


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


@pytest.mark.usefixtures("service")
def test_nothing_is_opened_in_a_pipe(forked: Callable[..., Result], viewer: Path) -> None:
    done = forked("generate", "a fox", "-o", "fox.png", "--open")
    assert (done.exit_code, done.stdout) == (0, "fox.png\n")
    assert "note: --open is for a person: nothing is opened in CI or without a terminal\n" in done.stderr
    assert not viewer.exists()


@pytest.mark.usefixtures("service")
def test_without_a_desktop_one_line_says_so(seedream: Program, viewer: Path) -> None:
    del seedream.environment["DISPLAY"]
    with Terminal(seedream, "generate", "a fox", "-o", "fox.png", "--open", columns=120) as terminal:
        done = terminal.result()
    assert done.exit_code == 0
    assert done.lines[:2] == [
        "fox.png",
        "note: the image is not opened: there is no desktop here: neither DISPLAY nor WAYLAND_DISPLAY is set",
    ]
    assert not viewer.exists()
