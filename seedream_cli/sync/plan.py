"""The plan: compare manifest, lockfile and files, and decide what to do. Changes nothing, costs nothing.

========  =====================================================  =====================================
state     meaning                                                action
========  =====================================================  =====================================
new       the lockfile has no entry of the image                 generate
changed   its request or its take has changed                    generate
missing   its file is not at its path                            fetch from its task, or move
ok        request, take, path and bytes match the lockfile       none
edited    there is a file that the lockfile does not know        none; with `force` overwrite it, with
                                                                 `accept` adopt it
orphan    the manifest does not name the lockfile's image        none; with `prune` remove the entry,
                                                                 and the file if its bytes match
========  =====================================================  =====================================

A renamed asset is new and costs nothing: if an orphan has the same request, take and number, the image
takes over its entry and file. Such an orphan is never pruned, even if another shard has the image.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from fnmatch import translate

from msgspec import Struct

from ..errors import UsageError
from ..settings.schema import did_you_mean
from .lockfile import Entry, Key, Lockfile
from .manifest import Manifest
from .plan_items import Action, PlanItem, State
from .plan_rules import Classifier, FileState, HistoryLookup
from .sharding import WHOLE, Shard

__all__ = ["Action", "FileState", "HistoryLookup", "Plan", "PlanItem", "State", "plan"]


class Plan(Struct, frozen=True):
    """The items of a plan, orphans included, sorted by name and number.

    ``entries`` is the lockfile without duplicates. It has all images, including those without an item.
    """

    items: tuple[PlanItem, ...]
    entries: Mapping[Key, Entry]

    @property
    def to_pay(self) -> int:
        """Return how many tasks the plan pays for. Images with the same request share one task."""
        return len({item.image.idempotency_key() for item in self.items if item.costs_money and item.image})

    @property
    def has_actions(self) -> bool:
        """Return True if there is anything to do."""
        return any(item.action != Action.NOTHING for item in self.items)

    @property
    def has_drift(self) -> bool:
        """Return True if any image differs from the manifest or the lockfile."""
        return any(item.state != State.OK for item in self.items)

    @property
    def counts(self) -> Mapping[State, int]:
        """Count the items by state. States without items are left out."""
        return Counter(item.state for item in self.items)

    def with_action(self, *actions: Action) -> tuple[PlanItem, ...]:
        """Return the items with one of these actions."""
        return tuple(item for item in self.items if item.action in actions)


def plan(
    manifest: Manifest,
    lockfile: Lockfile,
    files: FileState,
    *,
    history_lookup: HistoryLookup = lambda image: None,
    only: Sequence[str] = (),
    shard: Shard = WHOLE,
    force: bool = False,
    accept: bool = False,
    prune: bool = False,
    sandbox: bool = False,
) -> Plan:
    """Return the plan that brings files and lockfile in line with the manifest.

    ``history_lookup`` finds in this machine's history the entry of an image that an interrupted run saved but
    did not write to the lockfile. ``only`` are globs of asset names; one match suffices. Orphans belong to
    the first shard. Without ``sandbox``, images made by the sandbox count as not generated.

    Raises UsageError for a glob that matches no name.
    """
    images = list(manifest.images())
    entries = lockfile.resolved(files.sha256)
    is_chosen = _name_filter(only, {image.name for image in images} | {name for name, _ in entries})
    orphans = {key: entries[key] for key in entries.keys() - {image.key for image in images}}
    classifier = Classifier(
        entries, orphans, files, history_lookup, force=force, accept=accept, sandbox=sandbox
    )
    renamed = classifier.match_renamed([image for image in images if image.key not in entries])
    items = [
        renamed.get(image.key) or classifier.classify(image)
        for position, image in enumerate(images)
        if shard.contains(position) and is_chosen(image.name)
    ]
    if shard.is_first:
        taken_over = {key for item in renamed.values() for key in item.supersedes}
        remaining = [
            entry for key, entry in orphans.items() if key not in taken_over and is_chosen(entry.name)
        ]
        items += classifier.classify_orphans(remaining, images, prune=prune)
    return Plan(tuple(sorted(items, key=lambda item: item.key)), entries)


def _name_filter(globs: Sequence[str], names: Collection[str]) -> Callable[[str], bool]:
    patterns = {glob: re.compile(translate(glob)) for glob in globs}
    unmatched = [glob for glob, pattern in patterns.items() if not any(map(pattern.match, names))]
    if unmatched:
        words = ", ".join(map(repr, unmatched))
        raise UsageError(f"--only {words}: no asset is called so{did_you_mean(unmatched[0], sorted(names))}")
    return lambda name: not patterns or any(pattern.match(name) for pattern in patterns.values())
