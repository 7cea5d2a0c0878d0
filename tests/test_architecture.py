"""Enforce the layers: which folder may import which, where libraries are used, and what a command loads."""

from __future__ import annotations

import ast
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from support.program import Program
from support.project import Project

import seedream_cli
from seedream_cli.errors import ExitCode
from seedream_cli.sandbox.server import Sandbox

PACKAGE = Path(seedream_cli.__file__).parent

#: From top to bottom: a folder or module imports only from layers below its own.
LAYERS = (
    ("__main__",),
    ("cli",),
    ("commands",),
    ("sync", "output", "completion"),
    ("tasks",),
    ("settings",),
    ("api",),
    ("history",),
    ("files",),
    ("images",),
    ("events",),
    ("models",),
    ("request_fields",),
    ("catalog", "prompt", "urls", "install_hints"),
    ("errors",),
    ("text", "__init__"),
)
#: What lies side by side by the layers' order, and has no business with each other all the same.
NEVER = {
    *(("output", other) for other in ("tasks", "api", "history")),
    *(("tasks", other) for other in ("settings", "output")),
    *(("sync", other) for other in ("api", "output")),
    *(("settings", other) for other in ("api", "history")),
    ("completion", "history"),
}
#: Which libraries from outside the standard library each folder may import. msgspec is allowed everywhere.
LIBRARIES = {
    "typer": {"cli", "commands"},
    "rich": {"output"},
    "httpx": {"api"},
    "platformdirs": {"settings"},
    "keyring": {"settings"},
    "tomlkit": {"settings"},
    # The sandbox draws pictures; a preview is scaled for the terminal.
    "PIL": {"output", "sandbox"},
    "textual_image": {"output"},
    "sqlite3": {"history", "sandbox", "completion"},
}


def folder_of(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


@cache
def statements(path: Path) -> Sequence[ast.Import | ast.ImportFrom]:
    """Every import of a file, wherever in it."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]


def imports() -> Iterator[tuple[str, str, str]]:
    """(file, importing room, imported room of the package or outside module)"""
    for path in sorted(PACKAGE.rglob("*.py")):
        here = folder_of(path)
        depth = len(path.relative_to(PACKAGE).parts)
        for node in statements(path):
            name = str(path.relative_to(PACKAGE))
            if isinstance(node, ast.Import):
                for one in node.names:
                    yield name, here, one.name.split(".")[0]
            elif isinstance(node, ast.ImportFrom) and node.level == 0:
                yield name, here, (node.module or "").split(".")[0]
            elif isinstance(node, ast.ImportFrom) and node.level == depth:
                rooms = [node.module.split(".")[0]] if node.module else [one.name for one in node.names]
                for room in rooms:
                    yield name, here, "__init__" if room in ("__version__", "VERSION_LINE") else room


def layer(folder: str) -> int:
    return next(number for number, folders in enumerate(LAYERS) if folder in folders)


def test_layers_list_every_folder_and_module() -> None:
    found = {folder_of(path) for path in PACKAGE.rglob("*.py")} - {"sandbox"}
    assert found == {folder for folders in LAYERS for folder in folders}


def test_layers_import_only_from_below() -> None:
    inside = {folder for folders in LAYERS for folder in folders}
    upward = [
        (name, there)
        for name, here, there in imports()
        if here in inside and there in inside and here != there and layer(there) <= layer(here)
    ]
    assert upward == []


def test_top_level_has_at_most_a_dozen_modules() -> None:
    assert len(list(PACKAGE.glob("*.py"))) <= 12


def test_no_import_cycles() -> None:
    """Not even for type checkers only, or inside a function."""
    names = {
        path: ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
        for path in PACKAGE.rglob("*.py")
    }
    modules = {name.removesuffix(".__init__") for name in names.values()}
    imported: dict[str, set[str]] = {}
    for path, name in names.items():
        package = name.rpartition(".")[0]
        for node in statements(path):
            if isinstance(node, ast.ImportFrom) and node.level:
                base = ".".join(package.split(".")[: len(package.split(".")) - node.level + 1])
                base = f"{base}.{node.module}" if node.module else base
                targets = {f"{base}.{one.name}" for one in node.names} & modules or {base}
                imported.setdefault(name.removesuffix(".__init__"), set()).update(targets)
    TopologicalSorter({name: targets - {name} for name, targets in imported.items()}).prepare()


def test_unrelated_folders_do_not_import_each_other() -> None:
    assert {(here, there) for _, here, there in imports()} & NEVER == set()


def test_commands_do_not_import_each_other() -> None:
    for path in (PACKAGE / "commands").glob("[a-z]*.py"):
        for node in statements(path):
            if isinstance(node, ast.ImportFrom) and node.level == 1:
                names = [node.module or "", *(one.name for one in node.names if not node.module)]
                assert all(name.startswith("_") for name in names), path.name


def test_libraries_are_imported_only_in_their_folders() -> None:
    strangers = [
        (name, there)
        for name, here, there in imports()
        if there not in sys.stdlib_module_names | {"seedream_cli"} or there in LIBRARIES
        if here not in LIBRARIES.get(there, set())
        and there not in {room for rooms in LAYERS for room in rooms}
        # The value classes of every room are msgspec's.
        if there not in ("sandbox", "msgspec")
    ]
    assert strangers == []


def test_sandbox_shares_only_facts_of_the_api_with_the_client() -> None:
    for path in (PACKAGE / "sandbox").rglob("*.py"):
        for node in statements(path):
            if isinstance(node, ast.ImportFrom) and node.level == 2:
                assert node.module in ("catalog", "request_fields"), path.name
    assert {here for _, here, there in imports() if there == "sandbox"} == {"commands"}


LOADED = """
import json, sys
# Where click is installed for something else, httpx loads a command of its own, and rich with it.
sys.modules["click"] = None
from seedream_cli.cli import run
code = run(sys.argv[1:])
sys.stdout.flush()
print(json.dumps([code, sorted(sys.modules)]), file=sys.stderr)
"""
HEAVY = {
    *("httpx", "httpcore", "sqlite3", "rich", "platformdirs", "tomllib", "tomlkit", "keyring", "PIL"),
    *("textual_image", "ssl", "asyncio"),
}
# Elsewhere than on Linux only platformdirs knows where files belong.
PLATFORM = set() if sys.platform == "linux" else {"platformdirs"}


TOML = frozenset({"tomllib"})
NETWORK = frozenset({"tomllib", "sqlite3", "httpx", "httpcore", "ssl"})
#: Command line → what of it all may be loaded.
NEEDED: dict[str, frozenset[str]] = {
    **dict.fromkeys(("--version", "--help", "generate --help", "help generate"), frozenset()),
    **dict.fromkeys(("completion bash", "completion --list= -- generate -a", "config path"), frozenset()),
    **dict.fromkeys(("generate", "generate fox --dry-run", "config list"), TOML),
    **dict.fromkeys(("status", "status --json", "completion --list= -- status"), TOML | {"sqlite3"}),
    "config set model seedream-v4.5": TOML | {"tomlkit"},
    **dict.fromkeys(("generate fox --no-wait", "generate fox --preview --open"), NETWORK),
    "generate fox --json": NETWORK,
}


@pytest.mark.parametrize("line", NEEDED)
@pytest.mark.slow
def test_command_loads_only_what_it_needs(seedream: Program, sandbox: Sandbox, line: str) -> None:
    _, loaded = loaded_by(seedream, *line.split())
    assert (loaded & HEAVY) - NEEDED[line] <= PLATFORM
    if "sqlite3" not in NEEDED[line]:
        assert "seedream_cli.history.store" not in loaded


@pytest.mark.parametrize(
    ("arguments", "prompt", "exit_code"),
    [
        ("--check", "a fox", ExitCode.OK),
        ("--check", "an owl", ExitCode.DRIFT),
        ("--dry-run", "an owl", ExitCode.OK),
        ("", "a fox", ExitCode.OK),
        ("", "a {fox}", ExitCode.USAGE),
    ],
)
def test_sync_check_loads_nothing_to_act_with(
    seedream: Program, arguments: str, prompt: str, exit_code: ExitCode
) -> None:
    project = Project(seedream, seedream.cwd)
    project.write('[assets.fox]\nprompt = "a fox"')
    project.settle()
    project.replace("a fox", prompt)
    code, loaded = loaded_by(seedream, "sync", *arguments.split())
    assert code == exit_code
    assert loaded & HEAVY <= {"tomllib"} | PLATFORM
    modules = (
        "history.store",
        "api.client",
        "tasks.run",
        "sync.image_task",
        "sync.executor",
        "sync.project_files",
    )
    assert not loaded & {f"seedream_cli.{module}" for module in modules}


@pytest.mark.parametrize("arguments", [["config", "list"], ["generate", "fox", "--dry-run"], ["status"]])
def test_keyring_is_loaded_only_for_its_key(seedream: Program, arguments: list[str]) -> None:
    seedream.config.parent.mkdir(parents=True)
    seedream.config.write_text('[profiles.default]\napi_key = {in = "keyring"}\n')
    seedream.config.chmod(0o600)
    code, loaded = loaded_by(seedream, *arguments)
    assert code == ExitCode.OK
    assert not loaded & {"keyring", "seedream_cli.settings.keyring"}


def loaded_by(seedream: Program, *arguments: str) -> tuple[int, set[str]]:
    """The exit code of one run of the program, and the modules that it loads."""
    done = subprocess.run(
        [sys.executable, "-c", LOADED, *arguments],
        capture_output=True,
        env=seedream.environment,
        cwd=seedream.cwd,
        text=True,
        check=False,
    )
    code, modules = json.loads(done.stderr.splitlines()[-1])
    return code, set(modules)
