"""The types that table artifacts hold: as Arrow schema, as text in a manifest, and what other types become."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from mmetl.contracts.artifact import Column
from mmetl.errors import TaskError

ITEM = "element"  # the one name of a list's child: Arrow says `item` when built and `element` when read, in the file's bytes

MOST_DIGITS = 38  # of a decimal

_SIMPLE = {
    "bool": "bool_",
    "int8": "int8",
    "int16": "int16",
    "int32": "int32",
    "int64": "int64",
    "uint8": "uint8",
    "uint16": "uint16",
    "uint32": "uint32",
    "uint64": "uint64",
    "halffloat": "float16",
    "float": "float32",
    "double": "float64",
    "string": "string",
    "binary": "binary",
    "date32[day]": "date32",
    "float16": "float16",  # and what people call them
    "float32": "float32",
    "float64": "float64",
    "date32": "date32",
}
_NAMED = re.compile(r'[^\W\d]\w*: |"')
_PLAIN_NAME = re.compile(r"[^\W\d]\w*")
_PARAMETERS = re.compile(
    r"timestamp\[(?P<ts>s|ms|us|ns)(?:, tz=(?P<tz>[^\]]+))?\]"
    r"|time(?P<bits>32|64)\[(?P<unit>ms|us|ns)\]"
    r"|decimal(?P<wide>128|256)\((?P<digits>\d+), (?P<scale>-?\d+)\)"
    r"|fixed_size_binary\[(?P<size>\d+)\]"
)


def normal_schema(schema: pa.Schema) -> pa.Schema:
    """Return the schema that is written for rows of this one: the same whichever engine or library made the rows.

    Columns and struct fields may be null; list values are as they are. Large, view and dictionary types become plain ones.

    Raises:
        TaskError: for a type that Parquet tables cannot hold.
    """
    return pa.schema([pa.field(f.name, _normal(f.type, f.name), nullable=True) for f in schema])


def columns_of(schema: pa.Schema) -> tuple[Column, ...]:
    """Return a normal schema as the columns of a manifest."""
    return tuple(Column(f.name, type_text(f.type), f.nullable) for f in schema)


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """Return the Arrow schema that a manifest's columns stand for."""
    return pa.schema([pa.field(c.name, parse_type(c.type), c.nullable) for c in columns])


def type_text(kind: pa.DataType) -> str:
    """Return a normal type as text. It is Arrow's own text, but for field names that would make it ambiguous.

    >>> type_text(pa.struct([("a", pa.int64()), ("b, c", pa.bool_())]))
    'struct<a: int64, "b, c": bool>'
    """
    if pa.types.is_struct(kind):
        return f"struct<{', '.join(_field_text(kind.field(i)) for i in range(kind.num_fields))}>"
    if pa.types.is_map(kind):
        return f"map<{type_text(kind.key_type)}, {type_text(kind.item_type)}>"
    if pa.types.is_fixed_size_list(kind):
        return f"fixed_size_list<{_field_text(kind.value_field)}>[{kind.list_size}]"
    if pa.types.is_list(kind):
        return f"list<{_field_text(kind.value_field)}>"
    return str(kind)


def parse_type(text: str) -> pa.DataType:
    """Return the type that `type_text` wrote, or `list<string>` and its like. Raises ValueError for other text.

    >>> parse_type("list<struct<a: list<float32>>>").value_type.field(0).type.value_type
    DataType(float)
    """
    kind, rest = _parse(text)
    if rest:
        raise ValueError(f"unexpected {rest!r} in type {text!r}")
    return kind


def _field_text(field: pa.Field) -> str:
    name = field.name if _PLAIN_NAME.fullmatch(field.name) else json.dumps(field.name, ensure_ascii=False)
    return f"{name}: {type_text(field.type)}{'' if field.nullable else ' not null'}"


def _parse(text: str) -> tuple[pa.DataType, str]:
    """Return the type at the start of the text, and the text after it."""
    if text.startswith("struct<"):
        fields, rest = _parse_fields(text[7:])
        return pa.struct(fields), rest
    if text.startswith("map<"):
        key, rest = _parse(text[4:])
        item, rest = _parse(rest.removeprefix(", "))
        return pa.map_(key, item), rest[1:]
    if text.startswith("list<"):
        child, rest = _parse_child(text[5:])
        return pa.list_(child), rest
    if text.startswith("fixed_size_list<"):
        child, rest = _parse_child(text[16:])
        size, _, rest = rest[1:].partition("]")
        return pa.list_(child, int(size)), rest
    return _parse_plain(text)


def _parse_child(text: str) -> tuple[pa.Field, str]:
    """Return the child of a list, whose name may be left out, and the text after it."""
    fields, rest = _parse_fields(text, named=False)
    if len(fields) != 1:
        raise ValueError("a list has values of one type")
    return fields[0], rest


def _parse_fields(text: str, *, named: bool = True) -> tuple[list[pa.Field], str]:
    """Return the fields up to the closing `>`, and the text after it. Not `named`: names may be left out."""
    fields: list[pa.Field] = []
    while not text.startswith(">"):
        text = text.removeprefix(", ")
        if text.startswith('"'):
            name, end = json.JSONDecoder().raw_decode(text)
            text = text[end:]
        elif named or _NAMED.match(text):
            name, _, text = text.partition(":")
            text = f":{text}"
        else:
            name = ITEM
        kind, text = _parse(text.removeprefix(": "))
        required = text.startswith(" not null")
        fields.append(pa.field(name, kind, nullable=not required))
        text = text.removeprefix(" not null")
    return fields, text[1:]


def _parse_plain(text: str) -> tuple[pa.DataType, str]:
    found = _PARAMETERS.match(text)
    if found is None:
        name = max((n for n in _SIMPLE if text.startswith(n)), key=len, default=None)
        if name is None:
            raise ValueError(f"unknown type {text!r}")
        return getattr(pa, _SIMPLE[name])(), text[len(name) :]
    rest = text[found.end() :]
    if found["ts"]:
        return pa.timestamp(found["ts"], tz=found["tz"]), rest
    if found["bits"]:
        return (pa.time32 if found["bits"] == "32" else pa.time64)(found["unit"]), rest
    if found["wide"]:
        decimal = pa.decimal128 if found["wide"] == "128" else pa.decimal256
        return decimal(int(found["digits"]), int(found["scale"])), rest
    return pa.binary(int(found["size"])), rest


def _normal(kind: pa.DataType, column: str) -> pa.DataType:  # noqa: PLR0911 - one line a kind of type
    """Return what a type is written as."""
    t = pa.types
    if isinstance(kind, pa.BaseExtensionType):
        return _normal(kind.storage_type, column)
    if t.is_dictionary(kind):
        return _normal(kind.value_type, column)
    if t.is_struct(kind) and kind.num_fields:
        fields = [kind.field(i) for i in range(kind.num_fields)]
        return pa.struct([pa.field(f.name, _normal(f.type, column), nullable=True) for f in fields])
    if t.is_map(kind):
        return pa.map_(_normal(kind.key_type, column), _normal(kind.item_type, column))
    if t.is_fixed_size_list(kind):
        return pa.list_(_item(kind.value_field, column), kind.list_size)
    if t.is_list(kind) or t.is_large_list(kind):
        return pa.list_(_item(kind.value_field, column))
    return _normal_plain(kind, column)


def _item(field: pa.Field, column: str) -> pa.Field:
    return pa.field(ITEM, _normal(field.type, column), nullable=field.nullable)


def _normal_plain(kind: pa.DataType, column: str) -> pa.DataType:
    t = pa.types
    replaced: Any = (
        pa.string()
        if t.is_large_string(kind) or t.is_string_view(kind)
        else pa.binary()
        if t.is_large_binary(kind) or t.is_binary_view(kind)
        else pa.decimal128(kind.precision, kind.scale)
        if t.is_decimal(kind) and kind.precision <= MOST_DIGITS
        else {
            pa.null(): pa.int32(),  # what DuckDB makes of a bare NULL
            pa.date64(): pa.date32(),
            pa.time32("s"): pa.time32("ms"),  # Parquet has no unit of a second
        }.get(kind, kind)
    )
    if t.is_timestamp(replaced) and replaced.unit == "s":
        return pa.timestamp("ms", tz=replaced.tz)
    # DuckDB takes no more digits, and reads such numbers from Parquet as others, without a word.
    refused = (
        t.is_decimal256,
        t.is_interval,
        t.is_duration,
        t.is_union,
        t.is_run_end_encoded,
        t.is_list_view,
        t.is_large_list_view,
        t.is_struct,
    )
    if any(is_one(replaced) for is_one in refused):
        raise TaskError(
            f"column '{column}' has the type '{replaced}', which a table cannot hold",
            help="cast it, for example to text: cast(x as varchar)",
        )
    return replaced
