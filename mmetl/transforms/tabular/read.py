"""`tabular.read`: rows of CSV, TSV, JSON, Arrow, Parquet and Excel files, and of a SQLite table or query."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.lineage import SOURCES, Trace, whole
from mmetl.contracts.transform import Declaration, Job, Made, Scope
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.transforms.tabular.types import type_problems
from mmetl.utils.time import seconds_of

Format = Literal["csv", "tsv", "ndjson", "json", "arrow", "parquet", "xlsx", "sqlite"]
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
MAX_BAD_FRACTION = 0.01  # a wrong delimiter or a wrong type spoils nearly all rows, a writer's mishap few
_ALSO = {"names": ("xlsx",), "header": ("xlsx",)}
_FOR = dict.fromkeys(_ALSO, "csv, tsv and xlsx")
_DURATION = re.compile(r"(\d+(?:\.\d+)?) ?(s|m|h|d|w)")


class Watermark(BaseModel):
    """How a table that grows is read on from where the last read ended."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    column: str = Field(description="a column that grows with each new or changed row")
    lookback: float | int | str = Field(
        default=0,
        description="how far before the last value to read again: where the column holds numbers a number in its unit,"
        " where it holds times as text a time such as 90s, 15m, 2h, 1d",
    )

    @property
    def lookback_s(self) -> float | None:
        """The lookback in seconds, or None when it is a number in the column's own unit."""
        found = _DURATION.fullmatch(self.lookback) if isinstance(self.lookback, str) else None
        return seconds_of(found[0]) if found else None


class ReadParams(BaseModel):
    """Params of `tabular.read`."""

    model_config = ConfigDict(extra="forbid", frozen=True, serialize_by_alias=True)

    path: str | list[str] = Field(description="a file, a glob or a list of them, relative to the project")
    format: Format | None = Field(
        default=None,
        description="csv, tsv, ndjson, json, arrow, parquet, xlsx or sqlite; default: by the path's extension",
    )
    schema_: Literal["same", "union"] = Field(
        default="same",
        alias="schema",
        description="whether files of other columns are refused, or make up one table of all columns: null where one is"
        " missing, and in a type that holds the values of all files, else text",
    )
    types: dict[str, str] = Field(
        default_factory=dict,
        description="column: DuckDB type, where it should not be what the values suggest; a cast as in SQL: 1.25 as INTEGER"
        " is 1, and what cannot be cast is an error",
    )
    columns: list[str] = Field(default_factory=list, description="columns to keep, in this order; default: all")
    partition_by: list[str] = Field(
        default_factory=list,
        description="columns whose values are in the names of the folders, such as year=2024/region=eu: what"
        " `tabular.write` with `partition_by` has written",
    )
    names: list[str] = Field(
        default_factory=list, description="names of all columns, for csv, tsv and xlsx without a header"
    )
    delimiter: str | None = Field(
        default=None, min_length=1, max_length=1, description="between columns; default: a comma, in tsv a tab"
    )
    header: bool = Field(
        default=True, description="whether a csv, tsv or xlsx file begins with the names of its columns"
    )
    null_values: list[str] = Field(
        default_factory=list, description="texts that mean null in csv and tsv, beside nothing"
    )
    encoding: Literal["utf-8", "latin-1", "utf-16"] = Field(default="utf-8", description="of csv and tsv files")
    bad_rows: Literal["fail", "quarantine"] = Field(
        default="fail",
        description="whether a row of a csv, tsv or ndjson file that cannot be read fails the task, or is set aside, to be"
        " looked at with `mmetl quarantine show`",
    )
    max_bad_fraction: float = Field(
        default=MAX_BAD_FRACTION,
        ge=0,
        le=1,
        description="the share of all rows that `bad_rows: quarantine` may set aside; more fail the task",
    )
    sheet: Annotated[int, Field(ge=1)] | str | None = Field(
        default=None, description="of an xlsx file: its name, or its number from 1; default: the first"
    )
    table: str | None = Field(default=None, description="the table to read, of a SQLite file")
    query: str | None = Field(default=None, description="a SELECT to read, in SQLite's own SQL")
    watermark: Watermark | None = Field(
        default=None, description="read only rows that are new since the last run; SQLite with a key only"
    )

    @property
    def paths(self) -> list[str]:
        """The paths as a list."""
        return [self.path] if isinstance(self.path, str) else self.path


class Read:
    """See the module."""

    name = "tabular.read"
    version = 6
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
            from mmetl.transforms.tabular.sqlite_source import read_sqlite

            return read_sqlite(job, params, files[0])
        from mmetl.transforms.tabular.file_sources import read_files

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
