"""The tables of a similarity join: which of their rows are known, told by a ledger for each part."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from mmetl.cache.tables import read_part
from mmetl.contracts.items import Unit
from mmetl.contracts.transform import Parts, Table
from mmetl.items.hashes import DIGEST, digests, row_hashes
from mmetl.items.known import NOWHERE, count_changes, find
from mmetl.items.ledger import Ledger, read_ledger

LEFT, RIGHT = "left", "right"
"""What the names of their units begin with; the fingerprint of the part comes next."""


class Side:
    """The rows of one table, and which of them are known.

    Args:
        name: LEFT or RIGHT, what its units are called.
        table: the input.
        column: what is compared.
        old: the units of an earlier run; empty where nothing is known.
        before: those of the last run, to tell what changed since.
        parts: where parts lie.

    Attributes:
        reads: columns of the key, and what is compared, which may be one of these.
        kept: number of a part -> its unit, if the part is an old one.
        ledgers: of all parts.
        new: of each part, which of its rows are not known.
    """

    def __init__(
        self, name: str, table: Table, column: str, old: Sequence[Unit], before: Sequence[Unit], parts: Parts
    ) -> None:
        self.table, self.column = table, column
        self.key = list(table.manifest.key)
        self.reads = list(dict.fromkeys([*self.key, column]))
        units = {_part_of(u): u for u in old if _is_of(name, u)}
        known = {fingerprint: read_ledger(u.ledger, parts) for fingerprint, u in units.items()}
        there = [p.fingerprint for p in table.manifest.parts]
        self.kept = {n: units[f] for n, f in enumerate(there) if f in units}
        self.ledgers = [known[f] if f in units else self._hashed(n) for n, f in enumerate(there)]
        stays = {*there}
        self.going = [unit for fingerprint, unit in units.items() if fingerprint not in stays]
        self._going = [known[_part_of(unit)] for unit in self.going]
        self.new = [self._unknown(n) for n in range(len(there))]
        self.counts = self._counts([u for u in before if _is_of(name, u)], parts)

    def _hashed(self, number: int) -> Ledger:
        rows = read_part(self.table, number, self.reads)
        keys = row_hashes(rows.select(self.key))[:, 0]
        nothing = np.zeros(len(keys), np.uint64)
        return Ledger(row_hashes(rows), keys, nothing, nothing.astype(np.int64))

    def _unknown(self, number: int) -> Any:
        items = self.ledgers[number].items
        if number in self.kept:
            return np.zeros(len(items), bool)
        return find(items, self._going, retried=[False] * len(self._going)).ledgers == NOWHERE

    @cached_property
    def to_compute(self) -> int:
        """How many rows are new."""
        return sum(int(mask.sum()) for mask in self.new)

    @cached_property
    def gone(self) -> pa.Array:
        """The names of rows that were known and are not there any more."""
        changed = [ledger for n, ledger in enumerate(self.ledgers) if n not in self.kept]
        found = [
            ledger.items[find(ledger.items, changed, retried=[False] * len(changed)).ledgers == NOWHERE]
            for ledger in self._going
        ]
        return digests(np.concatenate(found)) if found else pa.array([], DIGEST)

    def _counts(self, before: Sequence[Unit], parts: Parts) -> dict[str, int]:
        """Return how many rows were added, changed, removed, and are unchanged since the last run."""
        stays = {_part_of(u) for u in before} & {p.fingerprint for p in self.table.manifest.parts}
        changed = [n for n, p in enumerate(self.table.manifest.parts) if p.fingerprint not in stays]
        going = [
            read_ledger(u.ledger, parts) for u in before if _part_of(u) not in stays and parts.has(u.ledger.fingerprint)
        ]
        counts = count_changes(going, [self.ledgers[n] for n in changed], same_basis=True)
        counts["unchanged"] += sum(map(len, self.ledgers)) - sum(len(self.ledgers[n]) for n in changed)
        return counts


def _is_of(name: str, unit: Unit) -> bool:
    return unit.input.split(" ")[0] == name


def _part_of(unit: Unit) -> str:
    return unit.input.split(" ")[1]
