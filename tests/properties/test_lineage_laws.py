"""What `why --key` says of a row is what an edit of it does: it changes the rows that are said to come from it, and no others."""

from __future__ import annotations

import itertools
import json
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from harness import Project

from mmetl.api import Lineage
from mmetl.api import Project as Opened

OWN = """\
import pyarrow as pa
from mmetl import Items, register_transform

@register_transform("own.loud", items=Items(reads=["text"], makes={"loud": "string"}))
def loud(batch): return {"loud": [t.upper() for t in batch.column("text").to_pylist()]}

@register_transform("own.words", items=Items(reads=["text"], makes={"word": "string", "text": "string"}, many=True, key=["word"]))
def words(batch):
    found = [(i, w, t) for i, t in enumerate(batch.column("text").to_pylist()) for w in t.split()]
    rows = list(zip(*found)) or ([], [], [])
    return pa.table({"_item": pa.array(rows[0], pa.int64()), "word": pa.array(rows[1], pa.string()), "text": pa.array(rows[2], pa.string())})
"""
SQL = (
    "with found as (select * from {} where place <> 'y') select a.place, a.id, f.text"
    " from rows a join found f on f.id = a.id and f.place = a.place group by all"
)
ROWS, TASKS, ALL = 14, 5, 10_000


class Pipeline:
    """A random pipeline over one keyed source. Every task hands on `text`, so that an edit of a text changes every row of it.

    Args:
        root: the project's folder.
        seed: of what is random.
    """

    def __init__(self, root: Path, seed: int) -> None:
        self.chance = random.Random(seed)
        self.project = Project(root)
        self.key = self.chance.choice([["id"], ["place", "id"]])
        self.keys = {"rows": self.key}
        self.lines = [f"  rows: {{transform: tabular.read, key: {json.dumps(self.key)}, params: {{path: rows.csv}}}}"]
        for number in range(TASKS):
            self._add(f"t{number}")
        self._graph()
        self.project.write("own.py", OWN)
        self.project.write(
            "pipeline.yaml", "version: 1\nname: p\nimports: [./own.py]\ntasks:\n" + "\n".join(self.lines) + "\n"
        )
        self.rows = {f"k{n}": (self.chance.choice("xyz"), self._text(n)) for n in range(ROWS)}

    def _text(self, number: int) -> str:
        """Return words that no other row has."""
        size = self.chance.choice([1, 2, 3])
        return " ".join(f"w{number}_{self.chance.randrange(10**9)}" for _ in range(size))

    def _add(self, name: str) -> None:
        other = self.chance.choice([t for t in self.keys if "id" in self.keys[t]])
        key = self.keys[other]
        ways: dict[str, tuple[str, list[str]]] = {
            "one": (f"transform: own.loud, inputs: [{other}], params: {{drop: []}}", key),
            "many": (f"transform: own.words, inputs: [{other}], params: {{keep: [place]}}", [*key, "word"]),
            "filter": (f"transform: tabular.filter, inputs: [{other}], params: {{where: \"place <> 'z'\"}}", key),
            "select": (
                f"transform: tabular.select, inputs: [{other}], params: {{computed: {{size: length(text)}}}}",
                key,
            ),
            "group": (
                f"transform: tabular.aggregate, inputs: [{other}], params: {{by: [place], columns: {{text: \"string_agg(text, ' ' order by text)\"}}}}",
                ["place"],
            ),
            "sql": (f'transform: tabular.sql, params: {{sql: "{SQL.format(other)}"}}', ["place", "id"]),
        }
        way = self.chance.choice([w for w in ways if w not in {"one", "select", "many", "sql"} or other == "rows"])
        if way == "many" and self.key == ["id"]:
            ways["many"] = (ways["many"][0], ["id", "word"])
        text, self.keys[name] = ways[way]
        wise = "" if text.startswith("transform: own") else f", key: {json.dumps(self.keys[name])}"
        self.lines.append(f"  {name}: {{{text}{wise}}}")

    def _graph(self) -> None:
        nodes = [
            f"{{label: N{n}, from: {task}, key: {json.dumps(key)}, properties: [text]}}"
            for n, (task, key) in enumerate(self.keys.items())
        ]
        self.keys["graph"] = ["_kind", "_label", "_key"]
        self.lines.append(f"  graph: {{transform: graph.build, params: {{nodes: [{', '.join(nodes)}]}}}}")

    def run(self) -> dict[str, dict[tuple[Any, ...], Any]]:
        """Write the source, run, and return the rows of each task by key."""
        lines = [f"{place},{id_},{text}\n" for id_, (place, text) in self.rows.items()]
        self.project.write("rows.csv", "place,id,text\n" + "".join(lines))
        done = self.project.fast("run", "--json")
        assert done.code == 0, done.err + done.out
        opened = Opened.open(self.project.root)
        found = {}
        for task, key in self.keys.items():
            listed = opened.artifact(task).to_arrow().to_pylist()
            found[task] = {tuple(row[k] for k in key): row for row in listed}
            assert len(found[task]) == len(listed)
        return found

    def source(self, id_: str) -> dict[str, str]:
        return {"id": id_, "place": self.rows[id_][0]} if len(self.key) == 2 else {"id": id_}

    def why(self, task: str, key: Any) -> Lineage:
        return Opened.open(self.project.root).why(task, key, limit=ALL)


def keys_of(lineage: Lineage, way: str) -> dict[str, set[tuple[Any, ...]]]:
    """Return task -> the keys that are told; every step must be exact."""
    found = {}
    for step in getattr(lineage, way):
        if step.kind == "table":
            assert (step.grain, len(step.rows)) == ("rows", step.total), step.task
            found[step.task] = {tuple(row.key.values()) for row in step.rows}
    return found


@pytest.mark.parametrize("seed", range(4))
def test_an_edit_changes_the_rows_that_are_said_to_come_from_it(tmp_path: Path, seed: int) -> None:
    made = Pipeline(tmp_path, seed)
    before = made.run()
    edited = made.chance.choice(sorted(made.rows))
    said = keys_of(made.why("rows", made.source(edited)), "downstream")
    made.rows[edited] = (made.rows[edited][0], made._text(99))
    after = made.run()
    said_after = keys_of(made.why("rows", made.source(edited)), "downstream")
    own = tuple(made.source(edited)[k] for k in made.key)
    for task in made.keys:
        if task == "rows":
            continue
        gone = {k for k, row in before[task].items() if after[task].get(k) != row}
        new = {k for k, row in after[task].items() if before[task].get(k) != row}
        assert (task, said.get(task, set())) == (task, gone)
        assert (task, said_after.get(task, set())) == (task, new)
    assert said["graph"]
    for task, changed in itertools.product(made.chance.sample([*said], 2), (True, False)):
        for key in sorted(k for k, row in after[task].items() if (before[task].get(k) != row) == changed)[:1]:
            above = keys_of(made.why(task, dict(zip(made.keys[task], key, strict=True))), "upstream")
            assert (own in above["rows"]) == changed, (task, key)


MODALITIES = """\
version: 1
name: p
tasks:
  files: {transform: document.files, params: {path: docs/}}
  texts: {transform: document.parse, inputs: [files]}
  facts: {transform: document.extract, inputs: [texts], params: {headers: {org: Org}}}
  kept: {transform: document.deduplicate, inputs: [facts], params: {keep: all}}
  chunks: {transform: document.chunk, inputs: [texts], params: {size: 60}}
  vectors: {transform: vector.embed, inputs: [chunks], params: {provider: function, function: "./own.py:embed", dimensions: 4}}
  unit: {transform: vector.normalize, inputs: [vectors]}
  leaders: {transform: vector.deduplicate, inputs: [unit], params: {threshold: 0.99}}
  near: {transform: vector.knn, inputs: [vectors], params: {k: 2}}
  similar: {transform: cross.knn_graph, inputs: {rows: vectors, pairs: near}}
  names: {transform: document.entities, inputs: [chunks], params: {patterns: {number: "n[0-9]+"}}}
  lexical: {transform: cross.lexical_graph, inputs: {documents: texts, chunks: chunks, mentions: names}}
  features:
    transform: cross.graph_features
    inputs: [lexical]
    params: {label: Chunk, features: {mentioned: {type: MENTIONS, end: source}, before: {type: NEXT, end: target}}}
  metrics: {transform: graph.metrics, inputs: [lexical], params: {metrics: [pagerank]}}
  orgs: {transform: tabular.read, key: [id], params: {path: orgs.csv}}
  linked: {transform: cross.link_entities, inputs: [facts, orgs], params: {text: org}}
  said: {transform: cross.verbalize, inputs: [linked], params: {template: "{org}[[ is {linked_id}]]", into: said}}
  one: {transform: cross.resolve_entities, inputs: [orgs], params: {block: [{name: prefix}], compare: {name: words}}}
  pages: {transform: document.export, inputs: [said], params: {path: pages/, content: said}}
"""
EMBED = """
import hashlib

def embed(texts):
    return [[byte + 1 for byte in hashlib.sha256(text.encode()).digest()[:4]] for text in texts]
"""
ORGS = "id,name\n1,Acme Works\n2,Acme Work\n3,Borel Mills\n4,Cato Steel\n"


def held(project: Project, tasks: Sequence[str]) -> dict[str, dict[tuple[Any, ...], str]]:
    """Return the rows of tasks by key, as texts."""
    opened = Opened.open(project.root)
    found = {}
    for task in tasks:
        artifact = opened.artifact(task)
        found[task] = {tuple(row[k] for k in artifact.key): repr(row) for row in artifact.to_arrow().to_pylist()}
    return found


def test_an_edit_changes_nothing_else_in_any_modality(tmp_path: Path) -> None:
    """What a row changes is told by rows, or as a whole: in documents, vectors, graphs, and across them."""
    project = Project(tmp_path)
    project.write("own.py", EMBED)
    project.write("pipeline.yaml", MODALITIES)
    project.write("orgs.csv", ORGS)
    for n, org in enumerate(("Acme Works", "Borel Mill", "Cato Steel", "Dobbs")):
        project.write(
            f"docs/{n}.md", f"Org: {org}\n\n# Of n{n}\n\nIt speaks of n{n + 1}.\n\n## And\n\nof n{n % 2} again.\n"
        )
    tasks = [line.strip().partition(":")[0] for line in MODALITIES.splitlines() if re.match(r"  \w+:", line)]
    edits = (
        ("files", "docs/1.md", "docs/1.md", "again", "no more"),
        ("orgs", 3, "orgs.csv", "Borel Mills", "Boral Mills"),
    )
    project.fast("run")
    for task, key, path, old, new in edits:
        before, said = held(project, tasks), Opened.open(tmp_path).why(task, key, limit=ALL)
        project.edit(path, old, new)
        done = project.fast("run")
        assert done.code == 0, done.err
        after, said_after = held(project, tasks), Opened.open(tmp_path).why(task, key, limit=ALL)
        exact = 0
        for other in tasks:
            changed = {k for k in before[other] | after[other] if before[other].get(k) != after[other].get(k)}
            steps = [s for way in (said, said_after) for s in (way.start, *way.downstream) if s.task == other]
            if any("decided among" in note for s in steps for note in s.notes):
                changed &= before[other].keys() & after[other].keys()  # a row that goes may let another one in
            if not any(s.grain == "whole" for s in steps):
                assert changed <= {tuple(row.key.values()) for s in steps for row in s.rows}, (task, other)
                exact += bool(changed)
        assert exact >= (10 if task == "files" else 1)
