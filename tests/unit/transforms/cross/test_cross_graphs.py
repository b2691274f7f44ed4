"""`cross.knn_graph`, `cross.graph_features` and `cross.verbalize`: from vectors to a graph, and from a graph to texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Project

PLACES = """\
version: 1
name: p
tasks:
  points: {transform: tabular.read, params: {path: points.csv}, key: [id]}
  made: {transform: tabular.sql, key: [id], params: {sql: "select id, name, [x, y]::float[2] as vector from points"}}
  pairs: {transform: vector.knn, inputs: [made], params: {k: 1, metric: euclidean}}
  near: {transform: cross.knn_graph, inputs: {rows: made, pairs: pairs}, params: {label: Place, properties: [name]}}
"""
LIBRARY = """\
version: 1
name: p
tasks:
  books: {transform: tabular.read, params: {path: books.csv}, key: [isbn]}
  written: {transform: tabular.read, params: {path: written.csv}}
  kg:
    transform: graph.build
    params:
      nodes:
        - {label: Book, from: books, key: isbn, properties: [title, year]}
        - {label: Author, from: written, key: author}
      edges:
        - {type: WROTE, from: written, source: {label: Author, key: author}, target: {label: Book, key: isbn}}
  books_told:
    transform: cross.graph_features
    inputs: [kg]
    params:
      label: Book
      properties: [title, year]
      features:
        authors: {type: WROTE, end: target, value: _key}
        hands: {type: WROTE, end: target, label: Author}
  texts:
    transform: cross.verbalize
    inputs: [books_told]
    params: {template: "{title} ({year:d}).[[ By {authors}.]]{{end}}"}
"""


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


@pytest.fixture
def library(project: Project) -> Project:
    project.write("pipeline.yaml", LIBRARY)
    project.write("books.csv", "isbn,title,year\n1,Emma,1815\n2,Persuasion,1817\n3,Beowulf,1000\n")
    project.write("written.csv", "author,isbn\nJane Austen,1\nJane Austen,2\nA Friend,2\n")
    return project


def query(project: Project, sql: str) -> list[dict[str, Any]]:
    found = project.fast("query", sql, "--json")
    assert found.code == 0, found.err
    return [json.loads(line) for line in found.out.splitlines()]


def edges(project: Project) -> dict[tuple[str, str], float]:
    return {
        (r["_source"], r["_target"]): r["distance"] for r in query(project, "select * from near where _kind = 'edge'")
    }


def test_neighbours_have_one_edge(project: Project) -> None:
    """1 and 2 find each other, 3 finds 2 and is not found."""
    project.write("pipeline.yaml", PLACES)
    project.write("points.csv", "id,name,x,y\n1,a,0,0\n2,b,1,0\n3,c,3,0\n")
    assert project.fast("run").code == 0
    assert edges(project) == {("1", "2"): 1.0, ("2", "3"): 2.0}
    assert [r["name"] for r in query(project, "select name from near where _kind = 'node' order by name")] == list(
        "abc"
    )
    project.edit("pipeline.yaml", "properties: [name]", "properties: [name], mutual: true")
    assert project.fast("run").code == 0
    assert edges(project) == {("1", "2"): 1.0}


def test_pairs_of_other_rows(project: Project) -> None:
    project.write("pipeline.yaml", PLACES.replace("pairs: pairs", "pairs: points"))
    project.write("points.csv", "id,name,x,y\n1,a,0,0\n")
    assert "'pairs' has no column 'near_id'" in project.fast("run").err
    project.write("pipeline.yaml", PLACES.replace("{rows: made, pairs: pairs}", "[made]"))
    done = project.fast("validate")
    assert (done.code, "it needs the inputs 'rows' and 'pairs'" in done.err) == (3, True)


def test_nodes_as_rows_and_as_texts(library: Project) -> None:
    assert library.fast("run").code == 0
    assert query(library, "select _key, title, year, authors, hands from books_told order by _key") == [
        {"_key": "1", "title": "Emma", "year": 1815, "authors": ["Jane Austen"], "hands": 1},
        {"_key": "2", "title": "Persuasion", "year": 1817, "authors": ["A Friend", "Jane Austen"], "hands": 2},
        {"_key": "3", "title": "Beowulf", "year": 1000, "authors": [], "hands": 0},
    ]
    assert [r["text"] for r in query(library, "select text from texts order by _key")] == [
        "Emma (1815). By Jane Austen.{end}",
        "Persuasion (1817). By A Friend, Jane Austen.{end}",
        "Beowulf (1000).{end}",
    ]


def test_a_changed_edge_puts_one_node_into_words_again(library: Project) -> None:
    library.fast("run")
    library.write("written.csv", library.read("written.csv") + "Nobody,3\n")
    done = library.fast("run", "--json").json()
    assert next(t["items"]["computed"] for t in done["tasks"] if t["task"] == "texts") == 1
    assert query(library, "select text from texts where _key = '3'") == [{"text": "Beowulf (1000). By Nobody.{end}"}]


def test_ten_thousand_rows_are_put_into_words_once(project: Project) -> None:
    project.write("n.csv", "id,n\n" + "".join(f"{i},{i % 977}\n" for i in range(10_000)))
    project.tasks(
        "  n: {transform: tabular.read, params: {path: n.csv}, key: [id]}\n"
        '  told: {transform: cross.verbalize, inputs: [n], params: {template: "{id} is {n}"}}\n'
    )

    def computed() -> int | None:
        (told,) = (t for t in project.fast("run", "--json").json()["tasks"] if t["task"] == "told")
        return told.get("items", {}).get("computed", 0) if told["outcome"] == "ran" else None

    assert computed() == 10_000
    assert computed() is None
    project.edit("n.csv", "\n77,77\n", "\n77,78\n")
    assert computed() == 1


def test_a_column_without_a_value_outside_of_brackets(library: Project) -> None:
    library.edit("pipeline.yaml", "[[ By {authors}.]]", " By {authors}.")
    assert "'authors' has no value; put what needs it in [[double brackets]]" in library.fast("run").err
    library.edit("pipeline.yaml", "{{end}}", "{}")
    done = library.fast("validate")
    assert done.code == 3
    assert "each brace needs the name of a column" in done.err


def test_a_property_that_the_graph_has_not(library: Project) -> None:
    library.edit("pipeline.yaml", "properties: [title, year]\n      features", "properties: [titel]\n      features")
    assert "the graph has no property 'titel'; did you mean 'title'?" in library.fast("run").err
