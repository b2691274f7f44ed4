"""What a similarity join keeps, and what it does again: pairs, in a part for each part of the first table.

A row is known by the hash of its key and of what is compared. Of each part of both tables a ledger keeps these, so rows that are new
and rows that are gone are found without reading what has not changed. Pairs of known rows stay; new rows of the first table are
compared with all of the second, the others with the new ones of that. All pairs are kept, also those that `k` does not show: one of
them may be the next best when another goes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from mmetl.cache.arrow_types import arrow_schema, columns_of, normal_schema
from mmetl.cache.fingerprints import combine
from mmetl.cache.tables import read_part, read_table, write_table
from mmetl.contracts.artifact import Manifest, Part, encode
from mmetl.contracts.items import Basis, Earlier, ItemIndex, Unit
from mmetl.contracts.transform import Job, Made, Parts, Table
from mmetl.errors import TaskError
from mmetl.items.hashes import DIGEST, digests
from mmetl.items.keeping import manifest_name
from mmetl.items.ledger import write_ledger
from mmetl.items.run import NOTE_S
from mmetl.items.steps import ROWS, known_rows
from mmetl.transforms.cross.join_params import OTHER, SCORE
from mmetl.transforms.cross.matching import Search
from mmetl.transforms.cross.sides import LEFT, RIGHT, Side
from mmetl.transforms.cross.values import Values, searching, values_of
from mmetl.utils.hashing import xxh3_hex

OF_LEFT, OF_RIGHT = "_left", "_right"
"""Columns of a kept pair: the hashes of its two rows."""


class _Searched(NamedTuple):
    """Rows of the second table that others are compared with."""

    search: Search
    keys: pa.Table
    names: pa.Array


class Join:
    """One run of a task.

    Args:
        job: the running task; what earlier runs computed is that of the pairs.
        whole: what earlier runs computed, pairs and rows.
        columns: one table or two, and what of each is compared.
        size: dimensions of the vectors; 0 for texts.
    """

    def __init__(self, job: Job, whole: Earlier | None, columns: Sequence[tuple[Table, str]], size: int) -> None:
        self._job, self._parts, self._size = job, job.parts, size
        self._shown_before = known_rows(whole)
        self._is_one = len(columns) == 1
        (left, column), (right, other) = columns[0], columns[-1]
        key = arrow_schema(left.manifest.columns), arrow_schema(right.manifest.columns)
        fields = [key[0].field(k) for k in left.manifest.key]
        others = [key[1].field(k).with_name(OTHER + k) for k in right.manifest.key]
        self._schema = normal_schema(pa.schema([*fields, *others, pa.field(SCORE, pa.float64())]))
        if len(set(self._schema.names)) < len(self._schema):
            raise TaskError(
                f"columns of the pairs have one name: {', '.join(self._schema.names)}",
                help="rename a key column of one of the tables",
            )
        self._kept_schema = normal_schema(pa.schema([*self._schema, (OF_LEFT, DIGEST), (OF_RIGHT, DIGEST)]))
        kinds = [[str(t.field(c).type) for t, c in zip(key, (column, other), strict=True)], str(self._schema)]
        recipe = job.earlier.recipe if job.earlier else ""
        self._basis = Basis(combine([recipe, encode(kinds)]), combine(self._schema.names))
        last = job.earlier.last() if job.earlier else None
        old, before = self._known(last), last.units if last else ()
        self._left = Side(LEFT, left, column, old, before, job.parts)
        self._right = self._left if self._is_one else Side(RIGHT, right, other, old, before, job.parts)
        self._compared_with = manifest_name(right.manifest)
        self._done = self._finished()
        self._searches: list[Search] = []

    def _known(self, last: ItemIndex | None) -> Sequence[Unit]:
        """Return the units of an earlier output whose pairs were found in the same way; none if one of them is not whole.

        Without one, its rows would be new, and their pairs with known rows would be found twice.
        """
        earlier = self._job.earlier
        if earlier is None or earlier.forced:
            return ()
        found = last if last and last.basis.items == self._basis.items else earlier.like(self._basis)
        return found.units if found and all(_is_there(u, self._parts) for u in found.units) else ()

    def _finished(self) -> dict[int, Unit]:
        """Return the units of parts that a run, which was cut short, has compared with all that there is now."""
        earlier = self._job.earlier
        noted = earlier.noted(self._basis) if earlier and not earlier.forced else ()
        units = {u.input: u for _, u in noted if _is_there(u, self._parts)}
        names = enumerate(map(self._name, range(len(self._left.ledgers))))
        return {number: units[name] for number, name in names if name in units}

    def _name(self, number: int) -> str:
        """Return the name of the unit of a part: it, and what it was compared with."""
        return f"{LEFT} {self._left.table.manifest.parts[number].fingerprint} {self._compared_with}"

    @property
    def _sides(self) -> Sequence[Side]:
        return [self._left] if self._is_one else [self._left, self._right]

    @property
    def to_compute(self) -> int:
        """How many rows are compared anew."""
        done = sum(int(self._left.new[number].sum()) for number in self._done)
        return sum(side.to_compute for side in self._sides) - done

    @property
    def counts(self) -> dict[str, int]:
        """How many rows of the tables were added, changed, removed, and are unchanged."""
        whole = [side.counts for side in self._sides]
        return {word: n for word in whole[0] if (n := sum(counts[word] for counts in whole))}

    def run(self, stopped: Callable[[], bool]) -> Made:
        """Find new pairs, and write the parts that changed. Raises TaskError for vectors that cannot be compared."""
        units: list[Unit] = []
        shown: list[Unit] = []
        to_note: list[Unit] = []
        noted_at = time.monotonic()
        for number in range(len(self._left.ledgers)):
            if stopped():
                raise TaskError("the run was interrupted")
            unit, pairs = self._unit(number)
            units.append(unit)
            if unit.parts:
                shown.append(self._rows(unit, pairs))
            to_note.append(unit)
            if self._job.earlier and time.monotonic() - noted_at > NOTE_S:
                self._job.earlier.note(self._basis, to_note)
                to_note, noted_at = [], time.monotonic()
            self._job.progress(self.to_compute * (number + 1) // len(self._left.ledgers), self.to_compute, self.counts)
        if not self._is_one:
            units += [self._of_right(number) for number in range(len(self._right.ledgers))]
        compared = sum(search.compared for search in self._searches)
        return Made(
            tuple(part for unit in shown for part in unit.parts),
            columns_of(self._schema),
            self._left.table.manifest.buckets,
            items=ItemIndex(self._basis, (*units, *shown)),
            key=tuple(self._schema.names[:-1]),
            counts={**self.counts, "computed": self.to_compute, "compared": compared},
        )

    def _of_right(self, number: int) -> Unit:
        part = self._right.table.manifest.parts[number]
        unit = self._right.kept.get(number)
        ledger = unit.ledger if unit else write_ledger(self._right.ledgers[number], self._parts, part.bucket)
        return Unit(f"{RIGHT} {part.fingerprint}", ledger._replace(bucket=part.bucket), ())

    # --- pairs of a part

    def _unit(self, number: int) -> tuple[Unit, pa.Table | None]:
        """Return all pairs of the rows of a part; as a table, too, if they are at hand."""
        part = self._left.table.manifest.parts[number]
        name = self._name(number)
        old = self._done.get(number) or self._left.kept.get(number)
        if old and old.input == name:
            return _in_bucket(old, part.bucket), None
        added = self._added(number)
        if old is None:
            stay = self._moved.filter(pa.array(self._moved_to == number))
        else:
            stay = self._read(old.parts) if added.num_rows or (old.parts and len(self._right.gone)) else None
            before = stay.num_rows if stay is not None else 0
            if stay is not None and len(self._right.gone):
                stay = stay.filter(pc.invert(pc.is_in(stay.column(OF_RIGHT), value_set=self._right.gone)))
            if not added.num_rows and (stay is None or stay.num_rows == before):
                return _in_bucket(old._replace(input=name), part.bucket), None
        pairs = _sorted(pa.concat_tables([stay, added]), self._schema.names[:-1])
        ledger = old.ledger if old else write_ledger(self._left.ledgers[number], self._parts, part.bucket)
        return _in_bucket(Unit(name, ledger, self._written(pairs, self._kept_schema)), part.bucket), pairs

    def _added(self, number: int) -> pa.Table:
        """Return the pairs that are new: of new rows with all, of the others with new ones."""
        new = self._left.new[number]
        if not any(map(len, self._right.ledgers)):
            return self._kept_schema.empty_table()
        wanted = [(np.nonzero(new)[0], "_all")] if new.any() else []
        if self._right.to_compute and not new.all():
            wanted.append((np.nonzero(~new)[0], "_new"))
        if not wanted:
            return self._kept_schema.empty_table()
        rows = read_part(self._left.table, number, self._left.reads)
        names = digests(self._left.ledgers[number].items)
        return pa.concat_tables([self._matched(rows, names, at, getattr(self, which)) for at, which in wanted])

    def _matched(self, rows: pa.Table, names: pa.Array, at: Any, searched: _Searched) -> pa.Table:
        """Return the pairs of some rows."""
        values = self._values(rows.column(self._left.column).take(pa.array(at)), self._left.table)
        found = searched.search.of(values.values)
        own, other = pa.array(at[values.places][found.rows]), pa.array(found.places)
        columns = [
            *(rows.column(k).take(own) for k in self._left.key),
            *(column.take(other) for column in searched.keys.columns),
            pa.array(found.scores),
            names.take(own),
            searched.names.take(other),
        ]
        pairs = pa.table(columns, names=self._kept_schema.names).cast(self._kept_schema)
        return pairs.filter(pc.not_equal(pairs.column(OF_LEFT), pairs.column(OF_RIGHT))) if self._is_one else pairs

    @cached_property
    def _all(self) -> _Searched:
        """All rows of the second table."""
        return self._searched([np.ones(len(ledger), bool) for ledger in self._right.ledgers])

    @cached_property
    def _new(self) -> _Searched:
        """The new rows of the second table."""
        return self._searched(self._right.new)

    def _searched(self, masks: Sequence[Any]) -> _Searched:
        side = self._right
        keys: list[pa.Table] = []
        names: list[pa.Array] = []
        values: list[Any] = []
        for number, mask in enumerate(masks):
            if mask.any():
                at = pa.array(np.nonzero(mask)[0])
                rows = read_part(side.table, number, side.reads).take(at)
                found = self._values(rows.column(side.column), side.table)
                there = pa.array(found.places)
                keys.append(rows.select(side.key).take(there))
                names.append(digests(side.ledgers[number].items).take(at).take(there))
                values.append(found.values)
        search = searching(self._job.params, values)
        self._searches.append(search)
        return _Searched(search, pa.concat_tables(keys).combine_chunks(), pa.concat_arrays(names))

    def _values(self, column: pa.ChunkedArray, table: Table) -> Values:
        return values_of(column, self._job.params, self._size, table.task)

    # --- pairs that are known

    @cached_property
    def _moved(self) -> pa.Table:
        """The known pairs of rows that stand in parts that are not known."""
        return self._moved_pairs[0]

    @cached_property
    def _moved_to(self) -> Any:
        """For each of them the number of the part that its row stands in."""
        return self._moved_pairs[1]

    @cached_property
    def _moved_pairs(self) -> tuple[pa.Table, Any]:
        changed = [n for n in range(len(self._left.ledgers)) if n not in self._left.kept]
        names = [digests(self._left.ledgers[n].items) for n in changed]
        pairs = self._read([part for unit in self._left.going for part in unit.parts])
        gone = pc.is_in(pairs.column(OF_RIGHT), value_set=self._right.gone)
        at = pc.index_in(pairs.column(OF_LEFT), value_set=pa.concat_arrays(names))
        wanted = pc.and_(pc.is_valid(at), pc.invert(gone))
        of_row = np.repeat(np.array(changed, np.int64), [len(n) for n in names])
        places = np.asarray(at.filter(wanted).combine_chunks()).astype(np.int64)
        return pairs.filter(wanted), of_row[places]

    def _read(self, parts: Sequence[Part]) -> pa.Table:
        manifest = Manifest("table", tuple(parts), (), columns_of(self._kept_schema))
        paths = tuple(self._parts.path(p.fingerprint) for p in parts)
        return read_table(Table("the pairs", manifest, paths)).read_all()

    # --- what is shown of them

    def _rows(self, unit: Unit, pairs: pa.Table | None) -> Unit:
        """Return the rows of the output that the pairs of a part come to."""
        k = self._job.params.k
        name = ROWS + xxh3_hex(encode([k, str(self._schema), [p.fingerprint for p in unit.parts]]).encode())
        known = self._shown_before.get(name)
        bucket = unit.ledger.bucket
        if known and _is_there(known, self._parts):
            return _in_bucket(known, bucket)
        rows = self._read(unit.parts) if pairs is None else pairs
        if k is not None:
            rows = self._best(rows, k)
        return _in_bucket(Unit(name, unit.ledger, self._written(rows, self._schema)), bucket)

    def _best(self, pairs: pa.Table, k: int) -> pa.Table:
        """Return the `k` best pairs of each row; of equal ones the first by key."""
        names, left = self._schema.names, len(self._left.key)
        worst_first: Mapping[bool, str] = {True: "ascending", False: "descending"}
        order = worst_first[self._job.params.measure == "euclidean"]
        ranked = pairs.sort_by(
            [*((n, "ascending") for n in names[:left]), (SCORE, order), *((n, "ascending") for n in names[left:-1])]
        )
        of = ranked.column(OF_LEFT).combine_chunks()
        begins = np.ones(len(of), bool)
        begins[1:] = np.asarray(pc.not_equal(of.slice(1), of.slice(0, max(len(of) - 1, 0))))
        starts = np.maximum.accumulate(np.where(begins, np.arange(len(of)), 0))
        return _sorted(ranked.filter(pa.array(np.arange(len(of)) - starts < k)), names[:-1])

    def _written(self, rows: pa.Table, schema: pa.Schema) -> tuple[Part, ...]:
        return write_table(rows.select(schema.names).combine_chunks().to_batches(), schema, self._parts)


def _sorted(rows: pa.Table, key: Sequence[str]) -> pa.Table:
    return rows.sort_by([(name, "ascending") for name in key])


def _is_there(unit: Unit, parts: Parts) -> bool:
    return all(parts.has(p.fingerprint) for p in (unit.ledger, *unit.parts))


def _in_bucket(unit: Unit, bucket: int) -> Unit:
    parts = tuple(p._replace(bucket=bucket) for p in unit.parts)
    return unit._replace(ledger=unit.ledger._replace(bucket=bucket), parts=parts)
