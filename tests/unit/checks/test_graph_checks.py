"""Checks of graphs: edges without a node, nodes with too few or too many edges, in each severity."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.harness import Project

READ = """\
  wrote: {transform: tabular.read, params: {path: wrote.csv}}
  books: {transform: tabular.read, params: {path: books.csv}}
  built:
    transform: graph.build
    params:
      nodes:
        - {label: Book, from: books, key: isbn}
        - {label: Author, from: wrote, key: author}
      edges:
        - {type: WROTE, from: wrote, source: {label: Author, key: author}, target: {label: Book, key: isbn}}
      dangling: create
"""
TORN = "select * from built where _key <> '2'"
"""The graph without a node that two edges end at."""


@pytest.fixture
def library(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("books.csv", "isbn\n1\n2\n3\n4\n")
    project.write("wrote.csv", "author,isbn\nann,1\nann,2\nbob,2\nann,3\n")
    return project


def failing(project: Project, check: str, sql: str = "select * from built", more: str = "") -> set[str]:
    """Return what fails a check, after a run that did as its severity says."""
    project.tasks(
        f'{READ}  kg: {{transform: tabular.sql, key: [_kind, _label, _key], params: {{sql: "{sql}"}},'
        f" expect: [{{{check}{more}}}]}}\n"
    )
    done = project.fast("run")
    assert "Traceback" not in done.err
    found = project.fast("check", "kg", "--rows", "--json").json()["checks"][0]
    assert found["error"] is None or "rows" in found["error"] or "row" in found["error"]
    assert done.code == (1 if found["failing"] and not more else 0), done.err
    return {row["_key"] for row in found["rows"]}


CARDINALITY = {
    "at most": ("{type: WROTE, label: Author, end: source, max: 2}", {"ann"}),
    "at least": ("{type: WROTE, label: Book, end: target, min: 1}", {"4"}),
    "exactly": ("{type: WROTE, label: Book, end: target, min: 1, max: 1}", {"2", "4"}),
    "none at all": ("{type: WROTE, label: Book, end: source, max: 0}", set()),
    "another type": ("{type: READ, label: Author, end: source, min: 1}", {"ann", "bob"}),
}


@pytest.mark.parametrize(("said", "found"), CARDINALITY.values(), ids=CARDINALITY)
def test_cardinality(library: Project, said: str, found: set[str]) -> None:
    assert failing(library, f"cardinality: {said}") == found


def test_edges_without_a_node(library: Project) -> None:
    assert failing(library, "no_dangling_edges: true") == set()
    lost = {'["Author","ann","Book","2"]', '["Author","bob","Book","2"]'}
    assert failing(library, "no_dangling_edges: true", TORN) == lost
    assert failing(library, "no_dangling_edges: true", TORN, ", severity: warn") == lost


def test_edges_that_are_set_aside(library: Project) -> None:
    assert failing(library, "no_dangling_edges: true", TORN, ", severity: quarantine, max_fraction: 0.5") == set()
    shown = library.fast("quarantine", "show", "kg", "--json").out
    assert {json.loads(line)["_target"] for line in shown.splitlines()} == {"2"}


def test_a_table_that_is_no_graph(library: Project) -> None:
    library.tasks(READ.replace("books.csv}}", "books.csv}, expect: [{no_dangling_edges: true}]}"))
    done = library.fast("run")
    assert done.code == 1
    assert "check no_dangling_edges: the table is no graph" in done.err


def test_a_check_without_params_is_true(library: Project) -> None:
    library.tasks(READ.replace("books.csv}}", "books.csv}, expect: [{no_dangling_edges: {}}]}"))
    assert "'no_dangling_edges' is a mapping, expected true\n" in library.fast("validate").err
