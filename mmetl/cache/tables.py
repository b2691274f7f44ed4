"""Tables as parts: a stream of Arrow batches in, Parquet files out that are the same bytes for the same rows."""

from __future__ import annotations

import contextlib
from collections.abc import Container, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmetl.cache.arrow_types import arrow_schema
from mmetl.cache.encodings import FORMAT, encodings
from mmetl.cache.python_rows import python_rows
from mmetl.cache.zeros import with_plain_zeros
from mmetl.contracts.artifact import Part
from mmetl.contracts.transform import Parts, Table
from mmetl.errors import TaskError

BUCKET = "__mmetl_bucket"
"""The column that says which bucket a row belongs to, while it is on its way to a part."""

ROW_GROUP_ROWS = 122_880  # DuckDB's own size: one thread reads one row group
ROW_GROUP_BYTES = 64 << 20  # of strings and lists, so that documents of a megabyte do not fill the memory
PART_BYTES = 64 << 20
HUGE_BYTES = 16 << 20  # of one row, which then is a part of its own
PART_ROW_GROUPS = 8
READ_ROWS = 16_384
PACKED = pa.dictionary(pa.int32(), pa.string())
SHOWN_KEYS = 3


class ParquetRows:
    """Writes rows into one Parquet file after another, in row groups that do not depend on how the rows arrive.

    Args:
        schema: a normal schema; rows are cast to it.
        part_row_groups: row groups after which a file is full; None: never.
    """

    def __init__(self, schema: pa.Schema, part_row_groups: int | None = PART_ROW_GROUPS) -> None:
        self.schema = schema
        self.rows = 0
        self._part_row_groups = part_row_groups
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._waiting_bytes = 0
        self._groups = 0
        self._sink: Any = None
        self._writer: Any = None

    def add(self, rows: pa.Table, path: Any) -> Iterator[int]:
        """Take rows of the schema. Yield the rows of each file that became full; `path()` names the next."""
        own = _row_bytes(rows) if _varies(self.schema) else None
        start = 0
        if own is not None and self._part_row_groups:
            for at in pc.indices_nonzero(pc.greater(own, HUGE_BYTES)).to_pylist():
                yield from self._add(rows.slice(start, at - start), own.slice(start, at - start), path)
                yield from self._alone(rows.slice(at, 1), own[at].as_py(), path)
                start = at + 1
        yield from self._add(rows.slice(start), None if own is None else own.slice(start), path)

    def _add(self, rows: pa.Table, own: pa.Array | None, path: Any) -> Iterator[int]:
        sizes = None if own is None else pc.cumulative_sum(own)
        start, before = 0, 0
        while start < rows.num_rows:
            fit = min(ROW_GROUP_ROWS - self._waiting_rows, rows.num_rows - start)
            if sizes is not None:
                room = pa.scalar(ROW_GROUP_BYTES - self._waiting_bytes + before, pa.int64())
                fit = pc.sum(pc.less_equal(sizes.slice(start, fit), room)).as_py() or (0 if self._waiting_rows else 1)
            if fit:
                self._waiting.append(rows.slice(start, fit))
                self._waiting_rows += fit
                start += fit
                if sizes is not None:
                    self._waiting_bytes += sizes[start - 1].as_py() - before
                    before = sizes[start - 1].as_py()
            if start < rows.num_rows or self._waiting_rows == ROW_GROUP_ROWS:
                self._write_group(path)
                if self._groups == self._part_row_groups or (self._part_row_groups and self._sink.tell() >= PART_BYTES):
                    yield self.finish(path)

    def finish(self, path: Any) -> int:
        """Close the file; return its rows, 0 when there is none."""
        if self._waiting:
            self._write_group(path)
        rows, self.rows, self._groups = self.rows, 0, 0
        self.close()
        return rows

    def _alone(self, row: pa.Table, size: int, path: Any) -> Iterator[int]:
        """Write a row that is larger than all others into a file of its own, which is encoded as suits it."""
        if self._groups or self._waiting:
            yield self.finish(path)
        self._waiting, self._waiting_rows, self._waiting_bytes = [row], 1, size
        yield self.finish(path)

    def open(self, path: Any, first: pa.Table | None = None, *, huge: bool = False) -> None:
        """Open the file, even if no row follows; its columns are encoded as suits the first rows."""
        if self._writer is None:
            self._sink = pa.OSFile(str(path()), "wb")
            chosen = encodings(first, huge=huge) if first is not None else {}
            self._writer = pq.ParquetWriter(self._sink, self.schema, **{**FORMAT, **chosen})

    def close(self) -> None:
        """Close what is open, whole or not."""
        writer, sink, self._writer, self._sink = self._writer, self._sink, None, None
        if writer is not None:
            writer.close()
            sink.close()

    def _write_group(self, path: Any) -> None:
        group = pa.concat_tables(self._waiting).combine_chunks()
        self.open(path, group, huge=self._waiting_bytes > HUGE_BYTES)
        self._waiting, self._waiting_rows, self._waiting_bytes = [], 0, 0
        self._writer.write_table(group, row_group_size=group.num_rows)
        self.rows += group.num_rows
        self._groups += 1


class _PartWriter:
    """Turns the files of `ParquetRows` into parts."""

    def __init__(self, schema: pa.Schema, parts: Parts) -> None:
        self.made: list[Part] = []
        self._parts = parts
        self._files = ParquetRows(schema)
        self._temp: Any = None

    def add(self, rows: pa.Table, bucket: int) -> None:
        for count in self._files.add(rows, self._path):
            self._adopt(count, bucket)

    def finish(self, bucket: int) -> None:
        """End the bucket: its last rows become a part."""
        if count := self._files.finish(self._path):
            self._adopt(count, bucket)

    def abandon(self) -> None:
        """Remove the unfinished file."""
        self._files.close()
        if self._temp is not None:
            self._temp.unlink(missing_ok=True)

    def _path(self) -> Any:
        self._temp = self._parts.temp(".parquet")
        return self._temp

    def _adopt(self, count: int, bucket: int) -> None:
        temp, self._temp = self._temp, None
        fingerprint, size = self._parts.adopt(temp)
        self.made.append(Part(fingerprint, count, size, bucket))


def write_table(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, parts: Parts, *, bucketed: bool = False
) -> tuple[Part, ...]:
    """Write a stream of rows as parts and return them in order. The same rows give the same bytes, however batched.

    Args:
        batches: rows in their final order; at most one row group of them is held.
        schema: the normal schema (see arrow_types.normal_schema) that every part is written with.
        parts: where the parts go.
        bucketed: the batches have the column BUCKET and are sorted by it. It is not written; no part has two buckets.
    """
    writer, bucket = _PartWriter(schema, parts), 0
    try:
        for batch in batches:
            if batch.num_rows == 0:
                continue
            rows = with_plain_zeros(cast(batch, schema))
            for value, start, end in _runs(batch) if bucketed else [(0, 0, rows.num_rows)]:
                if value != bucket:
                    writer.finish(bucket)
                    bucket = value
                writer.add(rows.slice(start, end - start), bucket)
        writer.finish(bucket)
    except BaseException:
        writer.abandon()
        raise
    return tuple(writer.made)


def read_table(table: Table, columns: Sequence[str] | None = None) -> pa.RecordBatchReader:
    """Return the rows of an artifact in their order, as a stream.

    Args:
        table: the artifact; its declared schema counts also when it has no parts.
        columns: which columns to read; None: all.

    Raises:
        TaskError: while rows are read, where a part is missing or damaged.
    """
    schema = arrow_schema(table.manifest.columns)
    if columns is not None:
        schema = pa.schema([schema.field(c) for c in columns])

    def stream() -> Iterator[pa.RecordBatch]:
        for path in table.paths:
            # Without `pre_buffer` what was read of the file goes as soon as it is decoded.
            with _sound(table, path), pq.ParquetFile(path, pre_buffer=False) as file:
                for batch in file.iter_batches(READ_ROWS, columns=schema.names):
                    yield from cast(batch, schema).to_batches()

    return pa.RecordBatchReader.from_batches(schema, stream())


def read_part(table: Table, number: int, columns: Sequence[str] | None = None, packed: Container[str] = ()) -> pa.Table:
    """Return the rows of one part at once, which takes two thirds of the time that a stream of them takes.

    Args:
        table: the artifact.
        number: of the part, counted from 0.
        columns: which columns to read; None: all.
        packed: columns of text that stay numbers of their values, as dictionaries (see `repeating`).

    Raises:
        TaskError: where the part is missing or damaged.
    """
    schema = arrow_schema(table.manifest.columns)
    if columns is not None:
        schema = pa.schema([schema.field(c) for c in columns])
    kept = [name for name in schema.names if name in packed]
    for name in kept:
        schema = schema.set(schema.get_field_index(name), pa.field(name, PACKED))
    path = table.paths[number]
    with _sound(table, path), pq.ParquetFile(path, read_dictionary=kept) as file:
        return cast(file.read(schema.names, use_threads=False), schema)


def repeating(table: Table, number: int) -> frozenset[str]:
    """Return the columns of text whose values repeat, as one part tells. Raises TaskError where that is missing or damaged."""
    texts = {c.name for c in table.manifest.columns if c.type == "string"}
    path = table.paths[number]
    with _sound(table, path), pq.ParquetFile(path) as file:
        group = file.metadata.row_group(0)
        columns = [group.column(i) for i in range(group.num_columns)]
        return frozenset(c.path_in_schema for c in columns if c.has_dictionary_page and c.path_in_schema in texts)


@contextlib.contextmanager
def _sound(table: Table, path: Path) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError, KeyError) as error:
        raise TaskError(
            f"a part of '{table.task}' is missing or damaged ({path.name})",
            help="run again: its producer will make it anew",
        ) from error


def unique(batches: Iterable[pa.RecordBatch], key: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """Pass sorted batches on, and raise TaskError where a key is null or equal to the one before it."""
    last: list[pa.Array] | None = None
    for batch in batches:
        if batch.num_rows == 0:
            continue
        columns = [batch.column(k) for k in key]
        for name, column in zip(key, columns, strict=True):
            if column.null_count:
                raise null_key(name, column.null_count)
        if last is not None:
            columns = [pa.concat_arrays([a, b]) for a, b in zip(last, columns, strict=True)]
        size = len(columns[0]) - 1
        same = [pc.equal(c.slice(1), c.slice(0, size)) for c in columns]
        repeated = same[0]
        for other in same[1:]:
            repeated = pc.and_(repeated, other)
        if pc.any(repeated, min_count=0).as_py():
            rows = pa.table([c.slice(1) for c in columns], names=[str(i) for i in range(len(key))])
            found = rows.filter(repeated).group_by(rows.column_names).aggregate([])
            raise repeated_key(key, [tuple(r.values()) for r in python_rows(found.slice(0, SHOWN_KEYS))])
        last = [c.slice(len(c) - 1) for c in columns]
        yield batch


def null_key(name: str, rows: int | None = None) -> TaskError:
    """Return the error for a key column with nulls."""
    where = f" in {rows} row{'s' if rows != 1 else ''}" if rows else ""
    return TaskError(
        f"key column '{name}' is null{where}", help="a key names every row: leave such rows out, or choose another key"
    )


def repeated_key(key: Sequence[str], values: Sequence[tuple[Any, ...]]) -> TaskError:
    """Return the error for a key that several rows have."""
    shown = ", ".join("/".join(str(v) for v in value) for value in values)
    names = ", ".join(f"'{k}'" for k in key)
    return TaskError(
        f"key {names} is not unique: more than one row has {shown}",
        help="add a column to the key, or keep one row of each, for example with `select distinct on`",
    )


def cast(batch: pa.RecordBatch | pa.Table, schema: pa.Schema) -> pa.Table:
    """Return the schema's columns of a batch, in the schema's types."""
    table = pa.Table.from_batches([batch]) if isinstance(batch, pa.RecordBatch) else batch
    columns = [_cast(table.column(f.name), f) for f in schema]
    return pa.Table.from_arrays(columns, schema=schema)


def _cast(column: pa.ChunkedArray, field: pa.Field) -> pa.ChunkedArray:
    # Equality of list types does not look at the child's name, but the file's bytes do; the text shows it.
    if column.type == field.type and (not pa.types.is_nested(field.type) or str(column.type) == str(field.type)):
        return column
    if isinstance(column.type, pa.BaseExtensionType):
        column = pa.chunked_array([c.storage for c in column.chunks], column.type.storage_type)
    try:
        return column.cast(field.type)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise TaskError(
            f"column '{field.name}' does not fit its type '{field.type}': {str(error).splitlines()[0]}",
            help="give all rows of a column one type",
        ) from error


def _runs(batch: pa.RecordBatch) -> Iterator[tuple[int, int, int]]:
    """Yield (bucket, start, end) for each stretch of rows of one bucket."""
    encoded = pc.run_end_encode(batch.column(BUCKET))
    start = 0
    for bucket, end in zip(encoded.values.to_pylist(), encoded.run_ends.to_pylist(), strict=True):
        yield bucket, start, end
        start = end


def _varies(schema: pa.Schema) -> bool:
    """Tell whether rows of the schema differ in size."""
    return any(_is_varying(t) for t in schema.types)


def _is_varying(kind: pa.DataType) -> bool:
    return bool(pa.types.is_nested(kind) or pa.types.is_string(kind) or pa.types.is_binary(kind))


def _row_bytes(rows: pa.Table) -> pa.Array:
    """Return the size of each row's strings and lists, a number that depends on the row alone."""
    total = _constant(0, rows.num_rows)
    for column in rows.columns:
        if _is_varying(column.type):
            total = pc.add(total, pa.concat_arrays([_value_bytes(c) for c in column.chunks]))
    return total


def _value_bytes(values: pa.Array) -> pa.Array:
    """Return the size of each value in bytes as int64; nulls count 0."""
    t = pa.types
    if t.is_map(values.type):
        entry = pa.struct([pa.field("key", values.type.key_type, nullable=False), ("value", values.type.item_type)])
        values = values.cast(pa.list_(pa.field("entries", entry, nullable=False)))
    if t.is_string(values.type) or t.is_binary(values.type):
        return pc.fill_null(pc.cast(pc.binary_length(values), pa.int64()), 0)
    if t.is_struct(values.type):
        total = _constant(0, len(values))
        for child in values.flatten():
            total = pc.add(total, _value_bytes(child))
        return total
    if t.is_list(values.type):
        counts = pc.fill_null(pc.cast(pc.list_value_length(values), pa.int64()), 0)
        inside = _value_bytes(values.flatten())
        upto = pa.concat_arrays([_constant(0, 1), pc.cumulative_sum(inside)])
        ends = pc.cumulative_sum(counts)
        return pc.subtract(upto.take(ends), upto.take(pc.subtract(ends, counts)))
    if t.is_fixed_size_list(values.type):
        return _constant(values.type.list_size * 8, len(values))
    return _constant(8, len(values))


def _constant(number: int, size: int) -> pa.Array:
    return pa.repeat(pa.scalar(number, pa.int64()), size)
