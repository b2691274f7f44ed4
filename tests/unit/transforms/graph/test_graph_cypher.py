"""`graph.cypher`: tables of queries, what a query must not do, and when one runs again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Project

pytest.importorskip("ladybug")

PIPELINE = """\
  books: {transform: tabular.read, params: {path: books.csv}}
  written: {transform: tabular.read, params: {path: written.csv}}
  kg:
    transform: graph.build
    params:
      nodes:
        - {label: Book, from: books, key: isbn, properties: [title, year]}
        - {label: Author, from: written, key: author}
      edges:
        - {type: WROTE, from: written, source: {label: Author, key: author}, target: {label: Book, key: isbn}}
  graph: {transform: graph.load, inputs: [kg], params: {path: graph/}}
  found:
    transform: graph.cypher
    inputs: [graph]
    params:
      query: |
        QUERY
"""
COUNTED = """\
MATCH (a:Author)-[:WROTE]->(b:Book)
        WHERE b.year < $before
        RETURN a._key AS author, count(*) AS books, min(b.year) AS first
      parameters: {before: 1850}
    key: [author]"""


@pytest.fixture
def library(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("books.csv", "isbn,title,year\n1,Emma,1815\n2,Persuasion,1817\n3,Middlemarch,1871\n")
    project.write("written.csv", "author,isbn\nJane Austen,1\nJane Austen,2\nGeorge Eliot,3\n")
    return project


def ask(project: Project, query: str) -> None:
    project.tasks(PIPELINE.replace("QUERY", query))


def rows(project: Project) -> list[dict[str, Any]]:
    found = project.fast("show", "found", "--json")
    assert found.code == 0, found.err
    return [json.loads(line) for line in found.out.splitlines()]


def failure(project: Project) -> str:
    done = project.fast("run", "--json")
    assert done.code == 1, done.out + done.err
    assert "Traceback" not in done.err
    return next(str(t["error"]) for t in done.json()["tasks"] if t["task"] == "found")


def test_a_query_makes_a_table_of_typed_rows(library: Project) -> None:
    ask(library, COUNTED)
    assert library.fast("run").code == 0
    assert rows(library) == [{"author": "Jane Austen", "books": 2, "first": 1815}]
    assert library.run()["found"] == "fresh"


def test_it_runs_again_for_another_graph_query_or_parameter_and_for_nothing_else(library: Project) -> None:
    ask(library, COUNTED)
    library.fast("run")
    library.edit("pipeline.yaml", "MATCH (a", "MATCH  // those who write\n          (a")
    assert library.run()["found"] == "fresh"
    library.edit("pipeline.yaml", "before: 1850", "before: 1900")
    assert library.run()["found"] == "ran"
    assert [r["author"] for r in rows(library)] == ["George Eliot", "Jane Austen"]
    library.edit("books.csv", "Emma,1815", "Emma,1816")
    assert library.run()["found"] == "ran"
    assert rows(library)[1]["first"] == 1816
    library.edit("pipeline.yaml", "path: graph/", "path: elsewhere/")
    assert library.run() | {"graph": ""} == {
        "books": "fresh",
        "written": "fresh",
        "kg": "fresh",
        "graph": "",
        "found": "fresh",
    }


def test_rows_are_in_the_order_of_the_query_else_sorted(library: Project) -> None:
    ask(library, "MATCH (b:Book) RETURN b.title AS t, b.year AS y ORDER BY y < 1800, t DESC")
    assert library.fast("run").code == 0
    assert [r["t"] for r in rows(library)] == ["Persuasion", "Middlemarch", "Emma"]
    ask(library, "MATCH (b:Book) RETURN b.title AS t")
    assert library.fast("run").code == 0
    assert [r["t"] for r in rows(library)] == ["Emma", "Middlemarch", "Persuasion"]
    ask(library, "MATCH (b:Book) RETURN b.title AS t, 1 AS one ORDER BY one LIMIT 2")
    assert library.fast("run").code == 0
    assert [r["t"] for r in rows(library)] == ["Emma", "Middlemarch"]
    ask(library, "MATCH (b:Book) RETURN b.title AS t, [b._key] AS keys, {y: b.year} AS year ORDER BY t DESC")
    assert library.fast("run").code == 0
    assert [r["keys"] for r in rows(library)] == [["2"], ["3"], ["1"]]


def test_a_value_cannot_become_a_part_of_the_query(library: Project) -> None:
    ask(library, 'MATCH (b:Book) WHERE b.title = $t RETURN b.title AS t\n      parameters: {t: "x\' OR true //"}')
    assert library.fast("run").code == 0
    assert rows(library) == []


@pytest.mark.parametrize(
    ("query", "column", "told"),
    [
        ("MATCH (b:Book) SET b.year = 1 RETURN b.title", 24, "SET would change the graph"),
        ("LOAD FROM 'secret.csv' RETURN *", 9, "LOAD is not for the graph"),
        ("MATCH (b:Book) RETURN rand() AS r", 31, "rand() gives another value each time"),
        ("MATCH (b:Book) RETURN id(b) AS i", 31, "id() is where the database happens to keep it"),
        ("MATCH (b:Book) RETURN b.title AS t LIMIT 1", 44, "LIMIT without ORDER BY takes any rows"),
        ("MATCH (b:Book) WHERE b.year > $y RETURN b.title", 39, "the parameter $y has no value"),
        ("MATCH (b:Book)", 9, "the query gives no rows"),
        ("MTCH (b:Book) RETURN 1", 9, "a query does not begin with 'MTCH'"),
    ],
)
def test_what_a_query_must_not_do_is_told_where_it_stands(library: Project, query: str, column: int, told: str) -> None:
    ask(library, query)
    done = library.fast("validate")
    assert done.code == 3
    line = library.read("pipeline.yaml").splitlines().index(f"        {query}") + 1
    assert f"pipeline.yaml:{line}:{column}: error: {told}" in done.err, done.err


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("MATCH (b:Boook) RETURN b.title AS t", ":{line}:18: table Boook does not exist; did you mean 'Book'?"),
        ("MATCH (b:Book) RETURN b.titel AS t", ":{line}:31: cannot find property titel for b; did you mean 'title'?"),
        ("MATCH (b:Book) RETURN c.title AS t", ":{line}:31: variable c is not in scope"),
        ("MATCH (b:Book) RETRUN b.title AS t", ":{line}:24: the query is wrong at 'RETRUN'"),
        ("MATCH (b:Book) RETURN b.title AS t ORDER b.title", ":{line}:50: the query is wrong at 'b': BY is expected"),
        ("MATCH (b:Book) RETURN b", "the column 'b' holds nodes, edges or paths"),
    ],
)
def test_what_the_engine_refuses_is_told_where_it_stands(library: Project, query: str, told: str) -> None:
    ask(library, f"MATCH (x:Author)\n        WITH count(*) AS n\n        {query}" if "RETRUN" not in query else query)
    if "RETRUN" in query:
        ask(library, f"// a comment\n        {query} RETURN 1")
    line = next(n for n, text in enumerate(library.read("pipeline.yaml").splitlines(), 1) if query in text)
    assert told.replace("{line}", str(line)) in failure(library)


def test_writes_change_a_copy_that_nobody_sees(library: Project) -> None:
    ask(
        library,
        "MATCH (b:Book) WHERE b.year < 1850 SET b.title = 'x' RETURN b.title AS t, b._key AS k\n      writes: true",
    )
    assert library.fast("run").code == 0
    assert [r["t"] for r in rows(library)] == ["x", "x"]
    assert set(library.run().values()) == {"fresh"}
    ask(library, "MATCH (b:Book) RETURN b.title AS t")
    library.fast("run")
    assert [r["t"] for r in rows(library)] == ["Emma", "Middlemarch", "Persuasion"]


def test_an_input_that_is_in_no_database(library: Project) -> None:
    ask(library, "MATCH (b:Book) RETURN b.title AS t")
    library.edit("pipeline.yaml", "inputs: [graph]", "inputs: [kg]")
    assert "'kg' is in no database; name a task with graph.load" in failure(library)


def test_dry_run_shows_what_runs_the_query(library: Project) -> None:
    ask(library, COUNTED)
    lines = library.fast("dry-run").out.splitlines()
    assert next(line for line in lines if " graph " in line).endswith("kept in ladybug")
    assert next(line for line in lines if " found " in line).endswith("runs in ladybug")
    told = library.fast("dry-run", "--sql").out
    assert "-- found: ladybug\nMATCH (a:Author)-[:WROTE]->(b:Book)" in told
    task = next(t for t in library.fast("dry-run", "--sql", "--json").json()["tasks"] if t["task"] == "found")
    assert task["sql"]["engine"] == "ladybug"


def test_a_query_is_tested_with_given_rows(library: Project) -> None:
    """No database has to be there: the test makes one of the rows."""
    ask(library, "MATCH (a)-[:WROTE]->(b:Book) RETURN a._key AS who, b.title AS t ORDER BY t DESC")
    ends = "_source_label: Author, _source: x, _target_label: Book, _target:"
    library.write(
        "mmetl_tests/found.yaml",
        "version: 1\ntests:\n  latest_first:\n    task: found\n    inputs:\n      graph:\n"
        "        - {_kind: node, _label: Book, _key: a, title: A}\n        - {_kind: node, _label: Book, _key: b, title: B}\n"
        "        - {_kind: node, _label: Author, _key: x}\n"
        f"        - {{_kind: edge, _label: WROTE, _key: one, {ends} a}}\n"
        f"        - {{_kind: edge, _label: WROTE, _key: two, {ends} b}}\n"
        "    expected:\n      - {who: x, t: B}\n      - {who: x, t: A}\n",
    )
    done = library.fast("test")
    assert done.code == 0, done.out + done.err


def test_what_graph_build_declares_can_be_named_before_it_is_there(library: Project) -> None:
    """A label without nodes, a type without edges, a property that is null everywhere: no rows, and no error."""
    library.write("books.csv", "isbn,title,year,prize\n1,Emma,1815,\n2,Persuasion,1817,\n3,Middlemarch,1871,\n")
    ask(library, "MATCH (p:Prize)<-[:WON]-(b:Book) RETURN p._key AS p, b.prize AS won, b.title AS t")
    library.edit("pipeline.yaml", "properties: [title, year]}", "properties: [title, year, prize]}")
    library.edit(
        "pipeline.yaml",
        "        - {label: Author",
        "        - {label: Prize, from: prizes, key: prize}\n        - {label: Author",
    )
    library.edit(
        "pipeline.yaml",
        "      edges:\n",
        "      edges:\n        - {type: WON, from: prizes, source: {label: Book, key: isbn}, target: {label: Prize, key: prize}}\n",
    )
    library.edit(
        "pipeline.yaml",
        "  kg:\n",
        "  prizes: {transform: tabular.sql, params: {sql: 'select isbn, prize::varchar as prize from books where prize is not null'}}\n  kg:\n",
    )
    library.edit("pipeline.yaml", "{path: books.csv}", "{path: books.csv, types: {prize: varchar}}")
    assert library.fast("run").code == 0
    assert rows(library) == []
    library.edit("books.csv", "Emma,1815,", "Emma,1815,Booker")
    done = library.fast("run")
    assert done.code == 0, done.err
    assert rows(library) == [{"p": "Booker", "won": "Booker", "t": "Emma"}]
    logs = "".join(p.read_text() for p in (library.root / ".mmetl" / "logs").glob("*/p.graph.log"))
    assert "made anew" not in logs
    library.edit("books.csv", "Emma,1815,Booker", "Emma,1815,")
    library.fast("run")
    assert rows(library) == []
