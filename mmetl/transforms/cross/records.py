"""Records that are to be resolved: their values, their blocks, what somebody said of pairs of them, and what they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmetl.cache.arrow_types import arrow_schema
from mmetl.cache.tables import read_table
from mmetl.contracts.transform import Table
from mmetl.errors import TaskError
from mmetl.items.beside import key_type, named
from mmetl.items.hashes import row_digests
from mmetl.items.keeping import refuse_unknown
from mmetl.transforms.cross.blocks import Blocks, as_json, block_table, blocks_of, number_of
from mmetl.transforms.cross.clusters import ContradictionError, Pair, clustered
from mmetl.transforms.cross.names import Spelling, spelled
from mmetl.transforms.cross.resolve_params import Comparison, ResolveParams

OTHER, SAME = "other_", "same"
Pairs = list[tuple[int, int, float]]


class Said(NamedTuple):
    """What somebody said of pairs of records: that they are one, that they are not."""

    same: list[Pair]
    apart: list[Pair]


class Entities(NamedTuple):
    """What records are: columns in the order of the rows, how many entities there are, and records to look at."""

    columns: pa.Table
    entities: int
    review: int


class Records:
    """The records of a table, told by their place in the order of the key.

    Args:
        table: the input.
        params: of the task.
    """

    def __init__(self, table: Table, params: ResolveParams) -> None:
        self._params = params
        self.key = list(table.manifest.key)
        used = dict.fromkeys([*self.key, *params.compare, *(c for rule in params.block for c in rule)])
        rows = read_table(table, list(used)).read_all().combine_chunks()
        self._order = pc.sort_indices(rows.select(self.key), [(k, "ascending") for k in self.key])
        self._rows = rows.take(self._order)
        self.keys = self._rows.select(self.key)
        self.schema = pa.schema([arrow_schema(table.manifest.columns).field(k) for k in self.key])
        self._names = [digest.hex() for digest in row_digests(self.keys).to_pylist()]
        self.places = {name: place for place, name in enumerate(self._names)}

    def __len__(self) -> int:
        return len(self._names)

    def blocks(self) -> Blocks:
        """Return which records are compared."""
        params = self._params
        columns = {c: self._rows.column(c).to_pylist() for rule in params.block for c in rule}
        return blocks_of(columns, params.block, params.prefix, params.largest_block)

    def block_table(self, blocks: Blocks, folder: Path) -> Table:
        """Return the blocks as a table whose files are in a folder."""
        compared = [
            _values(self._rows.column(c).to_pylist(), how, self._params) for c, how in self._params.compare.items()
        ]
        whole = zip(self._names, zip(*compared, strict=True), strict=True)
        return block_table(blocks.members, [as_json(name, values) for name, values in whole], folder)

    def pairs(self, table: Table) -> Pairs:
        """Return the pairs of a table of them, once each, the first record of each first."""
        read = read_table(table, ["_left", "_right", "_score"]).read_all()
        left, right = ([self.places[n] for n in read.column(c).to_pylist()] for c in ("_left", "_right"))
        whole = zip(left, right, read.column("_score").to_pylist(), strict=True)
        return sorted({(min(a, b), max(a, b), score) for a, b, score in whole})

    def in_order_of_rows(self, column: pa.Array) -> pa.Array:
        """Return a column that is in the order of the key in that of the table."""
        back = np.empty(len(self), np.int64)
        back[np.asarray(self._order)] = np.arange(len(self))
        return column.take(pa.array(back))

    def shown(self, place: int) -> str:
        """Return the key of a record for messages."""
        return "/".join(str(v) for v in self.keys.slice(place, 1).to_pylist()[0].values())


def _values(values: list[Any], how: Comparison, spelling: Spelling) -> list[Any]:
    """Return values as they are compared; None where there is nothing to compare."""
    if how.measure == "number":
        try:
            return [number_of(v) for v in values]
        except (TypeError, ValueError) as error:
            raise TaskError(
                f"`measure: number` is for numbers and dates: {error}", help="cast the column before"
            ) from error
    return [None if v is None else spelled(str(v), spelling) or None for v in values]


def said() -> Said:
    """Return that nobody said anything."""
    return Said([], [])


def exceptions_of(table: Table, records: Records, tell: Callable[[str], Any]) -> Said:
    """Return what a table says of pairs. Pairs of which a record is gone count for nothing.

    Args:
        table: with the key of both records, that of the second one after `other_`, and `same`.
        records: of which it speaks.
        tell: where to tell what counts for nothing.

    Raises:
        TaskError: for a table with other columns, a pair without an answer or with both.
    """
    others = [OTHER + k for k in records.key]
    refuse_unknown(table, [*records.key, *others, SAME])
    rows = read_table(table, [*records.key, *others, SAME]).read_all().combine_chunks()
    left, right = (_places(rows.select(names), records, table.task) for names in (records.key, others))
    try:
        answers = rows.column(SAME).cast(pa.bool_()).to_pylist()
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TaskError(
            f"'{SAME}' of '{table.task}' is neither true nor false: {error}", help="write true or false"
        ) from error
    if None in answers:
        raise TaskError(
            f"'{SAME}' of '{table.task}' is missing in a row", help="write true or false, or take the row out"
        )
    found = Said([], [])
    for a, b, same in zip(left, right, answers, strict=True):
        if a is not None and b is not None:
            (found.same if same else found.apart).append((min(a, b), max(a, b)))
    gone = sum(a is None or b is None for a, b in zip(left, right, strict=True))
    if gone:
        tell(f"{gone:,} rows of '{table.task}' name records that are not there\n")
    return found


def _places(keys: pa.Table, records: Records, task: str) -> list[int | None]:
    try:
        cast = pa.table([keys.column(n).cast(f.type) for n, f in enumerate(records.schema)], schema=records.schema)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, ValueError) as error:
        raise TaskError(
            f"the keys of '{task}' are not like those of the records: {error}", help="give both one type"
        ) from error
    return [records.places.get(digest.hex()) for digest in row_digests(cast).to_pylist()]


def entities(records: Records, pairs: Pairs, decided: Said, threshold: float) -> Entities:
    """Return what each record is: its entity, the most similar record in it, and whether somebody should look at it.

    Raises:
        TaskError: where what was said contradicts itself.
    """
    try:
        clusters = clustered(len(records), (p for p in pairs if p[2] >= threshold), decided.same, decided.apart)
    except ContradictionError as error:
        one, two = map(records.shown, error.pair)
        raise TaskError(
            f"the exceptions say that {one} and {two} are not one, and, by themselves or with others, that they are",
            help="take one of these rows out",
        ) from None
    of = [clusters.find(n) for n in range(len(records))]
    score: list[float | None] = [None] * len(records)
    doubt: dict[int, tuple[float, int]] = {}
    for a, b, alike in sorted(pairs, key=lambda p: -p[2]):
        for this, other in ((a, b), (b, a)):
            if of[this] == of[other]:
                score[this] = alike if score[this] is None else score[this]
            elif not clusters.are_apart((a, b)):
                doubt[this] = min(doubt.get(this, (-alike, other)), (-alike, other))
    return Entities(_columns(records, of, score, doubt), len(set(of)), len(doubt))


def _columns(
    records: Records, of: list[int], score: list[float | None], doubt: dict[int, tuple[float, int]]
) -> pa.Table:
    doubts = [doubt.get(n) for n in range(len(records))]
    kind = key_type(records.schema, records.key)
    columns = {
        "entity": named(records.keys, pa.array(of, pa.int64()), kind),
        "score": pa.array(score, pa.float64()),
        "review": pa.array([d is not None for d in doubts], pa.bool_()),
        "review_with": named(records.keys, pa.array([d and d[1] for d in doubts], pa.int64()), kind),
        "review_score": pa.array([d and -d[0] for d in doubts], pa.float64()),
    }
    return pa.table({n: records.in_order_of_rows(c) for n, c in columns.items()})
