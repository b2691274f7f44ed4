"""What differs between the rows that were expected and those that were found. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

Row = Mapping[str, Any]

DOUBLE_DIGITS = 1e-9
FLOAT_DIGITS = 1e-6
"""Relative differences that sums in another order may make; smaller ones are none."""
NEAR_ZERO = 1e-12


class Pair(NamedTuple):
    """A row that is there and differs: which columns, in the order of the table."""

    expected: Row
    found: Row
    columns: Sequence[str]


class Contrast(NamedTuple):
    """What differs.

    Attributes:
        missing: rows that were expected, and are not there.
        unexpected: rows that are there, and were not expected.
        different: rows that are there with other values.
        moved: whether only the order is another.
    """

    missing: Sequence[Row] = ()
    unexpected: Sequence[Row] = ()
    different: Sequence[Pair] = ()
    moved: bool = False

    def __bool__(self) -> bool:
        return bool(self.missing or self.unexpected or self.different or self.moved)


def compare(
    expected: Sequence[Row], found: Sequence[Row], types: Mapping[str, str], key: Sequence[str], *, ordered: bool
) -> Contrast:
    """Compare rows with the same columns.

    Rows are counted: one that is expected twice must be there twice. What is left over is told row by row: a missing and an
    unexpected row with the same key, or else with most of their values in common, are one row that differs.

    Args:
        expected: the rows that must be there.
        found: the rows that are.
        types: column -> type of DuckDB; floating numbers may differ in their last digits.
        key: the columns that name a row, if they are among the columns.
        ordered: whether the order counts.
    """
    loose = {name: _digits(kind) for name, kind in types.items()}
    missing, unexpected = _left(expected, found, loose)
    if not missing and not unexpected:
        in_order = all(_same(a, b, loose) for a, b in zip(expected, found, strict=True))
        return Contrast(moved=ordered and not in_order)
    different = []
    for one in list(missing):
        other = _partner(one, unexpected, key, loose)
        if other is not None:
            columns = [c for c in loose if not _equal(one[c], other[c], loose[c])]
            different.append(Pair(one, other, columns))
            _take(missing, one)
            _take(unexpected, other)
    return Contrast(missing, unexpected, different)


def _left(
    expected: Sequence[Row], found: Sequence[Row], loose: Mapping[str, float | None]
) -> tuple[list[Row], list[Row]]:
    """Return the rows of each side that have no equal one on the other."""
    exact = [name for name, digits in loose.items() if digits is None]
    waiting: dict[str, list[Row]] = {}
    for row in found:
        waiting.setdefault(repr([row[c] for c in exact]), []).append(row)
    missing = []
    for row in expected:
        alike = waiting.get(repr([row[c] for c in exact]), [])
        other = next((r for r in alike if _same(row, r, loose)), None)
        if other is None:
            missing.append(row)
        else:
            _take(alike, other)
    left = {id(r) for rows in waiting.values() for r in rows}
    return missing, [r for r in found if id(r) in left]


def _partner(row: Row, others: Sequence[Row], key: Sequence[str], loose: Mapping[str, float | None]) -> Row | None:
    """Return the row that is meant, with other values."""
    if key and all(k in loose for k in key):
        return next((o for o in others if all(_equal(row[k], o[k], loose[k]) for k in key)), None)
    scored = [(sum(_equal(row[c], o[c], d) for c, d in loose.items()), o) for o in others]
    best, other = max(scored, key=lambda pair: pair[0], default=(0, None))
    return other if best * 2 >= len(loose) and best else None


def _take(rows: list[Row], row: Row) -> None:
    """Remove this very row: an equal one is another."""
    del rows[next(n for n, r in enumerate(rows) if r is row)]


def _same(a: Row, b: Row, loose: Mapping[str, float | None]) -> bool:
    return all(_equal(a[c], b[c], digits) for c, digits in loose.items())


def _equal(a: Any, b: Any, digits: float | None) -> bool:
    if digits is None:
        return bool(a == b)
    if isinstance(a, float) and isinstance(b, float):
        both_nan = math.isnan(a) and math.isnan(b)
        return both_nan or math.isclose(a, b, rel_tol=digits, abs_tol=NEAR_ZERO)
    if isinstance(a, list | tuple) and isinstance(b, list | tuple):
        return len(a) == len(b) and all(_equal(x, y, digits) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict) and isinstance(b, dict):
        return a.keys() == b.keys() and all(_equal(a[k], b[k], digits) for k in a)
    return bool(a == b)


def _digits(kind: str) -> float | None:
    """Return the relative difference that values of a type may have; None where they must be equal."""
    if "FLOAT" in kind:
        return FLOAT_DIGITS
    return DOUBLE_DIGITS if "DOUBLE" in kind else None
