"""`dry-run --sql`: the queries as they run, families and views inside; what runs them, on how many threads, which columns they read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.harness import Project

TASKS = """\
  sales:
    matrix: {year: [2023, 2024], shop: [north]}
    transform: tabular.read
    params: {path: "${matrix:year}.csv"}
  names: {transform: tabular.read, params: {path: names.csv}}
  dear:
    matrix: {year: [2023, 2024]}
    materialize: view
    transform: tabular.sql
    inputs: {s: "sales@${matrix:year},north"}
    params: {sql: "select id, price, who from s where price > 2"}
  every: {transform: tabular.sql, inputs: [sales], params: {sql: "select year, count(*) as n, max(price) as p from sales group by year"}}
  rows: {transform: tabular.sql, inputs: [sales], params: {sql: select count(*) as n from sales}}
  joined:
    materialize: view
    transform: tabular.sql
    inputs: {d: dear, n: names}
    params: {sql: "select d.year, n.name, first(d.id) as id from d join n using (who) group by all"}
  last: {transform: tabular.sql, inputs: [joined], params: {sql: "select name from joined where year = 2024"}}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("2023.csv", "id,price,who,note\n1,5,a,x\n2,1,b,y\n")
    made.write("2024.csv", "id,price,who\n3,7,a\n4,3,b\n")
    made.write("names.csv", "who,name,more\na,Ann,\nb,Bob,\n")
    made.tasks(TASKS)
    return made


def queries(project: Project) -> dict[str, Any]:
    return {t["task"]: t["sql"] for t in project.fast("dry-run", "--sql", "--json").json()["tasks"]}


EVERY = """\
with "sales" as not materialized (
select cast('2023' as bigint) as "year", cast('north' as varchar) as "shop", * from "sales@2023,north"
union all by name select cast('2024' as bigint) as "year", cast('north' as varchar) as "shop", * from "sales@2024,north"
)
select * from (
select year, count(*) as n, max(price) as p from sales group by year
)"""


def test_a_family_is_the_union_of_its_members(project: Project) -> None:
    found = queries(project)
    assert found["every"]["query"] == EVERY
    assert found["every"]["reads"] == {"sales@2023,north": None, "sales@2024,north": None}
    assert (
        "-- reads sales@2023,north: columns are not known before it has run\n" in project.fast("dry-run", "--sql").out
    )


def test_the_columns_that_are_read(project: Project) -> None:
    """Through views and families; a filter reads too, and only what is needed counts."""
    assert project.fast("run").code == 0
    found = queries(project)
    assert found["every"]["reads"] == {"sales@2023,north": ["price"], "sales@2024,north": ["price"]}
    assert found["rows"]["reads"] == {"sales@2023,north": [], "sales@2024,north": []}
    assert found["last"]["reads"] == {
        "sales@2023,north": ["price", "who"],
        "sales@2024,north": ["price", "who"],
        "names": ["who", "name"],
    }
    text = project.fast("dry-run", "--sql").out
    assert (
        "-- reads names: who, name\n-- reads sales@2023,north: price, who\n-- reads sales@2024,north: price, who\nwith "
        in text
    )
    assert "-- reads sales@2024,north: no column, only its rows\n" in text


def test_a_view_tells_why_what_reads_it_runs_on_one_thread(project: Project) -> None:
    found = queries(project)
    assert found["last"]["single_thread"] == ["'first' takes any row of those that tie"]
    assert found["every"]["single_thread"] == []


@pytest.mark.parametrize("task", ["every", "rows", "last"])
def test_the_query_gives_what_the_run_gives(project: Project, task: str) -> None:
    assert project.fast("run").code == 0
    query = queries(project)[task]["query"]
    with duckdb.connect() as con:
        for name, file in (("sales@2023,north", "2023"), ("sales@2024,north", "2024"), ("names", "names")):
            con.execute(f"""create view "{name}" as from '{project.root}/{file}.csv'""")
        by_hand = con.execute(f"from ({query}) order by all").fetchall()
    run = project.fast("query", f"from {task} order by all", "--json").out
    assert [tuple(json.loads(line).values()) for line in run.splitlines()] == by_hand


def test_an_edit_that_no_longer_fits_leaves_the_columns_unknown(project: Project) -> None:
    assert project.fast("run").code == 0
    project.edit("pipeline.yaml", "max(price)", "max(weight)")
    assert queries(project)["every"]["reads"] == {"sales@2023,north": None, "sales@2024,north": None}


def test_what_stands_behind_a_query(empty: Project) -> None:
    """Semicolons and comments are no part of it, wherever it is put inside of another."""
    empty.tasks(
        "  a: {transform: tabular.sql, params: {sql: 'select 1 as n; -- one'}}\n"
        "  b: {transform: tabular.sql, materialize: view, params: {sql: '/* two */ select n + 1 as n from a;; /* end */ ;'}}\n"
        "  c: {transform: tabular.sql, params: {sql: 'select n + 1 as n from b; -- three'}}\n"
    )
    assert empty.run() == {"a": "ran", "b": "ran", "c": "ran"}
    assert empty.fast("show", "c", "--json").out == '{"n": 3}\n'
    empty.edit("pipeline.yaml", "-- three", "-- drei")
    assert empty.run() == {"a": "fresh", "b": "fresh", "c": "fresh"}
    found = queries(empty)
    assert found["c"]["query"] == (
        'with "b" as not materialized (\n/* two */ select n + 1 as n from a\n)\n'
        "select * from (\nselect n + 1 as n from b\n)"
    )
    assert found["c"]["reads"] == {"a": ["n"]}
