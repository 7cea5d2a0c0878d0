"""What is published, and where an installation puts it."""

from __future__ import annotations

import importlib.metadata
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest
from support import needs

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
