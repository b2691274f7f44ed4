"""`graph.metrics` and `graph.communities`: against another library, by hand, and the same at any time."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pytest

from tests.harness import Project

BUILD = """\
  pairs: {transform: tabular.read, params: {path: pairs.csv}}
  kg:
    transform: graph.build
    params:
      nodes: [{label: Paper, from: pairs, key: a}]
      edges:
        - type: CITES
          from: pairs
          source: {label: Paper, key: a}
          target: {label: Paper, key: b}
          properties: {weight: w}
      dangling: create
"""


@pytest.fixture
def papers(tmp_path: Path) -> Project:
    return Project(tmp_path)


def network(project: Project, pairs: list[tuple[str, str, float]], task: str) -> None:
    project.write("pairs.csv", "a,b,w\n" + "".join(f"{a},{b},{w}\n" for a, b, w in pairs))
    project.tasks(f"{BUILD}  numbers: {{inputs: [kg], {task}}}\n")


def rows(project: Project) -> dict[str, dict[str, Any]]:
    done = project.fast("run")
    assert done.code == 0, done.err
    shown = project.fast("query", "select * from numbers", "--json").out.splitlines()
    return {row["_key"]: row for row in map(json.loads, shown)}


def some_pairs(nodes: int, edges: int) -> list[tuple[str, str, float]]:
    chosen = random.Random(7)
    found = {(chosen.randrange(nodes), chosen.randrange(nodes)) for _ in range(edges)}
    return [(f"n{a}", f"n{b}", 0.5 + chosen.random()) for a, b in sorted(found)]


def eigenvector(graph: nx.DiGraph, weight: str | None) -> dict[str, float]:
    """Return PageRank by its definition: what the matrix of the random surfer leaves as it is."""
    values, vectors = np.linalg.eig(nx.google_matrix(graph, alpha=0.85, weight=weight).T)
    largest = np.real(vectors[:, np.argmax(np.real(values))])
    return dict(zip(graph, largest / largest.sum(), strict=True))


METRICS = "[pagerank, degree, in_degree, out_degree, component, betweenness, distance]"


@pytest.mark.parametrize("weight", [None, "weight"])
def test_metrics_are_those_of_another_library(papers: Project, weight: str | None) -> None:
    pairs = some_pairs(120, 300)
    asked = f"metrics: {METRICS}, start: [{{label: Paper, key: n1}}, {{label: Paper, key: n2}}]"
    network(papers, pairs, f"transform: graph.metrics, params: {{{asked}{', weight: weight' * bool(weight)}}}")
    found = rows(papers)
    other = nx.DiGraph()
    other.add_weighted_edges_from(pairs)
    assert set(found) == set(other)
    rank = eigenvector(other, weight)
    between = nx.betweenness_centrality(other)
    steps: dict[str, int] = {}
    for begin in ("n1", "n2"):
        for node, n in nx.single_source_shortest_path_length(other, begin).items():
            steps[node] = min(n, steps.get(node, n))
    first = {node: min(group) for group in nx.weakly_connected_components(other) for node in group}
    for node, row in found.items():
        assert row["pagerank"] == pytest.approx(rank[node], abs=1e-9)
        assert row["betweenness"] == pytest.approx(between[node], abs=1e-9)
        assert (row["in_degree"], row["out_degree"]) == (other.in_degree(node), other.out_degree(node))
        assert row["degree"] == other.degree(node)
        assert row["distance"] == steps.get(node)
        assert row["component"] == f"Paper:{first[node]}"


def test_edges_in_both_directions(papers: Project) -> None:
    pairs = some_pairs(40, 60)
    network(
        papers,
        pairs,
        "transform: graph.metrics, params: {metrics: [pagerank, distance], directed: false,"
        " start: [{label: Paper, key: n1}]}",
    )
    found = rows(papers)
    other = nx.MultiGraph()
    other.add_edges_from((a, b) for a, b, _ in pairs)
    steps = nx.single_source_shortest_path_length(other, "n1")
    assert {node: row["distance"] for node, row in found.items()} == {node: steps.get(node) for node in other}
    assert sum(row["pagerank"] for row in found.values()) == pytest.approx(1)


def test_two_groups_that_one_edge_joins(papers: Project) -> None:
    groups = ["abcd", "wxyz"]
    pairs = [(a, b, 1.0) for group in groups for a in group for b in group if a < b]
    network(papers, [*pairs, ("d", "w", 1.0)], "transform: graph.communities")
    found = rows(papers)
    for group in groups:
        assert {found[n]["community"] for n in group} == {f"Paper:{group[0]}"}
        assert {found[n]["community_size"] for n in group} == {4}


@pytest.mark.parametrize("transform", ["graph.metrics", "graph.communities"])
def test_an_incremental_run_is_one_from_scratch(papers: Project, transform: str) -> None:
    """The order in which rows came has no part in the numbers, down to the last bit."""
    pairs = some_pairs(60, 150)
    network(papers, pairs[::-1], f"transform: {transform}")
    rows(papers)
    network(papers, pairs[10:] + pairs[:5], f"transform: {transform}")
    changed = rows(papers)
    again = Project(papers.root / "again")
    network(again, pairs[:5] + pairs[10:], f"transform: {transform}")
    assert rows(again) == changed


def test_labels_and_types(papers: Project) -> None:
    network(
        papers,
        [("a", "b", 1.0), ("b", "c", 1.0)],
        "transform: graph.metrics, params: {types: [CITES], labels: [Paper]}",
    )
    assert len(rows(papers)) == 3
    network(papers, [("a", "b", 1.0)], "transform: graph.metrics, params: {types: [CITE]}")
    done = papers.fast("run")
    assert done.code == 1
    assert "the graph has no type 'CITE'; did you mean 'CITES'?" in done.err


def test_no_graph_no_weight_no_start(papers: Project) -> None:
    told = {
        "transform: graph.metrics, params: {weight: weigth}": "no property 'weigth'; did you mean 'weight'?",
        "transform: graph.metrics, params: {metrics: [distance], start: [{label: Paper, key: zz}]}": "no node Paper zz",
        "transform: graph.communities, params: {weight: weight}": 'the edge ["Paper","a","Paper","b"] has no \'weight\' above 0',
    }
    for task, what in told.items():
        network(papers, [("a", "b", -1.0)], task)
        done = papers.fast("run")
        assert done.code == 1
        assert what in done.err
    papers.tasks(f"{BUILD}  numbers: {{inputs: [pairs], transform: graph.metrics}}\n")
    assert "its input is no graph" in papers.fast("run").err
    papers.tasks(f"{BUILD}  numbers: {{inputs: [kg], transform: graph.metrics, params: {{metrics: [distance]}}}}\n")
    done = papers.fast("validate")
    assert (done.code, "`distance` needs `start`" in done.err) == (3, True)


def test_a_graph_without_edges_and_one_without_nodes(papers: Project) -> None:
    network(
        papers, [("a", "", 1.0)], f"transform: graph.metrics, params: {{metrics: {METRICS.replace(', distance', '')}}}"
    )
    (row,) = rows(papers).values()
    assert (row["pagerank"], row["degree"], row["component"]) == (1, 0, "Paper:a")
    papers.tasks(
        f"{BUILD.replace('path: pairs.csv', 'path: pairs.csv, types: {a: VARCHAR, b: VARCHAR, w: DOUBLE}')}  numbers: {{inputs: [kg], transform: graph.metrics}}\n"
    )
    papers.write("pairs.csv", "a,b,w\n")
    assert papers.fast("run", "--allow-shrink", "pairs").code == 0
    assert papers.fast("query", "select * from numbers", "--json").out == ""


def test_what_is_declared_may_have_nothing(papers: Project) -> None:
    """The last edge of a type may go, and the last node of a label."""
    wanted = "transform: graph.metrics, params: {labels: [Paper], types: [CITES], metrics: [in_degree]}"
    network(papers, [("a", "b", 1)], wanted)
    assert rows(papers)["b"]["in_degree"] == 1
    papers.edit("pipeline.yaml", "path: pairs.csv}", "path: pairs.csv, types: {b: varchar, w: double}}")
    papers.write("pairs.csv", "a,b,w\na,,\n")
    assert {key: row["in_degree"] for key, row in rows(papers).items()} == {"a": 0}
    papers.write("pairs.csv", "a,b,w\n")
    done = papers.fast("run", "--allow-shrink", "pairs")
    assert (done.code, rows(papers)) == (0, {}), done.err
