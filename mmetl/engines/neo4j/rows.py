"""Rows of a graph as Neo4j's driver takes them: plain values in batches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from mmetl.contracts.graph import NAME, SOURCE, TARGET
from mmetl.engines.graph_groups import Group, Groups
from mmetl.errors import TaskError

BATCH_ROWS = 5_000
"""Rows of one statement: more are no faster, and take the server's memory."""

Row = Mapping[str, Any]

_HELD = (
    pa.types.is_boolean,
    pa.types.is_integer,
    pa.types.is_floating,
    pa.types.is_decimal,
    pa.types.is_string,
    pa.types.is_large_string,
    pa.types.is_binary,
    pa.types.is_date,
    pa.types.is_time,
    pa.types.is_timestamp,
    pa.types.is_null,
)


def properties_of(group: Group, rows: pa.Table, *others: pa.Table) -> list[str]:
    """Return the names of the columns that are properties, and that some row has; or a row of others, from which a null removes it."""
    tables = (rows, *others)
    return [
        n
        for n in rows.column_names
        if n not in _own(group) and any(n in t.column_names and t[n].null_count < t.num_rows for t in tables)
    ]


def all_properties(group: Group, rows: pa.Table) -> list[str]:
    """Return the names of the columns that are properties."""
    return [n for n in rows.column_names if n not in _own(group)]


def key_of(group: Group, row: Row) -> tuple[str, ...]:
    """Return key and ends of a row, as `key_rows` has them."""
    return tuple(row[name] for name in _own(group))


def whole_rows(group: Group, rows: pa.Table, properties: Sequence[str]) -> Iterator[list[Row]]:
    """Yield batches of rows: key, ends and properties."""
    held = _held(rows.select([*_own(group), *properties]))
    for begin in range(0, rows.num_rows, BATCH_ROWS):
        yield held.slice(begin, BATCH_ROWS).to_pylist()


def key_rows(group: Group, rows: pa.Table) -> list[tuple[str, ...]]:
    """Return key and ends of each row, as tuples in the order source, target, key."""
    return list(zip(*(rows[name].to_pylist() for name in _own(group)), strict=True))


def as_rows(group: Group, keys: Sequence[tuple[str, ...]]) -> list[Row]:
    """Return keys as rows of a statement."""
    return [dict(zip(_own(group), key, strict=True)) for key in keys]


def batches(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    """Cut rows into batches."""
    for begin in range(0, len(rows), BATCH_ROWS):
        yield rows[begin : begin + BATCH_ROWS]


def refuse_types(groups: Groups) -> None:
    """Raise TaskError for a property of a type that no node or edge can have."""
    for group, rows in groups.items():
        for field in rows.schema:
            inner = field.type
            if pa.types.is_list(inner) or pa.types.is_large_list(inner) or pa.types.is_fixed_size_list(inner):
                inner = inner.value_type
            if not any(fits(inner) for fits in _HELD) and rows[field.name].null_count < rows.num_rows:
                raise TaskError(
                    f"the property '{field.name}' of {group.label} is a {field.type}, which Neo4j has no property for",
                    help="make it a text, such as to_json(...) in SQL, or leave it out",
                )


def _own(group: Group) -> list[str]:
    return [SOURCE, TARGET, NAME] if group.is_edge else [NAME]


def _held(rows: pa.Table) -> pa.Table:
    """Return columns whose values the driver takes: decimals are floats, and times have microseconds."""
    for n, field in enumerate(rows.schema):
        wanted = None
        if pa.types.is_decimal(field.type):
            wanted = pa.float64()
        elif pa.types.is_timestamp(field.type) and field.type.unit == "ns":
            wanted = pa.timestamp("us", field.type.tz)
        elif pa.types.is_time64(field.type):
            wanted = pa.time64("us")
        if wanted is not None:
            rows = rows.set_column(n, field.name, pc.cast(rows[field.name], wanted, safe=False))
    return rows
