"""One project on four machines at once: each does its part, and merged, the parts are the whole."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.forked import ForkServer
from support.images import png
from support.needs import program
from support.project import NOTHING, asked
from support.starting import StartSandbox
from sync.checkout import Checkout

from seedream_cli.sandbox.server import Sandbox

SHARDS = 4
#: With more images than shards, and several of one asset.
NAMES = [f"n{number:02}" for number in range(9)]
IMAGES = len(NAMES) + 1


def manifest(look: str) -> str:
    text = "".join(f'[assets.{name}]\nprompt = "{name}, {look}"\n' for name in NAMES)
    return text.replace("[assets.n04]\n", "[assets.n04]\ncount = 2\n")


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """A service whose every image is another one."""
    drawn = iter(range(1, 999))
    return start_sandbox(seconds=0, rate=0, draw=lambda body: png(width=next(drawn)))


@pytest.fixture
def machine(fork_server: ForkServer, tmp_path: Path, sandbox: Sandbox) -> Callable[[Path], Checkout]:
    """A machine that has the project in this folder, and a history of its own."""
    count = 0

    def machine(folder: Path) -> Checkout:
        nonlocal count
        count += 1
        return Checkout(fork_server, tmp_path / f"machine-{count}", sandbox.base_url, folder)

    return machine


def run_all_shards(machines: Sequence[Checkout]) -> None:
    """As GitLab's `parallel: 4` does it."""
    runs = [
        one.start("--shard", "auto", env={"CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": str(len(machines))})
        for index, one in enumerate(machines, 1)
    ]
    for run in runs:
        result = run.result()
        assert result.exit_code == 0, result.stderr


def creates(sandbox: Sandbox) -> Counter[str]:
    """How often each idempotency key was sent."""
    posts = [one for one in sandbox.requests if one.method == "POST"]
    return Counter(one.headers["idempotency-key"] for one in posts)


def is_whole(checkout: Checkout, sandbox: Sandbox) -> None:
    """The merged checkout is in step, on a machine that has never seen any of it."""
    asked(sandbox)
    checked = checkout("--check", env={"SEEDREAM_API_KEY": ""})
    assert (checked.exit_code, checked.stdout) == (0, ""), checked.stderr
    # What a merge left twice is tidied, and nothing else is to be done.
    assert checkout().exit_code == 0
    assert asked(sandbox) == NOTHING
    assert sorted(line["name"] for line in checkout.lines()) == sorted([*NAMES, "n04"])
    assert checkout.disagreements() == []


Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Runs git as nobody in particular."""
    roles = ("AUTHOR_NAME", "AUTHOR_EMAIL", "COMMITTER_NAME", "COMMITTER_EMAIL")
    env = {f"GIT_{role}": "ada@example.test" for role in roles}
    env |= {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull, "HOME": str(tmp_path)}
    env |= {"PATH": os.environ["PATH"]}

    def git(folder: Path, *words: str) -> str:
        command = [program("git"), *words]
        done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"git {' '.join(words)}: {done.stdout}{done.stderr}"
        return done.stdout

    return git


def commit(git: Git, folder: Path) -> None:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "Images")


@pytest.fixture
def origin(git: Git, tmp_path: Path) -> Path:
    """A repository with the manifest, and the line of the README in its attributes."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / ".gitattributes").write_text("seedream.lock merge=union\n")
    (folder / "seedream.toml").write_text(manifest("red"))
    commit(git, folder)
    return folder


def spread(git: Git, origin: Path, machine: Callable[[Path], Checkout]) -> None:
    """Each shard commits its part on a branch of its own; all are merged into the origin's."""
    clones = [origin.with_name(f"shard-{index}") for index in range(1, SHARDS + 1)]
    for clone in clones:
        if not clone.exists():
            git(origin, "clone", "--quiet", str(origin), str(clone))
            git(clone, "checkout", "--quiet", "-b", clone.name)
        git(clone, "pull", "--quiet", "origin", "main")
    run_all_shards([machine(clone) for clone in clones])
    for clone in clones:
        commit(git, clone)
        git(clone, "push", "--quiet", "--force", "origin", clone.name)
    for clone in clones:
        git(origin, "merge", "--quiet", "--message", f"Merge {clone.name}", clone.name)
    assert git(origin, "status", "--porcelain") == ""


@pytest.mark.slow
def test_four_shards_of_a_repository_merge_to_the_whole(
    git: Git, origin: Path, machine: Callable[[Path], Checkout], sandbox: Sandbox
) -> None:
    """Then every image is changed, each by another shard: neighbouring lines are a conflict to git."""
    spread(git, origin, machine)
    assert creates(sandbox).total() == len(creates(sandbox)) == sandbox.task_count() == IMAGES
    is_whole(machine(origin), sandbox)
    (origin / "seedream.toml").write_text(manifest("blue"))
    commit(git, origin)
    spread(git, origin, machine)
    assert sandbox.task_count() == 2 * IMAGES
    merged = machine(origin)
    assert len(merged.lines()) > IMAGES, "otherwise there is nothing to tell apart"
    is_whole(merged, sandbox)
