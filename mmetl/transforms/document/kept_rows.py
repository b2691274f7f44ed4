"""The rows of a table that are no duplicates, or all rows with what they are duplicates of: part by part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from mmetl.cache.arrow_types import arrow_schema, columns_of, normal_schema
from mmetl.cache.tables import write_table
from mmetl.contracts.artifact import Column, Part, encode
from mmetl.contracts.items import Unit
from mmetl.contracts.transform import Job, Table
from mmetl.errors import TaskError
from mmetl.items.hashes import row_hashes
from mmetl.items.keeping import refuse_unknown
from mmetl.items.ledger import Ledger, write_ledger
from mmetl.items.plan import read_part
from mmetl.transforms.document.duplicates import Duplicates
from mmetl.utils.hashing import xxh3_hex

SAYS = ("duplicate_of", "similarity")
"""The columns that are made where every row is kept."""


class Said(NamedTuple):
    """What is said of the rows of the input, in their order.

    Attributes:
        duplicates: of which row each is a duplicate.
        keys: the key of each row.
        starts: the place of the first row of each part of the input; last, that of the end.
    """

    duplicates: Duplicates
    keys: pa.Table
    starts: Sequence[int]


class KeptRows:
    """Makes the parts of the table.

    Args:
        job: the running task.
        table: the input.
        said: what is said of its rows.
    """

    def __init__(self, job: Job, table: Table, said: Said) -> None:
        self._job, self._table, self._said = job, table, said
        self._all = job.params.keep == "all"
        self._schema = _schema(arrow_schema(table.manifest.columns), table, job.params)
        self.columns: tuple[Column, ...] = columns_of(self._schema)
        self._names = row_hashes(said.keys)
        none = np.zeros(0, np.uint64)
        self._no_items = write_ledger(
            Ledger(np.zeros((0, 2), np.uint64), none, none, np.zeros(0, np.int64)), job.parts, 0
        )

    def units(self, prefix: str, known: Mapping[str, Unit]) -> list[Unit]:
        """Return what each part of the input comes to; what the last run made of the same is not made again.

        Args:
            prefix: of the units' names.
            known: those of the last run, by name.
        """
        names = [prefix + self._says(number) for number in range(len(self._table.manifest.parts))]
        return [self._unit(number, name, known.get(name)) for number, name in enumerate(names)]

    def _unit(self, number: int, name: str, known: Unit | None) -> Unit:
        part = self._table.manifest.parts[number]
        if known and all(self._job.parts.has(p.fingerprint) for p in known.parts):
            parts = tuple(p._replace(bucket=part.bucket) for p in known.parts)
        elif self._as_it_is(number):
            parts = (part,)
        else:
            parts = self._written(number)
        return Unit(name, self._no_items, parts)

    def _says(self, number: int) -> str:
        """Return the hash of all that decides a part."""
        a, b = self._said.starts[number : number + 2]
        of = self._said.duplicates.of[a:b]
        named = np.where((of >= 0)[:, None], self._names[of], 0)
        columns = encode([list(self._schema.names), self._all])
        part = self._table.manifest.parts[number].fingerprint
        said = named.tobytes() + self._said.duplicates.similarity[a:b].tobytes()
        return xxh3_hex(f"{part} {columns} ".encode() + said)

    def _as_it_is(self, number: int) -> bool:
        """Tell whether a part is that of the input."""
        a, b = self._said.starts[number : number + 2]
        whole = len(self._schema) == len(self._table.manifest.columns)
        return whole and not self._all and not (self._said.duplicates.of[a:b] >= 0).any()

    def _written(self, number: int) -> tuple[Part, ...]:
        a, b = self._said.starts[number : number + 2]
        of = self._said.duplicates.of[a:b]
        rows = read_part(self._table, number, [n for n in self._schema.names if n not in SAYS or not self._all])
        if self._all:
            there = of >= 0
            wanted = pa.array(of, pa.int64(), mask=~there)
            rows = rows.append_column(SAYS[0], named(self._said.keys, wanted, self._schema.field(SAYS[0]).type))
            similarity = self._said.duplicates.similarity[a:b]
            rows = rows.append_column(SAYS[1], pa.array(similarity, pa.float32(), mask=~there))
        else:
            rows = rows.filter(pa.array(of < 0))
        parts = write_table(rows.select(self._schema.names).to_batches(), self._schema, self._job.parts)
        return tuple(p._replace(bucket=self._table.manifest.parts[number].bucket) for p in parts)


def named(keys: pa.Table, wanted: pa.Array, kind: pa.DataType) -> pa.Array:
    """Return the keys of some rows: values of a key of one column, else structs; null where none is wanted."""
    taken = keys.take(wanted).combine_chunks()
    if len(taken.column_names) == 1:
        return taken.column(0).cast(kind)
    columns = [c.chunk(0) if c.num_chunks else pa.array([], c.type) for c in taken.columns]
    return pa.StructArray.from_arrays(columns, fields=list(kind), mask=wanted.is_null())


def _schema(schema: pa.Schema, table: Table, params: Any) -> pa.Schema:
    """Return the schema of the output. Raises TaskError for a column that cannot be dropped or made."""
    refuse_unknown(table, params.drop)
    key = table.manifest.key
    for name in params.drop:
        if name in key:
            raise TaskError(
                f"'{name}' is a part of the key of '{table.task}', which cannot be dropped", help="leave it in"
            )
    kept = [f for f in schema if f.name not in params.drop]
    if params.keep == "first":
        return pa.schema(kept)
    for name in SAYS:
        if name in schema.names and name not in params.drop:
            raise TaskError(f"it makes '{name}', which '{table.task}' has already", help=f"drop it: `drop: [{name}]`")
    whole = pa.struct([schema.field(n).with_nullable(True) for n in key])
    named = schema.field(key[0]).type if len(key) == 1 else whole
    return normal_schema(pa.schema([*kept, (SAYS[0], named), (SAYS[1], pa.float32())]))
