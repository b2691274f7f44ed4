"""Rows that a person wrote in YAML, as a table: each value becomes what the column's type makes of its text."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from mmetl.cache.python_rows import python_rows
from mmetl.contracts.transform import Input, Job
from mmetl.engines.duckdb import Session, session
from mmetl.errors import CellError, TaskError
from mmetl.transforms.tabular.python import whole_table
from mmetl.utils.text import quote

Written = Sequence[Mapping[str, Any]]
"""Rows as YAML has them."""
TEXTS = frozenset({"VARCHAR", "TEXT", "STRING"})


class Found(NamedTuple):
    """The rows that a task made.

    Attributes:
        types: column -> type of DuckDB, in order.
        rows: in the order of the table.
    """

    types: Mapping[str, str]
    rows: Sequence[Mapping[str, Any]]


def typed_table(rows: Written, types: Mapping[str, str], scratch: Path) -> pa.Table:
    """Return rows as an Arrow table.

    Args:
        rows: as written; a column that one does not name is null in it.
        types: column -> type of DuckDB. They come first; columns without a type have that of their values.
        scratch: a folder of DuckDB's.

    Raises:
        CellError: for a value that does not fit.
    """
    names = list(dict.fromkeys([*types, *(name for row in rows for name in row)]))
    lower = {name.lower(): name for name in reversed(names)}
    for n, row in enumerate(rows):
        for name in row:
            if lower[name.lower()] != name:
                what = f"columns '{lower[name.lower()]}' and '{name}' differ in case only"
                raise CellError(what, n, name, "write a column in one way")
    with session(scratch, threads=1) as db:
        columns = {name: _column(db, name, rows, types.get(name)) for name in names}
    return pa.table(columns)


def found_rows(table: Input, job: Job) -> Found:
    """Return the rows of what a task made. A keyed table comes in the order of its key.

    Raises:
        TaskError: where a view cannot be computed.
    """
    rows = whole_table(job, table)
    with session(job.scratch, threads=1) as db:
        db.register("found", rows)
        return Found(dict(db.columns("from found")), python_rows(rows))


def _column(db: Session, name: str, rows: Written, kind: str | None) -> pa.Array:
    values = [row.get(name) for row in rows]
    if kind is None:
        return _inferred(name, values)
    nested = all(isinstance(v, list | dict) for v in values if v is not None)
    texts = [v if v is None or isinstance(v, str) else json.dumps(v, ensure_ascii=False) for v in values]
    try:
        return _cast(db, texts, kind, nested=nested)
    except TaskError as error:
        for n, text in enumerate(texts):
            try:
                _cast(db, [text], kind, nested=nested)
            except TaskError as why:
                raise _misfit(name, n, values[n], kind, why) from error
        raise


def _cast(db: Session, texts: Sequence[str | None], kind: str, *, nested: bool) -> pa.Array:
    """Return texts as values of a type; as JSON, lists and structs lose nothing, whatever signs their texts have."""
    db.register("written", pa.table({"t": pa.array(texts, pa.string())}))
    text = "cast(t as json)" if nested and kind.strip().upper() not in TEXTS else "t"
    rows = db.stream(f"select cast({text} as {kind}) as v from written")
    return pa.Table.from_batches(list(rows.batches), rows.schema).column(0).combine_chunks()


def _inferred(name: str, values: Sequence[Any]) -> pa.Array:
    kinds = {type(v) for v in values} - {type(None)}
    if len(kinds) > 1 and not kinds <= {int, float}:
        first = next(v for v in values if v is not None)
        n = next(n for n, v in enumerate(values) if v is not None and type(v) is not type(first))
        raise CellError(
            f"'{name}' has values of several types", n, name, f"give the column a type: columns: {{{name}: VARCHAR}}"
        )
    try:
        return pa.array([float(v) if kinds == {int, float} and v is not None else v for v in values])
    except (pa.ArrowException, OverflowError, TypeError, ValueError) as error:
        n = next((n for n, v in enumerate(values) if v is not None), 0)
        help_ = f"give the column a type: columns: {{{name}: ...}}"
        raise CellError(f"the values of '{name}' have no one type: {error}", n, name, help_) from error


def _misfit(name: str, row: int, value: Any, kind: str, why: TaskError) -> CellError:
    said = f"'{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return CellError(f"'{name}' is {said}, which is no {kind}", row, name, why.help)


def wrong_types(types: Mapping[str, str], scratch: Path) -> Iterator[tuple[str, TaskError]]:
    """Yield the columns whose type is none, each with what DuckDB says."""
    with session(scratch, threads=1) as db:
        for name, kind in types.items():
            try:
                db.columns(f"select cast(null as {kind}) as {quote(name)}")
            except TaskError as error:
                yield name, error
