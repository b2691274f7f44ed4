"""What an item-wise task has to do: which parts stay, which items are known, which are to be computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa

from mmetl.cache.tables import read_part
from mmetl.contracts.artifact import Part
from mmetl.contracts.items import Basis, Earlier, ItemIndex, Unit
from mmetl.contracts.transform import Parts, Table
from mmetl.items.hashes import row_hashes
from mmetl.items.known import NOWHERE, Found, count_changes, find, first_equals
from mmetl.items.ledger import Ledger, Numbers, read_ledger
from mmetl.items.shape import Shape

AT_HAND_BYTES = 8 << 20
"""Of changed parts that are read once: to hash their items, and kept until these are computed. Others are read a second time."""


@dataclass
class Old:
    """A unit of an earlier output whose parts are still there. `retried`: what failed in it counts as not computed."""

    unit: Unit
    ledger: Ledger
    retried: bool = False


@dataclass
class Changed:
    """A part of the input that is not known, or whose output is gone.

    Attributes:
        number: its place among the parts of the input.
        part: the part of the input.
        ledger: its items; `rows` and `errors` are filled when they are computed.
        known: where each item stands in `Plan.old`.
        first: for each item the place in the plan of the first one equal to it; its own if there is none before.
        start: the place in the plan of its first item.
        at_hand: the columns that were read to hash its items, where they are kept until the items are computed.
    """

    number: int
    part: Part
    ledger: Ledger
    known: Found
    first: Numbers
    start: int = 0
    at_hand: pa.Table | None = None

    @cached_property
    def todo(self) -> Numbers:
        """The positions of the items to compute."""
        own = np.arange(len(self.ledger)) + self.start
        return np.nonzero((self.known.ledgers == NOWHERE) & (self.first == own))[0]


@dataclass
class Plan:
    """What there is to do.

    Attributes:
        kept: place of an input part -> the unit that stays as it is.
        changed: the other parts, in order.
        old: units in which known items stand.
        counts: items that were added, changed, updated, removed, unchanged.
    """

    kept: dict[int, Unit]
    changed: list[Changed]
    old: list[Old]
    counts: dict[str, int]

    @cached_property
    def to_compute(self) -> int:
        """How many items are to be computed."""
        return sum(len(c.todo) for c in self.changed)


def plan_items(table: Table, shape: Shape, basis: Basis, earlier: Earlier | None, parts: Parts) -> Plan:
    """Compare the input with what earlier runs computed.

    Args:
        table: the input.
        shape: the columns of the task.
        basis: what decides, besides the items.
        earlier: what earlier runs computed; None: nothing.
        parts: where parts lie.
    """
    last = earlier.last() if earlier else None
    alike, noted = _alike(last, basis, earlier) if earlier and not earlier.forced else (None, ())
    known = {u.input: u for made_on, u in noted if made_on == basis and not u.failed}
    if alike and alike.basis == basis:
        known.update({u.input: u for u in alike.units})
    retried = earlier is not None and earlier.retried
    if retried:
        known = {input_: u for input_, u in known.items() if not u.failed}
    kept: dict[int, Unit] = {}
    for number, part in enumerate(table.manifest.parts):
        unit = known.get(part.fingerprint)
        if unit is not None and _whole(unit, parts):
            kept[number] = _in_bucket(unit, part.bucket)
    stays = {u.input for u in kept.values()}
    going = _read([u for u in (alike.units if alike else ()) if u.input not in stays], parts, retried=retried)
    old = going + _read([u for _, u in noted if u.input not in stays], parts, retried=True)
    changed: list[Changed] = []
    room = AT_HAND_BYTES
    for number, part in enumerate(table.manifest.parts):
        if number not in kept:
            rows = read_part(table, number, shape.needed)
            at_hand = rows if rows.nbytes <= room else None
            room -= at_hand.nbytes if at_hand is not None else 0
            changed.append(Changed(number, part, _hashed(rows, shape), _NONE, _NONE.ledgers, at_hand=at_hand))
    _look_up(changed, old)
    if last is not None and last is not alike:
        going = _read([u for u in last.units if u.input not in stays], parts)
    counts = count_changes(
        [o.ledger for o in going if last],
        [c.ledger for c in changed],
        same_basis=last is None or last.basis.items == basis.items,
    )
    counts["unchanged"] += sum(u.ledger.rows for u in kept.values())
    return Plan(kept, changed, old, counts)


def _alike(
    last: ItemIndex | None, basis: Basis, earlier: Earlier
) -> tuple[ItemIndex | None, Sequence[tuple[Basis, Unit]]]:
    """Return an earlier output on the same basis, and what was finished on it by runs that were cut short."""
    return last if last and last.basis.items == basis.items else earlier.like(basis), earlier.noted(basis)


_NONE = Found(np.zeros(0, np.int64), np.zeros(0, np.int64))


def _look_up(changed: Sequence[Changed], old: Sequence[Old]) -> None:
    """Find out for every item whether it is known, or equal to one before it."""
    if not changed:
        return
    items = np.concatenate([c.ledger.items for c in changed])
    known = find(items, [o.ledger for o in old], retried=[o.retried for o in old])
    first = first_equals(items)
    start = 0
    for c in changed:
        end = start + len(c.ledger)
        c.start = start
        c.known = Found(known.ledgers[start:end], known.positions[start:end])
        c.first = first[start:end]
        start = end


def _hashed(rows: pa.Table, shape: Shape) -> Ledger:
    items = row_hashes(rows.select(shape.reads))
    keys = row_hashes(rows.select(shape.key))[:, 0] if shape.key else items[:, 0]
    rest = row_hashes(rows.select(shape.rest))[:, 0] if shape.rest else np.zeros(len(items), np.uint64)
    return Ledger(items, keys, rest, np.zeros(len(items), np.int64))


def _whole(unit: Unit, parts: Parts) -> bool:
    return all(parts.has(p.fingerprint) for p in (unit.ledger, *unit.parts))


def _in_bucket(unit: Unit, bucket: int) -> Unit:
    """Return a unit for the same rows in another bucket: the table may have been cut anew around it."""
    if unit.ledger.bucket == bucket:
        return unit
    return unit._replace(
        ledger=unit.ledger._replace(bucket=bucket), parts=tuple(p._replace(bucket=bucket) for p in unit.parts)
    )


def _read(units: Sequence[Unit], parts: Parts, *, retried: bool = False) -> list[Old]:
    """Return units with their ledgers, without those that are gone."""
    return [Old(u, read_ledger(u.ledger, parts), retried) for u in units if _whole(u, parts)]
