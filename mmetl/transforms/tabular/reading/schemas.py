"""Files of one task whose columns differ: an error that tells the difference file by file, or their union."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

from mmetl.errors import TaskError
from mmetl.transforms.tabular.reading.read_params import ReadParams
from mmetl.utils.text import quote

SHOWN_FILES = 10
TEXT = "VARCHAR"
_NOTHING = '"NULL"'
_SIGNED = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")
_UNSIGNED = ("UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_DIGITS = (3, 5, 10, 19)
_DECIMAL_DIGITS = 38
_TIMES = ("DATE", "TIMESTAMP_S", "TIMESTAMP_MS", "TIMESTAMP")
_FLOATS = ("FLOAT", "DOUBLE")
_DECIMAL = re.compile(r"DECIMAL\((\d+),(\d+)\)")


class Group(NamedTuple):
    """Files that follow each other and have the same columns.

    Attributes:
        files: what messages call them.
        source: the SQL that reads them, after `from`.
        types: column -> DuckDB's type.
        words: column -> the type in the words of the files.
    """

    files: tuple[str, ...]
    source: str
    types: Mapping[str, str]
    words: Mapping[str, str]


def one_query(groups: Sequence[Group], params: ReadParams) -> tuple[str, list[str]]:
    """Return the query over all groups, in their order, and its columns.

    Raises:
        TaskError: where they differ, and the params do not ask for their union.
    """
    if params.schema_ == "same":
        # What `types` decides may be of another type in each file.
        decided = dict.fromkeys(params.types, "")
        check_same(
            [(file, {**g.words, **{n: "" for n in decided if n in g.words}}) for g in groups for file in g.files]
        )
        types = dict(groups[0].types)
    else:
        check_case([(group.files[0], list(group.types)) for group in groups])
        types = union_of([group.types for group in groups])
    types.update({n: t for n, t in params.types.items() if n in types})
    if len(groups) == 1:
        return f"select * from {groups[0].source}", list(types)
    return " union all ".join(_as(group, types) for group in groups), list(types)


def check_same(files: Sequence[tuple[str, Mapping[str, str]]]) -> None:
    """Raise TaskError where files have other columns than the first.

    Args:
        files: the file's name, and its columns -> their types, or nothing where files have none.
    """
    name, first = files[0]
    other = [
        (file, _difference(first, columns)) for file, columns in files if list(columns.items()) != list(first.items())
    ]
    if not other:
        return
    if len(other) == 1:
        what = f"'{other[0][0]}' has other columns than '{name}': {other[0][1]}"
    else:
        lines = [f"\n  {file}: {difference}" for file, difference in other[:SHOWN_FILES]]
        more = f"\n  and {len(other) - SHOWN_FILES} more" if len(other) > SHOWN_FILES else ""
        what = f"{len(other)} of {len(files)} files have other columns than '{name}'{''.join(lines)}{more}"
    raise TaskError(what, help="set `schema: union`, or read files of one schema by one task")


def check_case(files: Sequence[tuple[str, Sequence[str]]]) -> None:
    """Raise TaskError for columns of two files that differ in case only: SQL cannot tell them apart."""
    seen: dict[str, tuple[str, str]] = {}
    for file, columns in files:
        for column in columns:
            first, where = seen.setdefault(column.lower(), (column, file))
            if first != column:
                raise TaskError(
                    f"'{where}' has a column '{first}', and '{file}' has '{column}': they differ in case only",
                    help="rename one, or read the files by tasks of their own",
                )


def union_of(schemas: Sequence[Mapping[str, str]]) -> dict[str, str]:
    """Return the columns of all schemas, as they first appear, each in a type that holds all of its values."""
    types: dict[str, str] = {}
    for schema in schemas:
        for name, kind in schema.items():
            types[name] = wider(types[name], kind) if name in types else kind
    return types


def wider(one: str, other: str) -> str:
    """Return the smallest type of DuckDB that holds the values of both without losing anything; text if no other does.

    >>> wider("INTEGER", "DOUBLE"), wider("BIGINT", "DOUBLE"), wider("DATE", "TIMESTAMP")
    ('DOUBLE', 'VARCHAR', 'TIMESTAMP')
    """
    if other in (one, _NOTHING):
        return one
    if one == _NOTHING:
        return other
    for wider_of in (_wider_integer, _wider_float, _wider_time, _wider_decimal):
        if (found := wider_of(one, other)) is not None:
            return found
    return TEXT


def _wider_integer(one: str, other: str) -> str | None:
    for family in (_SIGNED, _UNSIGNED):
        if one in family and other in family:
            return max(one, other, key=family.index)
    if other in _SIGNED:
        one, other = other, one
    if one not in _SIGNED or other not in _UNSIGNED:
        return None
    size = max(_SIGNED.index(one), _UNSIGNED.index(other) + 1)
    return _SIGNED[size] if size < len(_SIGNED) else "DECIMAL(20,0)"


def _wider_float(one: str, other: str) -> str | None:
    # A float of 64 bits holds every integer of 32.
    small = (*_SIGNED[:3], *_UNSIGNED[:3], *_FLOATS)
    return "DOUBLE" if one in small and other in small else None


def _wider_time(one: str, other: str) -> str | None:
    return "TIMESTAMP" if one in _TIMES and other in _TIMES else None


def _wider_decimal(one: str, other: str) -> str | None:
    sizes = [size for size in map(_decimal, (one, other)) if size is not None]
    if len(sizes) != 2:
        return None
    scale = max(scale for _, scale in sizes)
    digits = max(digits - scale for digits, scale in sizes) + scale
    return f"DECIMAL({digits},{scale})" if digits <= _DECIMAL_DIGITS else TEXT


def _decimal(kind: str) -> tuple[int, int] | None:
    """Return the digits, and those behind the point, that a type holds; None where it is no decimal and no integer."""
    if found := _DECIMAL.fullmatch(kind):
        return int(found[1]), int(found[2])
    if kind == "UBIGINT":
        return 20, 0
    family = _SIGNED if kind in _SIGNED else _UNSIGNED
    return (_DIGITS[family.index(kind)], 0) if kind in family else None


def _as(group: Group, types: Mapping[str, str]) -> str:
    """Return the query of a group in the columns of all."""
    columns = (_column(name, group.types.get(name), kind) for name, kind in types.items())
    return f"select {', '.join(columns)} from {group.source}"


def _column(name: str, own: str | None, kind: str) -> str:
    column = quote(name)
    if own is None:
        return f"cast(null as {kind}) as {column}"
    if own == kind:
        return column
    nested = own.endswith("]") or own.startswith(("STRUCT", "MAP"))
    return f"cast({f'to_json({column})' if nested else column} as {kind}) as {column}"


def _difference(first: Mapping[str, str], other: Mapping[str, str]) -> str:
    def told() -> Iterator[str]:
        yield from (f"without '{n}'" for n in first if n not in other)
        yield from (f"with '{n}'" for n in other if n not in first)
        yield from (f"'{n}' is {other[n]}, not {first[n]}" for n in first if n in other and first[n] != other[n])

    return ", ".join(told()) or "in another order"
