"""`document.export`: a folder of files is kept equal to a table, one file a row."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.lineage import Trace, same_rows
from mmetl.contracts.transform import Declaration, Job, Made, Scope
from mmetl.errors import ParamError, TaskError
from mmetl.items.frugal import frugal
from mmetl.transforms.document.filing import NamePattern, front_matter, json_line

if TYPE_CHECKING:
    from mmetl.contracts.transform import Table
    from mmetl.engines.files import File

ROWS = 500  # that are made into files at a time


class ExportParams(BaseModel):
    """Params of `document.export`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(min_length=1, description="a folder of its own, relative to the project")
    name: str = Field(
        "",
        description="names of the files, without extension: columns in braces, as in `{year}/{title}`; slashes make folders; default: the key",
    )
    format: Literal["md", "txt", "json"] = Field(
        "md", description="md, txt: the text of a column; json: columns as one JSON object"
    )
    content: str = Field("text", description="md, txt: the column of texts")
    front_matter: tuple[str, ...] = Field((), description="md: columns that stand as YAML at the top of the file")
    columns: tuple[str, ...] = Field((), description="json: the columns; default: all of the input")


class Export:
    """See the module. Its table is that of its input."""

    name = "document.export"
    version = 1
    grain = "item: only files of rows that are new, changed or gone are written"
    params = ExportParams
    packages: tuple[str, ...] = ()
    code: tuple[str, ...] = ()

    def declare(self, params: ExportParams, scope: Scope) -> Declaration:
        """Name the folder. Raises ParamError without exactly one input, and for params that do not fit the format."""
        if len(scope.inputs) != 1:
            raise ParamError("'document.export' needs one input: a table", help="name a task in `inputs:`")
        for param, formats in {"front_matter": ("md",), "columns": ("json",), "content": ("md", "txt")}.items():
            if param in params.model_fields_set and params.format not in formats:
                raise ParamError(
                    f"`{param}` is for {' and '.join(formats)}, and these files are {params.format}",
                    help="leave it out",
                    param=(param,),
                )
        try:
            NamePattern(params.name)
        except ValueError as error:
            raise ParamError(
                f"`name` is no pattern: {error}", help="write columns in braces: {year}/{title}", param=("name",)
            ) from error
        return Declaration(folder=params.path, kept=True)

    def lineage(self, _params: ExportParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that its rows are those of the input: see contracts.lineage."""
        return same_rows(inputs)

    def run(self, job: Job) -> Made:
        """Bring the folder up to date. Raises TaskError for an input without key, names that clash, a folder of others."""
        frugal()
        from mmetl.engines.files import FileFolder
        from mmetl.items.keeping import keep_equal, keyed_input, refuse_unknown

        table = keyed_input(job, "documents")
        params: ExportParams = job.params
        writer = _Writer(params, table)
        refuse_unknown(table, writer.columns)
        job.on_cancel(writer.stopped.set)

        def aside(path: Path) -> None:
            found = path.relative_to(job.root).as_posix()
            job.log.write(f"{found} was not written by this task: moved to {job.parts.set_aside(found)}\n")

        target = FileFolder(job.root / params.path, writer.files, aside)
        held = [c for c in writer.columns if c not in table.manifest.key]
        return keep_equal(job, target, table, held, [params.model_dump(), self.version])


class _Writer:
    """Makes files of the rows of one table.

    Attributes:
        columns: those that the files are made of.
        stopped: set when the run is interrupted.
    """

    def __init__(self, params: ExportParams, table: Table) -> None:
        key = table.manifest.key
        self._pattern = NamePattern(params.name or "/".join(f"{{{k}}}" for k in key))
        self._format, self._content = params.format, params.content
        if params.format == "json":
            self._shown = list(params.columns or (c.name for c in table.manifest.columns))
            content = self._shown
        else:
            self._shown = list(params.front_matter)
            content = [params.content, *self._shown]
        self.columns = list(dict.fromkeys([*self._pattern.columns, *content]))
        self.stopped = threading.Event()
        self._key = list(key)

    def files(self, rows: Any) -> Iterator[File]:
        """Yield the file of each row. Raises TaskError for a row that cannot be one."""
        from mmetl.engines.files import File

        for batch in _timely(rows).to_batches(max_chunksize=ROWS):
            if self.stopped.is_set():
                raise TaskError("the run was interrupted")
            for row in batch.to_pylist():
                try:
                    yield File(self._pattern.name(row, f".{self._format}"), self._bytes(row))
                except TaskError as error:
                    named = ", ".join(f"{k} {row[k]!r}" for k in self._key)
                    raise TaskError(f"{error.what} (the row of {named})", help=error.help) from error

    def _bytes(self, row: dict[str, Any]) -> bytes:
        if self._format == "json":
            return json_line(row, self._shown).encode()
        text = row[self._content]
        if not isinstance(text, str):
            what = "null" if text is None else f"no text but {type(text).__name__}"
            raise TaskError(f"'{self._content}' is {what}", help="name a column of texts in `content`")
        return (front_matter(row, self._shown) + text).encode()


def _timely(rows: Any) -> Any:
    """Return rows whose times Python can hold: it knows no nanoseconds."""
    import pyarrow as pa

    for n, column in enumerate(rows.schema):
        if pa.types.is_timestamp(column.type) and column.type.unit == "ns":
            coarse = rows.column(n).cast(pa.timestamp("us", column.type.tz), safe=False)
            rows = rows.set_column(n, column.name, coarse)
    return rows


EXPORT = Export()
