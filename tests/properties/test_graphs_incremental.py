"""Graphs, what is computed on them, and what crosses modalities with them, after any edits: as from scratch, node by node, edge by edge."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from harness import Project
from hypothesis import given, settings
from hypothesis import strategies as st
from test_items_incremental import compare_with_scratch

PIPELINE = """\
version: 1
name: p
tasks:
  texts: {{transform: tabular.read, params: {{path: texts.csv, types: {{id: bigint, year: int, text: varchar}}}}, key: [id]}}
  cites: {{transform: tabular.read, params: {{path: cites.csv, types: {{id: bigint, other: bigint}}}}}}
  kg:
    transform: graph.build
    params:
      nodes:
        - {{label: Text, from: texts, key: id, properties: [year]}}
        - {{label: Year, from: texts, key: year}}
      edges:
        - {{type: IN, from: texts, source: {{label: Text, key: id}}, target: {{label: Year, key: year}}}}
        - {{type: CITES, from: cites, source: {{label: Text, key: id}}, target: {{label: Text, key: other}}}}
      dangling: {dangling}
  numbers: {{transform: graph.metrics, inputs: [kg], params: {{metrics: [pagerank, degree, component, betweenness]}}}}
  groups: {{transform: graph.communities, inputs: [kg]}}
  cited:
    transform: cross.graph_features
    inputs: [kg]
    params: {{label: Text, properties: [year], features: {{by: {{type: CITES, end: target, value: _key}}, out: {{type: CITES, end: source}}}}}}
  told: {{transform: cross.verbalize, inputs: [cited], params: {{template: "{template}"}}}}
  chunks: {{transform: document.chunk, inputs: [texts], params: {{method: sentence, size: 12, markup: none}}}}
  mentions: {{transform: document.entities, inputs: [chunks], params: {{names: {{PERSON: [Ada, Bob, Cid]}}}}}}
  lexical:
    transform: cross.lexical_graph
    inputs: {{documents: texts, chunks: chunks, mentions: mentions}}
    params: {{documents: [year]}}
  vectors: {{transform: tabular.sql, key: [id], params: {{sql: "select id, [id % 5, year % 7]::float[2] as vector from texts"}}}}
  pairs: {{transform: vector.knn, inputs: [vectors], params: {{k: {k}, metric: euclidean}}}}
  near: {{transform: cross.knn_graph, inputs: {{rows: vectors, pairs: pairs}}, params: {{label: Text}}}}
"""
ITEMS = ("chunks", "mentions")
GRAPHS = ("kg", "numbers", "groups", "cited", "told", "lexical", "pairs", "near")
PARAMS = {
    "dangling": ["drop", "create"],
    "template": ["{_key}[[ is of {year}]][[, cited by {by}]]", "{_key} cites {out}"],
    "k": ["2", "1"],
}
ID = st.integers(0, 30)
TEXT = st.lists(
    st.sampled_from(["Ada went.", "Bob came.", "Cid met Ada.", "It rained.", "Nobody."]), min_size=1, max_size=4
)
EDITS = st.lists(
    st.one_of(
        st.tuples(st.just("put"), ID, st.integers(2000, 2004), TEXT),
        st.tuples(st.just("drop"), ID, st.integers(1, 12)),
        st.tuples(st.just("rename"), ID, st.integers(0, 60)),
        st.tuples(st.just("cite"), ID, st.integers(0, 40)),
        st.tuples(st.just("uncite"), ID),
        *(st.tuples(st.just(name), st.sampled_from(values)) for name, values in PARAMS.items()),
    ),
    min_size=1,
    max_size=6,
)


class Library:
    """What the sources say."""

    def __init__(self) -> None:
        self.texts: dict[int, tuple[int, list[str]]] = {
            n: (2000 + n % 3, ["Ada went.", "Bob came."]) for n in range(20)
        }
        self.cites = {(n, n * 7 % 20) for n in range(20) if n * 7 % 20 != n}
        self.params = {name: values[0] for name, values in PARAMS.items()}

    def edit(self, kind: str, a: Any, *more: Any) -> None:
        """Change something."""
        if kind == "put":
            self.texts[a] = more
        elif kind == "drop":
            for n in range(a, a + more[0]):
                self.texts.pop(n, None)
        elif kind == "rename" and a in self.texts:
            self.texts[more[0]] = self.texts.pop(a)
        elif kind == "cite":
            self.cites.add((a, more[0]))
        elif kind == "uncite":
            self.cites = {(one, other) for one, other in self.cites if one != a}
        elif kind in PARAMS:
            self.params[kind] = a

    def save(self, project: Project) -> None:
        """Write the sources."""
        texts = sorted({99: (1999, ["Last."]), **self.texts}.items())
        project.write("texts.csv", "id,year,text\n" + "".join(f"{n},{year},{' '.join(t)}\n" for n, (year, t) in texts))
        project.write("cites.csv", "id,other\n" + "".join(f"{a},{b}\n" for a, b in sorted({(99, 99), *self.cites})))
        template = self.params["template"]
        project.write("pipeline.yaml", PIPELINE.format(**self.params | {"template": template}))


@settings(max_examples=5, deadline=None)
@given(st.lists(EDITS, min_size=1, max_size=3))
def test_any_edits_of_graphs(steps: list[list[Any]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        project, library = Project(Path(folder) / "a"), Library()
        library.save(project)
        project.run()
        for edits in steps:
            for edit in edits:
                library.edit(*edit)
            library.save(project)
            done = project.fast("run", "--json", "--allow-shrink", "texts", "--allow-shrink", "cites")
            assert done.code == 0, done.err + done.out
            assert set(project.run().values()) == {"fresh"}
        compare_with_scratch(project, Project(Path(folder) / "b"), ITEMS, GRAPHS)
