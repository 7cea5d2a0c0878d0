"""`seedream sync`: which images it generates, fetches, moves or leaves alone, and which tasks it pays for."""

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

EXAMPLE = """
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
FOX_ONLY = '[assets.fox]\nprompt = "a fox"\n'
FOX_AND_OWL = FOX_ONLY + '[assets.owl]\nprompt = "an owl"\n'


@pytest.fixture
def sandbox(start: StartSandbox) -> Sandbox:
    return start()


@pytest.fixture
def service(seedream: Program) -> Iterator[Service]:
    """A fake API that the program does not take for a sandbox."""
    with (running := Service()).server:
        seedream.use(running.base_url)
        yield running


def bodies(sandbox: Sandbox) -> dict[str, dict[str, object]]:
    """Return the bodies of all creates by prompt."""
    all_bodies = [json.loads(request.body) for request in sandbox.requests if request.method == "POST"]
    return {body["prompt"]: body for body in all_bodies}


class TestRepeatedSync:
    @pytest.fixture(autouse=True)
    def synced_once(self, project: Project, sandbox: Sandbox) -> None:
        (project.folder / "prompts").mkdir()
        (project.folder / "prompts" / "badge.md").write_text("\n A badge, {look} \n")
        project.write(EXAMPLE)
        self.first = project()
        self.sent = bodies(sandbox)
        self.asked = asked(sandbox)
        self.before = project.lock

    def test_first_sync_generates_each_image_and_writes_a_lockfile_line(self, project: Project) -> None:
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

    def test_second_sync_sends_no_request(self, project: Project, sandbox: Sandbox) -> None:
        written = project.lock_file.stat()
        again = project()
        assert (again.exit_code, again.stdout, asked(sandbox)) == (0, "", NOTHING)
        assert project.lock_file.stat() == written

    def test_changed_prompt_regenerates_only_its_images(self, project: Project, sandbox: Sandbox) -> None:
        project.replace("fox", "wolf")
        again = project()
        assert (again.exit_code, again.paths) == (0, ["assets/hero.png"])
        assert asked(sandbox) == RequestCounts(creates=1, statuses=1, images=1)
        hero = project.lock["hero"]
        assert hero["sha256"] == project.sha256("assets/hero.png") != self.before["hero"]["sha256"]
        assert project.lock == {**self.before, "hero": hero}
        # A changed prompt file, variable or folder has the same effect. The old file is removed.
        (project.folder / "prompts" / "badge.md").write_text("A medal")
        assert sorted(project().paths) == ["icons/badge-1.png", "icons/badge-2.png"]
        project.replace("flat vector", "pixel art")
        project.replace('dir = "assets"', 'dir = "art"')
        assert project().paths == ["art/hero.png"]
        assert asked(sandbox).creates == 3
        assert not (project.folder / "assets" / "hero.png").exists()
        assert project.lock["hero"]["path"] == "art/hero.png"

    def test_missing_file_is_fetched_without_a_create(
        self, project: Project, sandbox: Sandbox, tmp_path: Path
    ) -> None:
        (project.folder / "icons" / "badge-2.png").unlink()
        again = project()
        assert (again.exit_code, again.paths) == (0, ["icons/badge-2.png"])
        assert sandbox.requests[0].path.endswith(f"/images/status/{self.before['badge2']['task_id']}")
        assert asked(sandbox) == RequestCounts(creates=0, statuses=1, images=1)
        assert project.sha256("icons/badge-2.png") == self.before["badge2"]["sha256"]
        # Another machine with only the manifest and the lockfile: no images and no history.
        for path in self.first.paths:
            (project.folder / path).unlink()
        again = project(env={"XDG_STATE_HOME": str(tmp_path / "other")})
        assert (again.exit_code, sorted(again.paths)) == (0, sorted(self.first.paths))
        assert asked(sandbox) == RequestCounts(creates=0, statuses=3, images=3)
        # The asset can be renamed at the same time.
        (project.folder / "assets" / "hero.png").unlink()
        project.replace("assets.hero", "assets.banner")
        assert project().paths == ["assets/banner.png"]
        assert asked(sandbox) == RequestCounts(creates=0, statuses=1, images=1)
        assert list(project.lock) == ["badge", "badge2", "banner"]

    def test_raised_take_regenerates_the_image(self, project: Project, sandbox: Sandbox) -> None:
        project.replace('{look}"\n', '{look}"\ntake = 2\n')
        assert project().paths == ["assets/hero.png"]
        assert asked(sandbox) == RequestCounts(creates=1, statuses=1, images=1)
        assert project.lock["hero"]["take"] == 2
        assert project.lock["hero"]["digest"] == self.before["hero"]["digest"]
        assert project.lock["hero"]["task_id"] != self.before["hero"]["task_id"]

    def test_renamed_asset_or_changed_path_moves_the_file(self, project: Project, sandbox: Sandbox) -> None:
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


def test_identical_requests_share_one_task(project: Project, sandbox: Sandbox) -> None:
    project.write(FOX_AND_OWL + '[assets.vixen]\nprompt = " a fox "\npath = "more/vixen.png"\n')
    done = project()
    assert (done.exit_code, sorted(done.paths)) == (0, ["fox.png", "more/vixen.png", "owl.png"])
    assert asked(sandbox) == RequestCounts(creates=2, statuses=2, images=2)
    fox, vixen = project.lock["fox"], project.lock["vixen"]
    assert (fox["task_id"], fox["sha256"]) == (vixen["task_id"], vixen["sha256"])
    assert project.sha256("more/vixen.png") == fox["sha256"]
    assert "; cost 0.070; " in done.stderr


class TestDryRun:
    def test_dry_run_prints_the_plan_and_the_number_of_paid_tasks(
        self, project: Project, seedream: Program
    ) -> None:
        # Neither a key nor a reachable API is needed.
        assert "SEEDREAM_API_KEY" not in seedream.environment
        seedream.environment["SEEDREAM_BASE_URL"] = "http://127.0.0.1:1/v1"
        project.write(FOX_AND_OWL)
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
        # Elk and moose share one task.
        assert project("--dry-run", "--json").document["to_pay"] == 2
        assert (project.files, project.lock) == (["fox.png"], before)


#: Cause of drift → the state that it results in, and a function that causes it.
DRIFTS: dict[str, tuple[str, Callable[[Project], object]]] = {
    "added asset": ("new", lambda project: project.write(FOX_AND_OWL + '[assets.elk]\nprompt = "an elk"\n')),
    "changed take": ("changed", lambda project: project.replace('a fox"', 'a fox"\ntake = 2')),
    "changed model": ("changed", lambda project: project.replace('a fox"', 'a fox"\nmodel = "seedream-9"')),
    "changed path": ("missing", lambda project: project.replace('a fox"', 'a fox"\npath = "x.png"')),
    "lockfile deleted": ("edited", lambda project: project.lock_file.unlink()),
    "modified file": ("edited", lambda project: (project.folder / "fox.png").write_bytes(png(shade=9))),
    "removed asset": ("orphan", lambda project: project.replace(FOX_ONLY, "")),
    "renamed asset": ("new", lambda project: project.replace("assets.fox", "assets.vixen")),
    "sandbox image": ("changed", lambda project: project.settle(extra={"sandbox": True})),
}


class TestCheck:
    @pytest.fixture(autouse=True)
    def settled(self, project: Project, seedream: Program) -> None:
        """Sync on another machine. There is neither a key nor a reachable API."""
        seedream.environment["SEEDREAM_BASE_URL"] = "http://127.0.0.1:1/v1"
        project.write(FOX_AND_OWL)
        project.settle()

    def test_check_exits_0_without_drift_or_key(self, project: Project, seedream: Program) -> None:
        done = project("--check")
        assert (done.exit_code, done.stdout) == (0, "")
        assert not (seedream.state / "history.sqlite3").exists()

    @pytest.mark.parametrize("drift", DRIFTS)
    def test_check_exits_10_on_drift_and_changes_nothing(self, project: Project, drift: str) -> None:
        state, cause_drift = DRIFTS[drift]
        cause_drift(project)
        before = project.lock, project.files
        shown = project("--check")
        assert state in [line.split("\t")[0] for line in shown.paths]
        done = project("--check", "--json")
        assert (done.exit_code, done.document["error"]["exit_code"]) == (10, 10)
        # Without --prune, orphans would stay.
        remedy = "seedream sync --prune" if state == "orphan" else "seedream sync"
        assert done.document["error"]["hint"] == remedy
        assert state in states(done).values()
        assert (project.lock, project.files) == before

    @pytest.mark.parametrize("option", ["--force", "--accept", "--prune", "--dry-run", "--frozen"])
    def test_check_rejects_options_that_change_files(self, project: Project, option: str) -> None:
        done = project("--check", option)
        assert done.exit_code == 2
        assert option in done.stderr

    def test_rehash_finds_an_edit_that_the_hash_cache_misses(
        self, project: Project, seedream: Program
    ) -> None:
        """Size, times and inode are unchanged, as with the "racy" files of git's index."""
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
        # The new hash is in the cache from now on.
        assert project("--check").exit_code == 10


class TestFrozen:
    def test_frozen_sends_nothing_if_a_task_would_be_paid_for(
        self, project: Project, sandbox: Sandbox
    ) -> None:
        project.write(FOX_AND_OWL)
        project.settle()
        project.replace("a fox", "two foxes")
        (project.folder / "owl.png").unlink()
        done = project("--frozen")
        assert (done.exit_code, done.stdout, asked(sandbox)) == (10, "", NOTHING)
        assert "fox" in done.stderr
        assert hint(done) == ["sync"]

    def test_frozen_fetches_missing_files_but_replaces_no_lost_task(
        self, project: Project, sandbox: Sandbox
    ) -> None:
        project.write(FOX_ONLY)
        project()
        (project.folder / "fox.png").unlink()
        asked(sandbox)
        done = project("--frozen")
        assert (done.exit_code, done.paths) == (0, ["fox.png"])
        assert asked(sandbox) == RequestCounts(creates=0, statuses=1, images=1)
        project.write(FOX_AND_OWL)
        project.settle()
        (project.folder / "owl.png").unlink()
        done = project("--frozen")
        assert (done.exit_code, done.stdout) == (10, "")
        assert asked(sandbox).creates == 0
        assert "task_owl_1" in done.stderr
        # Without --frozen, the lost task is replaced.
        assert project().paths == ["owl.png"]


class TestOnlyAndShard:
    @pytest.fixture(autouse=True)
    def five(self, project: Project) -> None:
        names = ("icon-a", "icon-b", "logo", "page", "poster")
        project.write("".join(f'[assets.{name}]\nprompt = "a {name}"\n' for name in names))

    def test_only_selects_assets_by_globs(self, project: Project, sandbox: Sandbox) -> None:
        done = project("--only", "icon-*", "--only", "p?ge")
        assert (done.exit_code, sorted(done.paths)) == (0, ["icon-a.png", "icon-b.png", "page.png"])
        assert list(project.lock) == ["icon-a", "icon-b", "page"]
        assert asked(sandbox).creates == 3

    @pytest.mark.parametrize(
        ("options", "expected"),
        [
            (("--only", "logo", "--only", "nope*"), "'nope*'"),
            (("--only", ""), "''"),
            (("--shard", "4/3"), "--shard"),
            (("--shard", "auto"), "--shard"),
        ],
    )
    def test_only_or_shard_without_a_match_is_a_usage_error(
        self, project: Project, sandbox: Sandbox, options: tuple[str, ...], expected: str
    ) -> None:
        done = project(*options)
        assert (done.exit_code, done.stdout, asked(sandbox)) == (2, "", NOTHING)
        assert expected in done.stderr

    def test_only_protects_other_orphans_from_prune(self, project: Project) -> None:
        project.settle()
        project.write('[assets.logo]\nprompt = "a logo"\n')
        done = project("--prune", "--only", "icon-*")
        assert done.exit_code == 0
        assert list(project.lock) == ["logo", "page", "poster"]
        assert project.files == ["logo.png", "page.png", "poster.png"]

    @pytest.mark.parametrize(
        ("text", "environment"),
        [("2/3", {}), ("auto", {"CI_NODE_INDEX": "2", "CI_NODE_TOTAL": "3"})],
        ids=["number", "GitLab variables"],
    )
    def test_shard_selects_every_nth_image(
        self, project: Project, sandbox: Sandbox, text: str, environment: dict[str, str]
    ) -> None:
        done = project("--shard", text, env=environment)
        assert (done.exit_code, sorted(done.paths)) == (0, ["icon-b.png", "poster.png"])
        assert list(project.lock) == ["icon-b", "poster"]
        assert asked(sandbox).creates == 2

    def test_hints_repeat_only_and_shard(self, project: Project, sandbox: Sandbox) -> None:
        done = project("--check", "--shard", "1/2", "--only", "*o*")
        choice = ["--only", "*o*", "--shard", "1/2"]
        assert hint(done) == ["sync", *choice]
        assert hint(project(*choice, "--max", "1")) == ["sync", "--dry-run", *choice]
        # The other hints repeat them too, and images that are not selected are left alone.
        project.settle()
        project.replace("assets.logo", "assets.old")
        project.replace("a logo", "old")
        (project.folder / "icon-a.png").write_text("mine")
        (project.folder / "page.png").write_text("mine too")
        stderr = project("--only", "icon-*", "--only", "logo").stderr
        assert "seedream sync --prune --only 'icon-*' --only logo" in stderr
        assert "\n  seedream sync --accept --only 'icon-*' --only logo\n" in stderr


class TestSpendingCap:
    @pytest.fixture(autouse=True)
    def two_to_pay(self, project: Project) -> None:
        project.write(FOX_AND_OWL + '[assets.vixen]\nprompt = "a fox"\n')

    def test_max_refuses_a_plan_with_more_paid_tasks(self, project: Project, sandbox: Sandbox) -> None:
        done = project("--max", "1")
        assert (done.exit_code, done.stdout, asked(sandbox)) == (2, "", NOTHING)
        assert hint(done) == ["sync", "--dry-run"]
        assert project.lock == {}
        assert project("--max", "2").exit_code == 0
        assert asked(sandbox).creates == 2
        assert project("--max", "0").exit_code == 0
        assert asked(sandbox) == NOTHING

    def test_max_also_counts_tasks_that_replace_lost_ones(self, project: Project, sandbox: Sandbox) -> None:
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

    def test_one_job_runs_tasks_in_sequence(self, project: Project, sandbox: Sandbox) -> None:
        project.write(self.FOUR)
        assert project("--jobs", "1").exit_code == 0
        kinds = {"POST": "create ", "GET": "status "}
        order = "".join("image " if one.origin == "image" else kinds[one.method] for one in sandbox.requests)
        assert order == "create status image " * 4

    def test_several_jobs_run_in_parallel(self, project: Project, service: Service) -> None:
        # No create is answered until three have arrived.
        together = threading.Barrier(3)

        def wait(service: Service, exchange: Exchange, honest: Honest) -> None:
            together.wait(timeout=20)
            exchange.connection.sendall(honest())

        service.fault_rules.append(FaultRule(SUBMIT, wait, times=3))
        project.write(self.FOUR)
        assert project("-j", "3").exit_code == 0
        assert len(service.tasks) == 4

    @pytest.mark.parametrize("options", ["--jobs 0", "--jobs 257", "--max -1"])
    def test_jobs_and_max_reject_numbers_out_of_range(self, project: Project, options: str) -> None:
        project.write(self.FOUR)
        assert project("--dry-run", *options.split()).exit_code == 2


def test_images_share_one_rate_limiter(project: Project, start: StartSandbox) -> None:
    """The API would accept the second create, but it must wait for the Retry-After of the first."""
    sandbox = start(faults=["submit-429-long=1"])
    project.write(FOX_AND_OWL)
    assert project("--jobs", "1").exit_code == 7
    assert asked(sandbox) == RequestCounts(creates=1)


class TestOrphans:
    @pytest.fixture(autouse=True)
    def settled(self, project: Project) -> None:
        project.write(FOX_AND_OWL + '[assets.set]\nprompt = "a set"\ncount = 3\n')
        project.settle()
        project.write('[assets.owl]\nprompt = "an owl"\n[assets.set]\nprompt = "a set"\ncount = 1\n')
        # The path of the first image would change with the count.
        project.replace("count = 1", 'path = "set-1.png"')

    def test_prune_removes_orphans_unless_their_file_was_modified(self, project: Project) -> None:
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


class TestModifiedFiles:
    @pytest.fixture(autouse=True)
    def synced(self, project: Project, sandbox: Sandbox) -> None:
        project.write(FOX_AND_OWL)
        project()
        asked(sandbox)
        self.before = project.lock
        (project.folder / "fox.png").write_text("mine")

    def test_modified_file_is_kept_and_the_rest_is_synced(self, project: Project, sandbox: Sandbox) -> None:
        (project.folder / "owl.png").unlink()
        done = project()
        assert (done.exit_code, done.paths) == (10, ["owl.png"])
        assert (project.folder / "fox.png").read_text() == "mine"
        assert project.lock["fox"] == self.before["fox"]
        assert "seedream sync --accept" in done.stderr
        assert asked(sandbox).creates == 0

    @pytest.mark.parametrize(("prompt", "creates"), [("a fox", 0), ("two foxes", 1)])
    def test_force_overwrites_a_modified_file(
        self, project: Project, sandbox: Sandbox, prompt: str, creates: int
    ) -> None:
        project.replace("a fox", prompt)
        done = project("--force")
        assert (done.exit_code, done.paths) == (0, ["fox.png"])
        assert asked(sandbox) == RequestCounts(creates=creates, statuses=1, images=1)
        assert project.sha256("fox.png") == project.lock["fox"]["sha256"]
        assert (project.sha256("fox.png") == self.before["fox"]["sha256"]) is (creates == 0)
        assert project("--check").exit_code == 0

    def test_accept_records_a_modified_file(self, project: Project, sandbox: Sandbox) -> None:
        project.replace("a fox", "two foxes")
        done = project("--accept")
        assert (done.exit_code, done.paths, asked(sandbox)) == (0, ["fox.png"], NOTHING)
        assert (project.folder / "fox.png").read_text() == "mine"
        assert project.lock["fox"]["sha256"] == project.sha256("fox.png")
        assert project.lock["fox"]["task_id"] is None
        assert project("--check").exit_code == 0

        assert project("--force", "--accept").exit_code == 2


def test_file_created_during_a_run_is_not_overwritten(
    project: Project, service: Service, seedream: Program
) -> None:
    def meanwhile(service: Service, exchange: Exchange, honest: Honest) -> None:
        (project.folder / "fox.png").write_text("mine")
        exchange.connection.sendall(honest())

    service.fault_rules.append(FaultRule(IMAGE, meanwhile, times=1))
    project.write(FOX_ONLY)
    done = project()
    assert (done.exit_code, done.stdout) == (9, "")
    assert project.files == ["fox.png"]
    assert (project.folder / "fox.png").read_text() == "mine"
    assert project.lock == {}
    command = "sync --only fox --force"
    assert f"  seedream {command}\n" in done.stderr
    # The command of the hint saves the image without another create.
    assert project(*command.split()[1:]).paths == ["fox.png"]
    assert len(service.creates) == 1
    assert project.sha256("fox.png") == project.lock["fox"]["sha256"]


class TestFailures:
    def test_failed_image_does_not_stop_the_others(self, project: Project, start: StartSandbox) -> None:
        sandbox = start(faults=["task-failed=1"])
        project.write(FOX_AND_OWL + '[assets.hen]\nprompt = "a hen"\n')
        done = project("--jobs", "1")
        assert (done.exit_code, done.paths) == (3, ["hen.png", "owl.png"])
        assert list(project.lock) == ["hen", "owl"]
        assert re.search(r"^error: fox: img_\w+ ", done.stderr, re.MULTILINE)
        assert "\n  seedream sync --only fox\n" in done.stderr
        # The next run replaces the failed task.
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
    def test_exit_code_is_that_of_the_worst_failure(
        self, project: Project, start: StartSandbox, faults: list[str], options: list[str], exit_code: int
    ) -> None:
        start(faults=faults)
        project.write(FOX_AND_OWL)
        (project.folder / "elk.png").write_text("mine")
        with project.manifest.open("a") as file:
            file.write('[assets.elk]\nprompt = "an elk"\n[assets.hen]\nprompt = "a hen"\n')
        done = project("--jobs", "1", "--json", *options)
        assert done.exit_code == exit_code
        assert done.document["error"]["exit_code"] == exit_code
        # A modified file has the lowest precedence.
        assert "error: elk.png" in done.stderr

    @pytest.mark.parametrize(("fault", "exit_code"), [("submit-401", 4), ("submit-402", 5)])
    def test_account_error_stops_further_creates(
        self, project: Project, start: StartSandbox, fault: str, exit_code: int
    ) -> None:
        sandbox = start(faults=[fault])
        project.write("".join(f'[assets.a{number}]\nprompt = "{number}"\n' for number in range(20)))
        done = project("--jobs", "3")
        assert (done.exit_code, done.stdout) == (exit_code, "")
        assert 1 <= asked(sandbox).creates <= 3
        assert re.search(r"\b(17|18|19) not begun", done.stderr)

    def test_exhausted_quota_does_not_stop_fetches(self, project: Project, start: StartSandbox) -> None:
        """A fetch whose task is gone generates another, which the API refuses; the other fetches succeed."""
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

    def test_missing_key_is_reported_before_any_request(self, project: Project, sandbox: Sandbox) -> None:
        project.write(FOX_AND_OWL)
        done = project(env={"SEEDREAM_API_KEY": ""})
        assert (done.exit_code, done.stdout, asked(sandbox)) == (4, "", NOTHING)
        assert hint(done) == ["config", "set", "api_key"]
        assert project.lock == {}

    def test_invalid_lockfile_during_a_run_loses_no_image(
        self, project: Project, start: StartSandbox
    ) -> None:
        def spoil(body: Mapping[str, Any]) -> bytes:
            if body["prompt"] != "a fox":
                # As a git merge in another terminal would.
                project.lock_file.write_text("<<<<<<< ours\n")
            return png()

        project.write(FOX_AND_OWL)
        start(draw=spoil)
        done = project("--jobs", "1", "--json")
        assert (done.exit_code, done.document["error"]["code"]) == (2, "invalid_lock")
        assert [image["done"] for image in done.document["images"]] == ["generated", None]
        project.lock_file.unlink()
        assert project("--json").document["counts"]["new"] == 2, "both files are known to the history"
        assert project("--check").exit_code == 0

    def test_unwritable_lockfile_is_reported_before_any_request(
        self, project: Project, sandbox: Sandbox, forked: Callable[..., Result]
    ) -> None:
        # A forked program drops root's right to write everywhere.
        project = Project(forked, project.folder)
        project.write(FOX_AND_OWL.replace("[assets.fox]", "[defaults]\ndir = 'art'\n[assets.fox]"))
        (project.folder / "art").mkdir()
        project.folder.chmod(0o555)
        try:
            done = project()
        finally:
            project.folder.chmod(0o755)
        assert (done.exit_code, done.stdout, asked(sandbox)) == (2, "", NOTHING)


class TestInvalidManifest:
    INVALID = """[defaults]
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
    def test_all_problems_of_a_manifest_are_reported_at_once(
        self, project: Project, sandbox: Sandbox, options: tuple[str, ...]
    ) -> None:
        project.write(self.INVALID)
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

    def test_invalid_lockfile_is_reported_and_left_alone(self, project: Project, sandbox: Sandbox) -> None:
        project.write(FOX_AND_OWL)
        project.lock_file.write_text('<<<<<<< ours\n{"name": "fox"}\n>>>>>>> theirs\n')
        before = project.lock_file.read_bytes()
        done = project()
        assert (done.exit_code, done.stdout, asked(sandbox)) == (2, "", NOTHING)
        assert "seedream.lock:1: " in done.stderr
        assert project.lock_file.read_bytes() == before


class TestSandboxImages:
    def test_sandbox_images_are_marked_and_count_as_changed_for_the_service(
        self, project: Project, seedream: Program
    ) -> None:
        project.write(FOX_ONLY)
        done = project("--sandbox")
        assert (done.exit_code, done.paths) == (0, ["fox.png"])
        assert project.lock["fox"]["sandbox"] is True
        again = project("--sandbox")
        assert (again.exit_code, again.stdout) == (0, "")
        assert project("--check", "--sandbox").exit_code == 0
        check = project("--check", "--json")
        assert (check.exit_code, states(check)) == (10, {"fox": "changed"})

    def test_sandbox_images_are_replaced_by_those_of_the_service(
        self, project: Project, service: Service
    ) -> None:
        project.write(FOX_ONLY)
        project.settle(extra={"sandbox": True})
        assert project().paths == ["fox.png"]
        assert "sandbox" not in project.lock["fox"]
        assert len(service.creates) == 1
        # With --sandbox, images of the service are fine too.
        assert project("--check", "--sandbox").exit_code == 0


class TestSettings:
    def test_image_settings_come_from_the_manifest_only(
        self, project: Project, sandbox: Sandbox, seedream: Program
    ) -> None:
        seedream.write_config('[profiles.default]\nquality = "4K"\naspect_ratio = "9:16"\n')
        project.write(FOX_AND_OWL)
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

    def test_callback_url_is_never_sent(self, project: Project, sandbox: Sandbox, seedream: Program) -> None:
        seedream.write_config('[profiles.default]\ncallback_url = "https://example.com/1"\n')
        project.write('[defaults]\ncallback_url = "https://example.com/2"\n' + FOX_AND_OWL)
        assert project(env={"SEEDREAM_CALLBACK_URL": "https://example.com/3"}).exit_code == 0
        assert len(bodies(sandbox)) == 2
        assert not [body for body in bodies(sandbox).values() if "callback_url" in body]
        # It does not change the request, so no image is regenerated.
        asked(sandbox)
        project.replace('callback_url = "https://example.com/2"\n', "")
        assert (project().exit_code, asked(sandbox)) == (0, NOTHING)

    def test_timeout_and_max_bytes_come_from_the_manifests_folder(
        self, project: Project, start: StartSandbox, seedream: Program
    ) -> None:
        sandbox = start(faults=["never-completes=1"])
        del seedream.environment["SEEDREAM_POLL_INTERVAL"]
        folder = project.folder / "sub"
        folder.mkdir()
        (folder / "seedream.toml").write_text("[defaults]\ntimeout = 0\nmax_bytes = 10\n" + FOX_AND_OWL)
        # The current folder belongs to another project.
        project.write("[defaults]\ntimeout = 3\npoll_interval = 0.5\nmax_bytes = 1000\n")
        done = project("sub/seedream.toml", "--only", "fox")
        assert done.exit_code == 8
        assert asked(sandbox) == RequestCounts(creates=1, statuses=1)
        assert "  seedream sync --only fox sub/seedream.toml\n" in done.stderr
        assert project("sub/seedream.toml", "--only", "owl", "--timeout", "60").exit_code == 9

    def test_timeout_and_poll_interval_can_be_options(self, project: Project, start: StartSandbox) -> None:
        sandbox = start(faults=["never-completes"])
        project.write(FOX_ONLY)
        assert project("--timeout", "0", "--poll-interval", "2").exit_code == 8
        assert asked(sandbox) == RequestCounts(creates=1, statuses=1)
        assert project("--max-bytes", "none").exit_code == 2

    def test_default_dir_also_applies_to_generate(
        self, project: Project, sandbox: Sandbox, seedream: Program
    ) -> None:
        project.write('[defaults]\ndir = "assets"\n' + FOX_AND_OWL)
        [path] = seedream("generate", "a fox").paths
        assert re.fullmatch(r"assets/a-fox-img_\w+\.png", path)
