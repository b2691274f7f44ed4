"""Which columns of its tables a query reads: seen in DuckDB's plan over tables without rows."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmetl.cache.arrow_types import arrow_schema
from mmetl.contracts.artifact import Column
from mmetl.engines.duckdb import session
from mmetl.errors import TaskError
from mmetl.utils.text import quote


def columns_read(sql: str, tables: Mapping[str, Sequence[Column]], scratch: Path) -> dict[str, tuple[str, ...]] | None:
    """Return the columns of each table that are read, in the table's order; None if the query does not fit the tables.

    Args:
        sql: one query.
        tables: name in the query -> columns.
        scratch: where a session's folder would be.
    """
    found: dict[str, set[str]] = {name: set() for name in tables}
    try:
        with session(scratch, bare=True) as db:
            for name, columns in tables.items():
                db.register("__mmetl_empty", arrow_schema(columns).empty_table())
                db.rows(f'create temp table {quote(name)} as from "__mmetl_empty"')
            plan = json.loads(db.rows(f"explain (format json)\n{sql}")[0][1])
    except TaskError:
        return None
    for table, read in _scans(plan):
        owner = [n for n in tables if table.endswith((f".{quote(n)}", f".{n}"))]
        for name in owner[:1]:
            found[name].update(read)
    return {
        name: tuple(c.name for c in columns if any(_is_of(read, c.name) for read in found[name]))
        for name, columns in tables.items()
    }


def _is_of(read: str, column: str) -> bool:
    """Tell whether what a scan reads is a column, or a field of it."""
    return read == column or read.startswith(f"{column}.")


def _scans(nodes: Iterable[Any]) -> Iterator[tuple[str, Sequence[str]]]:
    for node in nodes:
        yield from _scans(node["children"])
        said = node["extra_info"]
        if "Table" in said:
            columns = said.get("Projections") or []
            yield said["Table"], [columns] if isinstance(columns, str) else columns
