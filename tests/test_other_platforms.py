"""Windows and macOS, simulated on Linux: their paths, their folders, and functions that they lack."""

from __future__ import annotations

import importlib.util
import json
import ntpath
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import platformdirs.macos
import platformdirs.windows
import pytest
from support.images import png
from support.program import Program
from support.terminal import Terminal

import seedream_cli
from seedream_cli.errors import InvalidOutput
from seedream_cli.models import GenerationRequest, Operation
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.settings import locations

PACKAGE = Path(seedream_cli.__file__).parent
README = (PACKAGE.parent / "README.md").read_text(encoding="utf-8")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="simulates other systems on Linux"),
]

#: Script that imports all dependencies, removes what the other system lacks, and then imports and runs the
#: program.
SIMULATION = """
import importlib, json, os, pathlib, shutil, signal, sys

platform, modules, arguments = sys.argv[1], json.loads(sys.argv[2]), sys.argv[3:]
for module in modules:
    importlib.import_module(module)
for name in [name for name in sys.modules if name.partition(".")[0] == "seedream_cli"]:
    del sys.modules[name]
import platformdirs.macos, platformdirs.windows
kinds = {"darwin": platformdirs.macos.MacOS, "win32": platformdirs.windows.Windows}
platformdirs.PlatformDirs = kinds[platform]
platformdirs.windows.get_win_folder = lambda name: os.path.join(os.environ["HOME"], "local")
sys.platform = platform
if platform == "win32":
    # shutil decides at import how it removes locations.
    shutil._use_fd_functions = False
    for name in ("fcntl", "termios", "tty", "pty", "pwd", "grp", "resource", "readline", "curses", "syslog"):
        sys.modules[name] = None
    for name in (
        *("fork", "forkpty", "getuid", "geteuid", "getgid", "getegid", "setsid", "killpg", "getpgid"),
        *("chown", "fchown", "lchown", "fchmod", "link", "statvfs", "uname", "sysconf", "mkfifo"),
        *("O_NOFOLLOW", "O_DIRECTORY", "O_NONBLOCK", "O_CLOEXEC", "O_SYNC", "posix_fallocate"),
    ):
        delattr(os, name) if hasattr(os, name) else None
    for name in ("SIGHUP", "SIGKILL", "SIGALRM", "SIGPIPE", "SIGUSR1", "SIGCHLD", "SIGTSTP", "SIGQUIT"):
        delattr(signal, name) if hasattr(signal, name) else None
    # Without hard links the program uses another way. On Windows it renames.
    def link(*_):
        raise OSError(38, "no links here")
    os.link = link
for module in modules:
    importlib.import_module(module)
from seedream_cli.__main__ import main
sys.argv[1:] = arguments
main()
"""


def modules() -> list[str]:
    """Return the names of all modules of the package."""
    paths = sorted(PACKAGE.rglob("*.py"))
    names = [".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts) for path in paths]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize(
    ("platform", "state"),
    [("win32", "local/apipod-seedream"), ("darwin", "Library/Application Support/apipod-seedream")],
)
def test_generate_works_on_other_platform(
    seedream: Program, sandbox: Sandbox, platform: str, state: str
) -> None:
    home = seedream.cwd.parent
    for variable in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        del seedream.environment[variable]
    done = subprocess.run(
        [sys.executable, "-c", SIMULATION, platform, json.dumps(modules()), "generate", "a fox", "--json"],
        env=seedream.environment,
        cwd=seedream.cwd,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    [file] = json.loads(done.stdout)["tasks"][0]["files"]
    assert Path(file["path"]).read_bytes() == png()
    assert (home / state / locations.HISTORY_FILE).exists()
    assert not seedream.state.exists()


def test_locations_match_readme(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setattr(platformdirs.windows, "get_win_folder", lambda name: r"%LOCALAPPDATA%")
    documented = re.findall(r"^\| (?:config \(|history, ).*$", README, re.MULTILINE)
    config, state = ([cell.strip(" `") for cell in row.split(" | ")[1:]] for row in documented)
    kinds = (None, platformdirs.macos.MacOS, platformdirs.windows.Windows)
    for column, (platform, kind) in enumerate(zip(("linux", "darwin", "win32"), kinds, strict=True)):
        monkeypatch.setattr(sys, "platform", platform)
        if kind is not None:
            monkeypatch.setattr(platformdirs, "PlatformDirs", kind)
        found = [locations.config_folder() + "/config.toml", locations.state_folder() + "/"]
        plain = [path.replace("/home/me", "~") for path in found]
        if platform == "win32":
            plain = [path.replace("/", "\\") for path in plain]
        assert plain == [config[column].rstrip("| `"), state[column].rstrip("| `")]


@pytest.fixture(scope="module")
def windows() -> Any:
    """Load `files.output_path` with the paths of Windows."""
    fake = types.SimpleNamespace(**{**vars(os), "name": "nt", "path": ntpath, "sep": "\\", "altsep": "/"})
    spec = importlib.util.spec_from_file_location(
        "seedream_cli.files.output_path_on_windows", PACKAGE / "files/output_path.py"
    )
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    real = sys.modules["os"]
    sys.modules["os"] = fake  # type: ignore[assignment]
    try:
        spec.loader.exec_module(module)
    finally:
        sys.modules["os"] = real
        del sys.modules[spec.name]
    return module


CWD = r"C:\Users\me\art"


@pytest.mark.parametrize(
    ("output", "target"),
    [
        ("fox.png", CWD + r"\fox.png"),
        (r"icons\fox.png", CWD + r"\icons\fox.png"),
        ("icons/fox.png", CWD + r"\icons\fox.png"),
        (r"..\fox.png", r"C:\Users\me\fox.png"),
        (r".\fox.png", CWD + r"\fox.png"),
        ("icons\\", CWD + r"\icons\a-fox-_.png"),
        (r"D:\art\fox.png", r"D:\art\fox.png"),
        ("D:/art/fox.png", r"D:\art\fox.png"),
        (r"\\host\share\fox.png", r"\\host\share\fox.png"),
        (r"\art\fox.png", r"C:\art\fox.png"),
        ("/art/fox.png", r"C:\art\fox.png"),
        (r"{model}\fox.png", CWD + r"\_con\fox.png"),
        (r"{ratio}.png", CWD + r"\16x9.png"),
        (r"{name}{model}.png", CWD + r"\_con.png"),
    ],
)
def test_output_path_on_windows(windows: Any, output: str, target: str) -> None:
    request = GenerationRequest(prompt="a fox", model="con", aspect_ratio="16:9", quality="2K")
    operation = Operation(id="op_1", service="x", created=0.0, output="", request=request)
    where = windows.parse_output(output, cwd=CWD)
    found = where.target(windows.fields_of(operation), number=1, several=False, extension="png")
    assert str(found) == target


@pytest.mark.parametrize(
    "output",
    ["NUL", "con.png", r"icons\aux.png", "C:fox.png", "C:", "fox.png:hidden", r"C:\fox:1.png", "a/lpt1 .png"],
)
def test_output_path_rejects_reserved_names_on_windows(windows: Any, output: str) -> None:
    """An image written to a device would be lost."""
    with pytest.raises(InvalidOutput):
        windows.parse_output(output, cwd=CWD)
    from seedream_cli.files import output_path

    output_path.parse_output(output, cwd="/home/me")


@pytest.mark.parametrize("page", ["cp936", "ascii"])
def test_legacy_code_page_accepts_any_text(seedream: Program, page: str) -> None:
    """A pipe gets UTF-8. A terminal gets the characters of its code page."""
    words = "雪中的红狐 🦊 naïve"
    env = {"PYTHONIOENCODING": page, "PYTHONUTF8": "0", "LC_ALL": "C"}
    piped = seedream("generate", words, "--dry-run", env=env)
    assert piped.exit_code == 0, piped.stderr
    assert words in piped.stdout
    failed = seedream("generate", words, "--prompt-file", words, env=env)
    assert (failed.exit_code, "Traceback" in failed.stderr) == (2, False)
    seedream.environment |= env
    with Terminal(seedream, "generate", words, "--dry-run") as terminal:
        shown = terminal.result()
    assert shown.exit_code == 0
    assert b"Traceback" not in shown.raw
    # Characters that the page lacks are replaced by a question mark.
    assert "naïve".encode(page, "replace") in shown.raw or "naïve".encode() in shown.raw
