"""The types that the params of `tabular.read` may name: those of DuckDB that a table can hold without losing anything."""

from __future__ import annotations

import re
from collections.abc import Iterator

from mmetl.errors import ParamError
from mmetl.utils.text import near

_TYPE = re.compile(r"[A-Za-z_][\w ,()\[\]<>\"]*")
_SHOWN = [
    "BIGINT",
    "BLOB",
    "BOOLEAN",
    "DATE",
    "DECIMAL",
    "DOUBLE",
    "FLOAT",
    "HUGEINT",
    "INTEGER",
    "JSON",
    "LIST",
    "MAP",
    "SMALLINT",
    "STRUCT",
    "TIME",
    "TIMESTAMP",
    "TIMESTAMPTZ",
    "TINYINT",
    "UBIGINT",
    "UINTEGER",
    "USMALLINT",
    "UTINYINT",
    "UUID",
    "VARCHAR",
]
_OTHERS = [
    "ARRAY",
    "BINARY",
    "BOOL",
    "BPCHAR",
    "BYTEA",
    "CHAR",
    "DATETIME",
    "DEC",
    "FLOAT4",
    "FLOAT8",
    "INT",
    "INT1",
    "INT128",
    "INT16",
    "INT2",
    "INT32",
    "INT4",
    "INT64",
    "INT8",
    "INTEGRAL",
    "LOGICAL",
    "LONG",
    "NUMERIC",
    "NVARCHAR",
    "OID",
    "REAL",
    "ROW",
    "SHORT",
    "SIGNED",
    "STRING",
    "TEXT",
    "TIMESTAMP_MS",
    "TIMESTAMP_NS",
    "TIMESTAMP_S",
    "TIMESTAMP_US",
    "UHUGEINT",
    "UINT128",
    "UINT16",
    "UINT32",
    "UINT64",
    "UINT8",
    "VARBINARY",
]
_NO_TABLE = [
    "BIGNUM",
    "BIT",
    "BITSTRING",
    "ENUM",
    "GEOMETRY",
    "INTERVAL",
    "NULL",
    "TIMETZ",
    "UNION",
    "VARIANT",
    "VARINT",
]
_LOSSY = re.compile(r"(TIME WITH TIME ZONE|BIT|BIGNUM|VARINT)(\[\d*\])*")


def type_problems(types: dict[str, str]) -> Iterator[ParamError]:
    """Yield what is wrong with types that a pipeline gives to columns."""
    for column, text in types.items():
        if (found := _problem(text.strip())) is not None:
            yield ParamError(found[0], help=found[1], param=("types", column))


def holds(kind: str) -> bool:
    """Tell whether a column of DuckDB's type keeps its meaning in a table: Arrow has no words for some.

    >>> holds("BIGINT"), holds("TIME WITH TIME ZONE[]")
    (True, False)
    """
    return _LOSSY.fullmatch(kind) is None


def _problem(text: str) -> tuple[str, str] | None:
    """Return what is wrong, and how to mend it."""
    word = re.split(r"\W", text, maxsplit=1)[0].upper()
    if word in _NO_TABLE or text.upper().startswith("TIME WITH"):
        return f"a table cannot hold the type '{text}'", "read it as VARCHAR, and cast it where it is needed"
    known = word in {*_SHOWN, *_OTHERS}
    if not known or _TYPE.fullmatch(text) is None:
        meant = None if known else near(word, _SHOWN) or near(word, _OTHERS)
        rest = "write a type of DuckDB, such as DECIMAL(10,2)"
        return f"'{text}' is not a type", f"did you mean '{meant}'? {rest}" if meant else rest
    return None
