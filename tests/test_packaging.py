"""The contents of wheel and sdist, and where pip, pipx and uv install them."""

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

#: Path in an installed environment → file in the checkout.
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
    """Return the folder with the sdist and the wheel, as `python -m build` makes them."""
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


def test_wheel_has_package_completions_and_man_pages(wheel: Path) -> None:
    """Tests, benchmarks and scripts are not in it."""
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


def test_sdist_has_sources_and_tests(dist: Path) -> None:
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


def test_twine_accepts_the_distributions(dist: Path) -> None:
    files = sorted(dist.iterdir())
    done = subprocess.run(
        [sys.executable, "-m", "twine", "--no-color", "check", "--strict", *files],
        check=False,
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stdout.count(": PASSED\n") == len(files) == 2, done.stdout


# Installers, each with a checkout and an empty home folder


@pytest.fixture(scope="module")
def index(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheels that the program and its build need, in place of a package index."""
    folder = tmp_path_factory.mktemp("wheels")
    pack_requirements(folder, "apipod-seedream", "hatchling")
    [own] = folder.glob("apipod_seedream-*.whl")
    own.unlink()
    return folder


def environment(home: Path, index: Path) -> Mapping[str, str]:
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


def run(
    home: Path, index: Path, *command: str | Path, exit_code: int = 0
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        command,
        env=environment(home, index),
        cwd=home,
        check=False,
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert done.returncode == exit_code, done.stderr
    return done


def check_installed(home: Path, index: Path, shared: Path) -> None:
    """Assert that both commands run, and that ``shared`` has the completions and the man pages."""
    for name in ("seedream", "apipod-seedream"):
        assert run(home, index, name, "--version").stdout == f"seedream {VERSION}\n"
    files = {str(path.relative_to(shared)) for path in (shared / "share").rglob("*") if is_ours(path)}
    assert files == set(SHARED)
    for place, source in SHARED.items():
        assert (shared / place).read_bytes() == (ROOT / source).read_bytes(), place


def is_ours(path: Path) -> bool:
    return path.is_file() and "seedream" in path.name and "pipx" not in path.parts


def check_man_finds_pages(home: Path, index: Path) -> None:
    """Assert that man finds the pages without a setting: it looks next to each folder of the PATH."""
    for page in (ROOT / "man").iterdir():
        found = Path(run(home, index, needs.program("man"), "--path", page.stem).stdout.strip())
        assert found.is_relative_to(home)
        assert found.read_bytes() == page.read_bytes()


def check_bash_finds_completion(home: Path, index: Path) -> None:
    """Assert that bash-completion loads the scripts for both commands."""
    library = Path("/usr/share/bash-completion/bash_completion")
    if not library.exists():
        needs.missing("bash-completion")
    for name in ("seedream", "apipod-seedream"):
        script = (
            f"XDG_DATA_DIRS={home}/.local/share; . {library}; _completion_loader {name}; complete -p {name}"
        )
        shown = run(home, index, needs.program("bash"), "-c", script).stdout
        assert shown == f"complete -o default -F _seedream {name}\n"


# One test per installer: with more, each test process would install again.


def test_pip_installs_a_checkout(index: Path, tmp_path: Path) -> None:
    run(tmp_path, index, sys.executable, "-m", "venv", "--without-pip", tmp_path / ".local")
    python = tmp_path / ".local" / "bin" / "python"
    run(tmp_path, index, sys.executable, "-m", "pip", "--python", python, "install", "-q", ROOT)
    check_installed(tmp_path, index, tmp_path / ".local")
    where = run(tmp_path, index, python, "-c", "import seedream_cli as it; print(it.__file__)").stdout
    assert Path(where.strip()).is_relative_to(tmp_path)
    for shell, file in {"bash": "seedream.bash", "powershell": "seedream.ps1"}.items():
        printed = run(tmp_path, index, "seedream", "completion", shell).stdout
        assert printed == (ROOT / "completions" / file).read_text(encoding="utf-8")
    check_man_finds_pages(tmp_path, index)
    check_bash_finds_completion(tmp_path, index)


def test_pipx_installs_a_checkout_with_completions_and_man_pages(index: Path, tmp_path: Path) -> None:
    # The pip backend would first look for a newer pip.
    run(tmp_path, index, sys.executable, "-m", "pipx", "install", "--backend", "uv", ROOT)
    check_installed(tmp_path, index, tmp_path / ".local")
    check_man_finds_pages(tmp_path, index)
    check_bash_finds_completion(tmp_path, index)


def test_uv_installs_a_checkout_and_readme_finds_its_man_pages(index: Path, tmp_path: Path) -> None:
    """uv links only commands. The README has a line that finds the man pages."""
    uv = (sys.executable, "-m", "uv", "tool")
    run(tmp_path, index, *uv, "install", ROOT)
    tools = run(tmp_path, index, *uv, "dir").stdout.strip()
    check_installed(tmp_path, index, Path(tools) / "apipod-seedream")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [line] = re.findall(r"^(man -M .\$\(uv tool dir\).*?) *#", readme, re.MULTILINE)
    needs.program("man")
    script = f'uv() {{ "{sys.executable}" -m uv "$@"; }}; {line.replace("man ", "man --path ", 1)}'
    found = run(tmp_path, index, needs.program("bash"), "-c", script).stdout.strip()
    assert Path(found).read_bytes() == (ROOT / "man" / "seedream.1").read_bytes()


@pytest.mark.parametrize(("arguments", "exit_code"), [(["generate", "-h"], 0), (["generate", "fox"], 4)])
def test_python_m_runs_the_same_program(
    seedream_process: Program, arguments: list[str], exit_code: int
) -> None:
    """`python -m seedream_cli` and both installed commands print the same."""
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
