"""What is to be done: nothing that was paid for is paid again, and no bytes that nobody knows are lost."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from seedream_cli.errors import UsageError
from seedream_cli.models import GenerationRequest
from seedream_cli.sync.assets import Image, digest_of
from seedream_cli.sync.hash_cache import UNREADABLE
from seedream_cli.sync.lockfile import Entry, Lock
from seedream_cli.sync.manifest import load
from seedream_cli.sync.plan import Action, Plan, PlanItem, State, plan
from seedream_cli.sync.sharding import Shard

FOX = digest_of(GenerationRequest("fox"))
CAT = digest_of(GenerationRequest("cat"))
OWN, OTHER = "a" * 64, "b" * 64
HERO = Entry("hero", 1, FOX, 1, "hero.png", OWN, "img_1", "2026-11-22T17:45:01Z")


@dataclass
class Disk:
    """Files by path, as their digests; what each digest's bytes are, where that is no PNG."""

    files: dict[str, str] = field(default_factory=dict)
    kinds: dict[str, str | None] = field(default_factory=dict)
    looked_at: list[str] = field(default_factory=list)

    def exists(self, path: str) -> bool:
        return path in self.files

    def sha256(self, path: str) -> str | None:
        self.looked_at.append(path)
        return self.files.get(path)

    def extension(self, path: str) -> str | None:
        return self.kinds.get(self.files[path], "png") if path in self.files else None


Make = Callable[..., Plan]


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """The plan for a manifest's text, the lock's entries and the files on disk."""

    def make(
        text: str, entries: Sequence[Entry] = (), files: dict[str, str] | None = None, **options: Any
    ) -> Plan:
        (tmp_path / "seedream.toml").write_text(text, encoding="utf-8")
        manifest = load(tmp_path / "seedream.toml")
        kinds = options.pop("kinds", {})
        return plan(manifest, Lock(manifest.lock_path, tuple(entries)), Disk(files or {}, kinds), **options)

    return make


def hero(more: str = "", prompt: str = "fox") -> str:
    return f'[assets.hero]\nprompt = "{prompt}"\n{more}\n'


def only(made: Plan) -> PlanItem:
    [item] = made.items
    return item


PNG, MOVED = 'path = "hero.png"', 'path = "x/"'

KEEP = replace(HERO, task_id=None)
FOLDER = UNREADABLE

#: Asset's keys, prompt, lock and files → state, action, path, old; with `force`: action, what it overwrites.
#: `~` is hero.
TABLE = """
nothing is there || fox ||  | new generate - - | generate
nothing is there, its path certain | path = "~.png" | fox ||  | new generate ~.png - | generate
unknown file || fox || ~.jpg=other | edited nothing ~.jpg - | generate ~.jpg
unknown files || fox || ~.png=other ~.webp=other | edited nothing ~.png - | generate ~.png ~.webp
file of another ending | path = "~.png" | fox || ~.jpg=other | new generate ~.png - | generate
all is well || fox | line | ~.png=own | ok nothing ~.png - | nothing
all is well beside a stray file || fox | line | ~.png=own ~.jpg=other | ok nothing ~.png - | nothing
deleted || fox | line || missing fetch ~.png - | fetch
deleted, of no task || fox | kept || missing generate - - | generate
deleted, of no task, one beside it || fox | kept | ~.jpg=other | edited nothing ~.jpg - | generate ~.jpg
edited || fox | line | ~.png=other | edited nothing ~.png - | fetch ~.png
edited, of no task || fox | kept | ~.png=other | edited nothing ~.png - | generate ~.png
changed || cat | line | ~.png=own | changed generate - ~.png | generate
changed, its path certain | path = "~.png" | cat | line | ~.png=own | changed generate ~.png ~.png | generate
changed and deleted || cat | line || changed generate - - | generate
changed and edited || cat | line | ~.png=other | edited nothing ~.png - | generate ~.png
changed, one beside it || cat | line | ~.png=own ~.jpg=other | edited nothing ~.jpg - | generate ~.jpg
taken again | take = 2 | fox | line | ~.png=own | changed generate - ~.png | generate
changed and moved | path = "x.png" | cat | line | ~.png=own | changed generate x.png ~.png | generate
moved | path = "x/" | fox | line | ~.png=own | missing move x/~.png ~.png | move
moved and deleted | path = "x/" | fox | line || missing fetch x/~.png - | fetch
moved and edited | path = "x/" | fox | line | ~.png=other | edited nothing ~.png - | fetch ~.png
moved by hand | path = "x/" | fox | line | x/~.png=own | missing move x/~.png - | move
moved half way | path = "x/" | fox | line | x/~.png=own ~.png=own | missing move x/~.png ~.png | move
moved onto it | path = "x/" | fox | line | ~.png=own x/~.jpg=other | edited nothing x/~.jpg - | fetch x/~.jpg
now many | count = 1; path = "{name}-{n}.{ext}" | fox | line | ~.png=own | missing move ~-1.png ~.png | move
a folder in its place || fox | line | ~.png=folder | edited nothing ~.png - | nothing
a folder where it is to be || fox || ~.webp=folder | edited nothing ~.webp - | nothing
"""
MEANT: dict[str, Any] = {"": [], "line": [HERO], "kept": [KEEP], "own": OWN, "other": OTHER, "folder": FOLDER}


def row_of(text: str) -> tuple[Any, ...]:
    more, prompt, entries, files, expected, forced = (
        part.strip() for part in text.replace("~", "hero").split("|")
    )
    there = {path: MEANT[data] for path, data in (one.split("=") for one in files.split())}
    return more.replace("; ", "\n"), prompt, MEANT[entries], there, expected, forced


ROWS = {
    name.strip(): row_of(rest) for name, _, rest in (one.partition("|") for one in TABLE.strip().split("\n"))
}


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_states(make: Make, row: tuple[Any, ...]) -> None:
    more, prompt, entries, files, expected, forced = row
    item = only(make(hero(more, prompt), entries, files))
    assert f"{item.state} {item.action} {item.path or '-'} {item.old or '-'}" == expected
    assert item.overwrites == ()
    assert item.entry == (entries[0] if entries else None)
    item = only(make(hero(more, prompt), entries, files, force=True))
    assert item.state == expected.split()[0]
    assert [item.action, *item.overwrites] == forced.split()


@pytest.mark.parametrize("row", ROWS.values(), ids=ROWS)
def test_what_is_edited_and_nothing_else_can_be_adopted(make: Make, row: tuple[Any, ...]) -> None:
    more, prompt, entries, files, expected, _ = row
    state, action, path, _ = expected.split()
    text = hero(more, prompt)
    item = only(make(text, entries, files, accept=True))
    assert (item.state, item.path or "-") == (state, path)
    if state != "edited" or files[path] == UNREADABLE:
        assert item.action == action
        return
    assert item.action == Action.ADOPT
    assert item.image is not None
    adopted = item.adopted_entry("2026-12-01T00:00:00Z")
    expected = Entry("hero", 1, item.image.digest, 1, path, files[path], None, "2026-12-01T00:00:00Z")
    assert adopted == expected
    after = only(make(text, [adopted], files))
    assert after.state == (State.OK if path in item.image.wanted.paths else State.MISSING)
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
def test_where_a_forced_fetch_goes(
    make: Make, more: str, files: dict[str, str], path: str | None, old: str | None
) -> None:
    item = only(make(hero(more), [HERO], files, force=True))
    assert (item.action, item.path, item.old) == (Action.FETCH, path, old)


def test_what_is_generated_by_force_replaces_the_images_own_file_too(make: Make) -> None:
    files = {"hero.png": OWN, "hero.jpg": OTHER}
    item = only(make(hero(prompt="cat"), [HERO], files, force=True))
    assert (item.action, item.path, item.old) == (Action.GENERATE, None, "hero.png")
    assert item.overwrites == ("hero.jpg",)


def test_a_plan_in_sum(make: Make) -> None:
    text = hero() + '[assets.a]\nprompt = "cat"\ncount = 2\n[assets.z]\nprompt = "owl"\n'
    made = make(text, [HERO, replace(HERO, name="old", path="old.png")], {"hero.png": OWN, "z.png": OTHER})
    assert [(item.name, item.number, item.state.value) for item in made.items] == [
        *(("a", 1, "new"), ("a", 2, "new"), ("hero", 1, "ok"), ("old", 1, "orphan"), ("z", 1, "edited")),
    ]
    assert made.counts == {"new": 2, "ok": 1, "orphan": 1, "edited": 1}
    assert made.to_pay == 2
    assert made.drift
    assert [item.name for item in made.of(Action.GENERATE)] == ["a", "a"]
    assert made.entries == {entry.key: entry for entry in (HERO, replace(HERO, name="old", path="old.png"))}


def test_images_that_are_asked_for_in_the_same_way_are_paid_for_once(make: Make) -> None:
    fox = 'prompt = "fox"\n'
    text = f"[assets.a]\n{fox}count = 2\n[assets.b]\n{fox}[assets.c]\n{fox}take = 2"
    assert make(text).to_pay == 3


def test_the_line_of_what_was_moved_is_the_same_but_for_its_path(make: Make) -> None:
    entry = replace(HERO, more={"cost": "0.035"})
    item = only(make(hero('path = "x.png"'), [entry], {"hero.png": OWN}))
    assert item.moved_entry() == replace(entry, path="x.png")
    assert item.supersedes == ()


@pytest.mark.parametrize(
    ("kind", "old", "path"),
    [
        *(("jpg", "hero.png", "x/hero.jpg"), ("webp", "hero", "x/hero.webp")),
        *((None, "hero.png", "x/hero.png"), (None, "hero", None)),
    ],
)
def test_a_moved_file_gets_the_ending_of_its_bytes(
    make: Make, kind: str | None, old: str, path: str | None
) -> None:
    entry = replace(HERO, path=old)
    item = only(make(hero('path = "x/"'), [entry], {old: OWN}, kinds={OWN: kind}))
    assert (item.action, item.path, item.old) == (Action.MOVE, path, old)


def test_the_same_bytes_of_another_image_are_not_taken_for_a_move(make: Make) -> None:
    twin = replace(HERO, name="twin", path="twin.png")
    text = hero('path = "twin.png"') + '[assets.twin]\nprompt = "fox"\npath = "x/"\n'
    made = make(text, [HERO, twin], {"twin.png": OWN})
    assert [(item.state.value, item.action.value, item.path) for item in made.items] == [
        ("edited", "nothing", "twin.png"),
        ("missing", "move", "x/twin.png"),
    ]


def test_a_file_that_is_another_images_is_not_adopted(make: Make) -> None:
    text = hero('path = "x/"') + '[assets.new]\nprompt = "cat"\npath = "hero.png"\n'
    made = make(text, [HERO], {"hero.png": OWN}, accept=True)
    assert [(item.state.value, item.action.value) for item in made.items] == [
        ("missing", "move"),
        ("edited", "nothing"),
    ]
    # An orphan's may be: nobody else wants it.
    made = make('[assets.new]\nprompt = "cat"\npath = "hero.png"\n', [HERO], {"hero.png": OWN}, accept=True)
    assert [item.action.value for item in made.items] == ["nothing", "adopt"]
    assert made.items[1].supersedes == (HERO.key,)


def test_an_orphan_that_was_taken_over_is_not_adopted_too(make: Make) -> None:
    text = '[assets.a]\nprompt = "fox"\n[assets.c]\nprompt = "fox"\npath = "hero.png"\n'
    made = make(text, [HERO], {"hero.png": OWN}, accept=True)
    assert [item.action.value for item in made.items] == ["move", "nothing"]


@pytest.mark.parametrize(
    ("files", "action"), [({"hero.png": OWN}, "remove"), ({"hero.png": OTHER}, "forget"), ({}, "forget")]
)
def test_prune_removes_only_the_bytes_of_the_lock(make: Make, files: dict[str, str], action: str) -> None:
    kept = only(make("", [HERO], files))
    assert (kept.state, kept.action, kept.image, kept.entry) == (State.ORPHAN, Action.NOTHING, None, HERO)
    item = only(make("", [HERO], files, prune=True))
    assert (item.state, item.action, item.path) == (State.ORPHAN, action, "hero.png")


@pytest.mark.parametrize("path", ["new.png", "NEW.jpg"])
def test_prune_leaves_a_file_that_another_image_has_or_is_to_have(make: Make, path: str) -> None:
    text = '[assets.new]\nprompt = "cat"\n'
    made = make(text, [replace(HERO, path=path)], {path: OWN}, prune=True, force=True)
    assert made.items[0].action == Action.FORGET
    two = [replace(HERO, digest=CAT, name="new", path="x/y.png"), replace(HERO, path="x/y.png")]
    made = make(text, two, {"x/y.png": OWN}, prune=True)
    assert [item.action.value for item in made.items] == ["forget", "move"]


# Assets by another name

RENAMED = '[assets.new]\nprompt = "fox"\n'


@pytest.mark.parametrize(
    ("more", "files", "action", "path", "old"),
    [
        ("", {"hero.png": OWN}, "move", "new.png", "hero.png"),
        (PNG, {"hero.png": OWN}, "move", "hero.png", None),
        ("", {}, "fetch", "new.png", None),
        (PNG, {}, "fetch", "hero.png", None),
        ("", {"new.png": OWN}, "move", "new.png", None),
    ],
)
def test_an_asset_that_is_only_renamed_is_not_paid_for_again(
    make: Make, more: str, files: dict[str, str], action: str, path: str, old: str | None
) -> None:
    item = only(make(RENAMED + more, [HERO], files))
    assert (item.key, item.state, item.action, item.path, item.old) == (("new", 1), "new", action, path, old)
    assert item.supersedes == (("hero", 1),)
    if item.action == Action.MOVE:
        assert item.moved_entry() == replace(HERO, name="new", path=path)
    again = only(make(RENAMED + more + "\ntake = 2", [replace(HERO, take=2)], files))
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
def test_an_orphan_that_is_not_the_same_stays_one(
    make: Make, more: str, entry: Entry, files: dict[str, str], states: dict[str, str]
) -> None:
    made = make(RENAMED + more, [entry], files)
    assert {item.name: item.state.value for item in made.items} == states
    assert all(item.action in (Action.GENERATE, Action.NOTHING) for item in made.items)


def test_an_orphan_serves_one_image(make: Make) -> None:
    made = make(RENAMED + '[assets.other]\nprompt = "fox"\n', [HERO], {"hero.png": OWN})
    assert [(item.name, item.action.value) for item in made.items] == [("new", "move"), ("other", "generate")]


def test_an_orphan_that_serves_another_machine_is_nobodys_to_prune(make: Make) -> None:
    text = '[assets.a]\nprompt = "cat"\n' + RENAMED
    first = make(text, [HERO], {"hero.png": OWN}, shard=Shard(1, 2), prune=True)
    second = make(text, [HERO], {"hero.png": OWN}, shard=Shard(2, 2), prune=True)
    assert [item.name for item in first.items] == ["a"]
    assert [(item.name, item.action.value) for item in second.items] == [("new", "move")]


def remembering(*entries: Entry) -> dict[str, Any]:
    known = {entry.key: entry for entry in entries}

    def remembered(image: Image) -> Entry | None:
        return known.get(image.key)

    return {"remembered": remembered}


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
def test_bytes_that_a_killed_run_left_are_its_own(
    make: Make, text: str, entries: list[Entry], files: dict[str, str], state: str, old: str | None
) -> None:
    item = only(make(text, entries, {"hero.png": OWN, **files}, **remembering(HERO)))
    assert (item.state, item.action, item.entry, item.old) == (state, Action.RECORD, HERO, old)
    assert not item.costs_money


@pytest.mark.parametrize(
    "remembered",
    [
        replace(HERO, sha256=OTHER),
        replace(HERO, digest=CAT),
        replace(HERO, take=2),
        replace(HERO, path="elsewhere.png"),
        replace(HERO, name="other"),
    ],
)
def test_what_is_remembered_of_something_else_is_no_reason(make: Make, remembered: Entry) -> None:
    files = {"hero.png": OWN, "elsewhere.png": OWN}
    assert only(make(hero(), [], files, **remembering(remembered))).state == State.EDITED


# Parts of a plan

MANY = "".join(f'[assets.{name}]\nprompt = "{name}"\ncount = 2\n' for name in ("icon-a", "icon-b", "logo"))


@pytest.mark.parametrize(
    ("globs", "names"),
    [
        *(([], ["icon-a", "icon-b", "logo"]), (["icon-*"], ["icon-a", "icon-b"])),
        *((["logo", "*-a"], ["icon-a", "logo"]), (["icon-[!a]"], ["icon-b"]), (["old"], ["old"])),
    ],
)
def test_only(make: Make, globs: list[str], names: list[str]) -> None:
    made = make(MANY, [replace(HERO, name="old")], only=globs)
    assert sorted({item.name for item in made.items} - ({"old"} if not globs else set())) == names
    assert list(made.entries) == [("old", 1)]


def test_a_glob_that_fits_nothing_is_refused(make: Make) -> None:
    with pytest.raises(UsageError, match=r"'icn-a', 'LOGO'.*'icon-a'"):
        make(MANY, only=["logo", "icn-a", "LOGO"])


def test_shards_are_the_whole_plan_and_do_not_overlap(make: Make) -> None:
    entries = [replace(HERO, name="old"), replace(HERO, name="older")]
    whole = make(MANY, entries)
    parts = [make(MANY, entries, shard=Shard(index, 4)).items for index in range(1, 5)]
    assert sorted((item for part in parts for item in part), key=lambda item: item.key) == list(whole.items)
    assert [len([item for item in part if item.image]) for part in parts] == [2, 2, 1, 1]
    assert {item.name for item in parts[0] if not item.image} == {"old", "older"}


def test_duplicates_of_a_merge_are_settled_by_what_is_on_disk(make: Make) -> None:
    stale = replace(HERO, digest=CAT, sha256=OTHER, time="2027-01-01T00:00:00Z")
    made = make(hero(), [stale, HERO], {"hero.png": OWN})
    assert only(made).state == State.OK
    assert made.entries == {("hero", 1): HERO}
    assert only(make(hero(), [stale, HERO], {"hero.png": OTHER})).state == State.CHANGED
