"""Reading files by DuckDB, as streams, in the order of the files' names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmetl.cache.buckets import bucket_count
from mmetl.contracts.transform import Job, Made
from mmetl.engines.duckdb import Session, session
from mmetl.errors import TaskError
from mmetl.transforms.tabular.arrow_source import arrow_groups, parquet_groups
from mmetl.transforms.tabular.csv_source import CsvSource, csv_error
from mmetl.transforms.tabular.json_source import json_query
from mmetl.transforms.tabular.packed import unpacked
from mmetl.transforms.tabular.read import Format, ReadParams
from mmetl.transforms.tabular.results import no_column, store_query
from mmetl.transforms.tabular.schemas import one_query
from mmetl.utils.text import quote


def read_files(job: Job, params: ReadParams, kind: Format, files: Sequence[Path]) -> Made:
    """Read files of one format."""
    shown = unpacked(job.scratch, {path: os.path.relpath(path, job.root) for path in files})
    size = sum(path.stat().st_size for path in shown)
    buckets = bucket_count(size, job.previous.buckets if job.previous else None)
    with session(
        job.scratch, files=shown, threads=job.threads, memory_limit=job.memory_limit, on_cancel=job.on_cancel
    ) as db:
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
    """Return the query over JSON, Arrow or Parquet files, and its columns."""
    if kind in {"json", "ndjson"}:
        sql, names = json_query(job, shown, lines=kind == "ndjson")
    else:
        groups = parquet_groups(db, shown) if kind == "parquet" else arrow_groups(db, shown)
        sql, names = one_query(groups, params)
    casts = ", ".join(
        f"cast({quote(n)} as {params.types[n]}) as {quote(n)}" if n in params.types else quote(n) for n in names
    )
    return f"select {casts} from ({sql})", names
