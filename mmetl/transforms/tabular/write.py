"""`tabular.write`: a table as a CSV, NDJSON or Parquet file, or a folder of them; the same bytes for the same rows."""

from __future__ import annotations

import contextlib
import itertools
import os
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.lineage import PATH, Trace
from mmetl.contracts.transform import Declaration, Job, Made, Scope, Table, View
from mmetl.engines.packages import require
from mmetl.errors import ParamError
from mmetl.utils.text import quote

Format = Literal["csv", "ndjson", "parquet"]
EXTENSIONS: dict[str, Format] = {
    ".csv": "csv",
    ".ndjson": "ndjson",
    ".jsonl": "ndjson",
    ".parquet": "parquet",
}
_attempts = itertools.count()


class WriteParams(BaseModel):
    """Params of `tabular.write`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(
        min_length=1, description="the file to write, relative to the project; with `partition_by` the folder"
    )
    format: Format | None = Field(
        default=None,
        description="csv, ndjson or parquet; default: by the path's extension, with `partition_by` parquet",
    )
    partition_by: list[str] = Field(
        default_factory=list,
        description="columns whose values name the folders of the files, such as year=2024/region=eu",
    )
    max_partitions: int = Field(default=10_000, ge=1, description="more partitions than so many are refused")
    order_by: list[str] = Field(
        default_factory=list, description="columns to sort by, `-name` for descending; default: the key, else as made"
    )
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="between the columns of a CSV file")
    header: bool = Field(default=True, description="whether a CSV file begins with the names of its columns")


class Write:
    """See the module."""

    name = "tabular.write"
    version = 2
    params = WriteParams
    packages: tuple[str, ...] = ("duckdb", "pyarrow")
    code: tuple[str, ...] = ()

    def declare(self, params: WriteParams, scope: Scope) -> Declaration:
        """Name the file. Raises ParamError without exactly one input, or when the format is not known."""
        if len(scope.inputs) != 1:
            count = len(scope.inputs) or "none"
            raise ParamError(
                f"'tabular.write' writes one input, and has {count}",
                help="write `inputs: [task]`",
                param=("inputs",) if scope.inputs else (),
            )
        kind = _format(params)
        if kind != "csv" and (params.delimiter != "," or not params.header):
            wrong = "delimiter" if params.delimiter != "," else "header"
            raise ParamError(f"'{wrong}' is for csv, and this file is {kind}", help="leave it out", param=(wrong,))
        recipe = {"format": kind, "max_partitions": None}
        if params.partition_by:
            _check_partitions(params)
            return Declaration(folder=params.path, recipe=recipe, named_inputs=False)
        return Declaration(outputs=(params.path,), recipe=recipe, named_inputs=False)

    def lineage(self, params: WriteParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield which file a row is in: see contracts.lineage."""
        from mmetl.transforms.tabular.partitions import NULL

        null = f"'{NULL}'"
        for alias in inputs:
            pairs = tuple(
                (f"url_decode(regexp_extract({PATH}, {_folder_of(c)}, 1))", f"coalesce({quote(c)}::varchar, {null})")
                for c in params.partition_by
            )
            yield Trace(alias, pairs)

    def run(self, job: Job) -> Made | None:
        """Write beside the file, then rename; of a folder's files, say where they are."""
        require("tabular", "duckdb", "pyarrow")
        if job.params.partition_by:
            return _write_folder(job)
        _write_file(job)
        return None


def _write_file(job: Job) -> None:
    from mmetl.transforms.tabular.files import write_csv, write_ndjson, write_parquet

    params: WriteParams = job.params
    (table,) = job.inputs.values()
    (target,) = job.outputs
    temp = Path(target).with_name(f".{Path(target).name}.{os.getpid()}-{next(_attempts)}.tmp")
    try:
        with _session(job, table, temp) as db:
            if _format(params) == "parquet":
                write_parquet(db, table.manifest, temp, params.order_by)
            elif _format(params) == "ndjson":
                write_ndjson(db, table.manifest, temp, params.order_by)
            else:
                write_csv(db, table.manifest, temp, params.order_by, params.delimiter, header=params.header)
        os.replace(temp, target)
    finally:
        temp.unlink(missing_ok=True)


def _write_folder(job: Job) -> Made:
    from mmetl.transforms.tabular.partitions import Partitions

    params: WriteParams = job.params
    (table,) = job.inputs.values()
    whole = job.parts.temp()
    made: dict[str, Path] = {}
    try:
        with _session(job, table, whole) as db:
            source = '"input"'
            if isinstance(table, View):  # it is read twice, and may be volatile
                source = '"__mmetl_rows"'
                db.rows(f'create temp table {source} as from "input"')
            partitions = Partitions(db, source, table.manifest, params.partition_by, params.order_by)
            found = partitions.find(params.max_partitions)
            if _format(params) == "parquet":
                partitions.parquet(found, job.parts, made)
            elif _format(params) == "ndjson":
                partitions.ndjson(found, job.parts, made, whole)
            else:
                partitions.csv(found, job.parts, made, whole, params.delimiter, header=params.header)
    except BaseException:
        for temp in made.values():
            temp.unlink(missing_ok=True)
        raise
    finally:
        whole.unlink(missing_ok=True)
    return Made((), (), files=made)


def _session(job: Job, table: Table | View, writes: Path) -> contextlib.AbstractContextManager[Any]:
    from mmetl.engines.duckdb import session
    from mmetl.transforms.tabular.exactness import reasons_below

    alone = any(reasons_below((table,)))
    return session(
        job.scratch,
        tables={"input": table},
        writes=[writes],
        threads=1 if alone else job.threads,
        memory_limit=job.memory_limit,
        canonical=alone,
        on_cancel=job.on_cancel,
    )


def _check_partitions(params: WriteParams) -> None:
    extension = os.path.splitext(params.path)[1].lower()
    if extension in EXTENSIONS:
        raise ParamError(
            f"'{params.path}' is named as a file, and with `partition_by` it is a folder",
            help=f"write `path: {params.path.removesuffix(extension)}` and `format: {EXTENSIONS[extension]}`",
            param=("path",),
        )
    for n, column in enumerate(params.partition_by):
        here = ("partition_by", n)
        if column in params.partition_by[:n]:
            raise ParamError(f"'{column}' is there twice", help="leave one out", param=here)
        if not column or column[0] in "._" or {"/", "=", "\0"} & set(column):
            raise ParamError(
                f"'{column}' cannot be part of a folder's name", help="give the column another name", param=here
            )


def _folder_of(column: str) -> str:
    """Return the pattern of the folder's name that holds a column's value, as SQL."""
    pattern = f"(?:^|/){re.escape(column)}=([^/]*)/"
    return "'" + pattern.replace("'", "''") + "'"


def _format(params: WriteParams) -> Format:
    if params.partition_by:
        return params.format or "parquet"
    kind = params.format or EXTENSIONS.get(os.path.splitext(params.path)[1].lower())
    if kind is None:
        raise ParamError(
            f"the format of '{params.path}' is not known by its extension",
            help=f"name it {', '.join(EXTENSIONS)}, or set `format`",
            param=("path",),
        )
    return kind


WRITE = Write()
