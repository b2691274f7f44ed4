"""The rows of a table, or some of them, with columns beside them that all rows decide: of its parts only those are written in which that changed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from mmetl.cache.arrow_types import arrow_schema, columns_of, normal_schema
from mmetl.cache.tables import read_part, write_table
from mmetl.contracts.artifact import Column, Part, encode
from mmetl.contracts.items import Unit
from mmetl.contracts.transform import Job, Table
from mmetl.errors import TaskError
from mmetl.items.hashes import row_hashes
from mmetl.items.keeping import refuse_unknown
from mmetl.items.ledger import Ledger, write_ledger
from mmetl.items.steps import ROWS
from mmetl.utils.hashing import xxh3_hex

Wanted = np.ndarray[Any, np.dtype[np.bool_]]
"""One a row."""


class RowsBeside:
    """Makes the parts of the output.

    Args:
        job: the running task.
        table: the input.
        made: the columns that are made, one row for each of the input, in its order.
        drop: columns of the input that are left out.
        wanted: which rows there are, of the input's; None: all.

    Raises:
        TaskError: for a column that cannot be dropped or made.
    """

    def __init__(
        self, job: Job, table: Table, made: pa.Table, drop: Sequence[str], wanted: Wanted | None = None
    ) -> None:
        self._job, self._table, self._made, self._wanted = job, table, made, wanted
        self._starts = np.cumsum([0, *(p.rows for p in table.manifest.parts)]).tolist()
        self._kept = _kept(table, made.column_names, drop)
        self._schema = normal_schema(pa.schema([*self._kept, *made.schema]))
        self.columns: tuple[Column, ...] = columns_of(self._schema)
        none = np.zeros(0, np.uint64)
        self._no_items = write_ledger(
            Ledger(np.zeros((0, 2), np.uint64), none, none, np.zeros(0, np.int64)), job.parts, 0
        )

    def units(self, known: Mapping[str, Unit]) -> list[Unit]:
        """Return what each part of the input comes to; what the last run made of the same is not made again.

        Args:
            known: the units of the last run, by name.
        """
        return [self._unit(number, known) for number in range(len(self._table.manifest.parts))]

    def _unit(self, number: int, known: Mapping[str, Unit]) -> Unit:
        part = self._table.manifest.parts[number]
        made = self._made.slice(self._starts[number], part.rows)
        wanted = None if self._wanted is None else self._wanted[self._starts[number] :][: part.rows]
        says = row_hashes(made).tobytes() + (b"" if wanted is None else wanted.tobytes())
        name = ROWS + xxh3_hex(f"{part.fingerprint} {encode(list(self._schema.names))} ".encode() + says)
        unit = known.get(name)
        if unit and all(self._job.parts.has(p.fingerprint) for p in unit.parts):
            parts = tuple(p._replace(bucket=part.bucket) for p in unit.parts)
        elif len(self._kept) == len(self._schema) == len(self._table.manifest.columns) and (
            wanted is None or wanted.all()
        ):
            parts = (part,)  # as it is
        else:
            parts = self._written(number, made, wanted)
        return Unit(name, self._no_items, parts)

    def _written(self, number: int, made: pa.Table, wanted: Wanted | None) -> tuple[Part, ...]:
        rows = read_part(self._table, number, [f.name for f in self._kept])
        for name in made.column_names:
            rows = rows.append_column(name, made.column(name))
        if wanted is not None:
            rows = rows.filter(pa.array(wanted))
        parts = write_table(rows.combine_chunks().to_batches(), self._schema, self._job.parts)
        return tuple(p._replace(bucket=self._table.manifest.parts[number].bucket) for p in parts)


def key_type(schema: pa.Schema, key: Sequence[str]) -> pa.DataType:
    """Return the type of a column that names rows: that of a key of one column, else a struct."""
    return schema.field(key[0]).type if len(key) == 1 else pa.struct([schema.field(n).with_nullable(True) for n in key])


def named(keys: pa.Table, wanted: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the keys of some rows as values of that type; null where none is wanted."""
    taken = keys.take(wanted).combine_chunks()
    columns = [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in taken.columns]
    if len(columns) == 1:
        return columns[0].cast(kind)
    return pa.StructArray.from_arrays(columns, fields=list(kind), mask=wanted.is_null())


def _kept(table: Table, made: Sequence[str], drop: Sequence[str]) -> list[pa.Field]:
    refuse_unknown(table, drop)
    for name in drop:
        if name in table.manifest.key:
            raise TaskError(
                f"'{name}' is a part of the key of '{table.task}', which cannot be dropped", help="leave it in"
            )
    kept = [f for f in arrow_schema(table.manifest.columns) if f.name not in drop]
    for field in kept:
        if field.name in made:
            raise TaskError(
                f"it makes '{field.name}', which '{table.task}' has already", help=f"drop it: `drop: [{field.name}]`"
            )
    return kept
