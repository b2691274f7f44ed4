"""`tabular.write`: a table as a CSV, NDJSON or Parquet file, the same bytes for the same rows."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.transform import Declaration, Job, Scope
from mmetl.engines.packages import require
from mmetl.errors import ParamError

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

    path: str = Field(description="the file to write, relative to the project")
    format: Format | None = Field(default=None, description="csv, ndjson or parquet; default: by the path's extension")
    order_by: list[str] = Field(
        default_factory=list, description="columns to sort by, `-name` for descending; default: the key, else as made"
    )
    delimiter: str = Field(default=",", min_length=1, max_length=1, description="between the columns of a CSV file")
    header: bool = Field(default=True, description="whether a CSV file begins with the names of its columns")


class Write:
    """See the module."""

    name = "tabular.write"
    version = 1
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
        return Declaration(outputs=(params.path,), recipe={"format": kind}, named_inputs=False)

    def run(self, job: Job) -> None:
        """Write beside the file, then rename."""
        require("tabular", "duckdb", "pyarrow")
        from mmetl.engines.duckdb import session
        from mmetl.transforms.tabular.files import write_csv, write_ndjson, write_parquet
        from mmetl.transforms.tabular.sql import reasons_below

        params: WriteParams = job.params
        (table,) = job.inputs.values()
        (target,) = job.outputs
        temp = Path(target).with_name(f".{Path(target).name}.{os.getpid()}-{next(_attempts)}.tmp")
        alone = any(reasons_below((table,)))
        try:
            with session(
                job.scratch,
                tables={"input": table},
                writes=[temp],
                threads=1 if alone else job.threads,
                memory_limit=job.memory_limit,
                canonical=alone,
                on_cancel=job.on_cancel,
            ) as db:
                if _format(params) == "parquet":
                    write_parquet(db, table.manifest, temp, params.order_by)
                elif _format(params) == "ndjson":
                    write_ndjson(db, table.manifest, temp, params.order_by)
                else:
                    write_csv(db, table.manifest, temp, params.order_by, params.delimiter, header=params.header)
            os.replace(temp, target)
        finally:
            temp.unlink(missing_ok=True)


def _format(params: WriteParams) -> Format:
    kind = params.format or EXTENSIONS.get(os.path.splitext(params.path)[1].lower())
    if kind is None:
        raise ParamError(
            f"the format of '{params.path}' is not known by its extension",
            help=f"name it {', '.join(EXTENSIONS)}, or set `format`",
            param=("path",),
        )
    return kind


WRITE = Write()
