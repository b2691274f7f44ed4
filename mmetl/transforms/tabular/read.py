"""`tabular.read`: rows of CSV, TSV, JSON, Arrow, Parquet and Excel files, and of a SQLite table or query."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from mmetl.contracts.lineage import SOURCES, Trace, whole
from mmetl.contracts.transform import Declaration, Job, Made, Scope
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.transforms.tabular.reading.read_params import MAX_BAD_FRACTION, Format, ReadParams
from mmetl.transforms.tabular.types import type_problems

EXTENSIONS: dict[str, Format] = {
    ".csv": "csv",
    ".tsv": "tsv",
    ".tab": "tsv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".json": "json",
    ".arrow": "arrow",
    ".arrows": "arrow",
    ".feather": "arrow",
    ".ipc": "arrow",
    ".parquet": "parquet",
    ".xlsx": "xlsx",
    ".xlsm": "xlsx",
    ".xlsb": "xlsx",
    ".xls": "xlsx",
    ".ods": "xlsx",
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
}
PACKED = (".gz", ".bz2", ".zst")
_ALSO = {"names": ("xlsx",), "header": ("xlsx",)}
_FOR = dict.fromkeys(_ALSO, "csv, tsv and xlsx")


class Read:
    """See the module."""

    name = "tabular.read"
    version = 7
    params = ReadParams
    packages: tuple[str, ...] = ("duckdb", "pyarrow")
    code: tuple[str, ...] = ()
    filled = True  # the columns are those of the files

    def declare(self, params: ReadParams, scope: Scope) -> Declaration:
        """Name the files. Raises ParamError for params that do not go together."""
        for problem in _problems(params, scope):
            raise problem
        promise: Literal["watermark", "pure"] = "watermark" if params.watermark else "pure"
        notes = (
            "rows older than the watermark are not read again: deletions there, and of rows without a value, are not seen",
        )
        return Declaration(
            sources=tuple(params.paths),
            # Rows that a writer has committed but not yet moved into the database file lie in its journal.
            optional=tuple(f"{p}-wal" for p in params.paths) if _format(params) == "sqlite" else (),
            recipe={"format": _format(params)},
            needs=("python-calamine",) if _format(params) == "xlsx" else (),
            notes=notes if params.watermark else (),
            promise=promise,
        )

    def lineage(self, _params: ReadParams, _inputs: object, _key: object) -> Iterator[Trace]:
        """Yield that it is not kept which file a row is from: see contracts.lineage."""
        yield whole(SOURCES, "which of its files a row is from is not kept")

    def run(self, job: Job) -> Made:
        """Read the files, in the order of their names."""
        require("tabular", "duckdb", "pyarrow")
        params: ReadParams = job.params
        kind = _format(params)
        files = _files(job)
        if kind == "sqlite":
            from mmetl.transforms.tabular.reading.sqlite_source import read_sqlite

            return read_sqlite(job, params, files[0])
        from mmetl.transforms.tabular.reading.file_sources import read_files

        return read_files(job, params, kind, files)


def _format(params: ReadParams) -> Format:
    if params.format is not None:
        return params.format
    found: dict[Format | None, str] = {}
    for path in params.paths:
        name, extension = os.path.splitext(path.lower())
        extension = os.path.splitext(name)[1] if extension in PACKED else extension
        found.setdefault(EXTENSIONS.get(extension), path)
    if len(found) > 1:
        raise ParamError(
            f"the paths are of different formats: '{found.popitem()[1]}' and '{found.popitem()[1]}'",
            help="use one task for each format",
            param=("path",),
        )
    ((kind, path),) = found.items()
    if kind is None:
        raise ParamError(
            f"the format of '{path}' is not known by its extension",
            help="set `format`: csv, tsv, ndjson, json, arrow, parquet, xlsx or sqlite",
            param=("path",),
        )
    return kind


def _problems(params: ReadParams, scope: Scope) -> Iterator[ParamError]:
    """Yield what is wrong with the params, the first thing first."""
    if scope.inputs:
        yield ParamError("'tabular.read' takes no inputs", help="it reads files: move the task to `depends_on`")
    if not params.paths:
        yield ParamError("there is no path", help="name a file or a glob", param=("path",))
    kind = _format(params)
    yield from type_problems(params.types)
    for name in ("names", "delimiter", "header", "null_values", "encoding"):
        if kind not in {"csv", "tsv", *_ALSO.get(name, ())} and getattr(params, name) != ReadParams.model_fields[
            name
        ].get_default(call_default_factory=True):
            yield ParamError(
                f"'{name}' is for {_FOR.get(name, 'csv and tsv')}, and this file is {kind}",
                help="leave it out",
                param=(name,),
            )
    if params.sheet is not None and kind != "xlsx":
        yield ParamError(f"'sheet' is for xlsx, and this file is {kind}", help="leave it out", param=("sheet",))
    yield from _bad_rows_problems(params, kind)
    yield from _folder_problems(params, kind)
    if params.names and params.header:
        yield ParamError("'names' is for files without a header", help="set `header: false`", param=("names",))
    for name in ("table", "query", "watermark"):
        if kind != "sqlite" and getattr(params, name) is not None:
            yield ParamError(f"'{name}' is for SQLite, and this file is {kind}", help="leave it out", param=(name,))
    if kind == "sqlite":
        if params.schema_ != "same":
            yield ParamError("'schema' is for files, and this is SQLite", help="leave it out", param=("schema",))
        yield from _sqlite_problems(params, scope)


def _bad_rows_problems(params: ReadParams, kind: Format) -> Iterator[ParamError]:
    if params.bad_rows == "quarantine" and kind not in {"csv", "tsv", "ndjson"}:
        yield ParamError(
            f"'bad_rows' is for csv, tsv and ndjson, and this file is {kind}", help="leave it out", param=("bad_rows",)
        )
    if params.bad_rows == "fail" and params.max_bad_fraction != MAX_BAD_FRACTION:
        yield ParamError(
            "'max_bad_fraction' is for rows that are set aside",
            help="set `bad_rows: quarantine`",
            param=("max_bad_fraction",),
        )


def _folder_problems(params: ReadParams, kind: Format) -> Iterator[ParamError]:
    for n, column in enumerate(params.partition_by):
        if column.lower() in {c.lower() for c in params.partition_by[:n]}:
            yield ParamError(f"'{column}' is there twice", help="leave one out", param=("partition_by", n))
    if params.partition_by and kind == "sqlite":
        yield ParamError(
            "'partition_by' is for files, and this is SQLite", help="leave it out", param=("partition_by",)
        )
    if params.partition_by and params.bad_rows == "quarantine":
        yield ParamError(
            "'partition_by' and 'bad_rows: quarantine' do not go together",
            help="leave one out",
            param=("partition_by",),
        )


def _sqlite_problems(params: ReadParams, scope: Scope) -> Iterator[ParamError]:
    if len(params.paths) != 1 or re.search(r"[*?\[]", params.paths[0]):
        yield ParamError("a SQLite read is of one file", help="use one task for each file", param=("path",))
    if (params.table is None) == (params.query is None):
        yield ParamError(
            "a SQLite read needs a table or a query, and not both",
            help="set `table: NAME` or `query: select ...`",
            param=("query",) if params.query else (),
        )
    if params.watermark is None:
        return
    if not scope.key:
        yield ParamError(
            "a read with a watermark needs a key",
            help="set `key:` to the columns that name a row",
            param=("watermark",),
        )
    lookback = params.watermark.lookback
    if params.watermark.lookback_s is None if isinstance(lookback, str) else not lookback >= 0:
        yield ParamError(
            f"'{lookback}' is not a lookback",
            help="write a number of 0 or more, or a time such as 90s, 15m, 2h, 1d",
            param=("watermark", "lookback"),
        )


def _files(job: Job) -> Sequence[Path]:
    """Return the files of all sources, sorted by bytes. Raises TaskError when one is missing."""
    found = sorted({path for paths in job.sources.values() for path in paths}, key=os.fsencode)
    for source, paths in job.sources.items():
        missing = [p for p in paths if not p.exists()]
        if missing or not paths:
            raise TaskError(f"there is no file '{source}'", help="paths are relative to the project's folder")
    return found


READ = Read()
