"""Rows compared: counted, paired, with numbers that may differ in their last digits."""

from __future__ import annotations

from typing import Any

import pytest

from mmetl.checks.compare import Contrast, compare

TYPES = {"id": "BIGINT", "x": "DOUBLE", "t": "VARCHAR"}


def rows(*values: tuple[Any, Any, Any]) -> list[dict[str, Any]]:
    return [dict(zip(TYPES, v, strict=True)) for v in values]


EQUAL = {
    "any order": (rows((1, 0.5, "a"), (2, 0.5, "b")), rows((2, 0.5, "b"), (1, 0.5, "a"))),
    "last digits": (rows((1, 0.3, "a")), rows((1, 0.1 + 0.2, "a"))),
    "no number": (rows((1, float("nan"), "a")), rows((1, float("nan"), "a"))),
    "null": (rows((1, None, None)), rows((1, None, None))),
    "twice": (rows((1, 1.0, "a"), (1, 1.0, "a")), rows((1, 1.0, "a"), (1, 1.0, "a"))),
    "next to nothing": (rows((1, 0.0, "a")), rows((1, 1e-17, "a"))),
}


@pytest.mark.parametrize(("expected", "found"), EQUAL.values(), ids=EQUAL.keys())
def test_equal(expected: list[Any], found: list[Any]) -> None:
    assert not compare(expected, found, TYPES, (), ordered=False)


def test_rows_are_counted() -> None:
    """One that is expected twice must be there twice, and the other way round."""
    one, two = rows((1, 1.0, "a")), rows((1, 1.0, "a"), (1, 1.0, "a"))
    assert compare(two, one, TYPES, (), ordered=False) == Contrast(one, [], [])
    assert compare(one, two, TYPES, (), ordered=False) == Contrast([], one, [])


def test_pairs_by_key() -> None:
    """Only the row with the key is meant, however many of its values differ."""
    expected, found = rows((1, 1.0, "a"), (2, 2.0, "b")), rows((2, 9.0, "z"), (3, 1.0, "a"))
    told = compare(expected, found, TYPES, ("id",), ordered=False)
    assert told.missing == rows((1, 1.0, "a"))
    assert told.unexpected == rows((3, 1.0, "a"))
    assert [(p.expected["id"], p.columns) for p in told.different] == [(2, ["x", "t"])]


def test_pairs_by_likeness() -> None:
    """Without a key, a row with most of its values is meant; one with few is another row."""
    told = compare(rows((1, 1.0, "a")), rows((1, 2.0, "a"), (9, 9.0, "z")), TYPES, (), ordered=False)
    assert (told.missing, told.unexpected) == ([], rows((9, 9.0, "z")))
    assert told.different[0].columns == ["x"]
    told = compare(rows((1, 1.0, "a")), rows((1, 2.0, "b")), TYPES, (), ordered=False)
    assert (len(told.missing), len(told.unexpected), told.different) == (1, 1, [])


def test_order() -> None:
    """It counts where it is asked for, and is told when nothing else is wrong."""
    a, b = rows((1, 1.0, "a"), (2, 1.0, "b")), rows((2, 1.0, "b"), (1, 1.0, "a"))
    assert compare(a, b, TYPES, (), ordered=True) == Contrast(moved=True)
    assert not compare(a, a, TYPES, (), ordered=True)


@pytest.mark.parametrize(
    ("kind", "a", "b"), [("DOUBLE[]", [0.3], [0.1 + 0.2]), ("STRUCT(a FLOAT)", {"a": 0.1}, {"a": 0.1 + 1e-9})]
)
def test_numbers_inside(kind: str, a: Any, b: Any) -> None:
    """They are compared as those outside are."""
    assert not compare([{"v": a}], [{"v": b}], {"v": kind}, (), ordered=False)
    assert compare([{"v": a}], [{"v": type(a)()}], {"v": kind}, (), ordered=False)


def test_exact_numbers() -> None:
    """Decimals and whole numbers have no last digits to lose."""
    assert compare([{"n": 10**15}], [{"n": 10**15 + 1}], {"n": "BIGINT"}, (), ordered=False)
