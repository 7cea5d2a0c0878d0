"""What is published, and where an installation puts it."""

from __future__ import annotations

import importlib.metadata
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
from support.wheels import pack_requirements

import seedream_cli

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
        *("seedream_cli", "completions", "man", "scripts", "tests", "benchmarks"),
        *("README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml", "PKG-INFO", ".gitignore"),
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


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A virtual environment with the wheel in it, but without the libraries."""
    folder = tmp_path_factory.mktemp("environment")
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True, timeout=60)
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--python", folder / "bin" / "python"),
            *("install", "--no-deps", "--no-index", "--quiet", "--disable-pip-version-check", wheel),
        ],
        check=True,
        timeout=100,
    )
    return folder


def run(environment: Path, *command: str | Path) -> str:
    """What a program of the environment prints; the libraries are those of the tests."""
    variables = {"PATH": os.environ["PATH"], "HOME": str(environment), "LC_ALL": "C.UTF-8"}
    done = subprocess.run(
        command,
        env=variables | {"PYTHONPATH": sysconfig.get_path("purelib")},
        cwd=environment,
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return done.stdout


@pytest.mark.parametrize("name", ["seedream", "apipod-seedream"])
def test_an_installation_prints_its_scripts(environment: Path, name: str) -> None:
    program = environment / "bin" / name
    assert run(environment, program, "--version") == f"seedream {VERSION}\n"
    where = run(
        environment, environment / "bin" / "python", "-c", "import seedream_cli as it; print(it.__file__)"
    )
    assert Path(where.strip()).is_relative_to(environment)
    for shell, file in {"bash": "seedream.bash", "powershell": "seedream.ps1"}.items():
        assert run(environment, program, "completion", shell) == (ROOT / "completions" / file).read_text()


def test_an_installation_has_its_files_where_shells_and_man_look(environment: Path) -> None:
    shared = {
        str(path.relative_to(environment)) for path in (environment / "share").rglob("*") if path.is_file()
    }
    assert shared == set(SHARED)


def test_man_finds_the_pages(environment: Path) -> None:
    man = needs.program("man")
    for page in (ROOT / "man").iterdir():
        found = run(environment, man, "-M", environment / "share" / "man", "--path", page.stem)
        assert Path(found.strip()).read_bytes() == page.read_bytes()


def test_bash_completion_finds_the_scripts(environment: Path) -> None:
    library = Path("/usr/share/bash-completion/bash_completion")
    if not library.exists():
        needs.missing("bash-completion")
    for name in ("seedream", "apipod-seedream"):
        script = (
            f"XDG_DATA_DIRS={environment}/share; . {library}; _completion_loader {name}; complete -p {name}"
        )
        shown = run(environment, needs.program("bash"), "-c", script)
        assert shown == f"complete -o default -F _seedream {name}\n"


def test_the_checkout_that_is_tested_is_this_version() -> None:
    assert importlib.metadata.version("apipod-seedream") == VERSION


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


@pytest.fixture(scope="module")
def pip_home(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pip install .` in an environment of its own, ~/.local."""
    home = tmp_path_factory.mktemp("pip")
    called(home, index, sys.executable, "-m", "venv", "--without-pip", home / ".local")
    python = home / ".local" / "bin" / "python"
    called(home, index, sys.executable, "-m", "pip", "--python", python, "install", "-q", ROOT)
    return home


@pytest.fixture(scope="module")
def pipx_home(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`pipx install .`"""
    home = tmp_path_factory.mktemp("pipx")
    # Its pip would first look for a newer one of itself.
    called(home, index, sys.executable, "-m", "pipx", "install", "--backend", "uv", ROOT)
    return home


@pytest.fixture(scope="module")
def uv_home(index: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`uv tool install .`"""
    home = tmp_path_factory.mktemp("uv")
    called(home, index, sys.executable, "-m", "uv", "tool", "install", ROOT)
    return home


def check_installed(home: Path, index: Path, shared: Path) -> None:
    for name in ("seedream", "apipod-seedream"):
        assert called(home, index, name, "--version").stdout == f"seedream {VERSION}\n"
    for place, source in SHARED.items():
        assert (shared / place).read_bytes() == (ROOT / source).read_bytes(), place


def test_pip_installs_a_checkout(pip_home: Path, index: Path) -> None:
    check_installed(pip_home, index, pip_home / ".local")
    called(pip_home, index, "seedream", "generate", "fox", "--dry-run")


def test_pipx_installs_a_checkout_and_links_what_shells_and_man_read(pipx_home: Path, index: Path) -> None:
    check_installed(pipx_home, index, pipx_home / ".local")


def test_uv_installs_a_checkout_and_keeps_what_man_reads(uv_home: Path, index: Path) -> None:
    """It links programs only: README says how to come to the rest."""
    tools = called(uv_home, index, sys.executable, "-m", "uv", "tool", "dir").stdout.strip()
    check_installed(uv_home, index, Path(tools) / "apipod-seedream")


@pytest.mark.parametrize("name", ["seedream", "apipod-seedream"])
def test_uvx_runs_a_checkout(index: Path, tmp_path: Path, name: str) -> None:
    uv = (sys.executable, "-m", "uv", "tool", "run")
    assert called(tmp_path, index, *uv, "--from", ROOT, name, "--version").stdout == f"seedream {VERSION}\n"


@pytest.mark.parametrize("installed", ["pip_home", "pipx_home"])
def test_man_finds_an_installations_pages_by_itself(
    request: pytest.FixtureRequest, index: Path, installed: str
) -> None:
    """man looks beside the folders of the PATH."""
    home: Path = request.getfixturevalue(installed)
    found = called(home, index, needs.program("man"), "--path", "seedream-sync").stdout.strip()
    assert Path(found).read_bytes() == (ROOT / "man" / "seedream-sync.1").read_bytes()
    assert Path(found).is_relative_to(home)


def test_readmes_line_finds_the_pages_that_uv_keeps(uv_home: Path, index: Path) -> None:
    needs.program("man")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    [line] = re.findall(r"`(man -M .\$\(uv tool dir\).*?)`", readme)
    script = f'uv() {{ "{sys.executable}" -m uv "$@"; }}; {line.replace("man ", "man --path ", 1)}'
    found = called(uv_home, index, needs.program("bash"), "-c", script).stdout.strip()
    assert Path(found).read_bytes() == (ROOT / "man" / "seedream.1").read_bytes()


@pytest.mark.parametrize(
    ("arguments", "exit_code"), [(["generate", "-h"], 0), (["genrate"], 2), (["generate", "fox"], 4)]
)
def test_the_module_is_the_program(pip_home: Path, index: Path, arguments: list[str], exit_code: int) -> None:
    ways: list[list[str]] = [["seedream"], ["apipod-seedream"], ["python", "-m", "seedream_cli"]]
    first, *others = [called(pip_home, index, *way, *arguments, exit_code=exit_code) for way in ways]
    assert "seedream" in first.stdout + first.stderr
    for other in others:
        assert (other.stdout, other.stderr) == (first.stdout, first.stderr)
