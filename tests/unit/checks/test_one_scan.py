"""The property: all checks in one query give what each gives alone, counted in plain Python."""

from __future__ import annotations

import io
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmetl.checks.evaluate import examine
from mmetl.checks.functions import Own
from mmetl.contracts.artifact import Column, Manifest, Part
from mmetl.contracts.transform import Table

Row = Mapping[str, Any]
COLUMNS = (Column("a", "int64"), Column("b", "string"))
NUMBERS = st.none() | st.integers(-3, 3)
TEXTS = st.none() | st.text("ab'%\\ ", max_size=3)
ROWS = st.lists(st.fixed_dictionaries({"a": NUMBERS, "b": TEXTS}), max_size=12)
CHECKS = st.one_of(
    st.sampled_from(["a", "b"]).map(lambda c: {"not_null": [c]}),
    st.just({"not_null": ["a", "b"]}),
    st.sampled_from([["a"], ["b"], ["b", "a"]]).map(lambda c: {"unique": c}),
    st.lists(st.integers(-3, 3), min_size=1).map(lambda v: {"accepted_values": {"column": "a", "values": v}}),
    st.lists(st.text("ab'\\", max_size=2), min_size=1).map(lambda v: {"accepted_values": {"column": "b", "values": v}}),
    st.tuples(st.integers(-3, 0), st.floats(0, 3)).map(lambda b: {"range": {"column": "a", "min": b[0], "max": b[1]}}),
    st.sampled_from(["^a", "b$", "^$", "'"]).map(lambda p: {"regex": {"column": "b", "pattern": p}}),
    st.just({"relationship": {"column": "a", "to": "other.b"}}),
    st.just({"relationship": {"column": "a", "to": "t.a"}}),
)


def failing(check: Mapping[str, Any], rows: Sequence[Row], other: Sequence[int | None]) -> int:
    """Count the rows that fail, one at a time."""
    kind, said = next(iter(check.items()))
    if kind == "not_null":
        return sum(any(row[c] is None for c in said) for row in rows)
    if kind == "unique":
        found = [tuple(row[c] for c in said) for row in rows]
        return sum(n for key, n in Counter(k for k in found if None not in k).items() if n > 1)
    values = [row[said["column"]] for row in rows if row[said["column"]] is not None]
    if kind == "accepted_values":
        return sum(v not in said["values"] for v in values)
    if kind == "range":
        return sum(not said["min"] <= v <= said["max"] for v in values)
    if kind == "regex":
        return sum(re.search(said["pattern"], v) is None for v in values)
    return 0 if said["to"] == "t.a" else sum(v not in other for v in values)


def table(folder: Path, task: str, rows: Sequence[Row], columns: tuple[Column, ...] = COLUMNS) -> Table:
    schema = pa.schema([(c.name, pa.int64() if c.type == "int64" else pa.string()) for c in columns])
    path = folder / f"{task}.parquet"
    pq.write_table(pa.Table.from_pylist(rows, schema), path)
    return Table(task, Manifest("table", (Part("x", len(rows), 1),), columns=columns), (path,))


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, other=st.lists(NUMBERS, max_size=4), checks=st.lists(CHECKS, min_size=1, max_size=6))
def test_one_scan_counts_what_python_counts(
    tmp_path: Path, rows: list[Row], other: list[int | None], checks: list[dict[str, Any]]
) -> None:
    this = table(tmp_path, "t", rows)
    there = table(tmp_path, "other", [{"b": v} for v in other], (Column("b", "int64"),))
    own = Own({}, tmp_path, io.StringIO())
    with examine(this, checks, {"other.b": there}, own, tmp_path) as seen:
        results = seen.results(100)
    expected = [failing(check, rows, other) for check in checks]
    assert [r.rows for r in results] == expected
    assert [len(r.sample) for r in results] == expected
