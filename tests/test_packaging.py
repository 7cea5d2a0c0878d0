"""What is published, and where an installation puts it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest
from support import needs
from support.program import Program
from support.wheels import pack_requirements

import seedream_cli

pytestmark = pytest.mark.slow

PACKAGE = Path(seedream_cli.__file__).parent
ROOT = PACKAGE.parent
VERSION = seedream_cli.__version__
NAME = f"apipod_seedream-{VERSION}"

#: Place below an environment → file of the tree.
SHARED = {
    "share/bash-completion/completions/seedream": "completions/seedream.bash",
    "share/bash-completion/completions/apipod-seedream": "completions/apipod-seedream.bash",
    "share/zsh/site-functions/_seedream": "completions/_seedream",
    "share/fish/vendor_completions.d/seedream.fish": "completions/seedream.fish",
    "share/fish/vendor_completions.d/apipod-seedream.fish": "completions/apipod-seedream.fish",
    **{f"share/man/man1/{page.name}": f"man/{page.name}" for page in (ROOT / "man").iterdir()},
}


@pytest.fixture(scope="module")
def dist(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The sdist, and the wheel that was built from it."""
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "build", "--no-isolation", "--outdir", folder, ROOT],
        check=True,
        capture_output=True,
        timeout=100,
    )
    return folder


@pytest.fixture(scope="module")
def wheel(dist: Path) -> Path:
    return dist / f"{NAME}-py3-none-any.whl"


def test_the_wheel_has_the_package_and_what_shells_and_man_read(wheel: Path) -> None:
    """And nothing else: no tests, no benchmarks, no generators."""
    package = {
        str(path.relative_to(ROOT)): path
        for path in PACKAGE.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    scripts = {f"seedream_cli/completions/{path.name}": path for path in (ROOT / "completions").iterdir()}
    shared = {f"{NAME}.data/data/{place}": ROOT / source for place, source in SHARED.items()}
    expected = package | scripts | shared
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if not name.startswith(f"{NAME}.dist-info/")}
        assert names == set(expected)
        for name, source in expected.items():
            assert archive.read(name) == source.read_bytes(), name


def test_the_sdist_has_what_the_wheel_and_its_tests_are_made_of(dist: Path) -> None:
    with tarfile.open(dist / f"{NAME}.tar.gz") as archive:
        names = {name.removeprefix(f"{NAME}/") for name in archive.getnames()}
    assert {name.partition("/")[0] for name in names} == {
        *("seedream_cli", "completions", "man", "scripts", "tests", "benchmarks", "docs"),
        *("README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md", "AGENTS.md", "LICENSE"),
        *("pyproject.toml", "PKG-INFO", ".gitignore"),
    }
    for folder in ("seedream_cli", "completions", "man", "scripts", "tests"):
        for path in (ROOT / folder).rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                assert str(path.relative_to(ROOT)) in names


def test_an_index_would_take_what_is_published(dist: Path) -> None:
    files = sorted(dist.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *files],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.count(": PASSED\n") == len(files) == 2, done.stdout


# Installers, each with a checkout and an empty home


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the program and its build need, in place of an index."""
    folder = tmp_path_factory.mktemp("wheels")
    pack_requirements(folder, "apipod-seedream", "hatchling")
    [own] = folder.glob("apipod_seedream-*.whl")
    own.unlink()
    return folder


def variables(home: Path, index: Path) -> Mapping[str, str]:
    return {
        "PATH": os.pathsep.join((str(home / ".local" / "bin"), "/usr/bin", "/bin")),
        "HOME": str(home),
        "LC_ALL": "C.UTF-8",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_NO_COMPILE": "1",
        "PIP_NO_INDEX": "1",
        "PIP_FIND_LINKS": str(index),
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "UV_NO_CONFIG": "1",
        "UV_OFFLINE": "1",
        "UV_NO_INDEX": "1",
        "UV_FIND_LINKS": str(index),
        "UV_CACHE_DIR": str(index / "cache"),
        "UV_PYTHON": sys.executable,
        "UV_PYTHON_DOWNLOADS": "never",
    }


def called(
    home: Path, index: Path, *command: str | Path, exit_code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        env=variables(home, index),
        cwd=home,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == exit_code, done.stderr
    return done


def check_installed(home: Path, index: Path, shared: Path) -> None:
    """Both names start the program, and everything for shells and man is below ``shared``."""
    for name in ("seedream", "apipod-seedream"):
        assert called(home, index, name, "--version").stdout == f"seedream {VERSION}\n"
    files = {str(path.relative_to(shared)) for path in (shared / "share").rglob("*") if is_ours(path)}
    assert files == set(SHARED)
    for place, source in SHARED.items():
        assert (shared / place).read_bytes() == (ROOT / source).read_bytes(), place


def is_ours(path: Path) -> bool:
    return path.is_file() and "seedream" in path.name and "pipx" not in path.parts


def check_man_finds_pages(home: Path, index: Path) -> None:
    """By itself: it looks beside the folders of the PATH."""
    for page in (ROOT / "man").iterdir():
        found = Path(called(home, index, needs.program("man"), "--path", page.stem).stdout.strip())
        assert found.is_relative_to(home)
        assert found.read_bytes() == page.read_bytes()


def check_bash_finds_completion(home: Path, index: Path) -> None:
    library = Path("/usr/share/bash-completion/bash_completion")
    if not library.exists():
        needs.missing("bash-completion")
    for name in ("seedream", "apipod-seedream"):
        script = (
            f"XDG_DATA_DIRS={home}/.local/share; . {library}; _completion_loader {name}; complete -p {name}"
        )
        shown = called(home, index, needs.program("bash"), "-c", script).stdout
        assert shown == f"complete -o default -F _seedream {name}\n"


# One test an installer: what is installed for one, no other test process installs again.


def test_pip_installs_a_checkout(index: Path, tmp_path: Path) -> None:
    called(tmp_path, index, sys.executable, "-m", "venv", "--without-pip", tmp_path / ".local")
    python = tmp_path / ".local" / "bin" / "python"
    called(tmp_path, index, sys.executable, "-m", "pip", "--python", python, "install", "-q", ROOT)
    check_installed(tmp_path, index, tmp_path / ".local")
    where = called(tmp_path, index, python, "-c", "import seedream_cli as it; print(it.__file__)").stdout
    assert Path(where.strip()).is_relative_to(tmp_path)
    for shell, file in {"bash": "seedream.bash", "powershell": "seedream.ps1"}.items():
        printed = called(tmp_path, index, "seedream", "completion", shell).stdout
        assert printed == (ROOT / "completions" / file).read_text(encoding="utf-8")
    check_man_finds_pages(tmp_path, index)
    check_bash_finds_completion(tmp_path, index)


def test_pipx_installs_a_checkout_and_links_what_shells_and_man_read(index: Path, tmp_path: Path) -> None:
    # Its other backend, pip, would first look for a newer pip.
    called(tmp_path, index, sys.executable, "-m", "pipx", "install", "--backend", "uv", ROOT)
    check_installed(tmp_path, index, tmp_path / ".local")
    check_man_finds_pages(tmp_path, index)
    check_bash_finds_completion(tmp_path, index)


def test_uv_installs_a_checkout_and_keeps_what_man_reads(index: Path, tmp_path: Path) -> None:
    """It links programs only: README says how to come to the rest."""
    uv = (sys.executable, "-m", "uv", "tool")
    called(tmp_path, index, *uv, "install", ROOT)
    tools = called(tmp_path, index, *uv, "dir").stdout.strip()
    check_installed(tmp_path, index, Path(tools) / "apipod-seedream")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [line] = re.findall(r"^(man -M .\$\(uv tool dir\).*?) *#", readme, re.MULTILINE)
    needs.program("man")
    script = f'uv() {{ "{sys.executable}" -m uv "$@"; }}; {line.replace("man ", "man --path ", 1)}'
    found = called(tmp_path, index, needs.program("bash"), "-c", script).stdout.strip()
    assert Path(found).read_bytes() == (ROOT / "man" / "seedream.1").read_bytes()


@pytest.mark.parametrize(("arguments", "exit_code"), [(["generate", "-h"], 0), (["generate", "fox"], 4)])
def test_the_module_is_the_program(seedream_process: Program, arguments: list[str], exit_code: int) -> None:
    """In the environment of the tests, whose scripts are those of the checkout."""
    module = seedream_process(*arguments)
    assert module.exit_code == exit_code
    for name in ("seedream", "apipod-seedream"):
        done = subprocess.run(
            [Path(sysconfig.get_path("scripts")) / name, *arguments],
            env=seedream_process.environment,
            cwd=seedream_process.cwd,
            stdin=subprocess.DEVNULL,
            check=False,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert (done.returncode, done.stdout, done.stderr) == (exit_code, module.stdout, module.stderr)
