"""From the rows of one task to those of another, where a third one lies between: a table to which another was joined."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mmetl.api.lineage.rows import Reader, Wanted
from mmetl.api.lineage.tables import Tables
from mmetl.contracts.lineage import Trace


class Hops:
    """Goes over traces, by way of the tables between.

    Args:
        tables: the tables of the plan.
        reader: reads them.
    """

    def __init__(self, tables: Tables, reader: Reader) -> None:
        self._tables, self._reader = tables, reader

    def up(self, task: str, trace: Trace, values: pa.Table) -> Wanted | None:
        """Return which rows of a trace's input belong to rows of a task; None: none."""
        if trace.through:
            wanted = self.up(task, trace.through, values)
            between = wanted and self._between(task, trace.through, wanted, [side for side, _ in trace.pairs])
            if between is None:
                return None
            values = between
        return Wanted(
            tuple(side for _, side in trace.pairs), _columns(values, [s for s, _ in trace.pairs]), trace.where
        )

    def down(self, task: str, trace: Trace, values: pa.Table) -> Wanted | None:
        """Return which rows of a task belong to rows of a trace's input; None: none."""
        if trace.where:
            values = values.filter(pc.fill_null(values.column(trace.where), fill_value=False))
        if not values.num_rows:
            return None
        wanted = Wanted(tuple(side for side, _ in trace.pairs), _columns(values, [s for _, s in trace.pairs]))
        if not trace.through:
            return wanted
        near = trace.through
        asked = [side for _, side in near.pairs] + ([near.where] if near.where else [])
        between = self._between(task, near, wanted, asked)
        return None if between is None else self.down(task, near, between)

    def _between(self, task: str, trace: Trace, wanted: Wanted, asked: Sequence[str]) -> pa.Table | None:
        """Return expressions over the rows of a trace's input that are wanted; None if there are none."""
        asked = list(dict.fromkeys(asked))
        found = [
            self._reader.find(self._tables.readable(source), [wanted], asked).values
            for source in self._tables.named(task, trace.input)
        ]
        there = [values.select(asked) for values in found if values is not None]
        return pa.concat_tables(there, promote_options="permissive") if there else None


def _columns(values: pa.Table, wanted: Sequence[str]) -> pa.Table | None:
    """Return some columns, one of them perhaps more than once; None for no columns: then every row is meant."""
    if not wanted:
        return None
    return pa.table([values.column(c) for c in wanted], names=[str(n) for n in range(len(wanted))])
