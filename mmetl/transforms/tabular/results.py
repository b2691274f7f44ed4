"""How a result becomes the parts of an artifact: its order, its key, its buckets."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import pyarrow as pa

from mmetl.cache.arrow_types import columns_of, normal_schema
from mmetl.cache.buckets import bucket_count, bucket_sql
from mmetl.cache.tables import BUCKET, SHOWN_KEYS, null_key, repeated_key, unique, write_table
from mmetl.contracts.transform import Job, Made
from mmetl.engines.duckdb import Session, leaves, session
from mmetl.errors import TaskError
from mmetl.utils.text import near, quote


def store_query(
    job: Job, db: Session, sql: str, names: Sequence[str], *, ordered: bool, buckets: int, text: str = ""
) -> Made:
    """Run a query and keep its result, sorted by key or else by all columns, or in its own order.

    Args:
        job: the running task.
        db: the session that the query runs in.
        sql: one query.
        names: its columns.
        ordered: keep the query's order.
        buckets: how many buckets a keyed result is cut into, if it has no order of its own.
        text: the author's text inside `sql`, for the position in error messages.
    """
    check_names(names)
    for column in job.key:
        if column not in names:
            raise no_column("key", column, names)
    if ordered and job.key:
        # In an order other than the key's, equal keys are not neighbours; and the query should run once.
        db.rows(f"create temp table __mmetl_result as\n{sql}")
        _check_key(db, "__mmetl_result", job.key)
        return _keep(job, db, 'from "__mmetl_result"', text)
    if ordered:
        return _keep(job, db, sql, text)
    if not job.key:
        return _keep(job, db, f"select * from (\n{sql}\n) order by all", text)
    order = ", ".join(quote(k) for k in job.key)
    bucket = bucket_sql(job.key, buckets)
    rows = db.stream(f"select *, {bucket} as {quote(BUCKET)} from (\n{sql}\n) order by {quote(BUCKET)}, {order}", text)
    schema = normal_schema(pa.schema([f for f in rows.schema if f.name != BUCKET]))
    _check_key_types(schema, job.key)
    parts = write_table(unique(rows.batches, job.key), schema, job.parts, bucketed=True)
    return Made(parts, columns_of(schema), buckets)


def describe_view(db: Session, sql: str, text: str) -> Made:
    """Return a view: its query and the columns that it would give; nothing is computed.

    Args:
        db: a session with the view's inputs.
        sql: the query, in canonical form.
        text: the same in its author's words, for the position in error messages.
    """
    schema = db.stream(f"select * from (\n{text}\n) limit 0", text).schema
    check_names(schema.names)
    return Made((), columns_of(normal_schema(schema)), view=sql)


def store_rows(job: Job, schema: pa.Schema, batches: Iterable[pa.RecordBatch], *, buckets: int) -> Made:
    """Keep Arrow rows: sorted by key into buckets, or without a key in the order in which they come."""
    normal = normal_schema(schema)
    if not job.key:
        check_names(schema.names)
        return Made(write_table(batches, normal, job.parts), columns_of(normal))
    with session(job.scratch, threads=job.threads, memory_limit=job.memory_limit, on_cancel=job.on_cancel) as db:
        db.register("__mmetl_rows", pa.RecordBatchReader.from_batches(schema, batches))
        return store_query(job, db, 'from "__mmetl_rows"', schema.names, ordered=False, buckets=buckets)


def buckets_of(job: Job) -> int:
    """Return how many buckets a result is cut into: as its inputs of the same key, else by the size of all inputs."""
    tables = list(leaves(job.inputs.values()))
    same = [t.manifest.buckets for t in tables if t.manifest.key == tuple(job.key)]
    size = sum(t.manifest.size_bytes for t in tables)
    return max(same, default=0) or bucket_count(size, job.previous.buckets if job.previous else None)


def check_names(names: Sequence[str]) -> None:
    """Raise TaskError for columns whose names differ in case only, or not at all: SQL cannot tell them apart."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.get(name.lower())
        if other is not None:
            both = f"two columns are named '{name}'"
            differ = f"columns '{other}' and '{name}' differ in case only"
            raise TaskError(
                both if other == name else differ, help=f"give one another name: select ... as {name.lower()}_2"
            )
        seen[name.lower()] = name


def no_column(what: str, column: str, names: Iterable[str]) -> TaskError:
    """Return the error for a column that the result or the input does not have."""
    names = list(names)
    meant = near(column, names)
    return TaskError(
        f"there is no column '{column}' for the {what}",
        help=(f"did you mean '{meant}'? " if meant else "") + f"the columns are: {', '.join(names)}",
    )


def _keep(job: Job, db: Session, sql: str, text: str) -> Made:
    rows = db.stream(sql, text)
    schema = normal_schema(rows.schema)
    _check_key_types(schema, job.key)
    return Made(write_table(rows.batches, schema, job.parts), columns_of(schema))


def _check_key(db: Session, table: str, key: Sequence[str]) -> None:
    columns = ", ".join(quote(k) for k in key)
    for column in key:
        ((nulls,),) = db.rows(f"select count(*) from {quote(table)} where {quote(column)} is null")
        if nulls:
            raise null_key(column, nulls)
    again = db.rows(
        f"select {columns} from {quote(table)} group by all having count(*) > 1 order by all limit {SHOWN_KEYS}"
    )
    if again:
        raise repeated_key(key, again)


def _check_key_types(schema: pa.Schema, key: Sequence[str]) -> None:
    t = pa.types
    good = (t.is_integer, t.is_string, t.is_boolean, t.is_date, t.is_timestamp, t.is_decimal, t.is_time)
    for column in key:
        kind = schema.field(column).type
        if not any(is_one(kind) for is_one in good):
            raise TaskError(
                f"key column '{column}' has the type '{kind}', which has no text that all engines agree on",
                help="cast it to an integer, a decimal or text",
            )
