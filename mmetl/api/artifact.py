"""What a task made, as something to work with: nothing is read before it is asked for."""

from __future__ import annotations

import datetime as dt
import itertools
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmetl.api.cypher import cypher
from mmetl.api.html import Head, html_table
from mmetl.api.query import query
from mmetl.api.rows import SHOWN, Answer, Rows, closed
from mmetl.cache.lock import reading
from mmetl.cache.python_rows import python_rows
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Table
from mmetl.core.looking.find import find_task
from mmetl.core.project import Project
from mmetl.core.running.inputs import current_input
from mmetl.engines.packages import require
from mmetl.errors import UsageError

if TYPE_CHECKING:
    import pyarrow as pa

Opened = Callable[[], AbstractContextManager[Project]]
"""Opens the project anew: what another run changed since is seen."""


class Artifact(Rows):
    """The current artifact of one task: always what the last run left, also if that is another than a moment ago.

    Args:
        opened: opens the project.
        pipeline: the pipeline's name.
        task: the task's short name.
    """

    def __init__(self, opened: Opened, pipeline: str, task: str) -> None:
        self._opened = opened
        self.pipeline = pipeline
        self.task = task

    # --- what it is

    @property
    def kind(self) -> str:
        """`table`, `view` or `files`."""
        return self._manifest().kind

    @property
    def key(self) -> tuple[str, ...]:
        """The columns that name a row; empty without a key."""
        return self._manifest().key

    @property
    def schema(self) -> pa.Schema:
        """The columns, as Arrow types."""
        require("tabular", "pyarrow")
        from mmetl.cache.arrow_types import arrow_schema

        return arrow_schema(self._table_manifest().columns)

    @property
    def rows(self) -> int:
        """How many rows there are. A view is asked for them."""
        manifest = self._table_manifest()
        return manifest.rows if manifest.kind == "table" else int(self.to_arrow().num_rows)

    @property
    def paths(self) -> list[Path]:
        """The Parquet files of a table, which nobody may write to; the files that a task wrote. None for a view."""
        with self._opened() as project:
            manifest, parts = project.artifact(find_task(project, self._name)[0], self.task)
            return [project.root / p.path for p in manifest.parts] if manifest.kind == "files" else parts

    @property
    def path(self) -> Path:
        """The one file that the task wrote. Raises UsageError if there are several, or it made a table."""
        paths = self.paths
        if self.kind != "files" or len(paths) != 1:
            raise UsageError(f"'{self.task}' has not written one file", help="see paths")
        return paths[0]

    @property
    def built(self) -> dt.datetime:
        """When it was built or restored, UTC."""
        return dt.datetime.fromtimestamp(int(self._record()[0]) / 1000, dt.UTC)

    @property
    def run_id(self) -> str:
        """The run that built or restored it."""
        return self._record()[1]

    # --- its rows

    def to_arrow(self, columns: Sequence[str] | None = None) -> pa.Table:
        """Return the rows as a pyarrow Table, in the order in which they are kept: of a keyed table, by bucket, then key.

        Args:
            columns: which columns to read; None: all.

        Raises:
            UsageError: if the task has no artifact yet, or it is files; for a column that is not there.
        """
        import pyarrow as pa

        names = [c.name for c in self._table_manifest().columns]
        unknown = [c for c in columns or () if c not in names]
        if unknown:
            raise UsageError(f"'{self.task}' has no column '{unknown[0]}'", help=f"columns: {', '.join(names)}")
        with self._batches(columns) as reader:
            return pa.Table.from_batches(list(reader), reader.schema)

    def sql(self, sql: str) -> Answer:
        """Run a query over the project's artifacts; see `Project.sql`."""
        with self._opened() as project, query(project, sql) as rows:
            return Answer(closed(rows))

    def cypher(self, query: str, parameters: Mapping[str, Any] | None = None) -> Answer:
        """Run a query over the graph of this task, which has `graph.load`, in the database that it is kept in. It only reads.

        Args:
            query: in Cypher.
            parameters: values of its `$names`; they are bound, never pasted into it.

        Raises:
            UsageError: for a query that is wrong or would change the graph, with the place in it; for another task.
        """
        with (
            self._opened() as project,
            cypher(project, find_task(project, self._name)[0], self.task, query, parameters) as answer,
        ):
            return Answer(answer.table())

    def head(self, limit: int = SHOWN) -> Head:
        """Return the first rows; no more than these are read."""
        manifest = self._table_manifest()
        with self._batches() as reader:
            rows = itertools.islice((row for batch in reader for row in python_rows(batch)), limit)
            return Head(tuple(reader.schema.names), tuple(rows), manifest.rows or self.rows)

    def __repr__(self) -> str:
        return f"Artifact({self._name!r})"

    def _repr_html_(self) -> str:
        notes = [f"built {self.built:%Y-%m-%d %H:%M:%S} UTC by run {self.run_id}"]
        if self.kind == "files":
            files = [{"file": str(p)} for p in self.paths]
            return html_table(Head(("file",), tuple(files), len(files)), self._name, notes)
        return html_table(self.head(), self._name, notes)

    # --- how

    @property
    def _name(self) -> str:
        return f"{self.pipeline}:{self.task}"

    def _manifest(self) -> Manifest:
        with self._opened() as project:
            return project.artifact(find_task(project, self._name)[0], self.task)[0]

    def _table_manifest(self) -> Manifest:
        manifest = self._manifest()
        if manifest.kind == "files":
            raise UsageError(f"'{self.task}' writes files, it has no rows", help="see paths")
        return manifest

    def _record(self) -> tuple[int, str]:
        with self._opened() as project:
            sql = "select built_ms, run_id from tasks where pipeline = ? and task = ?"
            found = project.store.rows(sql, (self.pipeline, self.task))
        if not found:
            raise UsageError(f"'{self.task}' has no artifact yet", help=f"mmetl run --select +{self.task}")
        return (found[0][0], found[0][1])

    @contextmanager
    def _batches(self, columns: Sequence[str] | None = None) -> Iterator[pa.RecordBatchReader]:
        """Open the rows as a stream; garbage collection leaves them until the block ends."""
        require("tabular", "duckdb", "pyarrow")
        from mmetl.cache.tables import read_table

        with self._opened() as project, reading(project.store.folder):
            found = current_input(project, find_task(project, self._name)[0], self.task)
            if isinstance(found, Table):
                yield read_table(found, columns)
                return
            from mmetl.transforms.tabular.views import view_rows

            with (
                tempfile.TemporaryDirectory(prefix="mmetl-view-") as scratch,
                view_rows(found, Path(scratch)) as reader,
            ):
                yield _some(reader, columns) if columns is not None else reader


def _some(reader: pa.RecordBatchReader, columns: Sequence[str]) -> pa.RecordBatchReader:
    import pyarrow as pa

    schema = pa.schema([reader.schema.field(c) for c in columns])
    return pa.RecordBatchReader.from_batches(schema, (batch.select(list(columns)) for batch in reader))
