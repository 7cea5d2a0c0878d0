"""README and CHANGELOG match the program."""

from __future__ import annotations

import importlib.metadata
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from faults import fault_table
from faults.test_random_faults import HOMES, TESTS
from support.needs import program
from support.program import Program
from support.project import Project

import seedream_cli
from seedream_cli.catalog import ASPECT_RATIOS, MODELS
from seedream_cli.errors import PRECEDENCE, ExitCode
from seedream_cli.files.output_path import FIELDS
from seedream_cli.sandbox.server import Sandbox
from seedream_cli.settings.schema import ALL_SETTINGS
from seedream_cli.sync.manifest import load_manifest
from seedream_cli.sync.manifest_keys import ASSET_KEYS
from seedream_cli.sync.path_template import DEFAULT_PATH
from seedream_cli.sync.path_template import FIELDS as FIELDS_OF_PATHS
from seedream_cli.sync.plan_items import State

ROOT = Path(seedream_cli.__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table with this first heading, without backquotes."""
    block = README[README.index(f"| {heading} |") :].split("\n\n")[0]
    return [
        [cell.strip().strip("`") for cell in line.strip("| ").split(" |")] for line in block.splitlines()[2:]
    ]


def test_readme_exit_codes() -> None:
    table = [[cell.replace("`", "") for cell in row] for row in rows("code")]
    assert table == [[str(int(code)), code.label, code.when.replace("`", "")] for code in ExitCode]


def test_readme_exit_code_precedence() -> None:
    [documented] = re.findall(r"in the order ([\d,\s]+) is returned", README)
    assert [int(code) for code in documented.split(",")] == [
        code for code in PRECEDENCE if code != ExitCode.OK
    ]


def test_help_exit_codes(seedream: Program) -> None:
    shown = " ".join(seedream("--help").stdout.split())
    for code in ExitCode:
        assert f"{int(code)} {code.label}" in shown


def test_readme_settings() -> None:
    expected = [
        [setting.name, "` or `".join(setting.variables), setting.default or "", setting.description]
        for setting in ALL_SETTINGS.values()
    ]
    assert [[cell.strip("`") for cell in row] for row in rows("setting")] == expected


def test_readme_fault_table_counts() -> None:
    table = list(fault_table.rows())
    assert f"a table of {len(table)} rows" in README
    assert f"at {len({row.stage for row in table})} stages" in README
    assert f"{TESTS * HOMES} homes" in README


def test_readme_models_and_ratios() -> None:
    assert rows("aspect ratio") == [list(pair) for pair in ASPECT_RATIOS.items()]
    assert rows("model") == [
        [model.name, model.what, str(model.prompt_limit), ", ".join(model.qualities)]
        for model in MODELS.values()
    ]


def test_readme_output_fields() -> None:
    section = README[README.index("### Where images go") :]
    section = section[: section.index("\n## ")]
    assert set(re.findall(r"\{([a-z]+)\}", section)) == set(FIELDS) - {"name"}


def test_readme_json_example(seedream: Program) -> None:
    example = json.loads(README.split("```json\n")[1].split("```")[0])
    document = seedream("generate", "fox", "--sandbox", "--json").document
    assert list(example) == list(document)
    assert list(example["tasks"][0]) == list(document["tasks"][0])
    assert list(example["tasks"][0]["files"][0]) == list(document["tasks"][0]["files"][0])


def test_readme_marks_commands_for_ci() -> None:
    for name in ("install", "test"):
        [command] = re.findall(rf"<!-- command: {name} -->\n```sh\n(.+)\n```", README)
        assert command.startswith("python3 -m venv .venv && ")


def section(heading: str) -> str:
    """Return the text below a heading, up to the next heading of the same or a higher level."""
    text = README[README.index(f"\n{heading}\n") + 1 :]
    level = heading.partition(" ")[0]
    return re.split(rf"\n#{{2,{len(level)}}} ", text)[0]


OF_SYNC = section("## Images as build artefacts")
[MANIFEST] = re.findall(r"```toml\n(.*?)```", OF_SYNC, re.DOTALL)
CHECK, GITHUB, GITLAB, KUBERNETES, KUBERNETES_MERGE = (
    yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", OF_SYNC, re.DOTALL)
)


@pytest.fixture
def project(seedream: Program) -> Project:
    """Project with README's manifest."""
    project = Project(seedream, seedream.cwd)
    project.write(MANIFEST)
    (project.folder / "prompts").mkdir()
    (project.folder / "prompts" / "badge.md").write_text("A badge, {look}\n", encoding="utf-8")
    return project


def test_readme_manifest_images(project: Project) -> None:
    images = [image.target.path("png") for image in load_manifest(project.manifest).images()]
    assert sorted(images) == sorted(re.findall(r"\S+\.png", MANIFEST))


def test_readme_manifest_keys_and_fields() -> None:
    [documented] = re.findall(r"^An asset has .*?\.$", OF_SYNC, re.DOTALL | re.MULTILINE)
    keys, fields = documented.split("Paths begin")
    assert tuple(re.findall("`([a-z_]+)`", keys)) == ASSET_KEYS
    assert set(re.findall(r"`\{([a-z]+)\}`", fields)) == set(FIELDS_OF_PATHS)
    assert f"The default is `{DEFAULT_PATH}`" in documented


def test_readme_sync_states() -> None:
    assert [row[0] for row in rows("state")] == list(State)


def test_readme_sync_document(project: Project) -> None:
    [documented] = re.findall(r"`sync` prints `\{(.*?)\}`", README, re.DOTALL)
    document = project("--dry-run", "--json").document
    assert [name.strip('"') for name in documented.split(", ")] == list(document)
    for name in ("state", "action", "done", "error"):
        assert name in document["images"][0]


def test_readme_gitattributes_merge_lockfile_by_union(project: Project) -> None:
    [line] = re.findall(r"```gitattributes\n(.*?)```", OF_SYNC, re.DOTALL)
    (project.folder / ".gitattributes").write_text(line, encoding="utf-8")
    git = [program("git"), "-C", str(project.folder)]
    subprocess.run([*git, "init", "-q"], check=True)
    attributes = subprocess.run(
        [*git, "check-attr", "merge", project.lock_file.name], check=True, capture_output=True, text=True
    )
    assert attributes.stdout == "seedream.lock: merge: union\n"


def runs(job: Mapping[str, Any]) -> list[str]:
    """Return the shell scripts of a GitHub job."""
    return [step["run"] for step in job["steps"] if "run" in step]


def calls(script: str) -> list[list[str]]:
    """Return the arguments of each call of the program in a script."""
    lines = [line.split(" > ")[0] for line in script.splitlines() if line.startswith("seedream ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


SHARD = GITHUB["jobs"]["shard"]
MERGE = GITHUB["jobs"]["merge"]
[CONTAINER] = KUBERNETES["spec"]["template"]["spec"]["containers"]
#: Environment of each machine of the matrix.
MACHINES = [
    {"CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": str(len(SHARD["strategy"]["matrix"]["index"]))}
    for index in SHARD["strategy"]["matrix"]["index"]
]


def test_readme_shard_recipes_run_same_commands() -> None:
    """Only one of them is run by the next test."""
    variables = {"CI_NODE_INDEX": "${{ matrix.index }}", "CI_NODE_TOTAL": "${{ strategy.job-total }}"}
    assert variables.items() <= SHARD["steps"][1]["env"].items()
    assert [GITLAB[job]["script"] for job in ("shard", "merge")] == [
        runs(job)[0].splitlines() for job in (SHARD, MERGE)
    ]
    there, here = "/images/shard-$JOB_COMPLETION_INDEX", "shard-$CI_NODE_INDEX"
    assert CONTAINER["args"][0].replace(there, here).endswith(f"cd project\n{runs(SHARD)[0]}")
    [merging] = KUBERNETES_MERGE["spec"]["template"]["spec"]["containers"]
    assert merging["command"] == ["sh", "merge-shards.sh", ".."]


@pytest.mark.slow
def test_readme_shard_recipe_merges_lockfiles(
    project: Project, seedream: Program, sandbox: Sandbox, tmp_path: Path
) -> None:
    [merging] = re.findall(r"```sh\n(set -e\n.*?)```", OF_SYNC, re.DOTALL)
    (project.folder / "merge-shards.sh").write_text(merging, encoding="utf-8")
    [shard], [merge] = runs(SHARD), runs(MERGE)
    machines = [Program(tmp_path / f"machine-{number}") for number, _ in enumerate(MACHINES)]
    for machine in machines:
        shutil.copytree(project.folder, machine.cwd, dirs_exist_ok=True)
    for machine, environment in zip(machines, MACHINES, strict=True):
        machine.use(sandbox.base_url)
        done = machine.shell(f"set -e\n{shard}", env=environment)
        assert done.exit_code == 0, done.stderr
        [handed_over] = machine.cwd.glob("shard-*.tar")
        shutil.move(handed_over, project.folder)
    # The script that `sh` runs needs the function too.
    done = seedream.shell(f"set -e\nexport -f seedream\n{merge.replace('sh ', 'bash ', 1)}")
    assert done.exit_code == 0, done.stderr
    assert len(project.lock_file.read_text(encoding="utf-8").splitlines()) == len(project.lock) == 3
    assert sum(request.method == "POST" for request in sandbox.requests) == 3


def test_readme_pull_request_check_needs_no_key(project: Project) -> None:
    [words] = calls(runs(CHECK["jobs"]["check"])[0])
    assert words[0] == "sync"
    project.settle()
    assert project(*words[1:]).exit_code == 0
    project.replace("red fox", "grey fox")
    assert project(*words[1:]).exit_code == 10


def commands() -> list[list[str]]:
    """Return the arguments of each call of the program in README's shell blocks."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            for call in re.findall(r"(?:^|[(&|]\s*|\$\()(seedream [^|&#;)]*)", line):
                found.append(shlex.split(call)[1:])
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_readme_example_uses_existing_options(seedream: Program, words: list[str]) -> None:
    """The help of the command must exist and list each option of the example."""
    done = seedream(*words[: 2 if words[0] == "config" else 1], "--help")
    assert done.exit_code == 0
    for option in (word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", done.stdout), option


def test_changelog_newest_heading_is_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    [newest, *_] = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)
    assert newest == seedream_cli.__version__ == importlib.metadata.version("apipod-seedream")


def test_version_is_printed(seedream: Program) -> None:
    assert seedream("--version").stdout == seedream("-V").stdout == f"seedream {seedream_cli.__version__}\n"
