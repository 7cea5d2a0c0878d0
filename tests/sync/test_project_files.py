"""Images come to their places, and over nothing that nobody gave up."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from support.forked import ForkServer
from support.images import JPEG, png
from support.starting import StartSandbox
from sync.checkout import Checkout

from seedream_cli.errors import ExitCode, InvalidOutput, NotSaved
from seedream_cli.models import SavedFile
from seedream_cli.sync.lockfile import Entry
from seedream_cli.sync.manifest import load
from seedream_cli.sync.plan_items import Action, PlanItem, State
from seedream_cli.sync.project_files import Project

posix = pytest.mark.skipif(os.name != "posix", reason="links are POSIX here")

OURS, THEIRS = png(shade=1), b"a person's work"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


NewItem = Callable[..., PlanItem]


@pytest.fixture
def item(folder: Path) -> NewItem:
    """An item of the image ``hero`` whose path is this template; keywords as for Item."""

    def item(template: str = "art/hero.{ext}", **values: Any) -> PlanItem:
        (folder / "seedream.toml").write_text(f'[assets.hero]\nprompt = "fox"\npath = "{template}"\n')
        [image] = load(folder / "seedream.toml").images()
        (folder / "seedream.toml").unlink()
        given = {"state": State.NEW, "action": Action.GENERATE, **values}
        return PlanItem("hero", 1, image=image, **given)

    return item


def lay(folder: Path, **data: bytes) -> None:
    """Put files of these endings where the image is to go."""
    (folder / "art").mkdir()
    for ending, content in data.items():
        (folder / "art" / f"hero.{ending}").write_bytes(content)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def line(path: str, data: bytes = OURS) -> Entry:
    return Entry("hero", 1, "d" * 64, 1, path, sha256(data), "img_1", "2026-11-22T17:45:01Z")


def put(project: Project, item: PlanItem, image: bytes = OURS) -> str:
    """Let the image come, as a worker does."""
    project.prepare(item)
    with project.part(item, "op_12345678", nullcontext) as part:
        part.write(image)
        return project.put(item, part, part.verify(len(image)))


def files(folder: Path) -> dict[str, bytes]:
    """Everything that is there, hidden files too."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("template", "image", "path"),
    [
        ("art/hero.{ext}", OURS, "art/hero.png"),
        ("art/hero.{ext}", JPEG, "art/hero.jpg"),
        # A path that is certain is the image's whatever its bytes.
        ("hero.png", JPEG, "hero.png"),
    ],
)
def test_an_image_has_its_ending(folder: Path, item: NewItem, template: str, image: bytes, path: str) -> None:
    assert put(Project(folder), item(template), image) == path
    assert files(folder) == {path: image}


def test_bytes_of_the_very_moment_are_left(
    folder: Path, item: NewItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind the look whether the name is free, and before the image takes it."""
    link = os.link

    def someone_is_faster(source: Any, target: Any) -> None:
        Path(target).write_bytes(THEIRS)
        link(source, target)

    monkeypatch.setattr(os, "link", someone_is_faster)
    with pytest.raises(NotSaved) as caught:
        put(Project(folder), item())
    assert caught.value.code == "taken"
    assert files(folder) == {"art/hero.png": THEIRS}


@pytest.mark.parametrize(
    ("there", "entry", "is_replaced"),
    [
        # A run before this one was killed behind its move.
        pytest.param(OURS, None, True, id="the very bytes"),
        pytest.param(THEIRS, ("art/hero.png", THEIRS), True, id="those of the lock"),
        pytest.param(THEIRS, None, False, id="unknown, since the plan"),
        pytest.param(THEIRS, ("art/hero.png", png(shade=9)), False, id="edited since the plan"),
        pytest.param(THEIRS, ("old/hero.png", THEIRS), False, id="the lock's bytes of another path"),
    ],
)
def test_bytes_that_are_not_known_are_left_alone(
    folder: Path, item: NewItem, there: bytes, entry: tuple[str, bytes] | None, is_replaced: bool
) -> None:
    lay(folder, png=there)
    changed = item(state=State.CHANGED, entry=line(*entry)) if entry else item()
    if not is_replaced:
        with pytest.raises(NotSaved, match=r"art/hero\.png") as caught:
            put(Project(folder), changed)
        assert caught.value.code == "taken"
    else:
        assert put(Project(folder), changed) == "art/hero.png"
    assert files(folder) == {"art/hero.png": OURS if is_replaced else THEIRS}


def test_what_was_given_up_is_replaced_and_nothing_else(folder: Path, item: NewItem) -> None:
    lay(folder, png=THEIRS, jpg=THEIRS)
    forced = item(state=State.EDITED, overwrites=("art/hero.png",))
    assert put(Project(folder), forced) == "art/hero.png"
    with pytest.raises(NotSaved):
        put(Project(folder), forced, JPEG)
    assert files(folder) == {"art/hero.jpg": THEIRS, "art/hero.png": OURS}


@posix
@pytest.mark.parametrize("what", ["a folder", "a link that leads nowhere"])
def test_what_is_no_file_is_left_alone(folder: Path, item: NewItem, what: str) -> None:
    lay(folder)
    place = folder / "art" / "hero.png"
    place.mkdir() if what == "a folder" else place.symlink_to(folder / "elsewhere.png")
    with pytest.raises(NotSaved):
        put(Project(folder), item())
    assert place.is_dir() if what == "a folder" else place.is_symlink()
    assert files(folder) == {}


@posix
def test_a_link_to_known_bytes_is_replaced_not_followed(folder: Path, tmp_path: Path, item: NewItem) -> None:
    cache = tmp_path / "cache.png"
    cache.write_bytes(THEIRS)
    (folder / "hero.png").symlink_to(cache)
    changed = item("hero.png", path="hero.png", state=State.CHANGED, entry=line("hero.png", THEIRS))
    put(Project(folder), changed)
    assert not (folder / "hero.png").is_symlink()
    assert files(folder) == {"hero.png": OURS}
    assert cache.read_bytes() == THEIRS


@posix
@pytest.mark.parametrize("path", ["art/hero.png", "art/deeper/hero.{ext}"])
def test_a_folder_that_leads_outside_is_refused(
    folder: Path, tmp_path: Path, item: NewItem, path: str
) -> None:
    # A folder beside the project is not in it, whatever the first letters of its name are.
    outside = tmp_path / f"{folder.name}-2"
    outside.mkdir()
    (folder / "art").symlink_to(outside)
    (folder / "old.png").write_bytes(OURS)
    for act in (Project(folder).prepare, Project(folder).move):
        with pytest.raises(InvalidOutput, match="leaves the project") as caught:
            act(item(path, state=State.MISSING, entry=line("old.png"), path="art/hero.png", old="old.png"))
        assert caught.value.exit_code == ExitCode.USAGE
    assert list(outside.iterdir()) == []
    assert files(folder) == {"old.png": OURS}


@posix
def test_links_within_the_project_and_to_it_are_fine(folder: Path, tmp_path: Path, item: NewItem) -> None:
    (folder / "real").mkdir()
    (folder / "art").symlink_to(folder / "real")
    (tmp_path / "other-name").symlink_to(folder)
    assert put(Project(tmp_path / "other-name"), item()) == "art/hero.png"
    assert files(folder)["real/hero.png"] == OURS


@pytest.mark.skipif(sys.platform != "linux", reason="root may write anywhere but where this is taken from it")
def test_folders_that_take_no_image_are_told_before_anything_is_paid_and_the_others_go_on(
    fork_server: ForkServer, tmp_path: Path, start_sandbox: StartSandbox
) -> None:
    sandbox = start_sandbox(seconds=0, rate=0)
    checkout = Checkout(fork_server, tmp_path / "home", sandbox.base_url)
    checkout.write("".join(f'[assets.{name}]\nprompt = "{name}"\npath = "{name}/1.png"\n' for name in "ac"))
    (checkout.folder / "a").mkdir(mode=0o500)
    done = checkout("--json")
    assert done.exit_code == ExitCode.USAGE, done.stderr
    images = {image["name"]: image for image in done.document["images"]}
    assert "Permission denied" in images["a"]["error"]["message"]
    assert (images["c"]["done"], images["c"]["error"]) == ("generated", None)
    assert sandbox.task_count() == 1
    assert [one["name"] for one in checkout.lines()] == ["c"]


def saved(path: Path) -> SavedFile:
    data = path.read_bytes()
    return SavedFile(1, str(path), sha256(data), len(data), "image/png", 4, 3)


def copied(folder: Path, file: SavedFile, item: PlanItem) -> tuple[str, SavedFile]:
    project = Project(folder)
    return project.copy(file, item, project.part(item, "op_12345678", nullcontext))


def test_a_copy_has_a_place_of_its_own_and_goes_over_nothing_unknown(folder: Path, item: NewItem) -> None:
    first = folder / "first.png"
    first.write_bytes(OURS)
    path, file = copied(folder, saved(first), item())
    assert path == "art/hero.png"
    assert file == replace(saved(first), path=str(folder / "art" / "hero.png"))
    assert files(folder) == {"art/hero.png": OURS, "first.png": OURS}
    (folder / "art" / "hero.png").write_bytes(THEIRS)
    with pytest.raises(NotSaved):
        copied(folder, saved(first), item())
    assert files(folder) == {"art/hero.png": THEIRS, "first.png": OURS}


@pytest.mark.parametrize("spoiled", [{}, {"first.png": OURS[:-5]}])
def test_what_is_spoiled_or_gone_is_not_copied(
    folder: Path, item: NewItem, spoiled: dict[str, bytes]
) -> None:
    first = folder / "first.png"
    first.write_bytes(OURS)
    file = saved(first)
    first.unlink()
    for name, data in spoiled.items():
        (folder / name).write_bytes(data)
    with pytest.raises(NotSaved):
        copied(folder, file, item())
    assert files(folder) == spoiled


@pytest.mark.parametrize(
    ("old", "there", "after"),
    [
        pytest.param(OURS, {}, {"art/hero.png": OURS}, id="moved"),
        pytest.param(THEIRS, {}, None, id="edited since the plan"),
        pytest.param(OURS, {"png": THEIRS}, None, id="never over another"),
        # A move of before, which was killed before it took the old file away.
        pytest.param(OURS, {"png": OURS}, {"art/hero.png": OURS, "old.png": OURS}, id="moved before"),
    ],
)
def test_a_file_is_moved(
    folder: Path, item: NewItem, old: bytes, there: dict[str, bytes], after: dict[str, bytes] | None
) -> None:
    (folder / "old.png").write_bytes(old)
    lay(folder, **there)
    before = files(folder)
    moving = item(state=State.MISSING, entry=line("old.png"), path="art/hero.png", old="old.png")
    if after is None:
        with pytest.raises(NotSaved) as caught:
            Project(folder).move(moving)
        assert caught.value.code == "taken"
    else:
        Project(folder).move(moving)
    assert files(folder) == (before if after is None else after)


@pytest.mark.parametrize(("data", "left"), [(OURS, {}), (THEIRS, {"old.png": THEIRS}), (None, {})])
def test_a_file_is_removed_with_its_bytes(folder: Path, data: bytes | None, left: dict[str, bytes]) -> None:
    if data is not None:
        (folder / "old.png").write_bytes(data)
    Project(folder).remove(line("old.png"))
    assert files(folder) == left


@posix
def test_a_file_stays_that_is_the_new_one_by_another_name(folder: Path) -> None:
    """As where case makes no difference."""
    (folder / "hero.png").write_bytes(OURS)
    os.link(folder / "hero.png", folder / "HERO.png")
    Project(folder).remove(line("HERO.png"), but="hero.png")
    assert files(folder) == {"HERO.png": OURS, "hero.png": OURS}
    Project(folder).remove(line("HERO.png"), but="another.png")
    assert files(folder) == {"hero.png": OURS}
