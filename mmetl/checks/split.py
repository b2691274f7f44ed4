"""Cut a table in two: the rows that pass, in the parts that they would have had by themselves, and those set aside."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from mmetl.cache.arrow_types import arrow_schema, columns_of
from mmetl.cache.tables import BUCKET, read_table, write_table
from mmetl.checks.rules import PLACED, Rule
from mmetl.contracts.artifact import Manifest, Part
from mmetl.contracts.transform import Parts, Table
from mmetl.engines.duckdb import PLACE, PLACE_BITS, Session, literal
from mmetl.errors import TaskError

ERROR = "_error"
"""The column of the rows that are set aside that names the checks."""


def split(
    db: Session, table: Table, rules: Sequence[Rule], parts: Parts, before: Table | None
) -> tuple[Manifest, Manifest]:
    """Return the table without the rows that a rule of severity `quarantine` refuses, and the table of those.

    Args:
        db: a session with the table as `this`.
        table: the table.
        rules: its checks.
        parts: where parts go.
        before: the rows that were set aside already; they come first.

    Raises:
        TaskError: if the table has a column with a name that the other table needs.
    """
    schema = _aside_schema(table, before)
    bad = _bad_rows(db, table, [r for r in rules if r.severity == "quarantine" and r.condition])
    kept = _kept(table, bad, parts)
    older = _filled(read_table(before), schema) if before else iter(())
    newer = _filled((rows for n in sorted(bad) for rows in _refused(table, n, bad[n])), schema)
    aside = write_table(itertools.chain(older, newer), schema, parts)
    return table.manifest._replace(parts=kept), Manifest("table", aside, (), columns_of(schema))


def _aside_schema(table: Table, before: Table | None) -> pa.Schema:
    """Return the columns of the rows that are set aside: those from before, and those of the table."""
    columns = arrow_schema(table.manifest.columns)
    first = arrow_schema(before.manifest.columns) if before else pa.schema([(ERROR, pa.string())])
    known = {field.name.lower(): field for field in first}
    for field in columns:
        if field.name.lower() == ERROR or known.get(field.name.lower(), field) != field:
            raise TaskError(
                f"column '{field.name}' is called like one of the rows that are set aside", help="rename it"
            )
    return pa.schema([*first, *(field for field in columns if field.name.lower() not in known)])


def _bad_rows(db: Session, table: Table, rules: Sequence[Rule]) -> dict[int, pa.Table]:
    """Return number of a part -> its rows that a rule refuses: their numbers, sorted, and the names of the rules."""
    db.add_places(PLACED, table)
    labels = ", ".join(f"case when {r.condition} then {literal(r.label)} end" for r in rules)
    anyhow = " or ".join(f"coalesce({r.condition}, false)" for r in rules)
    found = db.stream(
        f"select {PLACE} >> {PLACE_BITS} as part, {PLACE} & {(1 << PLACE_BITS) - 1} as row, concat_ws('; ', {labels})"
        f" as error from {PLACED} where {anyhow} order by {PLACE}"
    )
    bad = pa.Table.from_batches(found.batches, found.schema)
    return {n: bad.filter(pc.equal(bad["part"], n)) for n in pc.unique(bad["part"]).to_pylist()}


def _kept(table: Table, bad: dict[int, pa.Table], parts: Parts) -> tuple[Part, ...]:
    """Return the parts of the rows that pass, the same as if there had been no others."""
    made: list[Part] = []
    schema = arrow_schema(table.manifest.columns)
    listed = enumerate(table.manifest.parts)
    for bucket, group in itertools.groupby(listed, key=lambda found: found[1].bucket):
        numbers = [n for n, _ in group]
        first = next((i for i, n in enumerate(numbers) if n in bad), len(numbers) + 1)
        # The part before may have ended where it did since the first of these rows was too large for it.
        whole, again = numbers[: max(first - 1, 0)], numbers[max(first - 1, 0) :]
        made += [table.manifest.parts[n] for n in whole]
        rows = (_in_bucket(found, bucket) for n in again for found in _passing(table, n, bad.get(n)))
        made += write_table(rows, schema, parts, bucketed=True)
    return tuple(made)


def _in_bucket(rows: pa.RecordBatch, bucket: int) -> pa.RecordBatch:
    return rows.append_column(BUCKET, pa.repeat(pa.scalar(bucket, pa.int32()), rows.num_rows))


def _passing(table: Table, number: int, bad: pa.Table | None) -> Iterator[pa.RecordBatch]:
    for rows, errors in _judged(table, number, bad):
        yield rows if errors is None else rows.filter(pc.is_null(errors))


def _refused(table: Table, number: int, bad: pa.Table) -> Iterator[pa.RecordBatch]:
    for rows, errors in _judged(table, number, bad):
        assert errors is not None
        yield rows.append_column(ERROR, errors).filter(pc.is_valid(errors))


def _judged(table: Table, number: int, bad: pa.Table | None) -> Iterator[tuple[pa.RecordBatch, pa.Array | None]]:
    """Yield the rows of a part, with what is wrong with each of them."""
    start = 0
    for rows in read_table(Table(table.task, table.manifest, (table.paths[number],))):
        if bad is None:
            yield rows, None
            continue
        numbers = pa.array(range(start, start + rows.num_rows), pa.int64())
        found = pc.index_in(numbers, value_set=bad["row"])
        errors = bad["error"].take(found)
        yield rows, pa.concat_arrays(errors.chunks) if errors.num_chunks else pa.nulls(rows.num_rows, pa.string())
        start += rows.num_rows


def _filled(batches: Iterator[pa.RecordBatch] | pa.RecordBatchReader, schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    """Yield the rows with all columns of the schema; those that they do not have are null."""
    for rows in batches:
        known = set(rows.schema.names)
        columns = [rows.column(f.name) if f.name in known else pa.nulls(rows.num_rows, f.type) for f in schema]
        yield pa.record_batch(columns, schema=schema)
