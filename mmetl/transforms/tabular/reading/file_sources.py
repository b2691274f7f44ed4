"""Reading files by DuckDB, as streams, in the order of the files' names."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from mmetl.cache.buckets import bucket_count
from mmetl.contracts.transform import Job, Made
from mmetl.engines.duckdb import Session, session
from mmetl.errors import TaskError
from mmetl.transforms.tabular.reading.arrow_source import arrow_groups, parquet_groups
from mmetl.transforms.tabular.reading.bad_rows import RowSource, is_final, set_aside
from mmetl.transforms.tabular.reading.csv_errors import csv_error
from mmetl.transforms.tabular.reading.csv_rows import CsvRows
from mmetl.transforms.tabular.reading.csv_source import CsvSource
from mmetl.transforms.tabular.reading.folder_values import FolderValues
from mmetl.transforms.tabular.reading.json_rows import JsonRows
from mmetl.transforms.tabular.reading.json_source import declared, json_query
from mmetl.transforms.tabular.reading.packed import unpacked, without_marks
from mmetl.transforms.tabular.reading.read_params import Format, ReadParams
from mmetl.transforms.tabular.reading.schemas import Group, one_query
from mmetl.transforms.tabular.reading.xlsx_source import xlsx_groups
from mmetl.transforms.tabular.results import no_column, store_query
from mmetl.utils.text import quote

_PATH = "__mmetl_path"


def read_files(job: Job, params: ReadParams, kind: Format, files: Sequence[Path]) -> Made:
    """Read files of one format."""
    shown = unpacked(job.scratch, {path: os.path.relpath(path, job.root) for path in files})
    shown = without_marks(job.scratch, shown) if kind in {"json", "ndjson"} else shown
    size = sum(path.stat().st_size for path in shown)
    buckets = bucket_count(size, job.previous.buckets if job.previous else None)
    source = CsvSource(params, "\t" if kind == "tsv" else ",", shown) if kind in {"csv", "tsv"} else None
    with session(
        job.scratch,
        files=shown,
        threads=job.threads,
        memory_limit=job.memory_limit,
        wide=source is not None and source.is_wide,
        on_cancel=job.on_cancel,
    ) as db:
        try:
            folders = FolderValues(params.partition_by, shown.values(), params.types, db)
            sql, names = _csv(source, folders, db) if source else _query(job, params, kind, shown, folders, db)
            return _store(job, params, db, sql, names, buckets)
        except TaskError as error:
            refused = csv_error(error, source) if source else error
            if params.bad_rows == "fail" or is_final(error):
                raise refused from error
        rows: RowSource = CsvRows(db, source) if source else JsonRows(job, params, db, shown)
        try:
            sql, good_names, aside = set_aside(job, params, db, shown, rows)
            return replace(_store(job, params, db, sql, good_names, buckets), quarantine=aside)
        except TaskError as error:
            if is_final(error) or error.__cause__ is None:
                raise
            raise refused from error  # the copies of the rows are nobody's business


def _store(job: Job, params: ReadParams, db: Session, sql: str, names: Sequence[str], buckets: int) -> Made:
    kept = _kept(params, names)
    columns = ", ".join(quote(name) for name in kept)
    # Rows of a file stand in an order that means something: without a key they keep it.
    return store_query(job, db, f"select {columns} from (\n{sql}\n)", kept, ordered=not job.key, buckets=buckets)


def _kept(params: ReadParams, names: Sequence[str]) -> Sequence[str]:
    for column in [*params.columns, *params.types]:
        if column not in names:
            raise no_column("types" if column in params.types else "columns", column, names)
    return params.columns or names


def _csv(source: CsvSource, folders: FolderValues, db: Session) -> tuple[str, list[str]]:
    return source.query(db, folders.added, folders.columns) if folders.columns else source.query(db)


def _query(
    job: Job, params: ReadParams, kind: Format, shown: Mapping[Path, str], folders: FolderValues, db: Session
) -> tuple[str, list[str]]:
    """Return the query over JSON, Arrow, Parquet or Excel files, and its columns."""
    if kind in {"json", "ndjson"}:
        sql, names = json_query(job, db, shown, folders, lines=kind == "ndjson")
    else:
        groups = _groups(params, kind, shown, folders, db)
        sql, names = one_query(groups, params)
    return declared(params, names, f"({sql})"), names


def _groups(
    params: ReadParams, kind: Format, shown: Mapping[Path, str], folders: FolderValues, db: Session
) -> list[Group]:
    """Return Arrow, Parquet or Excel files as groups, with the columns that their folders give."""
    if kind == "parquet" and folders.columns and all(path.as_posix().endswith(name) for path, name in shown.items()):
        # One query for all folders: thousands of small ones would take minutes to plan.
        return [_by_path(g, folders) for g in parquet_groups(db, shown, lambda _: None, _PATH)]
    if kind == "xlsx":
        groups = xlsx_groups(db, shown, params)
    else:
        groups = (parquet_groups if kind == "parquet" else arrow_groups)(db, shown, folders.key)
    return [_in_folders(g, folders) for g in groups] if folders.columns else groups


def _in_folders(group: Group, folders: FolderValues) -> Group:
    """Return a group of files of the same folders with the columns that those give."""
    source = folders.added(group.files[0], group.source, group.types)
    return Group(group.files, source, {**group.types, **folders.types}, {**group.words, **folders.types})


def _by_path(group: Group, folders: FolderValues) -> Group:
    """Return a group of files of any folders, whose rows have their path in a column, with the columns that those give."""
    folders.refuse_own(group.files[0], group.words)
    source = f"(select * exclude ({quote(_PATH)}), {folders.of_paths(_PATH)} from {group.source})"
    own = {name: kind for name, kind in group.types.items() if name != _PATH}
    return Group(group.files, source, {**own, **folders.types}, {**group.words, **folders.types})
