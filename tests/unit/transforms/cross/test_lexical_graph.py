"""`cross.lexical_graph`: documents, chunks and mentions as a graph, in step with the texts."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.harness import Project

LETTERS = "id,year,text\n1,1843,Ada met Charles in London. They spoke of numbers. Charles wrote them down.\n2,1844,Ada wrote from Paris.\n"
TASKS = """\
  letters: {transform: tabular.read, params: {path: letters.csv}, key: [id]}
  chunks: {transform: document.chunk, inputs: [letters], params: {method: sentence, size: 30, markup: none}}
  mentions:
    transform: document.entities
    inputs: [chunks]
    params: {names: {PERSON: [Ada, Charles], CITY: [London, Paris]}}
  graph:
    transform: cross.lexical_graph
    inputs: {documents: letters, chunks: chunks, mentions: mentions}
    params: {documents: [year], chunks: {words: text}}
"""


@pytest.fixture
def letters(tmp_path: Path) -> Project:
    project = Project(tmp_path)
    project.write("letters.csv", LETTERS)
    project.tasks(TASKS)
    return project


def query(project: Project, sql: str) -> list[dict[str, Any]]:
    found = project.fast("query", sql, "--json")
    assert found.code == 0, found.err
    return [json.loads(line) for line in found.out.splitlines()]


def test_a_chain_of_chunks_below_each_document(letters: Project) -> None:
    assert letters.fast("run").code == 0
    nodes = query(letters, "select _label, count(*) as n, count(year) as years, count(words) as texts from graph"
                  " where _kind = 'node' group by all order by all")  # fmt: skip
    assert nodes == [
        {"_label": "Chunk", "n": 4, "years": 0, "texts": 4},
        {"_label": "Document", "n": 2, "years": 2, "texts": 0},
        {"_label": "Entity", "n": 4, "years": 0, "texts": 0},
    ]
    words = {row["_key"]: row["words"] for row in query(letters, "select * from graph where _label = 'Chunk'")}
    following = query(letters, "select * from graph where _label = 'NEXT'")
    assert {(words[e["_source"]].strip(), words[e["_target"]].strip()) for e in following} == {
        ("Ada met Charles in London.", "They spoke of numbers."),
        ("They spoke of numbers.", "Charles wrote them down."),
    }
    named = query(letters, "select * from graph where _label = 'MENTIONS' and _target like '%Charles%'")
    assert sorted(words[e["_source"]].split()[0] for e in named) == ["Ada", "Charles"]
    assert [e["mentions"] for e in named] == [1, 1]


def test_an_edited_document_changes_its_own_part_only(letters: Project) -> None:
    letters.fast("run")
    letters.edit("letters.csv", "Ada wrote from Paris.", "Ada wrote from London.")
    letters.fast("run")
    told = letters.fast("diff", "graph", "--json")
    changed = [line for line in told.out.splitlines()[1:] if '"1"' in line and "Document" in line]
    assert told.code == 0
    assert changed == []
    lost = query(letters, "select * from graph where _kind = 'node' and name = 'Paris'")
    assert lost == []
    scratch = Project(letters.root / "scratch")
    scratch.write("letters.csv", letters.read("letters.csv"))
    scratch.tasks(TASKS)
    scratch.fast("run")
    everything = "select * from graph order by all"
    assert query(scratch, everything) == query(letters, everything)


def test_without_mentions(letters: Project) -> None:
    letters.edit("pipeline.yaml", ", mentions: mentions}", "}")
    assert letters.fast("run").code == 0
    assert query(letters, "select count(*) as n from graph where _label in ('Entity', 'MENTIONS')") == [{"n": 0}]


def test_a_query_may_name_what_no_text_mentions(letters: Project) -> None:
    """In the database, too, entities are declared."""
    pytest.importorskip("ladybug")
    letters.write("letters.csv", "id,year,text\n1,1843,Nobody came.\n")
    letters.tasks(TASKS + "  db: {transform: graph.load, inputs: [graph], params: {path: out/db/}}\n")
    assert letters.fast("run").code == 0
    asked = "MATCH (c:Chunk) OPTIONAL MATCH (c)-[m:MENTIONS]->(e:Entity) RETURN c.words AS words, e.kind AS kind, m.mentions AS n"
    assert letters.fast("cypher", "db", asked, "--json").json() == {"words": "Nobody came.", "kind": None, "n": None}


WRONG = {
    "no chunks": (
        "documents: letters, chunks: chunks, mentions",
        "documents: letters, mentions",
        "it needs an input 'chunks'",
    ),
    "another name": ("mentions: mentions}", "mention: mentions}", "an input is called 'mention'"),
}


@pytest.mark.parametrize(("old", "new", "told"), WRONG.values(), ids=WRONG)
def test_inputs_by_their_names(letters: Project, old: str, new: str, told: str) -> None:
    letters.edit("pipeline.yaml", old, new)
    done = letters.fast("validate")
    assert (done.code, told in done.err) == (3, True)


def test_chunks_of_other_documents(letters: Project) -> None:
    letters.write("other.csv", "name\nx\n")
    letters.edit(
        "pipeline.yaml",
        "  graph:",
        "  other: {transform: tabular.read, params: {path: other.csv}, key: [name]}\n  graph:",
    )
    letters.edit("pipeline.yaml", "{documents: letters,", "{documents: other,")
    letters.edit("pipeline.yaml", "{documents: [year],", "{")
    done = letters.fast("run")
    assert done.code == 1
    assert "'chunks' has no column 'name'" in done.err
