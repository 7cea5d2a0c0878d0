"""What README and CHANGELOG say is what the program does."""

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
from seedream_cli.sync.manifest import load
from seedream_cli.sync.manifest_keys import ASSET_KEYS
from seedream_cli.sync.path_template import DEFAULT_PATH
from seedream_cli.sync.path_template import FIELDS as FIELDS_OF_PATHS
from seedream_cli.sync.plan_items import State

ROOT = Path(seedream_cli.__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def rows(heading: str) -> list[list[str]]:
    """The cells of the table whose first heading is this, without backquotes."""
    block = README[README.index(f"| {heading} |") :].split("\n\n")[0]
    return [
        [cell.strip().strip("`") for cell in line.strip("| ").split(" |")] for line in block.splitlines()[2:]
    ]


def test_its_exit_codes_are_the_programs() -> None:
    table = [[cell.replace("`", "") for cell in row] for row in rows("code")]
    assert table == [[str(int(code)), code.label, code.when.replace("`", "")] for code in ExitCode]


def test_its_order_of_exit_codes_is_the_programs() -> None:
    [said] = re.findall(r"in the order ([\d,\s]+) is returned", README)
    assert [int(code) for code in said.split(",")] == [code for code in PRECEDENCE if code != ExitCode.OK]


def test_the_helps_exit_codes_are_the_programs(seedream: Program) -> None:
    shown = " ".join(seedream("--help").stdout.split())
    for code in ExitCode:
        assert f"{int(code)} {code.label}" in shown


def test_its_settings_are_the_programs() -> None:
    expected = [
        [key.name, "` or `".join(key.variables), key.default or "", key.what] for key in ALL_SETTINGS.values()
    ]
    assert [[cell.strip("`") for cell in row] for row in rows("setting")] == expected


def test_its_table_of_faults_is_the_one_that_is_tested() -> None:
    table = list(fault_table.rows())
    assert f"a table of {len(table)} rows" in README
    assert f"at {len({row.stage for row in table})} stages" in README
    assert f"{TESTS * HOMES} homes" in README


def test_its_models_and_ratios_are_the_programs() -> None:
    assert rows("aspect ratio") == [list(pair) for pair in ASPECT_RATIOS.items()]
    assert rows("model") == [
        [model.name, model.what, str(model.prompt_limit), ", ".join(model.qualities)]
        for model in MODELS.values()
    ]


def test_its_fields_of_names_are_the_programs() -> None:
    section = README[README.index("### Where images go") :]
    section = section[: section.index("\n## ")]
    assert set(re.findall(r"\{([a-z]+)\}", section)) == set(FIELDS) - {"name"}


def test_its_json_example_has_the_fields_that_the_program_prints(seedream: Program) -> None:
    example = json.loads(README.split("```json\n")[1].split("```")[0])
    document = seedream("generate", "fox", "--sandbox", "--json").document
    assert list(example) == list(document)
    assert list(example["tasks"][0]) == list(document["tasks"][0])
    assert list(example["tasks"][0]["files"][0]) == list(document["tasks"][0]["files"][0])


def test_its_two_commands_are_marked_for_ci() -> None:
    for name in ("install", "test"):
        [command] = re.findall(rf"<!-- command: {name} -->\n```sh\n(.+)\n```", README)
        assert command.startswith("python3 -m venv .venv && ")


def section(heading: str) -> str:
    """The text below a heading, as far as the next one of its rank or above."""
    text = README[README.index(f"\n{heading}\n") + 1 :]
    rank = heading.partition(" ")[0]
    return re.split(rf"\n#{{2,{len(rank)}}} ", text)[0]


OF_SYNC = section("## Images as build artefacts")
[MANIFEST] = re.findall(r"```toml\n(.*?)```", OF_SYNC, re.DOTALL)
CHECK, GITHUB, GITLAB, KUBERNETES, KUBERNETES_MERGE = (
    yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", OF_SYNC, re.DOTALL)
)


@pytest.fixture
def project(seedream: Program) -> Project:
    """What README's manifest is about."""
    project = Project(seedream, seedream.cwd)
    project.write(MANIFEST)
    (project.folder / "prompts").mkdir()
    (project.folder / "prompts" / "badge.md").write_text("A badge, {look}\n", encoding="utf-8")
    return project


def test_its_manifest_has_the_images_that_it_says(project: Project) -> None:
    images = [image.wanted.path("png") for image in load(project.manifest).images()]
    assert sorted(images) == sorted(re.findall(r"\S+\.png", MANIFEST))


def test_its_keys_and_fields_of_manifests_are_the_programs() -> None:
    [said] = re.findall(r"^An asset has .*?\.$", OF_SYNC, re.DOTALL | re.MULTILINE)
    keys, fields = said.split("Paths begin")
    assert tuple(re.findall("`([a-z_]+)`", keys)) == ASSET_KEYS
    assert set(re.findall(r"`\{([a-z]+)\}`", fields)) == set(FIELDS_OF_PATHS)
    assert f"The default is `{DEFAULT_PATH}`" in said


def test_its_states_are_the_programs() -> None:
    assert [row[0] for row in rows("state")] == list(State)


def test_its_document_of_sync_has_the_fields_that_the_program_prints(project: Project) -> None:
    [said] = re.findall(r"`sync` prints `\{(.*?)\}`", README, re.DOTALL)
    document = project("--dry-run", "--json").document
    assert [name.strip('"') for name in said.split(", ")] == list(document)
    for name in ("state", "action", "done", "error"):
        assert name in document["images"][0]


def test_git_takes_its_line_for_the_lock(project: Project) -> None:
    [line] = re.findall(r"```gitattributes\n(.*?)```", OF_SYNC, re.DOTALL)
    (project.folder / ".gitattributes").write_text(line, encoding="utf-8")
    git = [program("git"), "-C", str(project.folder)]
    subprocess.run([*git, "init", "-q"], check=True)
    told = subprocess.run(
        [*git, "check-attr", "merge", project.lock_file.name], check=True, capture_output=True, text=True
    )
    assert told.stdout == "seedream.lock: merge: union\n"


def runs(job: Mapping[str, Any]) -> list[str]:
    """The shell scripts of a GitHub job."""
    return [step["run"] for step in job["steps"] if "run" in step]


def calls(script: str) -> list[list[str]]:
    """The program's calls in a recipe's script, as their words."""
    lines = [line.split(" > ")[0] for line in script.splitlines() if line.startswith("seedream ")]
    return [shlex.split(line, comments=True)[1:] for line in lines]


SHARD, MERGE = GITHUB["jobs"]["shard"], GITHUB["jobs"]["merge"]
[CONTAINER] = KUBERNETES["spec"]["template"]["spec"]["containers"]
#: What tells each machine which of them it is.
MACHINES = [
    {"CI_NODE_INDEX": str(index), "CI_NODE_TOTAL": str(len(SHARD["strategy"]["matrix"]["index"]))}
    for index in SHARD["strategy"]["matrix"]["index"]
]


def test_the_machines_of_its_recipes_do_the_same() -> None:
    """So that trying one of them tells of all."""
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
def test_its_recipe_for_many_machines_ends_in_step(
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
    # What `sh` starts is to be the program too.
    done = seedream.shell(f"set -e\nexport -f seedream\n{merge.replace('sh ', 'bash ', 1)}")
    assert done.exit_code == 0, done.stderr
    assert len(project.lock_file.read_text(encoding="utf-8").splitlines()) == len(project.lock) == 3
    assert sum(request.method == "POST" for request in sandbox.requests) == 3


def test_its_check_of_pull_requests_needs_no_key(project: Project) -> None:
    [words] = calls(runs(CHECK["jobs"]["check"])[0])
    assert words[0] == "sync"
    project.settle()
    assert project(*words[1:]).exit_code == 0
    project.replace("red fox", "grey fox")
    assert project(*words[1:]).exit_code == 10


def commands() -> list[list[str]]:
    """Every call of the program in README's shell blocks, as its words."""
    found = []
    for block in re.findall(r"```sh\n(.*?)```", README, re.DOTALL):
        for line in block.splitlines():
            for call in re.findall(r"(?:^|[(&|]\s*|\$\()(seedream [^|&#;)]*)", line):
                found.append(shlex.split(call)[1:])
    return found


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_its_examples_are_commands_and_options_that_exist(seedream: Program, words: list[str]) -> None:
    """Asked for help behind its other words, a call is parsed as far as an unknown option would be met."""
    done = seedream(*words[: 2 if words[0] == "config" else 1], "--help")
    assert done.exit_code == 0
    for option in (word.partition("=")[0] for word in words if re.match(r"--?[a-z]", word)):
        assert re.search(rf"(?<![\w-]){option}(?![\w-])", done.stdout), option


def test_the_changelogs_newest_heading_is_the_version() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    [newest, *_] = re.findall(r"^## \[(\d+\.\d+\.\d+)\] - \d{4}-\d{2}-\d{2}$", changelog, re.MULTILINE)
    assert newest == seedream_cli.__version__ == importlib.metadata.version("apipod-seedream")


def test_the_version_is_printed(seedream: Program) -> None:
    assert seedream("--version").stdout == seedream("-V").stdout == f"seedream {seedream_cli.__version__}\n"
