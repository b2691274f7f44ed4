"""Dates and times that Python has none for are read as DuckDB writes them."""

from __future__ import annotations

import datetime as dt

import duckdb
import pyarrow as pa
import pytest
from harness import Project
from hypothesis import given
from hypothesis import strategies as st

from mmetl.cache.python_rows import python_rows

VALUES = {
    "date 'infinity'": "infinity",
    "timestamp '-infinity'": "-infinity",
    "timestamp_s 'infinity'": "infinity",
    "timestamptz '290000-01-01 10:00:00.5'": "290000-01-01 10:00:00.500000+00:00",
    "date '0044-03-15 (BC)'": "0044-03-15 (BC)",
    "timestamp '0001-12-31 (BC)'": "0001-12-31 00:00:00 (BC)",
    "timestamp_ns '2020-01-01 00:00:00.123456789'": "2020-01-01 00:00:00.123456789",
    "{'on': date 'infinity', 'all': [null, date '2020-01-01']}": {"on": "infinity", "all": [None, dt.date(2020, 1, 1)]},
    "map {'k': date 'infinity'}": [("k", "infinity")],
    "[date '-infinity']::date[1]": ["-infinity"],
    "[row(1, 'x'), null]": [{"": 1, "_1": "x"}, None],
}


@pytest.mark.parametrize(("sql", "value"), VALUES.items(), ids=VALUES.keys())
def test_what_python_has_no_value_for_is_a_text(sql: str, value: object) -> None:
    rows = duckdb.sql(f"select {sql} as v, 1 as n union all select null, 2 order by n").to_arrow_table()
    assert python_rows(rows) == [{"v": value, "n": 1}, {"v": None, "n": 2}]


def test_nanoseconds_and_durations() -> None:
    columns = {"t": pa.array([1], pa.time64("ns")), "d": pa.array([2**62], pa.duration("s"))}
    assert python_rows(pa.table(columns)) == [{"t": "00:00:00.000000001", "d": f"{2**62} s"}]


@given(st.integers(-(10**9), 2 * 10**9))
def test_any_day(days: int) -> None:
    """The calendar is DuckDB's."""
    wanted = duckdb.execute("select (date '1970-01-01' + ?::integer)::varchar", [days]).fetchall()[0][0]
    assert str(python_rows(pa.table({"d": pa.array([days], pa.date32())}))[0]["d"]) == wanted


def test_such_rows_are_shown_asked_and_compared(empty: Project) -> None:
    """Previously each of these ended with a traceback."""
    empty.write("p.yaml", PIPELINE.format(day="infinity"))
    assert empty.fast("run", "p.yaml").code == 0
    assert empty.fast("show", "days", "--json").out == '{"day": "infinity", "at": "2020-01-01 00:00:00.000000001"}\n'
    assert empty.fast("query", "select day from days", "--csv").out == "day\ninfinity\n"
    assert empty.fast("show", "said").out.endswith("a day: infinity\n1 row\n")
    assert empty.fast("why", "days", "--key", "infinity").code == 0
    empty.write("p.yaml", PIPELINE.format(day="0044-03-15 (BC)"))
    assert empty.fast("run", "p.yaml").code == 0
    told = empty.fast("diff", "days").out
    assert "\n+ day=0044-03-15 (BC)  at=2020-01-01 00:00:00.000000001\n- day=infinity  at=2020" in told


PIPELINE = """\
version: 1
name: p
tasks:
  days:
    transform: tabular.sql
    key: [day]
    params: {{sql: "select '{day}'::date as day, '2020-01-01 00:00:00.000000001'::timestamp_ns as at"}}
  said: {{transform: cross.verbalize, inputs: [days], params: {{template: "a day: {{day}}"}}}}
"""
