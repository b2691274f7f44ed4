"""Reading files: CSV, TSV, NDJSON and Parquet by DuckDB, as streams, in the order of the files' names."""

from __future__ import annotations

import codecs
import gzip
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmetl.cache.buckets import bucket_count
from mmetl.contracts.transform import Job, Made
from mmetl.engines.duckdb import Session, file_list, literal, quote, session
from mmetl.errors import TaskError
from mmetl.transforms.tabular.csv_source import CsvSource, csv_error
from mmetl.transforms.tabular.read import Format, ReadParams
from mmetl.transforms.tabular.results import no_column, store_query

_START_BYTES = 4096


def read_files(job: Job, params: ReadParams, kind: Format, files: Sequence[Path]) -> Made:
    """Read files of one format that have the same columns."""
    shown = {path: os.path.relpath(path, job.root) for path in files}
    size = sum(path.stat().st_size for path in files)
    buckets = bucket_count(size, job.previous.buckets if job.previous else None)
    with session(job.scratch, files=shown, threads=job.threads, on_cancel=job.on_cancel) as db:
        source: CsvSource | None = None
        if kind in {"csv", "tsv"}:
            source = CsvSource(params, "\t" if kind == "tsv" else ",", shown)
        try:
            sql, names = source.query(db) if source else _query(job, params, kind, shown, db)
            kept = _kept(params, names)
            columns = ", ".join(quote(name) for name in kept)
            # Rows of a file stand in an order that means something: without a key they keep it.
            return store_query(
                job, db, f"select {columns} from (\n{sql}\n)", kept, ordered=not job.key, buckets=buckets
            )
        except TaskError as error:
            raise (csv_error(error, source) if source else error) from error


def _kept(params: ReadParams, names: Sequence[str]) -> Sequence[str]:
    for column in [*params.columns, *params.types]:
        if column not in names:
            raise no_column("types" if column in params.types else "columns", column, names)
    return params.columns or names


def _query(job: Job, params: ReadParams, kind: Format, shown: Mapping[Path, str], db: Session) -> tuple[str, list[str]]:
    """Return the query over NDJSON or Parquet files, and its columns."""
    if kind == "parquet":
        _check_parquet(shown)
        sql = f"select * from read_parquet({file_list(shown)}, hive_partitioning=false)"
        found = db.columns(sql)
    else:
        if not any(path.stat().st_size for path in shown):
            raise TaskError(f"{_listed(shown)} is empty, so its columns are not known", help="write at least one row")
        _check_ndjson(shown)
        found = _ndjson_types(job, shown)
        types = ", ".join(f"{literal(name)}: {literal(type_)}" for name, type_ in found)
        sql = (
            f"select * from read_json({file_list(shown)}, format='newline_delimited', hive_partitioning=false,"
            f" columns={{{types}}})"
        )
    names = [name for name, _ in found]
    casts = ", ".join(
        f"cast({quote(n)} as {params.types[n]}) as {quote(n)}" if n in params.types else quote(n) for n in names
    )
    return f"select {casts} from ({sql})", names


def _ndjson_types(job: Job, shown: Mapping[Path, str]) -> list[tuple[str, str]]:
    """Return the columns of all rows of all files. On one thread: more could meet the columns in another order."""
    with session(job.scratch, files=shown, on_cancel=job.on_cancel) as db:
        return db.columns(
            f"select * from read_json({file_list(shown)}, format='newline_delimited', hive_partitioning=false,"
            " sample_size=-1, maximum_sample_files=2147483647, union_by_name=true)"
        )


def _check_ndjson(shown: Mapping[Path, str]) -> None:
    """Raise TaskError for a file that is one JSON array: it would be one row, or none."""
    for path, name in shown.items():
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            start = file.read(_START_BYTES).removeprefix(codecs.BOM_UTF8).lstrip()
        if start.startswith(b"["):
            raise TaskError(
                f"'{name}' is a JSON array, and not one object a line",
                help=f"write one object a line, for example by: jq -c '.[]' {name} > rows.ndjson",
            )


def _check_parquet(shown: Mapping[Path, str]) -> None:
    """Raise TaskError where a file is none, or has other columns than the first."""
    first: dict[str, str] | None = None
    for path, name in shown.items():
        try:
            columns = {f.name: str(f.type) for f in pq.read_schema(path)}
        except (pa.ArrowException, OSError) as error:
            raise TaskError(
                f"'{name}' is not a Parquet file", help="set `format` if it is one of another kind"
            ) from error
        if first is None:
            first = columns
        elif columns != first:
            raise TaskError(
                f"'{name}' has other columns than '{next(iter(shown.values()))}': {_difference(first, columns)}",
                help="read files of one schema by one task",
            )


def _difference(first: Mapping[str, str], other: Mapping[str, str]) -> str:
    gone = [f"without '{n}'" for n in first if n not in other]
    new = [f"with '{n}'" for n in other if n not in first]
    typed = [f"'{n}' is {other[n]}, not {first[n]}" for n in first if n in other and first[n] != other[n]]
    return ", ".join([*gone, *new, *typed]) or "in another order"


def _listed(shown: Mapping[Path, str]) -> str:
    return ", ".join(f"'{name}'" for name in list(shown.values())[:3])
