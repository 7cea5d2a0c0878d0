"""Manifest + lock + files → what is to be done. Nothing is done, asked or paid for here.

========  =====================================================  =====================================
state     what it means                                          what is done
========  =====================================================  =====================================
new       the lock does not know the image                       it is generated
changed   its request or its take is another                     it is generated
missing   its file is not where it should be                     fetched by its task's id, or moved
ok        request, take, path and bytes are what the lock says   nothing
edited    there are bytes that the lock does not know            nothing; with `force` they are
                                                                 overwritten, with `accept` adopted
orphan    the manifest does not know the lock's image            nothing; with `prune` its line goes,
                                                                 and its file if the bytes are its own
========  =====================================================  =====================================

An asset that was only renamed is new and costs nothing: the orphan that was asked for with the same
request, take and number is the same image to the service, and it is taken over with its file. It is
nobody's to prune then, in whatever part of the plan the image is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import translate

from msgspec import Struct

from ..errors import UsageError
from ..settings.schema import did_you_mean
from .lockfile import Entry, Key, Lock
from .manifest import Manifest
from .plan_items import Action, PlanItem, State
from .plan_rules import Classifier, FileState, HistoryLookup
from .sharding import WHOLE, Shard

__all__ = ["Action", "FileState", "HistoryLookup", "Plan", "PlanItem", "State", "plan"]


class Plan(Struct, frozen=True):
    """What is to be done. Items, images and orphans alike, are sorted by name and number.

    ``entries`` is the lock as it is to be written on, of all images, whether they have an item or not.
    """

    items: tuple[PlanItem, ...]
    entries: Mapping[Key, Entry]

    @property
    def to_pay(self) -> int:
        """How many tasks would be paid for. Images that are asked for in the same way share one."""
        return len({item.image.idempotency_key() for item in self.items if item.costs_money and item.image})

    @property
    def acts(self) -> bool:
        """Whether there is anything to do."""
        return any(item.action != Action.NOTHING for item in self.items)

    @property
    def drift(self) -> bool:
        """Whether anything is not as the manifest and the lock say."""
        return any(item.state != State.OK for item in self.items)

    @property
    def counts(self) -> Mapping[State, int]:
        """How many items are in each state that occurs."""
        return Counter(item.state for item in self.items)

    def of(self, *actions: Action) -> tuple[PlanItem, ...]:
        """The items of these actions."""
        return tuple(item for item in self.items if item.action in actions)


def plan(
    manifest: Manifest,
    lock: Lock,
    look: FileState,
    *,
    remembered: HistoryLookup = lambda image: None,
    only: Sequence[str] = (),
    shard: Shard = WHOLE,
    force: bool = False,
    accept: bool = False,
    prune: bool = False,
    sandbox: bool = False,
) -> Plan:
    """What brings files and lock in step with the manifest.

    ``remembered`` tells, for an image with unknown bytes in its place, the line that a run on this
    machine was to write for it: one that was killed between the file and its line left bytes that are
    its own. ``only`` are globs of names, of which one suffices. The orphans are the first shard's. Without
    ``sandbox``, a picture that the sandbox made is no picture. Raises UsageProblem for a glob that fits no
    name.
    """
    images = list(manifest.images())
    entries = lock.resolved(look.sha256)
    is_chosen = _chooser(only, {image.name for image in images} | {name for name, _ in entries})
    orphans = {key: entries[key] for key in entries.keys() - {image.key for image in images}}
    judge = Classifier(entries, orphans, look, remembered, force=force, accept=accept, sandbox=sandbox)
    renamed = judge.renamed([image for image in images if image.key not in entries], orphans.values())
    items = [
        renamed.get(image.key) or judge.image(image)
        for position, image in enumerate(images)
        if shard.has(position) and is_chosen(image.name)
    ]
    if shard.is_first:
        taken = {key for item in renamed.values() for key in item.leaves}
        left = [entry for key, entry in orphans.items() if key not in taken and is_chosen(entry.name)]
        items += judge.orphaned(left, images, prune=prune)
    return Plan(tuple(sorted(items, key=lambda item: item.key)), entries)


def _chooser(globs: Sequence[str], names: Collection[str]) -> Callable[[str], bool]:
    patterns = {glob: re.compile(translate(glob)) for glob in globs}
    unmatched = [glob for glob, pattern in patterns.items() if not any(map(pattern.match, names))]
    if unmatched:
        words = ", ".join(map(repr, unmatched))
        raise UsageError(f"--only {words}: no asset is called so{did_you_mean(unmatched[0], sorted(names))}")
    return lambda name: not patterns or any(pattern.match(name) for pattern in patterns.values())
