"""Reading a view as rows: its query is run, closed and reproducible, like that of any task."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mmetl.contracts.transform import View
from mmetl.engines.packages import require


@contextlib.contextmanager
def view_rows(
    view: View, scratch: Path, *, threads: int = 1, on_cancel: Callable[[Callable[[], None]], None] | None = None
) -> Iterator[Any]:
    """Open the rows of a view as a pyarrow.RecordBatchReader, sorted by all columns, as a table without key would be.

    Raises:
        TaskError: while the rows are read, for what the query meets.
    """
    require("tabular", "duckdb", "pyarrow", "sqlglot")
    import pyarrow as pa

    from mmetl.engines.duckdb import session
    from mmetl.transforms.tabular.exactness import reasons_below

    alone = any(reasons_below((view,)))
    with session(
        scratch, tables={"view": view}, threads=1 if alone else threads, canonical=alone, on_cancel=on_cancel
    ) as db:
        rows = db.stream('select * from "view" order by all')
        yield pa.RecordBatchReader.from_batches(rows.schema, rows.batches)
