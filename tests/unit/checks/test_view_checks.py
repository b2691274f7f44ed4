"""Checks of views: each kind and severity against the view's query; what a failed one leaves."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.harness import Project

KINDS = [
    # a check, rows for which it holds, rows for which it does not, what is told
    ("not_null: b", "a,b\n1,x\n", "a,b\n1,\n2,y\n", "not_null(b): 1 row"),
    ("unique: [a, b]", "a,b\n1,x\n1,y\n", "a,b\n1,x\n1,x\n", "unique(a, b): 2 rows"),
    ("accepted_values: {column: b, values: [x, y]}", "a,b\n1,x\n", "a,b\n1,z\n2,x\n", "accepted_values(b): 1 row"),
    ("range: {column: a, min: 1}", "a,b\n1,x\n", "a,b\n0,x\n", "range(a): 1 row"),
    ("regex: {column: b, pattern: '^[a-z]$'}", "a,b\n1,x\n", "a,b\n1,X\n", "regex(b): 1 row"),
    ("row_count: {min: 2}", "a,b\n1,x\n2,x\n", "a,b\n1,x\n", "row_count: the table has 1 row, expected at least 2"),
    ("relationship: {column: a, to: v.c}", "a,b\n1,x\n2,x\n", "a,b\n-3,x\n", "relationship(a): 1 row"),
    ("relationship: {column: a, to: v2.c}", "a,b\n1,x\n2,x\n", "a,b\n-3,x\n", "relationship(a): 1 row"),
    (
        "freshness: {column: at, max_age: 2000w}",
        "a,b\n9999999999,x\n",
        "a,b\n0,x\n",
        "freshness(at): the newest is 1970-01-01 00:00:00 UTC, older than 2000w",
    ),
    ("sql: select * from this where a > 5", "a,b\n1,x\n", "a,b\n9,x\n8,x\n", "sql: 2 rows"),
    (
        "schema: {a: BIGINT, b: text, c: BIGINT, at: TIMESTAMP}",
        "a,b\n1,x\n",
        "a,b\n1,1\n",
        "schema: 'b' is BIGINT, expected VARCHAR",
    ),
]


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def expecting(project: Project, expect: str) -> None:
    project.tasks(
        "  rows:\n    transform: tabular.read\n    params: {path: in.csv}\n"
        "  v2:\n    transform: tabular.sql\n    materialize: view\n    params: {sql: select abs(a) as c from rows}\n"
        "  v:\n    transform: tabular.sql\n    materialize: view\n"
        "    params: {sql: 'select *, abs(a) as c, make_timestamp(a * 1000000) as at from rows'}\n"
        f"    expect: [{{{expect}}}]\n"
        "  u:\n    transform: tabular.sql\n    params: {sql: select * from v}\n"
    )


@pytest.mark.parametrize(("expect", "good", "bad", "told"), KINDS, ids=[k[0] for k in KINDS])
def test_a_check_of_a_view(project: Project, expect: str, good: str, bad: str, told: str) -> None:
    expecting(project, expect)
    project.write("in.csv", good)
    assert project.run() == {"rows": "ran", "v2": "ran", "v": "ran", "u": "ran"}
    assert project.fast("check", "v").code == 0
    before = project.fast("show", "v", "--json").out
    project.write("in.csv", bad)
    done = project.fast("run", "--json")
    assert done.outcomes()["v"] == "failed"
    assert done.outcomes()["u"] == "blocked"
    assert done.json()["tasks"][2]["error"] == f"a check fails: {told}; mmetl check v --rows"
    assert project.fast("show", "v", "--json").out == before
    checked = project.fast("check", "v", "--rows")
    assert checked.code == 1
    assert re.match(r"the table that run \S+ made, which was not published\nfailed  ", checked.out)
    expecting(project, f"{expect}, severity: warn")
    done = project.fast("run", "--json")
    assert done.code == 0
    assert done.json()["tasks"][2]["error"] == f"expected otherwise: {told}"


def test_failing_rows_of_a_view_are_listed(project: Project) -> None:
    expecting(project, "range: {column: c, max: 5}")
    project.write("in.csv", "a,b\n-9,x\n1,y\n")
    assert project.run() == {"rows": "ran", "v2": "ran", "v": "failed", "u": "blocked"}
    found = project.fast("check", "v", "--rows", "--json").json()["checks"][0]
    assert (found["failing"], [r["a"] for r in found["rows"]]) == (1, [-9])
    # What an edited query gives is looked at anew.
    project.edit("pipeline.yaml", "abs(a) as c, ", "1 as c, ")
    assert project.run() == {"rows": "fresh", "v2": "fresh", "v": "ran", "u": "ran"}


@pytest.mark.parametrize("kind", ["not_null: b", "unique: a", "sql: select a from this"])
def test_a_view_has_no_rows_to_set_aside(project: Project, kind: str) -> None:
    expecting(project, f"{kind}, severity: quarantine")
    done = project.fast("validate")
    assert done.code == 3
    line = f"    expect: [{{{kind}, severity: quarantine}}]"
    column = line.index(" quarantine") + 2
    assert done.err.splitlines()[0] == f"pipeline.yaml:15:{column}: error: a view keeps no rows that could be set aside"
