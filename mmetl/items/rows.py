"""The made rows of a part of the output: new ones, and those that are found in other parts."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from mmetl.cache.tables import cast
from mmetl.contracts.artifact import Part
from mmetl.contracts.items import Unit
from mmetl.contracts.transform import Parts
from mmetl.items.calls import Result
from mmetl.items.known import NOWHERE
from mmetl.items.ledger import Ledger, Numbers
from mmetl.items.plan import Changed, Plan

OPEN = 4  # parts whose made rows are held, for the items of a part that has changed come from few others


class MadeRows:
    """Puts the made rows of changed parts together, one part after the other.

    Args:
        parts: where parts lie.
        made: the schema of the made columns.
        plan: what there is to do.
    """

    def __init__(self, parts: Parts, made: pa.Schema, plan: Plan) -> None:
        self._parts, self._schema, self._plan = parts, made, plan
        self._starts = np.array([c.start for c in plan.changed], np.int64)
        self._units: dict[int, tuple[Unit, Ledger]] = {}  # written ones -> what equal items after them need
        self._held: OrderedDict[tuple[Part, ...], pa.Table] = OrderedDict()
        own = [(c, c.start <= c.first) for c in plan.changed]
        wanted = [c.first[(c.known.ledgers == NOWHERE) & ~mine] for c, mine in own]
        self._needed = {int(p) for p in np.unique(self._of(np.concatenate(wanted)))} if wanted else set()

    def assemble(self, changed: Changed, result: Result | None) -> pa.Table:
        """Return the made rows of a part, in the order of its items, and fill its ledger's `rows` and `errors`.

        Args:
            changed: the part.
            result: of its new items, in order; None where it has none.
        """
        ledger = changed.ledger
        size = len(ledger)
        tables: list[pa.Table] = []
        begins = np.zeros(size, np.int64)  # where the rows of each item begin, in all tables one after the other
        offset = 0
        if result is not None:
            starts = np.cumsum(result.counts) - result.counts
            begins[changed.todo], ledger.rows[changed.todo] = starts, result.counts
            ledger.errors.update({int(changed.todo[i]): e for i, e in result.errors.items()})
            tables, offset = [result.rows], result.rows.num_rows
        for where, unit, source, positions in self._elsewhere(changed):
            begins[where], ledger.rows[where] = source.starts[positions] + offset, source.rows[positions]
            if source.errors:
                ledger.errors.update(
                    {
                        int(i): source.errors[int(p)]
                        for i, p in zip(where, positions, strict=True)
                        if int(p) in source.errors
                    }
                )
            tables.append(self._rows(unit.parts))
            offset += tables[-1].num_rows
        own = changed.first - changed.start
        again = np.nonzero((changed.known.ledgers == NOWHERE) & (own >= 0) & (own != np.arange(size)))[0]
        begins[again], ledger.rows[again] = begins[own[again]], ledger.rows[own[again]]
        ledger.errors.update({int(i): ledger.errors[int(own[i])] for i in again if int(own[i]) in ledger.errors})
        rows = pa.concat_tables(tables) if tables else self._schema.empty_table()
        wanted = _ranges(begins, ledger.rows)
        if len(wanted) == rows.num_rows and (wanted == np.arange(len(wanted))).all():
            return rows
        return rows.take(pa.array(wanted))

    def written(self, changed: Changed, unit: Unit) -> None:
        """Note a part of the output that is in its place."""
        place = int(np.searchsorted(self._starts, changed.start, "right")) - 1
        if place in self._needed:
            self._units[place] = (unit, changed.ledger)

    def _elsewhere(self, changed: Changed) -> list[tuple[Numbers, Unit, Ledger, Numbers]]:
        """Return (positions of items, the unit that has them, its ledger, their positions there)."""
        known = changed.known
        found = []
        for number in np.unique(known.ledgers[known.ledgers != NOWHERE]):
            where = np.nonzero(known.ledgers == number)[0]
            old = self._plan.old[int(number)]
            found.append((where, old.unit, old.ledger, known.positions[where]))
        before = np.nonzero((known.ledgers == NOWHERE) & (changed.first < changed.start))[0]
        places = self._of(changed.first[before])
        for place in np.unique(places):
            where = before[places == place]
            unit, ledger = self._units[int(place)]
            found.append((where, unit, ledger, changed.first[where] - self._starts[int(place)]))
        return found

    def _of(self, firsts: Numbers) -> Numbers:
        """Return which of the changed parts the items at these places are of."""
        return np.searchsorted(self._starts, firsts, "right") - 1

    def _rows(self, parts: tuple[Part, ...]) -> pa.Table:
        if parts not in self._held:
            self._held[parts] = self._read(parts)
            if len(self._held) > OPEN:
                self._held.popitem(last=False)
        self._held.move_to_end(parts)
        return self._held[parts]

    def _read(self, parts: Sequence[Part]) -> pa.Table:
        names = self._schema.names
        read = [pq.ParquetFile(self._parts.path(p.fingerprint), pre_buffer=False).read(columns=names) for p in parts]
        return cast(pa.concat_tables(read), self._schema) if read else self._schema.empty_table()


def _ranges(begins: Numbers, sizes: Numbers) -> Numbers:
    """Return the numbers begins[0], begins[0] + 1, … (sizes[0] of them), begins[1], …."""
    total = int(sizes.sum())
    starts = np.cumsum(sizes) - sizes
    return np.repeat(begins - starts, sizes) + np.arange(total)
