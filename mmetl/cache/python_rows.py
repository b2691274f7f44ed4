"""Rows of Arrow as Python values: also those that Python's dates and mappings cannot hold, such as `infinity`, years BC, nanoseconds, `row(1, 2)`."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pyarrow as pa

BEYOND = (OverflowError, ValueError)  # what Arrow raises for them
INFINITE = {2**31 - 1: "infinity", 1 - 2**31: "-infinity", 2**63 - 1: "infinity", 1 - 2**63: "-infinity"}
"""DuckDB's infinite dates and times, as the numbers that they are."""

DIGITS = {"s": 0, "ms": 3, "us": 6, "ns": 9}
DAYS_OF_400_YEARS = 146_097


def python_rows(rows: pa.RecordBatch | pa.Table) -> list[dict[str, Any]]:
    """Return rows as mappings. A date or time that Python has none for is its text."""
    try:
        found: list[dict[str, Any]] = rows.to_pylist()
    except BEYOND:
        columns = [python_values(column) for column in rows.columns]
        return [dict(zip(rows.schema.names, values, strict=True)) for values in zip(*columns, strict=True)]
    return found


def python_values(column: pa.Array | pa.ChunkedArray) -> list[Any]:
    """Return the values of a column, as `python_rows` does."""
    try:
        found: list[Any] = column.to_pylist()
    except BEYOND:
        return [_value(scalar) for scalar in column]
    return found


def _value(scalar: pa.Scalar) -> Any:
    import pyarrow as pa

    try:
        return scalar.as_py()
    except BEYOND:
        if pa.types.is_struct(scalar.type):
            return _members(scalar)
        if pa.types.is_map(scalar.type):
            return [(_value(entry["key"]), _value(entry["value"])) for entry in scalar.values]
        if pa.types.is_nested(scalar.type):
            return [_value(inner) for inner in scalar.values]
        return _text(scalar)


def _members(scalar: pa.Scalar) -> dict[str, Any] | None:
    """Return the members of a struct; those without a name of their own, as of `row(1, 2)`, are numbered."""
    if not scalar.is_valid:
        return None
    found: dict[str, Any] = {}
    for number, field in enumerate(scalar.type):
        found[f"{field.name}_{number}" if field.name in found else field.name] = _value(scalar[number])
    return found


def _text(scalar: pa.Scalar) -> str:
    import pyarrow as pa

    kind, number = scalar.type, scalar.value
    if pa.types.is_duration(kind):
        return f"{number} {kind.unit}"
    if number in INFINITE and not pa.types.is_time(kind):
        return INFINITE[number]
    if pa.types.is_date32(kind):
        return _day(number)
    digits = DIGITS["ms" if pa.types.is_date64(kind) else kind.unit]
    seconds, fraction = divmod(number, 10**digits)
    days, seconds = divmod(seconds, 86_400)
    part = f".{fraction:0{digits}}" if fraction else ""
    time: str = f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}{part}"
    if pa.types.is_time(kind):
        return time
    return _day(days, "" if pa.types.is_date64(kind) else f" {time}{'+00:00' * (kind.tz is not None)}")


def _day(days: int, time: str = "") -> str:
    """Return the day that is so many days after 1970-01-01, as DuckDB writes it: 400 years are always as many days."""
    cycles, rest = divmod(days, DAYS_OF_400_YEARS)
    day = dt.date(1970, 1, 1) + dt.timedelta(rest)
    year = day.year + 400 * cycles
    return f"{year if year > 0 else 1 - year:04}-{day.month:02}-{day.day:02}{time}{' (BC)' * (year <= 0)}"
