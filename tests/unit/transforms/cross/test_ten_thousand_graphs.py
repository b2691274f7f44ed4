"""What the graphs of `cross.*` cost at 10,000 items: which rows one edit computes, writes and reads again, and which it leaves alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.harness import Project

NOTES = 5_000  # each of two chunks; with one edge each they are 10,000 rows of the graph of pairs
TASKS = """\
  notes: {transform: tabular.read, params: {path: notes.csv, types: {year: int}}, key: [id]}
  chunks: {transform: document.chunk, inputs: [notes], params: {method: sentence, size: 20, markup: none}}
  mentions: {transform: document.entities, inputs: [chunks], params: {patterns: {NUMBER: "[0-9]+"}}}
  lexical:
    transform: cross.lexical_graph
    inputs: {documents: notes, chunks: chunks, mentions: mentions}
    params: {documents: [year]}
  features:
    transform: cross.graph_features
    inputs: [lexical]
    params: {label: Document, properties: [year], features: {parts: {type: HAS_CHUNK, end: source}}}
  told: {transform: cross.verbalize, inputs: [features], params: {template: "{parts} of {year}"}}
  pairs: {transform: tabular.sql, key: [id, near_id], params: {sql: "select id, (id + 1) % 5000 as near_id, year / 1e4 as distance from notes"}}
  near: {transform: cross.knn_graph, inputs: {rows: notes, pairs: pairs}, params: {label: Note}}
"""


def differs(project: Project, task: str) -> tuple[dict[str, int], int]:
    """Return how many rows of a task differ from its last build, and how many parts of both are not shared."""
    done = project.fast("diff", task, "--json")
    assert done.code == 0, done.err
    found: dict[str, Any] = json.loads(done.out.splitlines()[0])
    return {kind: found[kind] for kind in ("added", "changed", "removed", "same")}, found["parts_read"]


def computed(project: Project) -> dict[str, int | None]:
    """Return which tasks ran, and how many items those that have some computed."""
    done = project.fast("run", "--json")
    assert done.code == 0, done.err
    return {t["task"]: t.get("items", {}).get("computed") for t in done.json()["tasks"] if t["outcome"] == "ran"}


def test_what_ten_thousand_chunks_cost(tmp_path: Path) -> None:
    """A graph is one query over all; what it changes, and what follows from that, is the edit's own."""
    project = Project(tmp_path)
    lines = (f"{n},{1900 + n % 100},It says {n}. No more of {n}.\n" for n in range(NOTES))
    project.write("notes.csv", "id,year,text\n" + "".join(lines))
    project.tasks(TASKS)
    queries = dict.fromkeys(("notes", "lexical", "features", "pairs", "near"))
    assert computed(project) == {"chunks": NOTES, "mentions": 2 * NOTES, "told": 100, **queries}
    assert computed(project) == {}
    project.edit("notes.csv", "\n77,1977,It says 77. ", "\n77,2001,It says 77 twice. ")
    assert computed(project) == {"chunks": 1, "mentions": 1, "told": 1, **queries}
    of_a_node = {"added": 0, "changed": 1, "removed": 0}
    rows, parts = differs(project, "lexical")
    assert rows == {"added": 4, "changed": 1, "removed": 4, "same": 9 * NOTES - 5}, "a chunk, its edges; the document"
    assert parts <= 2 * 9
    assert differs(project, "features") == ({**of_a_node, "same": NOTES - 1}, 2)
    assert differs(project, "near") == ({**of_a_node, "same": 2 * NOTES - 1}, 2)
