"""What `seedream sync` says: its answer, its conversation, its document, and what GitHub Actions shows."""

from __future__ import annotations

import json
import re
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from support.clock import Clock
from support.program import Program, Result
from support.project import Project, states
from support.raw import Exchange
from support.service import SUBMIT, FaultRule, Honest, Service
from support.starting import StartSandbox
from support.terminal import Terminal

from seedream_cli.sandbox.server import Sandbox

THREE = "".join(f'[assets.{name}]\nprompt = "a {name}"\n' for name in ("fox", "owl", "hen"))


@pytest.fixture
def sandbox(start: StartSandbox) -> Sandbox:
    return start()


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestTheAnswer:
    @pytest.mark.parametrize(
        ("file", "folder"),
        [
            *(("", ""), ("seedream.toml", ""), ("./seedream.toml", ""), ("sub/seedream.toml", "sub/")),
            *(("sub/../other.toml", "sub/../"), ("{cwd}/sub/seedream.toml", "{cwd}/sub/")),
        ],
    )
    def test_is_relative_as_the_manifest_was(
        self, project: Project, sandbox: Sandbox, file: str, folder: str
    ) -> None:
        file, folder = (text.replace("{cwd}", str(project.folder)) for text in (file, folder))
        (project.folder / "sub").mkdir()
        manifest = project.folder / (file or "seedream.toml")
        manifest.write_text('[defaults]\ndir = "art"\n' + THREE)
        done = project(*([file] if file else []))
        assert done.exit_code == 0
        assert sorted(done.paths) == [f"{folder}art/{name}.png" for name in ("fox", "hen", "owl")]
        for path in done.paths:
            assert (project.folder / path).is_file()
        assert len(manifest.with_suffix(".lock").read_text().splitlines()) == 3


class TestTheConversation:
    def test_has_a_line_for_each_image_and_a_summary(self, project: Project, sandbox: Sandbox) -> None:
        project.write(THREE)
        first, *lines, last = project().stderr.splitlines()
        assert " 3 images" in first
        for line, name in zip(sorted(lines), ("fox", "hen", "owl"), strict=True):
            assert re.fullmatch(rf"{name}: generated \(new, \d+ B, \d+\.\d s, cost 0\.035\)", line)
        assert re.fullmatch(r"3 generated; cost 0\.105; \d+\.\d s", last)

    def test_tells_what_else_was_done(self, project: Project, sandbox: Sandbox) -> None:
        project.write(THREE)
        project()
        project.replace('"a hen"', '"a hen"\npath = "art/hen.png"')
        project.replace("assets.fox", "assets.vixen")
        (project.folder / "owl.png").unlink()
        first, *lines, last = project().stderr.splitlines()
        assert " 1 image" in first
        assert sorted(lines)[:1] == ["hen: moved (missing)"]
        assert re.fullmatch(r"owl: fetched \(missing, \d+ B, \d+\.\d s\)", sorted(lines)[1])
        assert sorted(lines)[2:] == ["vixen: moved (new)"]
        assert re.fullmatch(r"2 moved, 1 fetched; \d+\.\d s", last)

    def test_of_a_run_with_nothing_to_do_is_one_line(self, project: Project) -> None:
        project.write(THREE)
        project.settle()
        assert project().stderr == "3 ok\n"

    def test_begins_before_the_first_request(self, project: Project, seedream: Program) -> None:
        said: list[str] = []

        def listen(service: Service, exchange: Exchange, honest: Honest) -> None:
            running.wait_for(lambda: running.stderr)
            said.append(running.stderr)
            exchange.connection.sendall(honest())

        project.write('[assets.fox]\nprompt = "a fox"\n')
        service = Service([FaultRule(SUBMIT, listen)])
        with service.server:
            seedream.use(service.base_url)
            running = seedream.start("sync")
            assert running.result().exit_code == 0
        assert f"127.0.0.1:{service.server.port}" in said[0]


SCHEMA = json.loads(files("seedream_cli").joinpath("output.schema.json").read_text(encoding="utf-8"))


def checked(result: Result) -> dict[str, Any]:
    """The document, which is what the schema says, with a description of every field."""
    document = result.document
    Draft202012Validator(SCHEMA).validate(document)
    assert document.keys() <= SCHEMA["properties"].keys()
    for image in document["images"]:
        assert image.keys() == SCHEMA["$defs"]["image"]["properties"].keys()
    return document


class TestTheDocument:
    def test_has_every_image(self, project: Project, sandbox: Sandbox) -> None:
        project.write('[assets.fox]\nprompt = "a fox"\ncount = 2\n')
        document = checked(project("--json"))
        first, second = document["images"]
        assert document == {
            "manifest": str(project.manifest),
            "lock": str(project.lock_file),
            "to_pay": 2,
            "counts": {"new": 2, "changed": 0, "missing": 0, "ok": 0, "edited": 0, "orphan": 0},
            "images": [first, second],
            "error": None,
        }
        line = project.lock["fox2"]
        assert 0 <= second.pop("seconds") < 60
        assert second == {
            "name": "fox",
            "number": 2,
            "state": "new",
            "action": "generate",
            "done": "generated",
            "path": str(project.folder / "fox-2.png"),
            "task_id": line["task_id"],
            "sha256": line["sha256"],
            "bytes": (project.folder / "fox-2.png").stat().st_size,
            "cost": "0.035",
            "error": None,
        }

    def test_has_every_state_and_what_was_done_about_it(self, project: Project, sandbox: Sandbox) -> None:
        names = ("changed", "edited", "missing", "ok", "orphan")
        project.write("".join(f'[assets.{name}]\nprompt = "{name}"\n' for name in names))
        assert project("--quiet").exit_code == 0
        (project.folder / "missing.png").unlink()
        (project.folder / "edited.png").write_text("mine")
        project.replace('"changed"', '"another"')
        project.replace("assets.orphan", "assets.new")
        project.replace('"orphan"', '"brand new"')
        plan, run = project("--dry-run", "--json"), project("--json")
        assert plan.exit_code == 0
        for result in (plan, run):
            assert states(result) == {name: name for name in (*names, "new")}
            assert checked(result)["to_pay"] == 2
            assert set(checked(result)["counts"].values()) == {1}
        assert {image["name"]: (image["action"], image["done"]) for image in checked(run)["images"]} == {
            "changed": ("generate", "generated"),
            "edited": ("nothing", None),
            "missing": ("fetch", "fetched"),
            "new": ("generate", "generated"),
            "ok": ("nothing", None),
            "orphan": ("nothing", None),
        }
        assert {image["done"] for image in plan.document["images"]} == {None}
        # The rest is done; what is edited is why it is no success.
        assert (run.exit_code, run.document["error"]["code"]) == (10, "edited")
        assert run.document["error"]["hint"] == "seedream sync --accept"


class TestGitHubActions:
    @pytest.fixture
    def summary(self, project: Project, seedream: Program, tmp_path: Path) -> Path:
        file = tmp_path / "summary.md"
        file.write_text("before\n")
        seedream.environment |= {
            "CI": "true",
            "GITHUB_ACTIONS": "true",
            "GITHUB_WORKSPACE": str(project.folder),
            "GITHUB_STEP_SUMMARY": str(file),
        }
        return file

    def annotations(self, result: Result) -> list[str]:
        return [line for line in result.stderr.splitlines() if line.startswith("::error ")]

    def test_marks_what_is_wrong_with_a_manifest(self, project: Project, summary: Path) -> None:
        key = r'"100%,\n::error::x"'
        project.write(f'[assets.fox]\nprompt = "{{a%\\n::error::x}}"\n{key} = 1\ntake = 0\n')
        first, second, third = self.annotations(project())
        assert first.startswith("::error file=seedream.toml,line=2,title=assets.fox.prompt::")
        assert "{a%25 ::error::x}" in first
        title = 'assets.fox."100%25%2C %3A%3Aerror%3A%3Ax"'
        assert second.startswith(f"::error file=seedream.toml,line=3,title={title}::")
        assert third.startswith("::error file=seedream.toml,line=4,title=assets.fox.take::")

    def test_names_files_from_the_repositorys_root(self, project: Project, summary: Path) -> None:
        folder = project.folder / "a, b: 100%"
        folder.mkdir()
        (folder / "seedream.toml").write_text("[assets.fox]\n")
        [line] = self.annotations(project("seedream.toml", cwd=folder))
        assert line.startswith("::error file=a%2C b%3A 100%25/seedream.toml,line=1,")

    def test_marks_every_image_that_drifts(self, project: Project, summary: Path) -> None:
        project.write(THREE)
        project.settle()
        (project.folder / "owl.png").unlink()
        project.replace('[assets.hen]\nprompt = "a hen"', '[assets.elk]\nprompt = "100%, elk"')
        *images, whole = self.annotations(project("--check"))
        assert [image.rpartition("::")[0] for image in images] == [
            "::error file=seedream.toml,line=5,title=elk",
            "::error file=seedream.lock,line=1,title=hen",
            "::error file=seedream.toml,line=3,title=owl",
        ]
        assert whole.startswith("::error title=seedream%3A drift::")
        assert whole.endswith("%0Aseedream sync")
        # A plan that was asked for is no error.
        assert self.annotations(project("--dry-run")) == []

    def test_marks_what_fell_short_or_is_edited(
        self, project: Project, summary: Path, start: StartSandbox
    ) -> None:
        start(faults=["task-failed"])
        project.write(THREE.replace('"a owl"', '"a owl"\npath = "100%,.png"'))
        (project.folder / "100%,.png").write_text("mine")
        first, second, third, whole = sorted(self.annotations(project()))
        mark = r"::error file=seedream\.toml,line={},title={name}::{name}: img_\w+ .*%0A.*%0A{next}"
        assert re.fullmatch(mark.format(1, name="fox", next="seedream sync --only fox"), first)
        assert second.startswith("::error file=seedream.toml,line=3,title=owl::100%25,.png ")
        assert re.fullmatch(mark.format(6, name="hen", next="seedream sync --only hen"), third)
        assert whole.startswith("::error title=seedream%3A drift::100%25,.png ")

    def test_has_a_table_in_its_summary(self, project: Project, summary: Path, start: StartSandbox) -> None:
        start(faults=["task-failed=1"])
        project.write(THREE)
        assert project("--jobs", "1").exit_code == 3
        text = re.sub(r"img\\_\w+", "img_…", summary.read_text())
        lines = re.sub(r"\d+\.\d s|\d+ B", "…", text).splitlines()
        assert lines == [
            "before",
            "### seedream",
            "",
            "| asset | state | size | cost |",
            "| --- | --- | --- | --- |",
            "| fox | failed: img_… failed |  |  |",
            "| hen | generated | … | 0.035 |",
            "| owl | generated | … | 0.035 |",
            "",
            "2 generated, 1 failed; cost 0.070; …",
            "",
        ]
        assert "signature" not in text
        assert "http" not in text

    def test_that_cannot_take_a_summary_is_no_failure(self, project: Project, summary: Path) -> None:
        summary.unlink()
        summary.mkdir()
        project.write(THREE)
        project.settle()
        assert project().exit_code == 0


SPINNER = set("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")


def rows(screen: str) -> list[str]:
    """Lines of the block: one for each task, perhaps a word about the others, and the bar."""
    begins = {*SPINNER, "━", "─"}
    return [line for line in screen.split("\n") if line[:1] in begins or line.endswith(" more")]


def test_a_manifest_without_assets_is_told_to_have_no_images(project: Project) -> None:
    project.write("")
    done = project()
    assert (done.exit_code, done.stdout) == (0, "")
    assert len(done.stderr.splitlines()) == 1


class TestOnATerminal:
    """Tasks take ten seconds of a clock that goes on only when a test has seen enough."""

    def test_there_is_a_bar_for_all_and_a_line_for_each_task(
        self, project: Project, seedream: Program, start: StartSandbox, clock: Clock
    ) -> None:
        start(seconds=10, clock=clock)
        project.write(THREE)
        with Terminal(seedream, "sync", "--jobs", "2", columns=40) as terminal:
            screen = terminal.screen_until(
                lambda screen: all(f"{name} · pending · " in screen for name in ("fox", "hen"))
            )
            clock.pause(10)
            later = terminal.screen_until(lambda screen: " 2 of 3 · " in screen and "owl · pending" in screen)
            clock.pause(10)
            done = terminal.result()
        *tasks, bar = rows(screen)
        assert len(tasks) == 2, "there is one line for each"
        assert all(re.fullmatch(r". (fox|hen) · pending · \d+\.\d s · 0%", task) for task in tasks)
        assert bar.startswith("─" * 20 + " 0 of 3 · 2 under")
        assert rows(later)[-1].startswith("━" * 13 + "─" * 7 + " 2 of 3 · 1 under")
        assert {len([row for row in rows(one) if " of 3 " in row]) for one in terminal.screens} == {0, 1}
        assert max(len(row) for one in terminal.screens for row in rows(one)) < 40
        # Nothing but paths and the summary is left.
        assert sorted(done.lines[:-1]) == ["fox.png", "hen.png", "owl.png"]
        assert re.fullmatch(r"3 generated; cost 0\.105; \d+\.\d s", done.lines[-1])
        assert done.raw.count(b"\x1b[?25h") == done.raw.count(b"\x1b[?25l"), "the cursor is shown again"

    def test_a_plan_is_a_table_that_fits(self, project: Project, seedream: Program) -> None:
        project.write(THREE + f'[assets.elk]\nprompt = "an elk"\npath = "{"x" * 60}.png"\n')
        with Terminal(seedream, "sync", "--dry-run", columns=40) as terminal:
            done = terminal.result()
        assert done.lines == [
            "new  generate  elk  " + "x" * 19 + "…",
            *(f"new  generate  {name}  {name}.{{ext}}" for name in ("fox", "hen", "owl")),
            "4 new; 4 tasks would be paid for",
        ]
