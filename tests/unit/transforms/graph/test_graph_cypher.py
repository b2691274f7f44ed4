"""`graph.cypher`: tables of queries, what a query must not do, and when one runs again."""

from __future__ import annotations

import json
import random
from collections import Counter
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
  graph: {transform: graph.load, inputs: [kg], params: ENGINE}
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


ENGINES = {"ladybug": "{path: graph/}", "neo4j": "{target: neo4j, connection: main}"}
CONNECTIONS = 'version: 1\nconnections:\n  main: {kind: neo4j, uri: "URI", password: "${secret:NEO4J_PASSWORD}"}\n'


class Library(Project):
    """A project with a few books, whose graph is kept by an engine."""

    engine = "ladybug"


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """One of the embedded engine: for what is the same in any."""
    project = Library(tmp_path)
    project.write("books.csv", "isbn,title,year\n1,Emma,1815\n2,Persuasion,1817\n3,Middlemarch,1871\n")
    project.write("written.csv", "author,isbn\nJane Austen,1\nJane Austen,2\nGeorge Eliot,3\n")
    return project


@pytest.fixture(params=ENGINES)
def kept(library: Library, request: pytest.FixtureRequest) -> Library:
    """One of each engine."""
    library.engine = request.param
    if request.param == "neo4j":
        library.write("mmetl.yml", CONNECTIONS.replace("URI", request.getfixturevalue("neo4j").uri))
    return library


def ask(project: Library, query: str) -> None:
    project.tasks(PIPELINE.replace("ENGINE", ENGINES[project.engine]).replace("QUERY", query))


def rows(project: Project) -> list[dict[str, Any]]:
    found = project.fast("show", "found", "--json")
    assert found.code == 0, found.err
    return [json.loads(line) for line in found.out.splitlines()]


def failure(project: Project) -> str:
    done = project.fast("run", "--json")
    assert done.code == 1, done.out + done.err
    assert "Traceback" not in done.err
    return next(str(t["error"]) for t in done.json()["tasks"] if t["task"] == "found")


def test_a_query_makes_a_table_of_typed_rows(kept: Library) -> None:
    ask(kept, COUNTED)
    assert kept.fast("run").code == 0
    assert rows(kept) == [{"author": "Jane Austen", "books": 2, "first": 1815}]
    assert kept.run()["found"] == "fresh"


def test_it_runs_again_for_another_graph_query_or_parameter_and_for_nothing_else(kept: Library) -> None:
    ask(kept, COUNTED)
    kept.fast("run")
    kept.edit("pipeline.yaml", "MATCH (a", "MATCH  // those who write\n          (a")
    assert kept.run()["found"] == "fresh"
    kept.edit("pipeline.yaml", "before: 1850", "before: 1900")
    assert kept.run()["found"] == "ran"
    assert [r["author"] for r in rows(kept)] == ["George Eliot", "Jane Austen"]
    kept.edit("books.csv", "Emma,1815", "Emma,1816")
    assert kept.run()["found"] == "ran"
    assert rows(kept)[1]["first"] == 1816
    if kept.engine == "neo4j":
        kept.edit("pipeline.yaml", "connection: main", "connection: main, probe: 1h")
    else:
        kept.edit("pipeline.yaml", "path: graph/", "path: elsewhere/")
    assert kept.run() | {"graph": ""} == {
        "books": "fresh",
        "written": "fresh",
        "kg": "fresh",
        "graph": "",
        "found": "fresh",
    }


def test_rows_are_in_the_order_of_the_query_else_sorted(kept: Library) -> None:
    ask(kept, "MATCH (b:Book) RETURN b.title AS t, b.year AS y ORDER BY y < 1800, t DESC")
    assert kept.fast("run").code == 0
    assert [r["t"] for r in rows(kept)] == ["Persuasion", "Middlemarch", "Emma"]
    ask(kept, "MATCH (b:Book) RETURN b.title AS t")
    assert kept.fast("run").code == 0
    assert [r["t"] for r in rows(kept)] == ["Emma", "Middlemarch", "Persuasion"]
    ask(kept, "MATCH (b:Book) RETURN b.title AS t, 1 AS one ORDER BY one LIMIT 2")
    assert kept.fast("run").code == 0
    assert [r["t"] for r in rows(kept)] == ["Emma", "Middlemarch"]
    ask(kept, "MATCH (b:Book) RETURN b.title AS t, [b._key] AS keys, {y: b.year} AS year ORDER BY t DESC")
    assert kept.fast("run").code == 0
    assert [r["keys"] for r in rows(kept)] == [["2"], ["3"], ["1"]]


def test_a_value_cannot_become_a_part_of_the_query(kept: Library) -> None:
    ask(kept, 'MATCH (b:Book) WHERE b.title = $t RETURN b.title AS t\n      parameters: {t: "x\' OR true //"}')
    assert kept.fast("run").code == 0
    assert rows(kept) == []


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
        ("CALL dbms.listConfig() YIELD name RETURN name", 9, "procedures of `dbms` are about the server"),
        ("RETURN datetime.transaction() AS t", 16, "datetime.transaction() tells the time"),
    ],
)
def test_what_a_query_must_not_do_is_told_where_it_stands(library: Library, query: str, column: int, told: str) -> None:
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
def test_what_the_engine_refuses_is_told_where_it_stands(library: Library, query: str, told: str) -> None:
    ask(library, f"MATCH (x:Author)\n        WITH count(*) AS n\n        {query}" if "RETRUN" not in query else query)
    if "RETRUN" in query:
        ask(library, f"// a comment\n        {query} RETURN 1")
    line = next(n for n, text in enumerate(library.read("pipeline.yaml").splitlines(), 1) if query in text)
    assert told.replace("{line}", str(line)) in failure(library)


def test_writes_change_a_copy_that_nobody_sees(kept: Library) -> None:
    ask(
        kept,
        "MATCH (b:Book) WHERE b.year < 1850 SET b.title = 'x' RETURN b.title AS t, b._key AS k\n      writes: true",
    )
    assert kept.fast("run").code == 0
    assert [r["t"] for r in rows(kept)] == ["x", "x"]
    assert set(kept.run().values()) == {"fresh"}
    ask(kept, "MATCH (b:Book) RETURN b.title AS t")
    kept.fast("run")
    assert [r["t"] for r in rows(kept)] == ["Emma", "Middlemarch", "Persuasion"]


def test_an_input_that_is_in_no_database(library: Library) -> None:
    ask(library, "MATCH (b:Book) RETURN b.title AS t")
    library.edit("pipeline.yaml", "inputs: [graph]", "inputs: [kg]")
    assert "'kg' is in no database; name a task with graph.load" in failure(library)


def test_dry_run_shows_what_runs_the_query(kept: Library) -> None:
    ask(kept, COUNTED)
    lines = kept.fast("dry-run").out.splitlines()
    assert next(line for line in lines if " graph " in line).endswith(f"kept in {kept.engine}")
    assert next(line for line in lines if " found " in line).endswith(f"runs in {kept.engine}")
    told = kept.fast("dry-run", "--sql").out
    assert f"-- found: {kept.engine}\nMATCH (a:Author)-[:WROTE]->(b:Book)" in told
    task = next(t for t in kept.fast("dry-run", "--sql", "--json").json()["tasks"] if t["task"] == "found")
    assert task["sql"]["engine"] == kept.engine


def test_a_query_is_tested_with_given_rows(library: Library) -> None:
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


def test_any_edits_give_the_rows_of_a_run_from_scratch(kept: Library) -> None:
    rng = random.Random(5)
    ask(kept, "MATCH (a:Author)-[:WROTE]->(b:Book) RETURN a._key AS author, count(*) AS books, max(b.year) AS last")
    kept.edit("pipeline.yaml", "  found:\n", "  found:\n    key: [author]\n")
    years = {n: 1800 + n for n in range(12)}
    wrote = {(f"author {rng.randrange(4)}", n) for n in years}
    for _ in range(4):
        for n in rng.sample(range(20), 3):
            years[n] = rng.randrange(1700, 1900)
            wrote ^= {(f"author {rng.randrange(4)}", n)}
        kept.write("books.csv", "isbn,title,year\n" + "".join(f"{n},book {n},{y}\n" for n, y in years.items()))
        kept.write("written.csv", "author,isbn\n" + "".join(f"{a},{n}\n" for a, n in sorted(wrote)))
        assert kept.run()["found"] == "ran"
        last: dict[str, int] = {}
        for author, n in wrote:
            last[author] = max(last.get(author, 0), years[n])
        counts = Counter(author for author, _ in wrote)
        assert rows(kept) == [{"author": a, "books": counts[a], "last": last[a]} for a in sorted(counts)]
    before = kept.fast("show", "found", "--json").out
    kept.fast("run", "--force")
    assert kept.fast("show", "found", "--json").out == before


def test_what_graph_build_declares_can_be_named_before_it_is_there(library: Library) -> None:
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
