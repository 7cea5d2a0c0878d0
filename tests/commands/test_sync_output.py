"""The output of `seedream sync`: stdout, stderr, the JSON document, GitHub Actions, and a terminal."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from support.clock import Clock
from support.documents import validated
from support.program import Program, Result
from support.project import Project, states
from support.raw import Exchange
from support.service import SUBMIT, FaultRule, Honest, Service
from support.starting import StartSandbox
from support.terminal import Terminal

from seedream_cli.sandbox.server import Sandbox

MANIFEST = "".join(f'[assets.{name}]\nprompt = "a {name}"\n' for name in ("fox", "owl", "hen"))


@pytest.fixture
def sandbox(start: StartSandbox) -> Sandbox:
    return start()


@pytest.fixture
def clock() -> Clock:
    return Clock()


class TestSyncStdout:
    @pytest.mark.parametrize(
        ("file", "folder"),
        [
            *(("", ""), ("seedream.toml", ""), ("./seedream.toml", ""), ("sub/seedream.toml", "sub/")),
            *(("sub/../other.toml", "sub/../"), ("{cwd}/sub/seedream.toml", "{cwd}/sub/")),
        ],
    )
    def test_paths_are_relative_if_the_manifests_path_is(
        self, project: Project, sandbox: Sandbox, file: str, folder: str
    ) -> None:
        file, folder = (text.replace("{cwd}", str(project.folder)) for text in (file, folder))
        (project.folder / "sub").mkdir()
        manifest = project.folder / (file or "seedream.toml")
        manifest.write_text('[defaults]\ndir = "art"\n' + MANIFEST)
        done = project(*([file] if file else []))
        assert done.exit_code == 0
        assert sorted(done.paths) == [f"{folder}art/{name}.png" for name in ("fox", "hen", "owl")]
        for path in done.paths:
            assert (project.folder / path).is_file()
        assert len(manifest.with_suffix(".lock").read_text().splitlines()) == 3


class TestSyncStderr:
    def test_each_generated_image_has_a_line_before_the_summary(
        self, project: Project, sandbox: Sandbox
    ) -> None:
        project.write(MANIFEST)
        first, *lines, last = project().stderr.splitlines()
        assert " 3 images" in first
        for line, name in zip(sorted(lines), ("fox", "hen", "owl"), strict=True):
            assert re.fullmatch(rf"{name}: generated \(new, \d+ B, \d+\.\d s, cost 0\.035\)", line)
        assert re.fullmatch(r"3 generated; cost 0\.105; \d+\.\d s", last)

    def test_moved_and_fetched_images_have_lines(self, project: Project, sandbox: Sandbox) -> None:
        project.write(MANIFEST)
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

    def test_run_with_nothing_to_do_prints_one_line(self, project: Project) -> None:
        project.write(MANIFEST)
        project.settle()
        assert project().stderr == "3 ok\n"

    def test_manifest_without_assets_prints_one_line(self, project: Project) -> None:
        project.write("")
        done = project()
        assert (done.exit_code, done.stdout) == (0, "")
        assert len(done.stderr.splitlines()) == 1

    def test_first_line_is_printed_before_the_first_request(
        self, project: Project, seedream: Program
    ) -> None:
        stderr_at_submit: list[str] = []

        def listen(service: Service, exchange: Exchange, honest: Honest) -> None:
            running.wait_for(lambda: running.stderr)
            stderr_at_submit.append(running.stderr)
            exchange.connection.sendall(honest())

        project.write('[assets.fox]\nprompt = "a fox"\n')
        service = Service([FaultRule(SUBMIT, listen)])
        with service.server:
            seedream.use(service.base_url)
            running = seedream.start("sync")
            assert running.result().exit_code == 0
        assert f"127.0.0.1:{service.server.port}" in stderr_at_submit[0]


class TestSyncDocument:
    def test_document_describes_every_generated_image(self, project: Project, sandbox: Sandbox) -> None:
        project.write('[assets.fox]\nprompt = "a fox"\ncount = 2\n')
        document = validated(project("--json"))
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

    def test_document_has_state_action_and_result_of_every_image(
        self, project: Project, sandbox: Sandbox
    ) -> None:
        names = ("changed", "edited", "missing", "ok", "orphan")
        project.write("".join(f'[assets.{name}]\nprompt = "{name}"\n' for name in names))
        assert project("--quiet").exit_code == 0
        (project.folder / "missing.png").unlink()
        (project.folder / "edited.png").write_text("mine")
        project.replace('"changed"', '"another"')
        project.replace("assets.orphan", "assets.new")
        project.replace('"orphan"', '"brand new"')
        plan, run = project("--dry-run", "--json"), project("--json")
        # The edited image is left alone, which makes the run fail. The others are synced.
        for result, exit_code in ((plan, 0), (run, 10)):
            document = validated(result, exit_code)
            assert states(result) == {name: name for name in (*names, "new")}
            assert document["to_pay"] == 2
            assert set(document["counts"].values()) == {1}
        assert {image["name"]: (image["action"], image["done"]) for image in run.document["images"]} == {
            "changed": ("generate", "generated"),
            "edited": ("nothing", None),
            "missing": ("fetch", "fetched"),
            "new": ("generate", "generated"),
            "ok": ("nothing", None),
            "orphan": ("nothing", None),
        }
        assert {image["done"] for image in plan.document["images"]} == {None}
        assert run.document["error"]["code"] == "edited"
        assert run.document["error"]["hint"] == "seedream sync --accept"


class TestSyncGitHubActions:
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

    def test_problems_of_a_manifest_are_annotated(self, project: Project, summary: Path) -> None:
        key = r'"100%,\n::error::x"'
        project.write(f'[assets.fox]\nprompt = "{{a%\\n::error::x}}"\n{key} = 1\ntake = 0\n')
        first, second, third = self.annotations(project())
        assert first.startswith("::error file=seedream.toml,line=2,title=assets.fox.prompt::")
        assert "{a%25 ::error::x}" in first
        title = 'assets.fox."100%25%2C %3A%3Aerror%3A%3Ax"'
        assert second.startswith(f"::error file=seedream.toml,line=3,title={title}::")
        assert third.startswith("::error file=seedream.toml,line=4,title=assets.fox.take::")

    def test_annotated_paths_are_relative_to_the_workspace(self, project: Project, summary: Path) -> None:
        folder = project.folder / "a, b: 100%"
        folder.mkdir()
        (folder / "seedream.toml").write_text("[assets.fox]\n")
        [line] = self.annotations(project("seedream.toml", cwd=folder))
        assert line.startswith("::error file=a%2C b%3A 100%25/seedream.toml,line=1,")

    def test_check_annotates_every_image_that_drifted(self, project: Project, summary: Path) -> None:
        project.write(MANIFEST)
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
        # The plan of --dry-run is not an error.
        assert self.annotations(project("--dry-run")) == []

    def test_failed_and_modified_images_are_annotated(
        self, project: Project, summary: Path, start: StartSandbox
    ) -> None:
        start(faults=["task-failed"])
        project.write(MANIFEST.replace('"a owl"', '"a owl"\npath = "100%,.png"'))
        (project.folder / "100%,.png").write_text("mine")
        first, second, third, whole = sorted(self.annotations(project()))
        mark = r"::error file=seedream\.toml,line={},title={name}::{name}: img_\w+ .*%0A.*%0A{next}"
        assert re.fullmatch(mark.format(1, name="fox", next="seedream sync --only fox"), first)
        assert second.startswith("::error file=seedream.toml,line=3,title=owl::100%25,.png ")
        assert re.fullmatch(mark.format(6, name="hen", next="seedream sync --only hen"), third)
        assert whole.startswith("::error title=seedream%3A drift::100%25,.png ")

    def test_step_summary_has_a_table(self, project: Project, summary: Path, start: StartSandbox) -> None:
        start(faults=["task-failed=1"])
        project.write(MANIFEST)
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

    def test_unwritable_step_summary_is_ignored(self, project: Project, summary: Path) -> None:
        summary.unlink()
        summary.mkdir()
        project.write(MANIFEST)
        project.settle()
        assert project().exit_code == 0


SPINNER = set("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")


def progress_lines(screen: str) -> list[str]:
    """Return the lines of running tasks, the count of tasks that have no line, and the bar."""
    first_characters = {*SPINNER, "━", "─"}
    return [line for line in screen.split("\n") if line[:1] in first_characters or line.endswith(" more")]


class TestSyncOnATerminal:
    """Tasks take ten seconds of a clock that the tests advance."""

    def test_progress_has_a_bar_and_a_line_for_each_running_task(
        self, project: Project, seedream: Program, start: StartSandbox, clock: Clock
    ) -> None:
        start(seconds=10, clock=clock)
        project.write(MANIFEST)
        with Terminal(seedream, "sync", "--jobs", "2", columns=40) as terminal:
            screen = terminal.screen_until(
                lambda screen: all(f"{name} · pending · " in screen for name in ("fox", "hen"))
            )
            clock.pause(10)
            later = terminal.screen_until(lambda screen: " 2 of 3 · " in screen and "owl · pending" in screen)
            clock.pause(10)
            done = terminal.result()
        *tasks, bar = progress_lines(screen)
        assert len(tasks) == 2, "there is one line for each"
        assert all(re.fullmatch(r". (fox|hen) · pending · \d+\.\d s · 0%", task) for task in tasks)
        assert bar.startswith("─" * 20 + " 0 of 3 · 2 under")
        assert progress_lines(later)[-1].startswith("━" * 13 + "─" * 7 + " 2 of 3 · 1 under")
        assert {len([row for row in progress_lines(one) if " of 3 " in row]) for one in terminal.screens} == {
            0,
            1,
        }
        assert max(len(row) for one in terminal.screens for row in progress_lines(one)) < 40
        # Nothing but paths and the summary is left.
        assert sorted(done.lines[:-1]) == ["fox.png", "hen.png", "owl.png"]
        assert re.fullmatch(r"3 generated; cost 0\.105; \d+\.\d s", done.lines[-1])
        assert done.raw.count(b"\x1b[?25h") == done.raw.count(b"\x1b[?25l"), "the cursor is shown again"

    def test_plan_is_a_table_that_fits_the_terminal(self, project: Project, seedream: Program) -> None:
        project.write(MANIFEST + f'[assets.elk]\nprompt = "an elk"\npath = "{"x" * 60}.png"\n')
        with Terminal(seedream, "sync", "--dry-run", columns=40) as terminal:
            done = terminal.result()
        assert done.lines == [
            "new  generate  elk  " + "x" * 19 + "…",
            *(f"new  generate  {name}  {name}.{{ext}}" for name in ("fox", "hen", "owl")),
            "4 new; 4 tasks would be paid for",
        ]
