"""`mmetl cypher`, and `Artifact.cypher`: what is answered, what is refused, and that nothing is changed."""

from __future__ import annotations

import json
from typing import Any

import pytest

import mmetl
from mmetl.errors import UsageError
from tests.harness import Project

pytest.importorskip("ladybug")

PIPELINE = """\
  books: {transform: tabular.read, params: {path: books.csv}}
  written: {transform: tabular.read, params: {path: written.csv}}
  kg:
    transform: graph.build
    params:
      nodes:
        - {label: Book, from: books, key: isbn, properties: [title, year, day]}
        - {label: Author, from: written, key: author}
      edges:
        - {type: WROTE, from: written, source: {label: Author, key: author}, target: {label: Book, key: isbn}}
  graph: {transform: graph.load, inputs: [kg], params: {path: graph/}}
"""
TITLES = "MATCH (b:Book) WHERE b.year < $y RETURN b.title AS title, b.day AS day ORDER BY title"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Project:
    project = Project(tmp_path_factory.mktemp("library"))
    project.write(
        "books.csv", "isbn,title,year,day\n1,Emma,1815,1815-12-23\n2,Persuasion,1817,\n3,Middlemarch,1871,1871-12-01\n"
    )
    project.write("written.csv", "author,isbn\nJane Austen,1\nJane Austen,2\nGeorge Eliot,3\n")
    project.tasks(PIPELINE)
    assert project.fast("run").code == 0
    return project


def ask(project: Project, query: str, *argv: str) -> list[dict[str, Any]]:
    done = project.fast("cypher", "graph", query, "--json", *argv)
    assert done.code == 0, done.err
    return [json.loads(line) for line in done.out.splitlines()]


def test_rows_as_json_csv_and_a_table(library: Project) -> None:
    found = [{"title": "Emma", "day": "1815-12-23"}, {"title": "Persuasion", "day": None}]
    assert ask(library, TITLES, "--param", "y=1850") == found
    assert ask(library, TITLES, "--param", "y=1850", "--limit", "1") == found[:1]
    assert library.fast("cypher", "graph", TITLES, "--param", "y=1850", "--csv").out == (
        "title,day\nEmma,1815-12-23\nPersuasion,\n"
    )
    table = library.fast("cypher", "p:graph", TITLES, "--param", "y=1850").out
    assert table.splitlines()[-1] == "2 rows"


def test_nodes_edges_and_paths_are_objects_without_internal_names(library: Project) -> None:
    (row,) = ask(library, "MATCH p = (a)-[e:WROTE]->(b:Book {_key: $k}) RETURN b, e, p", "--param", 'k="3"')
    book = {"_label": "Book", "_key": "3", "title": "Middlemarch", "year": 1871, "day": "1871-12-01"}
    edge = {"_label": "WROTE", "_key": '["Author","George Eliot","Book","3"]'}
    assert (row["b"], row["e"]) == (book, edge)
    assert row["p"] == {"nodes": [{"_label": "Author", "_key": "George Eliot"}, book], "edges": [edge]}


def test_values_of_parameters_are_json_or_text_and_never_a_part_of_the_query(library: Project) -> None:
    title = "MATCH (b:Book) WHERE b.title IN $t RETURN b.title AS t ORDER BY t"
    assert ask(library, title, "--param", 't=["Emma", "x"]') == [{"t": "Emma"}]
    evil = "MATCH (b:Book) WHERE b.title = $t RETURN b.title AS t"
    assert ask(library, evil, "--param", "t=x' OR true //") == []
    assert ask(library, evil, "--param", "t=Emma") == [{"t": "Emma"}]


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("MATCH (b:Book) SET b.year = 1", "query:1:16: error: SET would change the graph"),
        ("MATCH (b:Book)\nDETACH DELETE b", "query:2:1: error: DETACH would change the graph"),
        ("COPY (MATCH (b) RETURN b._key) TO 'x.csv'", "query:1:1: error: COPY is not for the graph"),
        ("MATCH (b:Bok) RETURN b", "query:1:10: error: table Bok does not exist"),
        ("MATCH (b:Book) RETURN b.yeer", "help: did you mean 'year'?"),
        ("MATCH (b:Book) WHERE b.year < $y RETURN b", "help: give it one: --param y=VALUE"),
        ("MATCH (b:Book RETURN b", "query:1:15: error: the query is wrong at 'RETURN'"),
    ],
)
def test_what_is_wrong_is_told_at_its_place(library: Project, query: str, told: str) -> None:
    done = library.fast("cypher", "graph", query)
    assert done.code == 2
    assert told in done.err, done.err
    assert set(library.run().values()) == {"fresh"}
    assert not (library.root / "x.csv").exists()


def test_other_tasks_and_options_are_refused(library: Project) -> None:
    done = library.fast("cypher", "kg", "RETURN 1")
    assert (done.code, "help: ask one of: graph" in done.err) == (2, True), done.err
    assert library.fast("cypher", "graph", "RETURN 1 AS x", "--json", "--csv").code == 2
    assert "--param 'x' has no value" in library.fast("cypher", "graph", "RETURN $x AS x", "--param", "x").err
    assert "the query has no $z" in library.fast("cypher", "graph", "RETURN 1 AS x", "--param", "z=1").err


def test_from_python(library: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(library.root)
    graph = mmetl.Project.open(library.root).artifact("graph")
    assert graph.cypher(TITLES, {"y": 1850}).to_arrow().to_pylist()[1] == {"title": "Persuasion", "day": None}
    (node,) = graph.cypher("MATCH (b:Book {_key: '2'}) RETURN b").to_arrow()["b"].to_pylist()
    assert json.loads(node)["title"] == "Persuasion"
    with pytest.raises(UsageError, match="CREATE would change the graph"):
        graph.cypher("CREATE (:Book {_key: '9'})")


def test_a_graph_that_is_not_as_its_run_left_it(library: Project) -> None:
    stamp = library.root / "graph" / "mmetl.json"
    text = stamp.read_text()
    stamp.write_text(text.replace('"manifest": "', '"manifest": "0'))
    try:
        assert "the graph of 'graph' is not as its last run left it" in library.fast("cypher", "graph", "RETURN 1").err
    finally:
        stamp.write_text(text)
