"""A table as a folder in Hive's layout: one file for the rows that share their values in some columns."""

from __future__ import annotations

import itertools
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, NamedTuple

import pyarrow as pa

from mmetl.cache.arrow_types import normal_schema
from mmetl.cache.tables import ParquetRows, cast
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Parts
from mmetl.engines.duckdb import Session
from mmetl.errors import TaskError
from mmetl.transforms.tabular.files import csv_text, ndjson_text, order_columns
from mmetl.transforms.tabular.results import no_column
from mmetl.utils.text import quote

NULL = "__HIVE_DEFAULT_PARTITION__"
NAME_BYTES = 255  # of a folder's name
_ROW = "__mmetl_n"
_KINDS = ("int", "uint", "string", "bool", "date", "timestamp", "decimal", "time")


class Partition(NamedTuple):
    """The rows of one file: its folder, how many rows it has, and how many lines if it is CSV."""

    folder: str
    rows: int
    lines: int


class Partitions:
    """Writes the rows of `source` in partitions.

    Args:
        db: a session in which `source` can be read.
        source: a table or a view, by its quoted name; it gives the same rows each time.
        manifest: of the table: its columns, and what is known of its order.
        by: the columns whose values name the folders; they are not in the files.
        order_by: as in `tabular.write`.

    Raises:
        TaskError: if the columns do not fit.
    """

    def __init__(
        self, db: Session, source: str, manifest: Manifest, by: Sequence[str], order_by: Sequence[str]
    ) -> None:
        _check(manifest, by)
        self._db = db
        self._source = source
        self._by = by
        self._columns = [c for c in manifest.columns if c.name not in by]
        self._texts = [f"cast({quote(c)} as varchar)" for c in by]
        inner = order_columns(manifest, order_by)
        # Rows as they were made keep their order inside of a partition.
        self._numbered = f"(select *, row_number() over () as {_ROW} from {source})" if not inner else source
        self._order = ", ".join([*self._texts, *(inner or [_ROW])])

    def find(self, limit: int) -> list[Partition]:
        """Return all partitions in the order in which their rows come. Raises TaskError if there are more than `limit`."""
        keys = [f"{text} as k{n}" for n, text in enumerate(self._texts)]
        breaks = [
            f"case when contains({c}, chr(10)) then length({c}) - length(replace({c}, chr(10), '')) else 0 end"
            for c in (quote(c.name) for c in self._columns if c.type == "string")
        ]
        lines = " + ".join(f"coalesce(sum({b}), 0)" for b in breaks) or "0"
        order = ", ".join(f"k{n}" for n in range(len(keys)))
        found = self._db.rows(
            f"select {', '.join(keys)}, count(*), {lines} from {self._source} group by {order} order by {order}"
            f" limit {limit + 1}"
        )
        if len(found) > limit:
            names = ", ".join(f"'{c}'" for c in self._by)
            raise TaskError(
                f"{names} would make more than {limit} partitions",
                help="partition by columns of fewer values, or raise `max_partitions`",
            )
        return [Partition(self._folder(row[:-2]), int(row[-2]), int(row[-2] + row[-1])) for row in found]

    def parquet(self, found: Sequence[Partition], parts: Parts, made: dict[str, Path]) -> None:
        """Write a Parquet file for each partition; `made` gets each path inside the folder with its finished file."""
        columns = ", ".join(quote(c.name) for c in self._columns)
        rows = self._db.stream(f"select {columns} from {self._numbered} order by {self._order}")
        schema = normal_schema(rows.schema)
        batches = _Rows(rows.batches)
        for partition in found:
            temp = made[f"{partition.folder}/data.parquet"] = parts.temp(".parquet")
            file = ParquetRows(schema, part_row_groups=None)
            try:
                for batch in batches.take(partition.rows):
                    for _ in file.add(cast(batch, schema), lambda temp=temp: temp):
                        pass  # without a limit no file becomes full
                file.finish(lambda temp=temp: temp)
            finally:
                file.close()

    def csv(
        self,
        found: Sequence[Partition],
        parts: Parts,
        made: dict[str, Path],
        whole: Path,
        delimiter: str,
        *,
        header: bool,
    ) -> None:
        """Write CSV files; `whole` is where all rows are written first."""
        first = b""
        if header:
            empty = csv_text(self._columns, f"from {self._source} limit 0", whole, delimiter, header=True)
            self._db.rows(empty)
            first = whole.read_bytes()
        rest = f"from {self._numbered} order by {self._order}"
        self._db.rows(csv_text(self._columns, rest, whole, delimiter, header=False))
        _split(whole, [(f"{p.folder}/data.csv", p.lines) for p in found], parts, made, first)

    def ndjson(self, found: Sequence[Partition], parts: Parts, made: dict[str, Path], whole: Path) -> None:
        """Write NDJSON files; `whole` is where all rows are written first."""
        self._db.rows(ndjson_text(self._columns, f"from {self._numbered} order by {self._order}", whole))
        _split(whole, [(f"{p.folder}/data.ndjson", p.rows) for p in found], parts, made)

    def _folder(self, values: Sequence[str | None]) -> str:
        return "/".join(_segment(c, v) for c, v in zip(self._by, values, strict=True))


class _Rows:
    """A stream of batches from which so many rows after another are taken."""

    def __init__(self, batches: Iterator[pa.RecordBatch]) -> None:
        self._batches = batches
        self._left: pa.RecordBatch | None = None

    def take(self, rows: int) -> Iterator[pa.RecordBatch]:
        """Yield the next rows."""
        while rows:
            batch = next(self._batches) if self._left is None else self._left
            yield batch.slice(0, rows)
            self._left = batch.slice(rows) if batch.num_rows > rows else None
            rows -= min(rows, batch.num_rows)


def _split(
    whole: Path, found: Sequence[tuple[str, int]], parts: Parts, made: dict[str, Path], first: bytes = b""
) -> None:
    """Cut a file of all rows into one a partition: (path, lines), in their order; each begins with `first`."""
    with open(whole, "rb") as lines:
        for path, count in found:
            temp = made[path] = parts.temp()
            with open(temp, "wb") as file:
                file.write(first)
                _copy(lines, file, count)


def _copy(lines: IO[bytes], file: IO[bytes], count: int) -> None:
    file.writelines(itertools.islice(lines, count))


def _segment(column: str, value: str | None) -> str:
    """Return the name of a partition's folder, its value encoded as Arrow, Hive and DuckDB read it.

    >>> _segment("region", "a b/c")
    'region=a%20b%2Fc'
    """
    if value == NULL:
        raise TaskError(
            f"'{column}' has the text '{NULL}', which stands for null in the name of a folder", help="replace it first"
        )
    name = f"{column}={NULL if value is None else urllib.parse.quote(value, safe='')}"
    if len(name.encode()) > NAME_BYTES:
        raise TaskError(
            f"a value of '{column}' is too long for the name of a folder: {(value or '')[:40]}...",
            help="partition by another column",
        )
    return name


def _check(manifest: Manifest, by: Sequence[str]) -> None:
    columns: Mapping[str, Any] = {c.name: c for c in manifest.columns}
    for name in by:
        if name not in columns:
            raise no_column("partition", name, columns)
        kind = columns[name].type
        if "<" in kind or not kind.startswith(_KINDS):
            raise TaskError(
                f"'{name}' has the type '{kind}', whose values are no names of folders",
                help="partition by integers, texts, dates or times",
            )
    if len(columns) == len(by):
        raise TaskError("every column is in `partition_by`, so that none is left for the files", help="leave one out")
