"""`graph.build`: which rows become nodes and edges, what is refused, and that an edited row changes its own only."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Project

BOOKS = "isbn,title,year\n1,Emma,1815\n2,Persuasion,1817\n3,Middlemarch,1871\n"
WRITTEN = "author,isbn,part\nJane Austen,1,whole\nJane Austen,2,whole\nGeorge Eliot,3,whole\n"
GRAPH = """\
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
"""


@pytest.fixture
def library(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("books.csv", BOOKS)
    project.write("written.csv", WRITTEN)
    project.tasks(GRAPH)
    return project


def rows(project: Project, where: str = "true") -> list[dict[str, Any]]:
    found = project.fast("query", f"select * from kg where {where} order by all", "--json")
    assert found.code == 0, found.err
    return [json.loads(line) for line in found.out.splitlines()]


def names(project: Project) -> set[str]:
    return {f"{r['_label']} {r['_key']}" for r in rows(project)}


def failure(project: Project) -> str:
    done = project.fast("run", "--json")
    assert done.code == 1, done.out + done.err
    assert "Traceback" not in done.err
    return next(str(t["error"]) for t in done.json()["tasks"] if t["task"] == "kg")


def test_rows_become_nodes_and_edges(library: Project) -> None:
    assert library.fast("run").code == 0
    none = {"_source_label": None, "_source": None, "_target_label": None, "_target": None}
    assert rows(library, "_label = 'Book' and _key = '1'") == [
        {"_kind": "node", "_label": "Book", "_key": "1", **none, "title": "Emma", "year": 1815}
    ]
    ends = {"_source_label": "Author", "_source": "George Eliot", "_target_label": "Book", "_target": "3"}
    assert rows(library, "_kind = 'edge' and _target = '3'") == [
        {
            "_kind": "edge",
            "_label": "WROTE",
            "_key": '["Author","George Eliot","Book","3"]',
            **ends,
            "title": None,
            "year": None,
        }
    ]
    assert len(rows(library)) == 3 + 2 + 3
    assert library.run() == {"books": "fresh", "written": "fresh", "kg": "fresh"}


def test_an_edited_row_changes_its_own_node_and_edges_only(library: Project) -> None:
    library.fast("run")
    library.edit("books.csv", "Emma,1815", "Emma,1816")
    library.edit("written.csv", "George Eliot,3", "Mary Ann Evans,3")
    library.fast("run")
    told = library.fast("diff", "kg").out.splitlines()
    assert "2 added, 1 changed, 2 removed, 5 same" in told[0]
    assert sorted(line[:1] for line in told[1:]) == sorted("++--~")


def test_a_key_of_several_columns_and_parallel_edges(library: Project) -> None:
    library.write("written.csv", WRITTEN + "George Eliot,3,preface\n,3,nobody's\n")
    library.tasks(
        GRAPH.replace(
            "- {label: Author, from: written, key: author}", "- {label: Author, from: named, key: [author, part]}"
        )
        .replace("key: author}, target", "key: [author, part]}, target")
        .replace("key: isbn}}\n", "key: isbn}, key: part, properties: {how: part}}\n")
        .replace(
            "  kg:\n",
            "  named: {transform: tabular.filter, inputs: [written], params: {where: author is not null}}\n  kg:\n",
        )
    )
    assert library.fast("run").code == 0
    edges = rows(library, "_target = '3' and _kind = 'edge'")
    assert [(e["_source"], e["how"]) for e in edges] == [
        ('["George Eliot","preface"]', "preface"),
        ('["George Eliot","whole"]', "whole"),
    ]


@pytest.mark.parametrize(
    ("how", "found"),
    [
        ("drop", {"Author Nobody"}),
        ("create", {"Author Nobody", "Book 77", 'WROTE ["Author","Nobody","Book","77"]'}),
    ],
)
def test_edges_to_nodes_that_are_not_there(library: Project, how: str, found: set[str]) -> None:
    library.fast("run")
    before = names(library)
    library.write("written.csv", WRITTEN + "Nobody,77,whole\n")
    assert failure(library).startswith("1 edge to nodes that are not there: Book 77; add the nodes")
    library.edit("pipeline.yaml", "    params:\n      nodes", f"    params:\n      dangling: {how}\n      nodes")
    assert library.fast("run").code == 0
    assert names(library) - before == found
    assert before <= names(library)


def test_tables_that_tell_of_one_node(library: Project) -> None:
    """Each may give some of its properties, or none, or the same; a null is no value. So it is with edges."""
    library.write(
        "prizes.csv", "isbn,prize,year,author\n1,Booker,,Jane Austen\n2,,1817,Jane Austen\n4,Hugo,,Jane Austen\n"
    )
    library.edit(
        "pipeline.yaml",
        "      edges:\n",
        "        - {label: Book, from: prizes, key: isbn, properties: [prize, year]}\n"
        "        - {label: Author, from: prizes, key: author}\n"
        "      edges:\n"
        "        - {type: WROTE, from: prizes, source: {label: Author, key: author}, target: {label: Book, key: isbn}, properties: [prize]}\n",
    )
    library.edit("pipeline.yaml", "  kg:\n", "  prizes: {transform: tabular.read, params: {path: prizes.csv}}\n  kg:\n")
    assert library.fast("run").code == 0
    books = {r["_key"]: (r["title"], r["year"], r["prize"]) for r in rows(library, "_label = 'Book'")}
    assert books == {
        "1": ("Emma", 1815, "Booker"),
        "2": ("Persuasion", 1817, None),
        "3": ("Middlemarch", 1871, None),
        "4": (None, None, "Hugo"),
    }
    edges = {r["_target"]: (r["_source"], r["prize"]) for r in rows(library, "_kind = 'edge'")}
    assert edges == {
        "1": ("Jane Austen", "Booker"),
        "2": ("Jane Austen", None),
        "3": ("George Eliot", None),
        "4": ("Jane Austen", "Hugo"),
    }
    library.edit("prizes.csv", "2,,1817", "2,,1818")
    assert failure(library).startswith("2 rows make the node Book 2, and differ in year; keep one row of each")


REFUSED = {
    "one node in two ways": ("books.csv", BOOKS + "1,Emma,1816\n", "2 rows make the node Book 1, and differ in year"),
    "a node without a key": (
        "written.csv",
        WRITTEN + ",1,whole\n",
        "1 row has no 'author' in 'written', the key of Author",
    ),
    "a key with fractions": (
        "books.csv",
        "isbn,title,year\n1.5,Emma,1815\n",
        "the column 'isbn' of 'books' names nodes, and holds numbers with fractions",
    ),
}


@pytest.mark.parametrize(("file", "text", "told"), REFUSED.values(), ids=REFUSED)
def test_rows_that_make_no_graph(library: Project, file: str, text: str, told: str) -> None:
    library.write(file, text)
    assert failure(library).startswith(told)


PROPERTIES = {
    "two types": ("{title: author}", "{title: isbn}", "the property 'title' is VARCHAR of Book and BIGINT of WROTE"),
    "case": ("x", "{Title: author}", "the properties 'title' of Book and 'Title' of WROTE differ in case only"),
    "no column": ("x", "[aauthor]", "'written' has no column 'aauthor'; did you mean 'author'?"),
}


@pytest.mark.parametrize(("_", "properties", "told"), PROPERTIES.values(), ids=PROPERTIES)
def test_properties_that_do_not_go_together(library: Project, _: str, properties: str, told: str) -> None:
    library.edit("pipeline.yaml", "key: isbn}}\n", f"key: isbn}}, properties: {properties}}}\n")
    assert failure(library).startswith(told)


DECLARED = {
    "an unknown task": (
        "label: Book, from: books",
        "label: Book, from: bokks",
        (
            "pipeline.yaml:10:31: error: there is no task 'bokks'\n"
            "  10 |         - {label: Book, from: bokks, key: isbn, properties: [title, year]}\n"
            "     |                               ^\n"
            "help: did you mean 'books'?\n"
        ),
    ),
    "an unknown label": (
        "target: {label: Book,",
        "target: {label: Bok,",
        (
            "pipeline.yaml:13:94: error: no node has the label 'Bok'\n"
            "  13 |         - {type: WROTE, from: written, source: {label: Author, key: author}, target: {label: Bok, key: isbn}}\n"
            "     |                                                                                              ^\n"
            "help: did you mean 'Book'? `dangling: create` makes such nodes\n"
        ),
    ),
}


@pytest.mark.parametrize(("old", "new", "told"), DECLARED.values(), ids=DECLARED)
def test_names_are_checked_before_a_run(library: Project, old: str, new: str, told: str) -> None:
    library.edit("pipeline.yaml", old, new)
    done = library.fast("validate")
    assert (done.code, done.err) == (3, told)


def test_a_label_is_a_word(library: Project) -> None:
    library.edit("pipeline.yaml", "label: Author, from", "label: An author, from")
    done = library.fast("validate")
    assert done.code == 3
    assert "pipeline.yaml:11:19" in done.err
