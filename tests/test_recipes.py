"""README's recipes for CI services and make, run without those services."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.github import find_annotations, split
from support.needs import program
from support.program import Program, Result
from support.starting import StartSandbox

import seedream_cli
from seedream_cli.sandbox.server import Sandbox

pytestmark = pytest.mark.slow

README = (Path(seedream_cli.__file__).parent.parent / "README.md").read_text(encoding="utf-8")
[RECIPES] = re.findall(r"\n### GitHub Actions, GitLab CI and make\n(.*?)\n### ", README, re.DOTALL)
_CI_FILES = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", RECIPES, re.DOTALL)]
GITHUB = _CI_FILES[0]
GITLAB = _CI_FILES[1]
[MAKEFILE] = re.findall(r"```make\n(.*?)```", RECIPES, re.DOTALL)
MANIFEST = '[defaults]\ndir = "assets"\n[assets.fox]\nprompt = "a fox"\n[assets.hen]\nprompt = "a hen"\n'


Checkout = Callable[[str], Program]


@pytest.fixture
def checkout(seedream: Program) -> Checkout:
    """Return a function that creates a machine with the program on its PATH and a project."""
    folder = seedream.cwd.parent / "bin"
    folder.mkdir()
    script = folder / "seedream"
    script.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m seedream_cli "$@"\n')
    script.chmod(0o755)

    def fresh(name: str) -> Program:
        machine = Program(seedream.cwd.parent / name)
        machine.environment["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"
        (machine.cwd / "seedream.toml").write_text(MANIFEST, encoding="utf-8")
        return machine

    return fresh


def run(machine: Program, *command: str, env: Mapping[str, str]) -> Result:
    done = subprocess.run(
        command,
        capture_output=True,
        stdin=subprocess.DEVNULL,
        env={**machine.environment, **env},
        cwd=machine.cwd,
        timeout=100,
        check=False,
    )
    return Result.of_bytes(done.returncode, done.stdout, done.stderr)


def run_job(machine: Program, job: Mapping[str, Any], service: Sandbox, key: str) -> list[Result]:
    """Run the commands of a GitHub job as its runner does, up to the first that fails."""
    done: list[Result] = []
    for step in job["steps"]:
        if "run" not in step:
            assert re.fullmatch(r"actions/[a-z-]+@v\d+", step["uses"])
            continue
        variables = {name: secret(value, key) for name, value in step.get("env", {}).items()}
        github = {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(machine.cwd),
            "GITHUB_STEP_SUMMARY": str(machine.cwd.parent / "summary.md"),
            "SEEDREAM_BASE_URL": service.base_url,
        }
        done.append(run(machine, "bash", "-e", "-c", step["run"], env={**github, **variables}))
        if done[-1].exit_code:
            break
    return done


def secret(value: str, key: str) -> str:
    assert value == "${{ secrets.SEEDREAM_API_KEY }}"
    return key


def paid(service: Sandbox) -> int:
    """Return the number of tasks that were paid for. Repeated requests have the same key."""
    keys = [
        request.headers.get("idempotency-key") for request in service.requests if request.method == "POST"
    ]
    return len(set(keys))


def test_github_job_saves_images_and_pays_once(checkout: Checkout, start_sandbox: StartSandbox) -> None:
    service = start_sandbox()
    [job] = GITHUB["jobs"].values()
    for name in ("first", "again"):
        machine = checkout(name)
        sync, check = run_job(machine, job, service, "sk-test-0123456789")
        assert (sync.exit_code, check.exit_code) == (0, 0), sync.stderr + check.stderr
        assert split(sync.stderr)[1][0] == "::group::asking the sandbox for 2 images"
        assert find_annotations(sync.stderr + check.stderr) == []
        assert "fox" in (machine.cwd.parent / "summary.md").read_text(encoding="utf-8")
        for path in job["steps"][-1]["with"]["path"].split():
            assert (machine.cwd / path).exists()
        assert {path.name for path in (machine.cwd / "assets").iterdir()} == {"fox.png", "hen.png"}
    assert paid(service) == 2


def test_github_job_without_secret_suggests_command(checkout: Checkout, start_sandbox: StartSandbox) -> None:
    service = start_sandbox()
    [job] = GITHUB["jobs"].values()
    [sync] = run_job(checkout("fork"), job, service, "")
    assert sync.exit_code == 4
    [annotation] = find_annotations(sync.stderr)
    assert annotation.lines[-1] == "gh secret set SEEDREAM_API_KEY"
    assert service.requests == []


def test_gitlab_job_saves_images(checkout: Checkout, start_sandbox: StartSandbox) -> None:
    service, machine = start_sandbox(), checkout("runner")
    [job] = GITLAB.values()
    gitlab = {
        "CI": "true",
        "GITLAB_CI": "true",
        "CI_PROJECT_URL": "https://gitlab.test/a/b",
        "SEEDREAM_BASE_URL": service.base_url,
    }
    refused = run(machine, "bash", "-e", "-c", "\n".join(job["script"]), env=gitlab)
    assert (refused.exit_code, service.requests) == (4, [])
    assert "https://gitlab.test/a/b/-/settings/ci_cd" in refused.stderr
    key = {"SEEDREAM_API_KEY": "sk-test-0123456789"}
    done = run(machine, "bash", "-e", "-c", "\n".join(job["script"]), env={**gitlab, **key})
    assert done.exit_code == 0, done.stderr
    assert all((machine.cwd / path).exists() for path in job["artifacts"]["paths"])
    assert "::" not in done.stdout + done.stderr


@pytest.fixture
def make_project(checkout: Checkout) -> Program:
    machine = checkout("make")
    (machine.cwd / "Makefile").write_text(MAKEFILE, encoding="utf-8")
    (machine.cwd / "prompts").mkdir()
    for name in ("hero", "badge"):
        (machine.cwd / "prompts" / f"{name}.md").write_text(f"A {name}\n", encoding="utf-8")
    return machine


def test_make_generates_missing_and_outdated_images(
    make_project: Program, start_sandbox: StartSandbox
) -> None:
    service, make = start_sandbox(), program("make")
    make_project.use(service.base_url)
    first = run(make_project, make, "-j2", env={})
    assert first.exit_code == 0, first.stderr
    images = {name: make_project.cwd / "public" / f"{name}.png" for name in ("hero", "badge")}
    assert all(image.exists() for image in images.values())
    ratios = {body(request)["prompt"]: body(request)["aspect_ratio"] for request in posts(service)}
    assert ratios == {"A hero": "16:9", "A badge": "1:1"}

    assert "Nothing to be done" in run(make_project, make, env={}).stdout
    assert len(posts(service)) == 2

    newer = images["hero"].stat().st_mtime + 10
    os.utime(make_project.cwd / "prompts" / "hero.md", (newer, newer))
    assert run(make_project, make, env={}).exit_code == 0
    assert [body(request)["prompt"] for request in posts(service)][2:] == ["A hero"]


def test_make_repeats_failed_task(make_project: Program, start_sandbox: StartSandbox) -> None:
    service, make = start_sandbox(faults=["task-failed=1"]), program("make")
    make_project.use(service.base_url)
    image = make_project.cwd / "public" / "hero.png"
    assert run(make_project, make, "public/hero.png", env={}).exit_code == 2
    assert not image.parent.exists() or list(image.parent.iterdir()) == []
    assert run(make_project, make, "public/hero.png", env={}).exit_code == 0
    assert image.exists()


def posts(service: Sandbox) -> list[Any]:
    """Return the create requests of a service."""
    return [request for request in service.requests if request.method == "POST"]


def body(request: Any) -> dict[str, Any]:
    parsed = json.loads(request.body)
    assert isinstance(parsed, dict)
    return parsed
