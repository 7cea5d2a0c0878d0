"""The plan: nothing is paid for twice, and no unknown file is lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from seedream_cli.errors import UsageError
from seedream_cli.models import GenerationRequest
from seedream_cli.sync.assets import digest_of
from seedream_cli.sync.hash_cache import UNREADABLE
from seedream_cli.sync.lockfile import Entry, Lockfile
from seedream_cli.sync.manifest import load_manifest
from seedream_cli.sync.plan import Action, HistoryLookup, Plan, PlanItem, State, plan
from seedream_cli.sync.sharding import Shard

FOX = digest_of(GenerationRequest("fox"))
CAT = digest_of(GenerationRequest("cat"))
#: SHA-256 of the file in the lockfile.
OWN = "a" * 64
#: SHA-256 of an unknown file.
OTHER = "b" * 64
HERO = Entry("hero", 1, FOX, 1, "hero.png", OWN, "img_1", "2026-11-22T17:45:01Z")


@dataclass
class FakeFiles:
    """A FileState: SHA-256 by path, and the extension by SHA-256 of files that are not PNG."""

    files: dict[str, str] = field(default_factory=dict)
    extensions: dict[str, str | None] = field(default_factory=dict)

    def exists(self, path: str) -> bool:
        return path in self.files

    def sha256(self, path: str) -> str | None:
        return self.files.get(path)

    def extension(self, path: str) -> str | None:
        return self.extensions.get(self.files[path], "png") if path in self.files else None


MakePlan = Callable[..., Plan]


@pytest.fixture
def make_plan(tmp_path: Path) -> MakePlan:
    """Plan for a manifest's text, lockfile entries and files (SHA-256 by path). Keywords as for plan()."""

    def make_plan(
        text: str, entries: Sequence[Entry] = (), files: dict[str, str] | None = None, **options: Any
    ) -> Plan:
        (tmp_path / "seedream.toml").write_text(text, encoding="utf-8")
        manifest = load_manifest(tmp_path / "seedream.toml")
        extensions = options.pop("extensions", {})
        return plan(
            manifest,
            Lockfile(manifest.lockfile_path, tuple(entries)),
            FakeFiles(files or {}, extensions),
            **options,
        )

    return make_plan


def hero(more: str = "", prompt: str = "fox") -> str:
    return f'[assets.hero]\nprompt = "{prompt}"\n{more}\n'


def single_item(plan: Plan) -> PlanItem:
    [item] = plan.items
    return item


#: Case | keys | prompt | lockfile | files | state, action, path, old | action and overwrites with `force`.
#: `~` stands for hero. Files are path=bytes.
TABLE = """
no file || fox ||  | new generate - - | generate
no file, fixed path | path = "~.png" | fox ||  | new generate ~.png - | generate
unknown file || fox || ~.jpg=other | edited nothing ~.jpg - | generate ~.jpg
unknown files || fox || ~.png=other ~.webp=other | edited nothing ~.png - | generate ~.png ~.webp
file with another extension | path = "~.png" | fox || ~.jpg=other | new generate ~.png - | generate
unchanged || fox | line | ~.png=own | ok nothing ~.png - | nothing
unchanged, other file || fox | line | ~.png=own ~.jpg=other | ok nothing ~.png - | nothing
deleted || fox | line || missing fetch ~.png - | fetch
deleted, no task || fox | kept || missing generate - - | generate
deleted, no task, other file || fox | kept | ~.jpg=other | edited nothing ~.jpg - | generate ~.jpg
edited || fox | line | ~.png=other | edited nothing ~.png - | fetch ~.png
edited, no task || fox | kept | ~.png=other | edited nothing ~.png - | generate ~.png
changed || cat | line | ~.png=own | changed generate - ~.png | generate
changed, fixed path | path = "~.png" | cat | line | ~.png=own | changed generate ~.png ~.png | generate
changed and deleted || cat | line || changed generate - - | generate
changed and edited || cat | line | ~.png=other | edited nothing ~.png - | generate ~.png
changed, other file || cat | line | ~.png=own ~.jpg=other | edited nothing ~.jpg - | generate ~.jpg
new take | take = 2 | fox | line | ~.png=own | changed generate - ~.png | generate
changed and moved | path = "x.png" | cat | line | ~.png=own | changed generate x.png ~.png | generate
moved | path = "x/" | fox | line | ~.png=own | missing move x/~.png ~.png | move
moved and deleted | path = "x/" | fox | line || missing fetch x/~.png - | fetch
moved and edited | path = "x/" | fox | line | ~.png=other | edited nothing ~.png - | fetch ~.png
moved by hand | path = "x/" | fox | line | x/~.png=own | missing move x/~.png - | move
move interrupted | path = "x/" | fox | line | x/~.png=own ~.png=own | missing move x/~.png ~.png | move
moved, other | path = "x/" | fox | line | ~.png=own x/~.jpg=other | edited nothing x/~.jpg - | fetch x/~.jpg
numbered | count = 1; path = "{name}-{n}.{ext}" | fox | line | ~.png=own | missing move ~-1.png ~.png | move
folder at its path || fox | line | ~.png=folder | edited nothing ~.png - | nothing
folder at a possible path || fox || ~.webp=folder | edited nothing ~.webp - | nothing
"""
TABLE_VALUES: dict[str, Any] = {
    "": [],
    "line": [HERO],
    "kept": [replace(HERO, task_id=None)],
    "own": OWN,
    "other": OTHER,
    "folder": UNREADABLE,
}


def row_of(text: str) -> tuple[Any, ...]:
    more, prompt, entries, files, expected, forced = (
        part.strip() for part in text.replace("~", "hero").split("|")
    )
    there = {path: TABLE_VALUES[data] for path, data in (one.split("=") for one in files.split())}
    return more.replace("; ", "\n"), prompt, TABLE_VALUES[entries], there, expected, forced


ROWS = {
    name.strip(): row_of(rest) for name, _, rest in (one.partition("|") for one in TABLE.strip().split("\n"))
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_plan_state_and_action(make_plan: MakePlan, row: tuple[Any, ...]) -> None:
    more, prompt, entries, files, expected, forced = row
    item = single_item(make_plan(hero(more, prompt), entries, files))
    assert f"{item.state} {item.action} {item.path or '-'} {item.old_path or '-'}" == expected
    assert item.overwrites == ()
    assert item.entry == (entries[0] if entries else None)
    item = single_item(make_plan(hero(more, prompt), entries, files, force=True))
    assert item.state == expected.split()[0]
    assert [item.action, *item.overwrites] == forced.split()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_accept_adopts_only_edited_files(make_plan: MakePlan, row: tuple[Any, ...]) -> None:
    more, prompt, entries, files, expected, _ = row
    state, action, path, _ = expected.split()
    text = hero(more, prompt)
    item = single_item(make_plan(text, entries, files, accept=True))
    assert (item.state, item.path or "-") == (state, path)
    if state != "edited" or files[path] == UNREADABLE:
        assert item.action == action
        return
    assert item.action == Action.ADOPT
    assert item.image is not None
    adopted = item.adopted_entry("2026-12-01T00:00:00Z")
    expected = Entry("hero", 1, item.image.digest, 1, path, files[path], None, "2026-12-01T00:00:00Z")
    assert adopted == expected
    after = single_item(make_plan(text, [adopted], files))
    assert after.state == (State.OK if path in item.image.target.paths else State.MISSING)
    assert not after.costs_money


@pytest.mark.parametrize(
    ("more", "files", "path", "old"),
    [
        ("", {"hero.png": OTHER}, "hero.png", None),
        ('path = "x/"', {"hero.png": OTHER}, None, None),
        ('path = "x.png"', {"hero.png": OTHER}, "x.png", None),
        ('path = "x.png"', {"hero.png": OWN, "x.png": OTHER}, "x.png", "hero.png"),
    ],
)
def test_force_fetch_path(
    make_plan: MakePlan, more: str, files: dict[str, str], path: str | None, old: str | None
) -> None:
    item = single_item(make_plan(hero(more), [HERO], files, force=True))
    assert (item.action, item.path, item.old_path) == (Action.FETCH, path, old)


def test_force_generate_replaces_own_old_file(make_plan: MakePlan) -> None:
    files = {"hero.png": OWN, "hero.jpg": OTHER}
    item = single_item(make_plan(hero(prompt="cat"), [HERO], files, force=True))
    assert (item.action, item.path, item.old_path) == (Action.GENERATE, None, "hero.png")
    assert item.overwrites == ("hero.jpg",)


def test_plan_counts_and_to_pay(make_plan: MakePlan) -> None:
    text = hero() + '[assets.a]\nprompt = "cat"\ncount = 2\n[assets.z]\nprompt = "owl"\n'
    result = make_plan(
        text, [HERO, replace(HERO, name="old", path="old.png")], {"hero.png": OWN, "z.png": OTHER}
    )
    assert [(item.name, item.number, item.state.value) for item in result.items] == [
        *(("a", 1, "new"), ("a", 2, "new"), ("hero", 1, "ok"), ("old", 1, "orphan"), ("z", 1, "edited")),
    ]
    assert result.counts == {"new": 2, "ok": 1, "orphan": 1, "edited": 1}
    assert result.to_pay == 2
    assert result.has_drift
    assert [item.name for item in result.with_action(Action.GENERATE)] == ["a", "a"]
    assert result.entries == {entry.key: entry for entry in (HERO, replace(HERO, name="old", path="old.png"))}


def test_to_pay_counts_same_request_once(make_plan: MakePlan) -> None:
    fox = 'prompt = "fox"\n'
    text = f"[assets.a]\n{fox}count = 2\n[assets.b]\n{fox}[assets.c]\n{fox}take = 2"
    assert make_plan(text).to_pay == 3


def test_moved_entry_changes_only_path(make_plan: MakePlan) -> None:
    entry = replace(HERO, extra={"cost": "0.035"})
    item = single_item(make_plan(hero('path = "x.png"'), [entry], {"hero.png": OWN}))
    assert item.moved_entry() == replace(entry, path="x.png")
    assert item.supersedes == ()


@pytest.mark.parametrize(
    ("extension", "old", "path"),
    [
        *(("jpg", "hero.png", "x/hero.jpg"), ("webp", "hero", "x/hero.webp")),
        *((None, "hero.png", "x/hero.png"), (None, "hero", None)),
    ],
)
def test_move_chooses_extension_by_format(
    make_plan: MakePlan, extension: str | None, old: str, path: str | None
) -> None:
    entry = replace(HERO, path=old)
    item = single_item(make_plan(hero('path = "x/"'), [entry], {old: OWN}, extensions={OWN: extension}))
    assert (item.action, item.path, item.old_path) == (Action.MOVE, path, old)


def test_move_does_not_take_same_bytes_of_another_image(make_plan: MakePlan) -> None:
    twin = replace(HERO, name="twin", path="twin.png")
    text = hero('path = "twin.png"') + '[assets.twin]\nprompt = "fox"\npath = "x/"\n'
    result = make_plan(text, [HERO, twin], {"twin.png": OWN})
    assert [(item.state.value, item.action.value, item.path) for item in result.items] == [
        ("edited", "nothing", "twin.png"),
        ("missing", "move", "x/twin.png"),
    ]


def test_accept_does_not_adopt_file_of_another_image(make_plan: MakePlan) -> None:
    text = hero('path = "x/"') + '[assets.new]\nprompt = "cat"\npath = "hero.png"\n'
    result = make_plan(text, [HERO], {"hero.png": OWN}, accept=True)
    assert [(item.state.value, item.action.value) for item in result.items] == [
        ("missing", "move"),
        ("edited", "nothing"),
    ]
    # The file of an orphan may be adopted.
    result = make_plan(
        '[assets.new]\nprompt = "cat"\npath = "hero.png"\n', [HERO], {"hero.png": OWN}, accept=True
    )
    assert [item.action.value for item in result.items] == ["nothing", "adopt"]
    assert result.items[1].supersedes == (HERO.key,)


def test_accept_does_not_adopt_orphan_that_was_taken_over(make_plan: MakePlan) -> None:
    text = '[assets.a]\nprompt = "fox"\n[assets.c]\nprompt = "fox"\npath = "hero.png"\n'
    result = make_plan(text, [HERO], {"hero.png": OWN}, accept=True)
    assert [item.action.value for item in result.items] == ["move", "nothing"]


@pytest.mark.parametrize(
    ("files", "action"), [({"hero.png": OWN}, "remove"), ({"hero.png": OTHER}, "forget"), ({}, "forget")]
)
def test_prune_removes_file_only_with_bytes_of_lockfile(
    make_plan: MakePlan, files: dict[str, str], action: str
) -> None:
    kept = single_item(make_plan("", [HERO], files))
    assert (kept.state, kept.action, kept.image, kept.entry) == (State.ORPHAN, Action.NOTHING, None, HERO)
    item = single_item(make_plan("", [HERO], files, prune=True))
    assert (item.state, item.action, item.path) == (State.ORPHAN, action, "hero.png")


@pytest.mark.parametrize("path", ["new.png", "NEW.jpg"])
def test_prune_keeps_file_needed_by_another_image(make_plan: MakePlan, path: str) -> None:
    text = '[assets.new]\nprompt = "cat"\n'
    result = make_plan(text, [replace(HERO, path=path)], {path: OWN}, prune=True, force=True)
    assert result.items[0].action == Action.FORGET
    two = [replace(HERO, digest=CAT, name="new", path="x/y.png"), replace(HERO, path="x/y.png")]
    result = make_plan(text, two, {"x/y.png": OWN}, prune=True)
    assert [item.action.value for item in result.items] == ["forget", "move"]


FIXED_PATH = 'path = "hero.png"'
#: The asset hero by another name.
RENAMED = '[assets.new]\nprompt = "fox"\n'


@pytest.mark.parametrize(
    ("more", "files", "action", "path", "old"),
    [
        ("", {"hero.png": OWN}, "move", "new.png", "hero.png"),
        (FIXED_PATH, {"hero.png": OWN}, "move", "hero.png", None),
        ("", {}, "fetch", "new.png", None),
        (FIXED_PATH, {}, "fetch", "hero.png", None),
        ("", {"new.png": OWN}, "move", "new.png", None),
    ],
)
def test_renamed_asset_takes_over_orphan_free_of_charge(
    make_plan: MakePlan, more: str, files: dict[str, str], action: str, path: str, old: str | None
) -> None:
    item = single_item(make_plan(RENAMED + more, [HERO], files))
    assert (item.key, item.state) == (("new", 1), "new")
    assert (item.action, item.path, item.old_path) == (action, path, old)
    assert item.supersedes == (("hero", 1),)
    if item.action == Action.MOVE:
        assert item.moved_entry() == replace(HERO, name="new", path=path)
    again = single_item(make_plan(RENAMED + more + "\ntake = 2", [replace(HERO, take=2)], files))
    assert (again.state, again.action, again.path) == ("new", action, path)


@pytest.mark.parametrize(
    ("more", "entry", "files", "states"),
    [
        ("", HERO, {"hero.png": OTHER}, {"hero": "orphan", "new": "new"}),
        ("", replace(HERO, task_id=None), {}, {"hero": "orphan", "new": "new"}),
        ("", HERO, {"hero.png": OWN, "new.jpg": OTHER}, {"hero": "orphan", "new": "edited"}),
        ("take = 2", HERO, {"hero.png": OWN}, {"hero": "orphan", "new": "new"}),
        ("", replace(HERO, number=2), {"hero.png": OWN}, {"hero": "orphan", "new": "new"}),
        ('quality = "4K"', HERO, {"hero.png": OWN}, {"hero": "orphan", "new": "new"}),
    ],
)
def test_renamed_asset_does_not_take_over_different_orphan(
    make_plan: MakePlan, more: str, entry: Entry, files: dict[str, str], states: dict[str, str]
) -> None:
    result = make_plan(RENAMED + more, [entry], files)
    assert {item.name: item.state.value for item in result.items} == states
    assert all(item.action in (Action.GENERATE, Action.NOTHING) for item in result.items)


def test_renamed_orphan_is_taken_over_once(make_plan: MakePlan) -> None:
    result = make_plan(RENAMED + '[assets.other]\nprompt = "fox"\n', [HERO], {"hero.png": OWN})
    assert [(item.name, item.action.value) for item in result.items] == [
        ("new", "move"),
        ("other", "generate"),
    ]


def test_renamed_orphan_is_not_pruned_by_another_shard(make_plan: MakePlan) -> None:
    text = '[assets.a]\nprompt = "cat"\n' + RENAMED
    first = make_plan(text, [HERO], {"hero.png": OWN}, shard=Shard(1, 2), prune=True)
    second = make_plan(text, [HERO], {"hero.png": OWN}, shard=Shard(2, 2), prune=True)
    assert [item.name for item in first.items] == ["a"]
    assert [(item.name, item.action.value) for item in second.items] == [("new", "move")]


def lookup(*entries: Entry) -> HistoryLookup:
    by_key = {entry.key: entry for entry in entries}
    return lambda image: by_key.get(image.key)


@pytest.mark.parametrize(
    ("text", "entries", "files", "state", "old"),
    [
        (hero(), [], {}, "new", None),
        (hero(), [replace(HERO, digest=CAT, sha256=OTHER)], {}, "changed", None),
        (
            hero(),
            [replace(HERO, digest=CAT, path="x.png", sha256=OTHER)],
            {"x.png": OTHER},
            "changed",
            "x.png",
        ),
        (hero(), [replace(HERO, sha256=OTHER)], {}, "missing", None),
    ],
)
def test_history_lookup_records_file_of_killed_run(
    make_plan: MakePlan, text: str, entries: list[Entry], files: dict[str, str], state: str, old: str | None
) -> None:
    item = single_item(make_plan(text, entries, {"hero.png": OWN, **files}, history_lookup=lookup(HERO)))
    assert (item.state, item.action, item.entry, item.old_path) == (state, Action.RECORD, HERO, old)
    assert not item.costs_money


@pytest.mark.parametrize(
    "entry",
    [
        replace(HERO, sha256=OTHER),
        replace(HERO, digest=CAT),
        replace(HERO, take=2),
        replace(HERO, path="elsewhere.png"),
        replace(HERO, name="other"),
    ],
)
def test_history_lookup_ignores_other_images(make_plan: MakePlan, entry: Entry) -> None:
    files = {"hero.png": OWN, "elsewhere.png": OWN}
    assert single_item(make_plan(hero(), [], files, history_lookup=lookup(entry))).state == State.EDITED


MANY = "".join(f'[assets.{name}]\nprompt = "{name}"\ncount = 2\n' for name in ("icon-a", "icon-b", "logo"))


@pytest.mark.parametrize(
    ("globs", "names"),
    [
        *(([], ["icon-a", "icon-b", "logo"]), (["icon-*"], ["icon-a", "icon-b"])),
        *((["logo", "*-a"], ["icon-a", "logo"]), (["icon-[!a]"], ["icon-b"]), (["old"], ["old"])),
    ],
)
def test_only_selects_by_glob(make_plan: MakePlan, globs: list[str], names: list[str]) -> None:
    result = make_plan(MANY, [replace(HERO, name="old")], only=globs)
    assert sorted({item.name for item in result.items} - ({"old"} if not globs else set())) == names
    assert list(result.entries) == [("old", 1)]


def test_only_rejects_glob_without_match(make_plan: MakePlan) -> None:
    with pytest.raises(UsageError, match=r"'icn-a', 'LOGO'.*'icon-a'"):
        make_plan(MANY, only=["logo", "icn-a", "LOGO"])


def test_shards_split_plan_completely(make_plan: MakePlan) -> None:
    entries = [replace(HERO, name="old"), replace(HERO, name="older")]
    whole = make_plan(MANY, entries)
    parts = [make_plan(MANY, entries, shard=Shard(index, 4)).items for index in range(1, 5)]
    assert sorted((item for part in parts for item in part), key=lambda item: item.key) == list(whole.items)
    assert [len([item for item in part if item.image]) for part in parts] == [2, 2, 1, 1]
    assert {item.name for item in parts[0] if not item.image} == {"old", "older"}


def test_duplicate_entries_are_resolved_by_file_on_disk(make_plan: MakePlan) -> None:
    stale = replace(HERO, digest=CAT, sha256=OTHER, time="2027-01-01T00:00:00Z")
    result = make_plan(hero(), [stale, HERO], {"hero.png": OWN})
    assert single_item(result).state == State.OK
    assert result.entries == {("hero", 1): HERO}
    assert single_item(make_plan(hero(), [stale, HERO], {"hero.png": OTHER})).state == State.CHANGED
