"""Sync with shards: four machines each generate a part, and the merged lockfile is complete."""

from __future__ import annotations

import os
import subprocess
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from support.checkout import Checkout, NewCheckout
from support.images import png
from support.needs import program
from support.project import NOTHING, asked
from support.starting import StartSandbox

from seedream_cli.sandbox.server import Sandbox

Machine = Callable[[Path], Checkout]
SHARDS = 4
#: More images than shards. One asset has two images.
NAMES = [f"n{number:02}" for number in range(9)]
IMAGES = len(NAMES) + 1


def manifest(look: str) -> str:
    text = "".join(f'[assets.{name}]\nprompt = "{name}, {look}"\n' for name in NAMES)
    return text.replace("[assets.n04]\n", "[assets.n04]\ncount = 2\n")


@pytest.fixture
def sandbox(start_sandbox: StartSandbox) -> Sandbox:
    """Start a sandbox that draws a different image for every task."""
    drawn = iter(range(1, 999))
    return start_sandbox(seconds=0, rate=0, draw=lambda body: png(width=next(drawn)))


@pytest.fixture
def machine(new_checkout: NewCheckout, sandbox: Sandbox) -> Machine:
    """Set up a machine with a history of its own and the project in the given folder."""
    return lambda folder: new_checkout(sandbox, folder=folder)


def run_all_shards(machines: Sequence[Checkout]) -> None:
    """Run all shards in parallel, as GitLab's `parallel: 4` does."""
    runs = [
        machine.start(
            "--shard", "auto", env={"CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": str(len(machines))}
        )
        for index, machine in enumerate(machines, 1)
    ]
    for run in runs:
        result = run.result()
        assert result.exit_code == 0, result.stderr


def creates(sandbox: Sandbox) -> Counter[str]:
    """Count the create requests by idempotency key."""
    posts = [request for request in sandbox.requests if request.method == "POST"]
    return Counter(request.headers["idempotency-key"] for request in posts)


def check_is_complete(checkout: Checkout, sandbox: Sandbox) -> None:
    """Check that the merged checkout is in sync, on a machine with an empty history."""
    asked(sandbox)
    checked = checkout("--check", env={"SEEDREAM_API_KEY": ""})
    assert (checked.exit_code, checked.stdout) == (0, ""), checked.stderr
    # This run only removes the duplicates of the merge.
    assert checkout().exit_code == 0
    assert asked(sandbox) == NOTHING
    assert sorted(entry["name"] for entry in checkout.entries()) == sorted([*NAMES, "n04"])
    assert checkout.mismatched_files() == []


Git = Callable[..., str]


@pytest.fixture
def git(tmp_path: Path) -> Git:
    """Run git without the configuration of the user who runs the tests."""
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
    """Create a repository with the manifest and the merge driver that the README recommends."""
    folder = tmp_path / "origin"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch", "main")
    (folder / ".gitattributes").write_text("seedream.lock merge=union\n")
    (folder / "seedream.toml").write_text(manifest("red"))
    commit(git, folder)
    return folder


def generate_in_shards(git: Git, origin: Path, machine: Machine) -> None:
    """Run each shard in a clone, commit its part on a branch, and merge all branches into the origin."""
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
def test_shards_on_git_branches_merge_into_a_complete_lockfile(
    git: Git, origin: Path, machine: Machine, sandbox: Sandbox
) -> None:
    # In the second round every image changes: for git, changes of neighbouring lines conflict.
    generate_in_shards(git, origin, machine)
    assert creates(sandbox).total() == len(creates(sandbox)) == sandbox.task_count() == IMAGES
    check_is_complete(machine(origin), sandbox)
    (origin / "seedream.toml").write_text(manifest("blue"))
    commit(git, origin)
    generate_in_shards(git, origin, machine)
    assert sandbox.task_count() == 2 * IMAGES
    merged = machine(origin)
    assert len(merged.entries()) > IMAGES, "the merge left no duplicates to resolve"
    check_is_complete(merged, sandbox)
