"""`tabular.python` by batch: the function gets so many rows at a time, cut alike however the table is stored."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator

import pyarrow as pa

from mmetl.cache.arrow_types import arrow_schema, normal_schema
from mmetl.cache.tables import cast, read_table
from mmetl.contracts.transform import Input, Job, Made, View
from mmetl.engines.duckdb import session
from mmetl.errors import TaskError
from mmetl.transforms.tabular.results import buckets_of, store_rows
from mmetl.transforms.tabular.views import view_rows
from mmetl.utils.text import quote

_SPILL = pa.ipc.IpcWriteOptions(compression="lz4")


def keep_batches(
    job: Job, table: Input, rows: int, call: Callable[[pa.Table], tuple[pa.Schema, Iterable[pa.RecordBatch]]]
) -> Made:
    """Call a function with batch after batch, and keep what it returns. One batch, and its result, is in memory.

    Args:
        job: the running task.
        table: the rows that are cut into batches.
        rows: how many a batch has; the last one has fewer. A table without rows is one batch without rows.
        call: the function; the columns of its first result hold for all.

    Raises:
        TaskError: where a result has other columns than the first, or values that do not fit their types.
    """
    with _ordered(job, table) as (schema, stream):
        results = _Results(map(call, _cut(stream, schema, rows)))
        if not job.key:
            return store_rows(job, results.schema, results, buckets=1)
        # A keyed result is sorted by DuckDB, which would call the function in threads of its own, where neither its time
        # limit nor its log reaches: so all is computed first, aside.
        job.scratch.mkdir(parents=True, exist_ok=True)
        aside = job.scratch / "batches.arrow"
        with pa.OSFile(str(aside), "wb") as sink, pa.ipc.new_stream(sink, results.schema, options=_SPILL) as writer:
            for batch in results:
                writer.write_batch(batch)
    pa.default_memory_pool().release_unused()  # before DuckDB begins to take its own
    with pa.OSFile(str(aside)) as source, pa.ipc.open_stream(source) as reader:
        return store_rows(job, reader.schema, reader, buckets=buckets_of(job))


class _Results:
    """The results of one batch after the other, as a stream of the first one's schema."""

    def __init__(self, results: Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]) -> None:
        self._first = next(results)
        self._rest = results
        self.schema = normal_schema(self._first[0])

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        yield from self._fit(1, *self._first)
        self._first = (self.schema, ())  # or the first result would stay in memory
        for number, result in enumerate(self._rest, 2):
            yield from self._fit(number, *result)

    def _fit(self, number: int, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
        if sorted(schema.names) != sorted(self.schema.names):
            had, has = ", ".join(self.schema.names), ", ".join(schema.names)
            raise TaskError(
                f"what it returned for batch {number} has other columns than before: {has}; not {had}",
                help="return the same columns for every batch, also where it has no rows",
            )
        for batch in batches:
            try:
                fitting = cast(batch, self.schema)
            except TaskError as error:
                what = f"batch {number}: {error.what}"
                raise TaskError(
                    what, help="the first batch decides the types: return columns of declared types"
                ) from error
            yield from fitting.to_batches()


@contextlib.contextmanager
def _ordered(job: Job, table: Input) -> Iterator[tuple[pa.Schema, Iterable[pa.RecordBatch]]]:
    """Open the rows of a table in an order that does not depend on how it is cut: that of its key, else its own."""
    if isinstance(table, View):
        with view_rows(table, job.scratch, threads=job.threads, on_cancel=job.on_cancel) as stream:
            yield stream.schema, stream
        return
    schema = arrow_schema(table.manifest.columns)
    if table.manifest.buckets == 1:
        yield schema, read_table(table)
        return
    order = ", ".join(quote(k) for k in table.manifest.key)
    with session(
        job.scratch,
        tables={"input": table},
        threads=job.threads,
        memory_limit=job.memory_limit,
        on_cancel=job.on_cancel,
    ) as db:
        found = db.stream(f'select * from "input" order by {order}').batches
        yield schema, (b for batch in found for b in cast(batch, schema).to_batches())


def _cut(stream: Iterable[pa.RecordBatch], schema: pa.Schema, rows: int) -> Iterator[pa.Table]:
    """Yield tables of exactly so many rows, and a last one of those that are left; at least one."""
    waiting: list[pa.RecordBatch] = []
    count = 0
    none = True
    for batch in stream:
        start = 0
        while start < batch.num_rows:
            taken = batch.slice(start, rows - count)
            waiting.append(taken)
            start, count = start + taken.num_rows, count + taken.num_rows
            if count == rows:
                yield pa.Table.from_batches(waiting).combine_chunks()
                waiting, count, none = [], 0, False
    if waiting or none:
        yield pa.Table.from_batches(waiting, schema=schema).combine_chunks()
