"""`seedream sync`, as a person and a CI job see it: what is done and paid for, and what is left alone."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from support.images import png
from support.program import Program, Result, hint
from support.project import NOTHING, Project, RequestCounts, asked, states
from support.raw import Exchange
from support.service import IMAGE, SUBMIT, FaultRule, Honest, Service
from support.starting import StartSandbox

from seedream_cli.sandbox.server import Sandbox

README = """
[defaults]
dir = "assets"
aspect_ratio = "16:9"
[vars]
look = "flat vector, warm palette"
[assets.hero]
prompt = "A red fox in snow, {look}"
[assets.badge]
prompt_file = "prompts/badge.md"
aspect_ratio = "1:1"
path = "icons/badge-{n}.{ext}"
count = 2
take = 2
"""
FOX = '[assets.fox]\nprompt = "a fox"\n'
TWO = FOX + '[assets.owl]\nprompt = "an owl"\n'


@pytest.fixture
def sandbox(start: StartSandbox) -> Sandbox:
    return start()


@pytest.fixture
def service(seedream: Program) -> Iterator[Service]:
    """A service that is no sandbox."""
    with (running := Service()).server:
        seedream.use(running.base_url)
        yield running


def configure(seedream: Program, text: str) -> None:
    seedream.config.parent.mkdir(parents=True)
    seedream.config.write_text(text)


def bodies(sandbox: Sandbox) -> dict[str, dict[str, object]]:
    """The bodies of all creates, by their prompts."""
    found = [json.loads(one.body) for one in sandbox.requests if one.method == "POST"]
    return {body["prompt"]: body for body in found}


class TestTheFlow:
    @pytest.fixture(autouse=True)
    def done_once(self, project: Project, sandbox: Sandbox) -> None:
        (project.folder / "prompts").mkdir()
        (project.folder / "prompts" / "badge.md").write_text("\n A badge, {look} \n")
        project.write(README)
        self.first = project()
        self.sent = bodies(sandbox)
        self.asked = asked(sandbox)
        self.before = project.lock

    def test_generates_every_image_once_and_locks_each_in_one_line(self, project: Project) -> None:
        assert self.first.exit_code == 0, self.first.stderr
        assert sorted(self.first.paths) == ["assets/hero.png", "icons/badge-1.png", "icons/badge-2.png"]
        assert project.files == [*sorted(self.first.paths), "prompts/badge.md"]
        assert list(project.lock) == ["badge", "badge2", "hero"]
        for line in project.lock.values():
            assert line["sha256"] == project.sha256(line["path"])
            assert line["task_id"].startswith("img_")
        assert [line["take"] for line in project.lock.values()] == [2, 2, 1]
        assert len(project.lock_file.read_text().splitlines()) == 3
        assert self.asked == RequestCounts(creates=3, statuses=3, images=3)
        common = {"model": "seedream-v4.5", "quality": "2K"}
        fox, badge = "A red fox in snow, flat vector, warm palette", "A badge, flat vector, warm palette"
        assert self.sent == {
            fox: {**common, "prompt": fox, "aspect_ratio": "16:9"},
            badge: {**common, "prompt": badge, "aspect_ratio": "1:1"},
        }

    def test_asks_for_nothing_when_it_is_run_again(self, project: Project, sandbox: Sandbox) -> None:
        written = project.lock_file.stat()
        again = project()
        assert (again.exit_code, again.stdout, asked(sandbox)) == (0, "", NOTHING)
        assert project.lock_file.stat() == written

    def test_generates_what_was_edited_and_nothing_else(self, project: Project, sandbox: Sandbox) -> None:
        project.replace("fox", "wolf")
        again = project()
        assert (again.exit_code, again.paths) == (0, ["assets/hero.png"])
        assert asked(sandbox) == RequestCounts(creates=1, statuses=1, images=1)
        hero = project.lock["hero"]
        assert hero["sha256"] == project.sha256("assets/hero.png") != self.before["hero"]["sha256"]
        assert project.lock == {**self.before, "hero": hero}
        # What uses an edited file or variable; no old file is left where the new one is elsewhere.
        (project.folder / "prompts" / "badge.md").write_text("A medal")
        assert sorted(project().paths) == ["icons/badge-1.png", "icons/badge-2.png"]
        project.replace("flat vector", "pixel art")
        project.replace('dir = "assets"', 'dir = "art"')
        assert project().paths == ["art/hero.png"]
        assert asked(sandbox).creates == 3
        assert not (project.folder / "assets" / "hero.png").exists()
        assert project.lock["hero"]["path"] == "art/hero.png"

    def test_fetches_a_deleted_file_again(self, project: Project, sandbox: Sandbox, tmp_path: Path) -> None:
        (project.folder / "icons" / "badge-2.png").unlink()
        again = project()
        assert (again.exit_code, again.paths) == (0, ["icons/badge-2.png"])
        assert sandbox.requests[0].path.endswith(f"/images/status/{self.before['badge2']['task_id']}")
        assert asked(sandbox) == RequestCounts(creates=0, statuses=1, images=1)
        assert project.sha256("icons/badge-2.png") == self.before["badge2"]["sha256"]
        # As another machine has it, in a checkout with the lock alone: no images, and no history.
        for path in self.first.paths:
            (project.folder / path).unlink()
        again = project(env={"XDG_STATE_HOME": str(tmp_path / "other")})
        assert (again.exit_code, sorted(again.paths)) == (0, sorted(self.first.paths))
        assert asked(sandbox) == RequestCounts(creates=0, statuses=3, images=3)
        # And where it was renamed, too.
        (project.folder / "assets" / "hero.png").unlink()
        project.replace("assets.hero", "assets.banner")
        assert project().paths == ["assets/banner.png"]
        assert asked(sandbox) == RequestCounts(creates=0, statuses=1, images=1)
        assert list(project.lock) == ["badge", "badge2", "banner"]

    def test_rolls_again_where_the_take_was_raised(self, project: Project, sandbox: Sandbox) -> None:
        project.replace('{look}"\n', '{look}"\ntake = 2\n')
        assert project().paths == ["assets/hero.png"]
        assert asked(sandbox) == RequestCounts(creates=1, statuses=1, images=1)
        assert project.lock["hero"]["take"] == 2
        assert project.lock["hero"]["digest"] == self.before["hero"]["digest"]
        assert project.lock["hero"]["task_id"] != self.before["hero"]["task_id"]

    def test_moves_what_was_renamed_or_is_to_be_elsewhere(self, project: Project, sandbox: Sandbox) -> None:
        project.replace("assets.hero", "assets.banner")
        again = project()
        assert (again.exit_code, again.paths, asked(sandbox)) == (0, ["assets/banner.png"], NOTHING)
        moved = {**self.before["hero"], "name": "banner", "path": "assets/banner.png"}
        assert list(project.lock) == ["badge", "badge2", "banner"]
        assert project.lock["banner"] == moved
        assert project("--check").exit_code == 0
        project.replace('dir = "assets"', 'dir = "art/{ratio}"')
        again = project()
        assert (again.exit_code, again.paths, asked(sandbox)) == (0, ["art/16x9/banner.png"], NOTHING)
        assert project.lock["banner"] == {**moved, "path": "art/16x9/banner.png"}
        assert project.sha256("art/16x9/banner.png") == moved["sha256"]
        badges = ["icons/badge-1.png", "icons/badge-2.png", "prompts/badge.md"]
        assert project.files == ["art/16x9/banner.png", *badges]


def test_images_that_are_asked_for_in_the_same_way_are_one_task(project: Project, sandbox: Sandbox) -> None:
    project.write(TWO + '[assets.vixen]\nprompt = " a fox "\npath = "more/vixen.png"\n')
    done = project()
    assert (done.exit_code, sorted(done.paths)) == (0, ["fox.png", "more/vixen.png", "owl.png"])
    assert asked(sandbox) == RequestCounts(creates=2, statuses=2, images=2)
    fox, vixen = project.lock["fox"], project.lock["vixen"]
    assert (fox["task_id"], fox["sha256"]) == (vixen["task_id"], vixen["sha256"])
    assert project.sha256("more/vixen.png") == fox["sha256"]
    assert "; cost 0.070; " in done.stderr


class TestDryRun:
    def test_prints_the_plan_and_what_would_be_paid_for(self, project: Project, seedream: Program) -> None:
        # Neither key nor service are needed.
        assert "SEEDREAM_API_KEY" not in seedream.environment
        seedream.environment["SEEDREAM_BASE_URL"] = "http://127.0.0.1:1/v1"
        project.write(TWO)
        project.settle()
        (project.folder / "owl.png").unlink()
        project.replace('"a fox"', '"two foxes"')
        with project.manifest.open("a") as file:
            file.write('[assets.elk]\nprompt = "an elk"\npath = "{slug}/x.{ext}"\n')
            file.write('[assets.moose]\nprompt = "an elk"\n')
        before = project.lock
        done = project("--dry-run")
        assert done.exit_code == 0
        assert [line.split("\t") for line in done.paths] == [
            ["new", "generate", "elk", "an-elk/x.{ext}"],
            ["changed", "generate", "fox", "fox.{ext}"],
            ["new", "generate", "moose", "moose.{ext}"],
            ["missing", "fetch", "owl", "owl.png"],
        ]
        # Elk and moose are one to the service.
        assert project("--dry-run", "--json").document["to_pay"] == 2
        assert (project.files, project.lock) == (["fox.png"], before)


#: What the manifest, the lock or the files can have come to, by the state that it makes.
DRIFTS: dict[str, tuple[str, Callable[[Project], object]]] = {
    "an asset more": ("new", lambda project: project.write(TWO + '[assets.elk]\nprompt = "an elk"\n')),
    "another take": ("changed", lambda project: project.replace('a fox"', 'a fox"\ntake = 2')),
    "another model": ("changed", lambda project: project.replace('a fox"', 'a fox"\nmodel = "seedream-9"')),
    "another path": ("missing", lambda project: project.replace('a fox"', 'a fox"\npath = "x.png"')),
    "no lock": ("edited", lambda project: project.lock_file.unlink()),
    "other bytes": ("edited", lambda project: (project.folder / "fox.png").write_bytes(png(shade=9))),
    "an asset less": ("orphan", lambda project: project.replace(FOX, "")),
    "another name": ("new", lambda project: project.replace("assets.fox", "assets.vixen")),
    "a picture of the sandbox": ("changed", lambda project: project.settle(more={"sandbox": True})),
}


class TestCheck:
    @pytest.fixture(autouse=True)
    def settled(self, project: Project, seedream: Program) -> None:
        """Nobody answers: neither is there a key, nor a service."""
        seedream.environment["SEEDREAM_BASE_URL"] = "http://127.0.0.1:1/v1"
        project.write(TWO)
        project.settle()

    def test_is_content_where_all_is_in_step(self, project: Project, seedream: Program) -> None:
        done = project("--check")
        assert (done.exit_code, done.stdout) == (0, "")
        assert not (seedream.state / "history.sqlite3").exists()

    @pytest.mark.parametrize("drift", DRIFTS)
    def test_exits_10_on_any_drift_and_changes_nothing(self, project: Project, drift: str) -> None:
        state, bring_about = DRIFTS[drift]
        bring_about(project)
        before = project.lock, project.files
        shown = project("--check")
        assert state in [line.split("\t")[0] for line in shown.paths]
        done = project("--check", "--json")
        assert (done.exit_code, done.document["error"]["exit_code"]) == (10, 10)
        # What helps: orphans stay as they are without a word.
        remedy = "seedream sync --prune" if state == "orphan" else "seedream sync"
        assert done.document["error"]["hint"] == remedy
        assert state in states(done).values()
        assert (project.lock, project.files) == before

    @pytest.mark.parametrize("option", ["--force", "--accept", "--prune", "--dry-run", "--frozen"])
    def test_goes_with_nothing_that_acts(self, project: Project, option: str) -> None:
        done = project("--check", option)
        assert done.exit_code == 2
        assert option in done.stderr

    def test_trusts_what_it_remembers_but_to_rehash(self, project: Project, seedream: Program) -> None:
        """An edit that leaves no sign, as git's index knows them: size, times and inode are the same."""
        assert project("--check").exit_code == 0
        [index] = (seedream.state / "files").iterdir()
        known = json.loads(index.read_text())
        fox = project.folder / "fox.png"
        fox.write_bytes(png(shade=9))
        status = fox.stat()
        signs = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        known["files"]["fox.png"][:5] = [*signs, status.st_ctime_ns + 10**10]
        index.write_text(json.dumps(known))
        assert project("--check").exit_code == 0
        done = project("--check", "--rehash")
        assert done.exit_code == 10
        assert done.stdout.startswith("edited\tnothing\tfox\t")
        # What was found out is what is trusted from now on.
        assert project("--check").exit_code == 10


class TestFrozen:
    def test_sends_nothing_if_something_would_be_paid_for(self, project: Project, sandbox: Sandbox) -> None:
        project.write(TWO)
        project.settle()
        project.replace("a fox", "two foxes")
        (project.folder / "owl.png").unlink()
        done = project("--frozen")
        assert (done.exit_code, done.stdout, asked(sandbox)) == (10, "", NOTHING)
        assert "fox" in done.stderr
        assert hint(done) == ["sync"]

    def test_fetches_what_is_missing_and_replaces_no_task_that_is_gone(
        self, project: Project, sandbox: Sandbox
    ) -> None:
        project.write(FOX)
        project()
        (project.folder / "fox.png").unlink()
        asked(sandbox)
        done = project("--frozen")
        assert (done.exit_code, done.paths) == (0, ["fox.png"])
        assert asked(sandbox) == RequestCounts(creates=0, statuses=1, images=1)
        project.write(TWO)
        project.settle()
        (project.folder / "owl.png").unlink()
        done = project("--frozen")
        assert (done.exit_code, done.stdout) == (10, "")
        assert asked(sandbox).creates == 0
        assert "task_owl_1" in done.stderr
        # Without it, another task takes its place.
        assert project().paths == ["owl.png"]


class TestTheChoice:
    @pytest.fixture(autouse=True)
    def five(self, project: Project) -> None:
        names = ("icon-a", "icon-b", "logo", "page", "poster")
        project.write("".join(f'[assets.{name}]\nprompt = "a {name}"\n' for name in names))

    def test_of_names_by_globs(self, project: Project, sandbox: Sandbox) -> None:
        done = project("--only", "icon-*", "--only", "p?ge")
        assert (done.exit_code, sorted(done.paths)) == (0, ["icon-a.png", "icon-b.png", "page.png"])
        assert list(project.lock) == ["icon-a", "icon-b", "page"]
        assert asked(sandbox).creates == 3

    @pytest.mark.parametrize(
        ("options", "said"),
        [
            (("--only", "logo", "--only", "nope*"), "'nope*'"),
            (("--only", ""), "''"),
            (("--shard", "4/3"), "--shard"),
            (("--shard", "auto"), "--shard"),
        ],
    )
    def test_of_nothing(
        self, project: Project, sandbox: Sandbox, options: tuple[str, ...], said: str
    ) -> None:
        done = project(*options)
        assert (done.exit_code, done.stdout, asked(sandbox)) == (2, "", NOTHING)
        assert said in done.stderr

    def test_leaves_orphans_alone_that_have_another_name(self, project: Project) -> None:
        project.settle()
        project.write('[assets.logo]\nprompt = "a logo"\n')
        done = project("--prune", "--only", "icon-*")
        assert done.exit_code == 0
        assert list(project.lock) == ["logo", "page", "poster"]
        assert project.files == ["logo.png", "page.png", "poster.png"]

    @pytest.mark.parametrize(
        ("text", "environment"),
        [("2/3", {}), ("auto", {"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "3"})],
        ids=["by its number", "as GitLab counts"],
    )
    def test_of_a_part(
        self, project: Project, sandbox: Sandbox, text: str, environment: dict[str, str]
    ) -> None:
        done = project("--shard", text, env=environment)
        assert (done.exit_code, sorted(done.paths)) == (0, ["icon-b.png", "poster.png"])
        assert list(project.lock) == ["icon-b", "poster"]
        assert asked(sandbox).creates == 2

    def test_is_in_the_command_to_run_next(self, project: Project, sandbox: Sandbox) -> None:
        done = project("--check", "--shard", "1/2", "--only", "*o*")
        choice = ["--only", "*o*", "--shard", "1/2"]
        assert hint(done) == ["sync", *choice]
        assert hint(project(*choice, "--max", "1")) == ["sync", "--dry-run", *choice]
        # What was not looked at is neither taken nor removed.
        project.settle()
        project.replace("assets.logo", "assets.old")
        project.replace("a logo", "old")
        (project.folder / "icon-a.png").write_text("mine")
        (project.folder / "page.png").write_text("mine too")
        talk = project("--only", "icon-*", "--only", "logo").stderr
        assert "seedream sync --prune --only 'icon-*' --only logo" in talk
        assert "\n  seedream sync --accept --only 'icon-*' --only logo\n" in talk


class TestTheSpendingCap:
    @pytest.fixture(autouse=True)
    def two_to_pay(self, project: Project) -> None:
        project.write(TWO + '[assets.vixen]\nprompt = "a fox"\n')

    def test_refuses_before_the_first_request_what_it_does_not_allow(
        self, project: Project, sandbox: Sandbox
    ) -> None:
        done = project("--max", "1")
        assert (done.exit_code, done.stdout, asked(sandbox)) == (2, "", NOTHING)
        assert hint(done) == ["sync", "--dry-run"]
        assert project.lock == {}
        assert project("--max", "2").exit_code == 0
        assert asked(sandbox).creates == 2
        assert project("--max", "0").exit_code == 0
        assert asked(sandbox) == NOTHING

    def test_holds_for_tasks_that_turn_out_to_be_gone(self, project: Project, sandbox: Sandbox) -> None:
        project.settle()
        for name in ("fox", "owl"):
            (project.folder / f"{name}.png").unlink()
        done = project("--max", "1", "--jobs", "1")
        assert done.exit_code == 2
        assert asked(sandbox).creates == 1
        assert done.paths == ["fox.png"]
        assert "task_owl_1" in done.stderr


class TestJobs:
    FOUR = "".join(f'[assets.{name}]\nprompt = "{name}"\n' for name in "abcd")

    def test_of_one_come_one_behind_the_other(self, project: Project, sandbox: Sandbox) -> None:
        project.write(self.FOUR)
        assert project("--jobs", "1").exit_code == 0
        kinds = {"POST": "create ", "GET": "status "}
        told = "".join("image " if one.origin == "image" else kinds[one.method] for one in sandbox.requests)
        assert told == "create status image " * 4

    def test_of_several_are_under_way_at_once(self, project: Project, service: Service) -> None:
        # Nobody is answered before three have asked.
        together = threading.Barrier(3)

        def wait(service: Service, exchange: Exchange, honest: Honest) -> None:
            together.wait(timeout=20)
            exchange.connection.sendall(honest())

        service.fault_rules.append(FaultRule(SUBMIT, wait, times=3))
        project.write(self.FOUR)
        assert project("-j", "3").exit_code == 0
        assert len(service.tasks) == 4

    @pytest.mark.parametrize("options", ["--jobs 0", "--jobs 257", "--max -1"])
    def test_are_a_number(self, project: Project, options: str) -> None:
        project.write(self.FOUR)
        assert project("--dry-run", *options.split()).exit_code == 2


def test_all_images_of_a_run_share_one_rate_limiter(project: Project, start: StartSandbox) -> None:
    """The second create would be let through, but nobody asks before the time that the first was told."""
    sandbox = start(faults=["submit-429-long=1"])
    project.write(TWO)
    assert project("--jobs", "1").exit_code == 7
    assert asked(sandbox) == RequestCounts(creates=1)


class TestOrphans:
    @pytest.fixture(autouse=True)
    def settled(self, project: Project) -> None:
        project.write(TWO + '[assets.set]\nprompt = "a set"\ncount = 3\n')
        project.settle()
        project.write('[assets.owl]\nprompt = "an owl"\n[assets.set]\nprompt = "a set"\ncount = 1\n')
        # With fewer images, the first is called otherwise.
        project.replace("count = 1", 'path = "set-1.png"')

    def test_are_kept_and_told_and_pruned_but_for_other_bytes(self, project: Project) -> None:
        before = project.lock, project.files
        done = project()
        assert (done.exit_code, done.stdout) == (0, "")
        assert (project.lock, project.files) == before
        assert "fox, set[2], set[3]" in done.stderr
        assert "seedream sync --prune" in done.stderr
        (project.folder / "fox.png").write_text("mine")
        done = project("--prune")
        assert (done.exit_code, done.stdout) == (0, "")
        assert list(project.lock) == ["owl", "set"]
        assert project.files == ["fox.png", "owl.png", "set-1.png"]
        assert (project.folder / "fox.png").read_text() == "mine"
        assert project("--check").exit_code == 0


class TestUnknownBytes:
    @pytest.fixture(autouse=True)
    def synced(self, project: Project, sandbox: Sandbox) -> None:
        project.write(TWO)
        project()
        asked(sandbox)
        self.before = project.lock
        (project.folder / "fox.png").write_text("mine")

    def test_are_left_alone_and_the_rest_is_done(self, project: Project, sandbox: Sandbox) -> None:
        (project.folder / "owl.png").unlink()
        done = project()
        assert (done.exit_code, done.paths) == (10, ["owl.png"])
        assert (project.folder / "fox.png").read_text() == "mine"
        assert project.lock["fox"] == self.before["fox"]
        assert "seedream sync --accept" in done.stderr
        assert asked(sandbox).creates == 0

    @pytest.mark.parametrize(("prompt", "creates"), [("a fox", 0), ("two foxes", 1)])
    def test_are_replaced_by_force(
        self, project: Project, sandbox: Sandbox, prompt: str, creates: int
    ) -> None:
        project.replace("a fox", prompt)
        done = project("--force")
        assert (done.exit_code, done.paths) == (0, ["fox.png"])
        assert asked(sandbox) == RequestCounts(creates=creates, statuses=1, images=1)
        assert project.sha256("fox.png") == project.lock["fox"]["sha256"]
        assert (project.sha256("fox.png") == self.before["fox"]["sha256"]) is (creates == 0)
        assert project("--check").exit_code == 0

    def test_are_taken_for_the_image_with_accept(self, project: Project, sandbox: Sandbox) -> None:
        project.replace("a fox", "two foxes")
        done = project("--accept")
        assert (done.exit_code, done.paths, asked(sandbox)) == (0, ["fox.png"], NOTHING)
        assert (project.folder / "fox.png").read_text() == "mine"
        assert project.lock["fox"]["sha256"] == project.sha256("fox.png")
        assert project.lock["fox"]["task_id"] is None
        assert project("--check").exit_code == 0

        assert project("--force", "--accept").exit_code == 2


def test_bytes_that_appear_during_a_run_are_left(
    project: Project, service: Service, seedream: Program
) -> None:
    def meanwhile(service: Service, exchange: Exchange, honest: Honest) -> None:
        (project.folder / "fox.png").write_text("mine")
        exchange.connection.sendall(honest())

    service.fault_rules.append(FaultRule(IMAGE, meanwhile, times=1))
    project.write(FOX)
    done = project()
    assert (done.exit_code, done.stdout) == (9, "")
    assert project.files == ["fox.png"]
    assert (project.folder / "fox.png").read_text() == "mine"
    assert project.lock == {}
    command = "sync --only fox --force"
    assert f"  seedream {command}\n" in done.stderr
    # What was paid for is had with the command that was told.
    assert project(*command.split()[1:]).paths == ["fox.png"]
    assert len(service.creates) == 1
    assert project.sha256("fox.png") == project.lock["fox"]["sha256"]


class TestFailures:
    def test_of_one_image_leave_the_others_alone(self, project: Project, start: StartSandbox) -> None:
        sandbox = start(faults=["task-failed=1"])
        project.write(TWO + '[assets.hen]\nprompt = "a hen"\n')
        done = project("--jobs", "1")
        assert (done.exit_code, done.paths) == (3, ["hen.png", "owl.png"])
        assert list(project.lock) == ["hen", "owl"]
        assert re.search(r"^error: fox: img_\w+ ", done.stderr, re.MULTILINE)
        assert "\n  seedream sync --only fox\n" in done.stderr
        # A task that failed is no task: the next run asks for another.
        asked(sandbox)
        assert project().paths == ["fox.png"]
        assert asked(sandbox).creates == 1

    @pytest.mark.parametrize(
        ("faults", "options", "exit_code"),
        [
            (["submit-404=1"], [], 6),
            (["submit-404=1", "task-failed=1"], [], 3),
            (["submit-404=1", "task-failed=1"], ["--max-bytes", "10"], 9),
            (["submit-400=1", "task-failed=1"], ["--max-bytes", "10"], 2),
        ],
    )
    def test_in_sum_exit_as_the_contract_orders_them(
        self, project: Project, start: StartSandbox, faults: list[str], options: list[str], exit_code: int
    ) -> None:
        start(faults=faults)
        project.write(TWO)
        (project.folder / "elk.png").write_text("mine")
        with project.manifest.open("a") as file:
            file.write('[assets.elk]\nprompt = "an elk"\n[assets.hen]\nprompt = "a hen"\n')
        done = project("--jobs", "1", "--json", *options)
        assert done.exit_code == exit_code
        assert done.document["error"]["exit_code"] == exit_code
        # What is edited counts least.
        assert "error: elk.png" in done.stderr

    @pytest.mark.parametrize(("fault", "exit_code"), [("submit-401", 4), ("submit-402", 5)])
    def test_of_the_account_end_the_run_before_all_knock(
        self, project: Project, start: StartSandbox, fault: str, exit_code: int
    ) -> None:
        sandbox = start(faults=[fault])
        project.write("".join(f'[assets.a{number}]\nprompt = "{number}"\n' for number in range(20)))
        done = project("--jobs", "3")
        assert (done.exit_code, done.stdout) == (exit_code, "")
        assert 1 <= asked(sandbox).creates <= 3
        assert re.search(r"\b(17|18|19) not begun", done.stderr)

    def test_of_a_quota_keep_nothing_from_being_fetched(self, project: Project, start: StartSandbox) -> None:
        """Also where it is a fetch that meets it: its task is gone, and another one is refused."""
        project.write("".join(f'[assets.z{number}]\nprompt = "{number}"\n' for number in range(4)))
        start()
        project()
        lost = project.lock["z0"]["task_id"]
        project.lock_file.write_text(project.lock_file.read_text().replace(lost, "img_unknown"))
        for number in range(4):
            (project.folder / f"z{number}.png").unlink()
        start(faults=["submit-402"])
        done = project("--jobs", "1", env={"XDG_STATE_HOME": str(project.folder.parent / "elsewhere")})
        assert (done.exit_code, sorted(done.paths)) == (5, ["z1.png", "z2.png", "z3.png"])

    def test_without_a_key_are_told_before_anything_is_done(self, project: Project, sandbox: Sandbox) -> None:
        project.write(TWO)
        done = project(env={"SEEDREAM_API_KEY": ""})
        assert (done.exit_code, done.stdout, asked(sandbox)) == (4, "", NOTHING)
        assert hint(done) == ["config", "set", "api_key"]
        assert project.lock == {}

    def test_of_the_whole_run_keep_what_was_done_by_then(self, project: Project, start: StartSandbox) -> None:
        def spoil(body: Mapping[str, Any]) -> bytes:
            if body["prompt"] != "a fox":
                # As a merge in another window would.
                project.lock_file.write_text("<<<<<<< ours\n")
            return png()

        project.write(TWO)
        start(draw=spoil)
        done = project("--jobs", "1", "--json")
        assert (done.exit_code, done.document["error"]["code"]) == (2, "invalid_lock")
        assert [image["done"] for image in done.document["images"]] == ["generated", None]
        project.lock_file.unlink()
        assert project("--json").document["counts"]["new"] == 2, "both files are known to the history"
        assert project("--check").exit_code == 0

    def test_of_a_lock_that_cannot_be_written_come_before_anything_is_sent(
        self, project: Project, sandbox: Sandbox, forked: Callable[..., Result]
    ) -> None:
        # Whose root may not write anywhere, as root of this process may.
        project = Project(forked, project.folder)
        project.write(TWO.replace("[assets.fox]", "[defaults]\ndir = 'art'\n[assets.fox]"))
        (project.folder / "art").mkdir()
        project.folder.chmod(0o555)
        try:
            done = project()
        finally:
            project.folder.chmod(0o755)
        assert (done.exit_code, done.stdout, asked(sandbox)) == (2, "", NOTHING)


class TestAManifest:
    FAULTY = """[defaults]
aspect_ratio = "16:10"
api_key = "sk-secret-secret"
[assets.fox]
prompt = "a fox, {lok}"
[assets.owl]
count = 0
path = "../owl.png"
"""
    PROBLEMS = (
        *((2, "defaults.aspect_ratio"), (3, "defaults.api_key"), (5, "assets.fox.prompt")),
        *((6, "assets.owl"), (7, "assets.owl.count"), (8, "assets.owl.path")),
    )

    @pytest.mark.parametrize("options", [("--check",), ("--frozen", "--max", "0")])
    def test_has_all_faults_told_at_once(
        self, project: Project, sandbox: Sandbox, options: tuple[str, ...]
    ) -> None:
        project.write(self.FAULTY)
        done = project(*options)
        assert (done.exit_code, done.stdout, asked(sandbox)) == (2, "", NOTHING)
        _, *lines = done.stderr.splitlines()
        places = [tuple(line.strip().split(": ")[:2]) for line in lines]
        assert places == [(f"seedream.toml:{line}", key) for line, key in self.PROBLEMS]
        assert "sk-secret" not in done.stderr
        document = project(*options, "--json").document
        assert (document["images"], document["error"]["exit_code"]) == ([], 2)
        found = document["error"]["problems"]
        assert [(one["line"], one["key"]) for one in found] == list(self.PROBLEMS)
        assert {one["file"] for one in found} == {"seedream.toml"}

    def test_beside_a_faulty_lock_has_its_faults_told(self, project: Project, sandbox: Sandbox) -> None:
        project.write(TWO)
        project.lock_file.write_text('<<<<<<< ours\n{"name": "fox"}\n>>>>>>> theirs\n')
        before = project.lock_file.read_bytes()
        done = project()
        assert (done.exit_code, done.stdout, asked(sandbox)) == (2, "", NOTHING)
        assert "seedream.lock:1: " in done.stderr
        assert project.lock_file.read_bytes() == before


class TestASandboxsPictures:
    def test_are_marked_and_do_not_count_for_the_service(self, project: Project, seedream: Program) -> None:
        project.write(FOX)
        done = project("--sandbox")
        assert (done.exit_code, done.paths) == (0, ["fox.png"])
        assert project.lock["fox"]["sandbox"] is True
        again = project("--sandbox")
        assert (again.exit_code, again.stdout) == (0, "")
        assert project("--check", "--sandbox").exit_code == 0
        check = project("--check", "--json")
        assert (check.exit_code, states(check)) == (10, {"fox": "changed"})

    def test_give_way_to_the_services(self, project: Project, service: Service) -> None:
        project.write(FOX)
        project.settle(more={"sandbox": True})
        assert project().paths == ["fox.png"]
        assert "sandbox" not in project.lock["fox"]
        assert len(service.creates) == 1
        # What is real is more than enough for a trial.
        assert project("--check", "--sandbox").exit_code == 0


class TestSettings:
    def test_of_the_picture_are_the_manifests(
        self, project: Project, sandbox: Sandbox, seedream: Program
    ) -> None:
        configure(seedream, '[profiles.default]\nquality = "4K"\naspect_ratio = "9:16"\n')
        project.write(TWO)
        env = {
            "SEEDREAM_ASPECT_RATIO": "21:9",
            "SEEDREAM_MODEL": "seedream-5.0-lite",
            "SEEDREAM_OUTPUT": "x/",
        }
        assert sorted(project(env=env).paths) == ["fox.png", "owl.png"]
        shape = {"model": "seedream-v4.5", "aspect_ratio": "1:1", "quality": "2K"}
        assert bodies(sandbox) == {prompt: {"prompt": prompt, **shape} for prompt in ("a fox", "an owl")}
        with_environment = project.lock_file.read_bytes()
        asked(sandbox)
        assert (project().exit_code, asked(sandbox)) == (0, NOTHING)
        assert project.lock_file.read_bytes() == with_environment

    def test_have_no_callback(self, project: Project, sandbox: Sandbox, seedream: Program) -> None:
        configure(seedream, '[profiles.default]\ncallback_url = "https://example.com/1"\n')
        project.write('[defaults]\ncallback_url = "https://example.com/2"\n' + TWO)
        assert project(env={"SEEDREAM_CALLBACK_URL": "https://example.com/3"}).exit_code == 0
        assert len(bodies(sandbox)) == 2
        assert not [body for body in bodies(sandbox).values() if "callback_url" in body]
        # Nor is a picture another one for it.
        asked(sandbox)
        project.replace('callback_url = "https://example.com/2"\n', "")
        assert (project().exit_code, asked(sandbox)) == (0, NOTHING)

    def test_of_waiting_and_size_are_those_of_the_manifests_own_folder(
        self, project: Project, start: StartSandbox, seedream: Program
    ) -> None:
        sandbox = start(faults=["never-completes=1"])
        del seedream.environment["SEEDREAM_POLL_INTERVAL"]
        folder = project.folder / "sub"
        folder.mkdir()
        (folder / "seedream.toml").write_text("[defaults]\ntimeout = 0\nmax_bytes = 10\n" + TWO)
        # What the current folder has is another project's.
        project.write("[defaults]\ntimeout = 3\npoll_interval = 0.5\nmax_bytes = 1000\n")
        done = project("sub/seedream.toml", "--only", "fox")
        assert done.exit_code == 8
        assert asked(sandbox) == RequestCounts(creates=1, statuses=1)
        assert "  seedream sync --only fox sub/seedream.toml\n" in done.stderr
        assert project("sub/seedream.toml", "--only", "owl", "--timeout", "60").exit_code == 9

    def test_of_waiting_can_be_flags(self, project: Project, start: StartSandbox) -> None:
        sandbox = start(faults=["never-completes"])
        project.write(FOX)
        assert project("--timeout", "0", "--poll-interval", "2").exit_code == 8
        assert asked(sandbox) == RequestCounts(creates=1, statuses=1)
        assert project("--max-bytes", "none").exit_code == 2

    def test_dir_is_where_generate_puts_its_images(
        self, project: Project, sandbox: Sandbox, seedream: Program
    ) -> None:
        project.write('[defaults]\ndir = "assets"\n' + TWO)
        [path] = seedream("generate", "a fox").paths
        assert re.fullmatch(r"assets/a-fox-img_\w+\.png", path)
