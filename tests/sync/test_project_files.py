"""Saving, copying, moving and removing the images of a project: unknown files are never overwritten."""

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
from support.checkout import NewCheckout
from support.images import JPEG, png
from support.starting import StartSandbox

from seedream_cli.errors import ExitCode, InvalidOutput, NotSaved
from seedream_cli.models import SavedFile
from seedream_cli.sync.lockfile import Entry
from seedream_cli.sync.manifest import load_manifest
from seedream_cli.sync.plan_items import Action, PlanItem, State
from seedream_cli.sync.project_files import Project

posix = pytest.mark.skipif(os.name != "posix", reason="links are POSIX here")

#: The image that sync saves.
OURS = png(shade=1)
#: A file that sync does not know.
THEIRS = b"a person's work"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "project"
    folder.mkdir()
    return folder


NewItem = Callable[..., PlanItem]


@pytest.fixture
def item(folder: Path) -> NewItem:
    """Create the item of an image with this path template. Keywords as for PlanItem."""

    def item(template: str = "art/hero.{ext}", **values: Any) -> PlanItem:
        (folder / "seedream.toml").write_text(f'[assets.hero]\nprompt = "fox"\npath = "{template}"\n')
        [image] = load_manifest(folder / "seedream.toml").images()
        (folder / "seedream.toml").unlink()
        given = {"state": State.NEW, "action": Action.GENERATE, **values}
        return PlanItem("hero", 1, image=image, **given)

    return item


def write_targets(folder: Path, **data: bytes) -> None:
    """Write files with these extensions at the image's possible paths."""
    (folder / "art").mkdir()
    for extension, content in data.items():
        (folder / "art" / f"hero.{extension}").write_bytes(content)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def entry_for(path: str, data: bytes = OURS) -> Entry:
    return Entry("hero", 1, "d" * 64, 1, path, sha256(data), "img_1", "2026-11-22T17:45:01Z")


def put(project: Project, item: PlanItem, image: bytes = OURS) -> str:
    """Save the image, as a worker does."""
    project.prepare(item)
    with project.part(item, "op_12345678", nullcontext) as part:
        part.write(image)
        return project.put(item, part, part.verify(len(image)))


def files(folder: Path) -> dict[str, bytes]:
    """Return the contents of all files, hidden ones included."""
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
        # A path without {ext} is kept, whatever the format.
        ("hero.png", JPEG, "hero.png"),
    ],
)
def test_put_chooses_extension_by_format(
    folder: Path, item: NewItem, template: str, image: bytes, path: str
) -> None:
    assert put(Project(folder), item(template), image) == path
    assert files(folder) == {path: image}


def test_put_does_not_overwrite_file_created_meanwhile(
    folder: Path, item: NewItem, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Create the file between the check and the move."""
    link = os.link

    def create_first(source: Any, target: Any) -> None:
        Path(target).write_bytes(THEIRS)
        link(source, target)

    monkeypatch.setattr(os, "link", create_first)
    with pytest.raises(NotSaved) as caught:
        put(Project(folder), item())
    assert caught.value.code == "taken"
    assert files(folder) == {"art/hero.png": THEIRS}


@pytest.mark.parametrize(
    ("there", "entry", "is_replaced"),
    [
        # An earlier run was killed after it had saved the file.
        pytest.param(OURS, None, True, id="same bytes"),
        pytest.param(THEIRS, ("art/hero.png", THEIRS), True, id="bytes of the lockfile"),
        pytest.param(THEIRS, None, False, id="created since the plan"),
        pytest.param(THEIRS, ("art/hero.png", png(shade=9)), False, id="edited since the plan"),
        pytest.param(THEIRS, ("old/hero.png", THEIRS), False, id="bytes of the lockfile at another path"),
    ],
)
def test_put_does_not_overwrite_unknown_files(
    folder: Path, item: NewItem, there: bytes, entry: tuple[str, bytes] | None, is_replaced: bool
) -> None:
    write_targets(folder, png=there)
    changed = item(state=State.CHANGED, entry=entry_for(*entry)) if entry else item()
    if not is_replaced:
        with pytest.raises(NotSaved, match=r"art/hero\.png") as caught:
            put(Project(folder), changed)
        assert caught.value.code == "taken"
    else:
        assert put(Project(folder), changed) == "art/hero.png"
    assert files(folder) == {"art/hero.png": OURS if is_replaced else THEIRS}


def test_put_overwrites_only_paths_given_up_with_force(folder: Path, item: NewItem) -> None:
    write_targets(folder, png=THEIRS, jpg=THEIRS)
    forced = item(state=State.EDITED, overwrites=("art/hero.png",))
    assert put(Project(folder), forced) == "art/hero.png"
    with pytest.raises(NotSaved):
        put(Project(folder), forced, JPEG)
    assert files(folder) == {"art/hero.jpg": THEIRS, "art/hero.png": OURS}


@posix
@pytest.mark.parametrize("what", ["folder", "broken link"])
def test_put_does_not_overwrite_folder_or_broken_link(folder: Path, item: NewItem, what: str) -> None:
    write_targets(folder)
    place = folder / "art" / "hero.png"
    place.mkdir() if what == "folder" else place.symlink_to(folder / "elsewhere.png")
    with pytest.raises(NotSaved):
        put(Project(folder), item())
    assert place.is_dir() if what == "folder" else place.is_symlink()
    assert files(folder) == {}


@posix
def test_put_replaces_symlink_without_following_it(folder: Path, tmp_path: Path, item: NewItem) -> None:
    cache = tmp_path / "cache.png"
    cache.write_bytes(THEIRS)
    (folder / "hero.png").symlink_to(cache)
    changed = item("hero.png", path="hero.png", state=State.CHANGED, entry=entry_for("hero.png", THEIRS))
    put(Project(folder), changed)
    assert not (folder / "hero.png").is_symlink()
    assert files(folder) == {"hero.png": OURS}
    assert cache.read_bytes() == THEIRS


@posix
@pytest.mark.parametrize("path", ["art/hero.png", "art/deeper/hero.{ext}"])
def test_prepare_and_move_refuse_symlink_out_of_project(
    folder: Path, tmp_path: Path, item: NewItem, path: str
) -> None:
    # The sibling's path begins with the project's path.
    outside = tmp_path / f"{folder.name}-2"
    outside.mkdir()
    (folder / "art").symlink_to(outside)
    (folder / "old.png").write_bytes(OURS)
    moving = item(
        path, state=State.MISSING, entry=entry_for("old.png"), path="art/hero.png", old_path="old.png"
    )
    for act in (Project(folder).prepare, Project(folder).move):
        with pytest.raises(InvalidOutput, match="leaves the project") as caught:
            act(moving)
        assert caught.value.exit_code == ExitCode.USAGE
    assert list(outside.iterdir()) == []
    assert files(folder) == {"old.png": OURS}


@posix
def test_put_follows_symlinked_folders_within_project(folder: Path, tmp_path: Path, item: NewItem) -> None:
    (folder / "real").mkdir()
    (folder / "art").symlink_to(folder / "real")
    (tmp_path / "other-name").symlink_to(folder)
    assert put(Project(tmp_path / "other-name"), item()) == "art/hero.png"
    assert files(folder)["real/hero.png"] == OURS


@pytest.mark.skipif(sys.platform != "linux", reason="drops root's capability with setpriv")
def test_sync_reports_unwritable_folder_before_paying_and_continues(
    new_checkout: NewCheckout, start_sandbox: StartSandbox
) -> None:
    sandbox = start_sandbox(seconds=0, rate=0)
    checkout = new_checkout(
        sandbox, "".join(f'[assets.{name}]\nprompt = "{name}"\npath = "{name}/1.png"\n' for name in "ac")
    )
    (checkout.folder / "a").mkdir(mode=0o500)
    done = checkout("--json")
    assert done.exit_code == ExitCode.USAGE, done.stderr
    images = {image["name"]: image for image in done.document["images"]}
    assert "Permission denied" in images["a"]["error"]["message"]
    assert (images["c"]["done"], images["c"]["error"]) == ("generated", None)
    assert sandbox.task_count() == 1
    assert [entry["name"] for entry in checkout.entries()] == ["c"]


def saved_file(path: Path) -> SavedFile:
    data = path.read_bytes()
    return SavedFile(1, str(path), sha256(data), len(data), "image/png", 4, 3)


def copy(folder: Path, file: SavedFile, item: PlanItem) -> tuple[str, SavedFile]:
    project = Project(folder)
    return project.copy(file, item, project.part(item, "op_12345678", nullcontext))


def test_copy_does_not_overwrite_unknown_file(folder: Path, item: NewItem) -> None:
    first = folder / "first.png"
    first.write_bytes(OURS)
    path, file = copy(folder, saved_file(first), item())
    assert path == "art/hero.png"
    assert file == replace(saved_file(first), path=str(folder / "art" / "hero.png"))
    assert files(folder) == {"art/hero.png": OURS, "first.png": OURS}
    (folder / "art" / "hero.png").write_bytes(THEIRS)
    with pytest.raises(NotSaved):
        copy(folder, saved_file(first), item())
    assert files(folder) == {"art/hero.png": THEIRS, "first.png": OURS}


@pytest.mark.parametrize("remaining", [{}, {"first.png": OURS[:-5]}])
def test_copy_refuses_missing_or_truncated_source(
    folder: Path, item: NewItem, remaining: dict[str, bytes]
) -> None:
    first = folder / "first.png"
    first.write_bytes(OURS)
    file = saved_file(first)
    first.unlink()
    for name, data in remaining.items():
        (folder / name).write_bytes(data)
    with pytest.raises(NotSaved):
        copy(folder, file, item())
    assert files(folder) == remaining


@pytest.mark.parametrize(
    ("old", "there", "after"),
    [
        pytest.param(OURS, {}, {"art/hero.png": OURS}, id="moved"),
        pytest.param(THEIRS, {}, None, id="edited since the plan"),
        pytest.param(OURS, {"png": THEIRS}, None, id="target exists"),
        # An earlier move was killed before it removed the old file.
        pytest.param(OURS, {"png": OURS}, {"art/hero.png": OURS, "old.png": OURS}, id="moved before"),
    ],
)
def test_move(
    folder: Path, item: NewItem, old: bytes, there: dict[str, bytes], after: dict[str, bytes] | None
) -> None:
    (folder / "old.png").write_bytes(old)
    write_targets(folder, **there)
    before = files(folder)
    moving = item(state=State.MISSING, entry=entry_for("old.png"), path="art/hero.png", old_path="old.png")
    if after is None:
        with pytest.raises(NotSaved) as caught:
            Project(folder).move(moving)
        assert caught.value.code == "taken"
    else:
        Project(folder).move(moving)
    assert files(folder) == (before if after is None else after)


@pytest.mark.parametrize(("data", "left"), [(OURS, {}), (THEIRS, {"old.png": THEIRS}), (None, {})])
def test_remove_only_with_bytes_of_entry(folder: Path, data: bytes | None, left: dict[str, bytes]) -> None:
    if data is not None:
        (folder / "old.png").write_bytes(data)
    Project(folder).remove(entry_for("old.png"))
    assert files(folder) == left


@posix
def test_remove_keeps_other_name_of_same_file(folder: Path) -> None:
    # One file with two names, as on a file system that ignores case.
    (folder / "hero.png").write_bytes(OURS)
    os.link(folder / "hero.png", folder / "HERO.png")
    Project(folder).remove(entry_for("HERO.png"), unless_same_as="hero.png")
    assert files(folder) == {"HERO.png": OURS, "hero.png": OURS}
    Project(folder).remove(entry_for("HERO.png"), unless_same_as="another.png")
    assert files(folder) == {"hero.png": OURS}
