"""Which items are known: computed by an earlier run, or equal to an item before them in this one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from mmetl.items.hashes import Hashes
from mmetl.items.ledger import Ledger, Numbers

NOWHERE = -1


class Found(NamedTuple):
    """For each item that was looked for: in which ledger it stands and at which position, or NOWHERE twice."""

    ledgers: Numbers
    positions: Numbers


def find(wanted: Hashes, ledgers: Sequence[Ledger], *, retried: Sequence[bool]) -> Found:
    """Look for items in ledgers. Where several have an item, the first ledger counts.

    Args:
        wanted: hashes of items.
        ledgers: of earlier outputs.
        retried: for each of them, whether what failed in it counts as unknown.
    """
    sizes = [len(ledger) for ledger in ledgers]
    nowhere = np.full(len(wanted), NOWHERE, np.int64)
    if not sum(sizes) or not len(wanted):
        return Found(nowhere, nowhere.copy())
    known = np.concatenate([ledger.items for ledger in ledgers])
    numbers = np.repeat(np.arange(len(ledgers)), sizes)
    positions = np.concatenate([np.arange(size) for size in sizes])
    sound = np.ones(len(known), bool)
    for number, start in enumerate(np.cumsum([0, *sizes[:-1]])):
        if retried[number]:
            sound[[start + i for i in ledgers[number].errors]] = False
    if not sound.all():
        known, numbers, positions = known[sound], numbers[sound], positions[sound]
        if not len(known):
            return Found(nowhere, nowhere.copy())
    order = np.argsort(known[:, 0], kind="stable")
    high = known[order, 0]
    places = np.minimum(np.searchsorted(high, wanted[:, 0]), len(high) - 1)
    at = order[places]
    # Two items whose high halves are equal and whose low ones are not would be computed again; nothing worse.
    same = (known[at, 0] == wanted[:, 0]) & (known[at, 1] == wanted[:, 1])
    return Found(np.where(same, numbers[at], NOWHERE), np.where(same, positions[at], NOWHERE))


def first_equals(items: Hashes) -> Numbers:
    """Return for each item the position of the first one that is equal to it; its own if there is none before."""
    if not len(items):
        return np.zeros(0, np.int64)
    order = np.lexsort((items[:, 1], items[:, 0]))  # stable: equal ones stay in their order
    sorted_items = items[order]
    begins = np.ones(len(items), bool)
    begins[1:] = (sorted_items[1:] != sorted_items[:-1]).any(axis=1)
    firsts = np.empty(len(items), np.int64)
    firsts[order] = order[np.maximum.accumulate(np.where(begins, np.arange(len(items)), 0))]
    return firsts


def count_changes(before: Sequence[Ledger], after: Sequence[Ledger], *, same_basis: bool) -> dict[str, int]:
    """Return how many items were added, changed, updated (only columns that decide nothing), removed, and unchanged.

    Args:
        before: ledgers of the last output that are not part of the new one.
        after: ledgers of the new output that were not part of the last one.
        same_basis: whether what decides an item's result, besides the item, is as it was.
    """
    old = _together(before)
    new = _together(after)
    order = np.argsort(old.keys, kind="stable")
    keys = old.keys[order]
    places = np.minimum(np.searchsorted(keys, new.keys), max(len(keys) - 1, 0))
    if len(keys):
        at = order[places]
        there = old.keys[at] == new.keys
        equal = there & (old.items[at] == new.items).all(axis=1) & same_basis
        alike = equal & (old.rest[at] == new.rest)
    else:
        there = equal = alike = np.zeros(len(new), bool)
    common = len(np.intersect1d(old.keys, new.keys))
    return {
        "added": len(new) - int(there.sum()),
        "changed": int(there.sum()) - int(equal.sum()),
        "updated": int(equal.sum()) - int(alike.sum()),
        "removed": len(np.unique(old.keys)) - common,
        "unchanged": int(alike.sum()),
    }


def _together(ledgers: Sequence[Ledger]) -> Ledger:
    if not ledgers:
        none = np.zeros(0, np.uint64)
        return Ledger(np.zeros((0, 2), np.uint64), none, none, np.zeros(0, np.int64))
    return Ledger(
        np.concatenate([x.items for x in ledgers]),
        np.concatenate([x.keys for x in ledgers]),
        np.concatenate([x.rest for x in ledgers]),
        np.concatenate([x.rows for x in ledgers]),
    )
