"""Tables of a Ladybug database: their types and the statements that make and fill them. Pure text."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from mmetl.contracts.graph import NAME
from mmetl.engines.cypher import quoted
from mmetl.errors import TaskError

_PLAIN = {
    "bool": "BOOL",
    "int8": "INT8",
    "int16": "INT16",
    "int32": "INT32",
    "int64": "INT64",
    "uint8": "UINT8",
    "uint16": "UINT16",
    "uint32": "UINT32",
    "uint64": "UINT64",
    "float": "FLOAT",
    "double": "DOUBLE",
    "string": "STRING",
    "binary": "BLOB",
    "date32[day]": "DATE",
    "timestamp[s]": "TIMESTAMP_SEC",
    "timestamp[ms]": "TIMESTAMP_MS",
    "timestamp[us]": "TIMESTAMP",
    "timestamp[ns]": "TIMESTAMP_NS",
    "duration[us]": "INTERVAL",
}
WITH_ZONE = "TIMESTAMP_TZ"
ALIKE_IN_FILES = {
    *("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "float", "double"),
    *("string", "binary", "date32[day]", "timestamp[us]", "timestamp[us, tz=UTC]"),
}
"""Types that the engine reads from a Parquet file as it takes them from Arrow."""

_DIGITS = 38  # of a decimal, at most


def type_of(kind: pa.DataType, what: str) -> str:  # noqa: PLR0911 - one line a kind of type
    """Return the type of a property. Raises TaskError for one that Ladybug does not have.

    Args:
        kind: the type of its column.
        what: the property, for the message.

    >>> type_of(pa.list_(pa.decimal128(9, 2)), "x")
    'DECIMAL(9, 2)[]'
    """
    t = pa.types
    if t.is_timestamp(kind) and kind.tz is not None:
        return WITH_ZONE
    if str(kind) in _PLAIN:
        return _PLAIN[str(kind)]
    if t.is_decimal(kind) and kind.precision <= _DIGITS:
        return f"DECIMAL({kind.precision}, {kind.scale})"
    if t.is_fixed_size_list(kind):
        return f"{type_of(kind.value_type, what)}[{kind.list_size}]"
    if t.is_list(kind):
        return f"{type_of(kind.value_type, what)}[]"
    if t.is_struct(kind) and kind.num_fields:
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return f"STRUCT({', '.join(f'{quoted(f.name)} {type_of(f.type, what)}' for f in fields)})"
    if t.is_map(kind):
        return f"MAP({type_of(kind.key_type, what)}, {type_of(kind.item_type, what)})"
    raise TaskError(
        f"the property '{what}' is of the type {kind}, which Ladybug does not have", help="cast it to text before"
    )


def create_node_table(label: str, properties: Mapping[str, str]) -> str:
    """Return the statement that makes the table of a label; `properties` are their types."""
    return f"CREATE NODE TABLE {quoted(label)}({_columns(properties)}, PRIMARY KEY({quoted(NAME)}))"


def create_edge_table(type_: str, ends: Sequence[tuple[str, str]], properties: Mapping[str, str]) -> str:
    """Return the statement that makes the table of a type of edges; `ends` are the labels that it joins."""
    pairs = ", ".join(f"FROM {quoted(a)} TO {quoted(b)}" for a, b in ends)
    return f"CREATE REL TABLE {quoted(type_)}({pairs}, {_columns(properties)})"


def copy_nodes(label: str) -> str:
    """Return the statement that fills the table of a label, which is empty."""
    return f"COPY {quoted(label)} FROM $rows"


def copy_edges(type_: str, source: str, target: str) -> str:
    """Return the statement that takes all edges of a type between two labels."""
    return f"COPY {quoted(type_)} FROM $rows (from='{source}', to='{target}')"


def _columns(properties: Mapping[str, str]) -> str:
    return ", ".join(f"{quoted(name)} {kind}" for name, kind in {NAME: "STRING", **properties}.items())
