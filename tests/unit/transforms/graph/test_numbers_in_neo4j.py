"""`graph.metrics` and `graph.communities` by Graph Data Science in a Neo4j: the same numbers as our own."""

from __future__ import annotations

import json
import random

import networkx as nx
import pytest

NUMBERS = """\
  numbers:
    transform: TRANSFORM
    inputs: [graph]
    params: {engine: gdsPARAMS}
"""
LOCAL = """\
  own:
    transform: TRANSFORM
    inputs: [kg]
    params: {engine: localPARAMS}
"""
METRICS = ", metrics: [pagerank, degree, in_degree, out_degree, component, betweenness, distance], start: [{label: Person, key: '1'}]"


@pytest.fixture
def crowd(people):
    """People of whom some know nobody, some themselves, and some hang together with few; others have more in the server."""
    if not people.server.run("SHOW PROCEDURES YIELD name WHERE name = 'gds.pageRank.stream'"):
        pytest.skip("Maven cannot have Graph Data Science")
    rng = random.Random(3)
    people.people = {n: {"name": f"n{n}", "age": n} for n in range(150)}
    people.knows = {(rng.randrange(120), rng.randrange(60)): 1 + rng.randrange(9) for _ in range(300)}
    people.knows |= {(140, 141): 5, (141, 142): 2, (3, 3): 1}
    people.server.run(
        "CREATE (a:Person {_key: 'x'})-[:KNOWS {since: 1}]->(b:Person:Other {_key: 'y'}), (b)-[:KNOWS]->(a)"
    )
    return people


def ask(people, transform, params):
    people.write()
    text = (NUMBERS + LOCAL).replace("TRANSFORM", transform).replace("PARAMS", params)
    people.project.write("p.yaml", people.project.read("p.yaml") + text)


def numbers(people, task):
    shown = people.project.fast("query", f"select * from {task}", "--json").out.splitlines()
    return {row["_key"]: row for row in map(json.loads, shown)}


@pytest.mark.parametrize(
    "params", ["", ", weight: since", ", directed: false", ", directed: false, weight: since, damping: 0.5"]
)
def test_metrics_are_our_own(crowd, params):
    ask(crowd, "graph.metrics", METRICS + params)
    crowd.run()
    gds, own = numbers(crowd, "numbers"), numbers(crowd, "own")
    assert set(gds) == set(own) == {str(n) for n in crowd.people}
    for key, row in own.items():
        for name, value in row.items():
            expected = pytest.approx(value, abs=1e-9) if isinstance(value, float) else value
            assert gds[key][name] == expected, (key, name)
    assert crowd.run()["outcome"] == "fresh"


def test_a_changed_edge_changes_the_numbers(crowd):
    ask(crowd, "graph.metrics", ", metrics: [pagerank, component]")
    crowd.run()
    before = numbers(crowd, "numbers")
    crowd.knows[140, 2] = 1
    crowd.run()
    gds, own = numbers(crowd, "numbers"), numbers(crowd, "own")
    assert before["141"]["component"] != gds["141"]["component"] == own["141"]["component"]
    assert all(gds[k]["pagerank"] == pytest.approx(own[k]["pagerank"], abs=1e-9) for k in own)


def test_communities_are_as_good_as_our_own_and_the_same_again(crowd):
    ask(crowd, "graph.communities", "")
    crowd.run()
    found = numbers(crowd, "numbers")
    graph = nx.MultiGraph([(str(a), str(b)) for a, b in crowd.knows])
    graph.add_nodes_from(found)

    def modularity(rows):
        groups = {}
        for key, row in rows.items():
            groups.setdefault(row["community"], set()).add(key)
        assert all(rows[k]["community_size"] == len(group) for group in groups.values() for k in group)
        return nx.community.modularity(graph, groups.values())

    assert modularity(found) == pytest.approx(modularity(numbers(crowd, "own")), abs=0.03)
    crowd.run("--select", "numbers", "--force")
    assert numbers(crowd, "numbers") == found


def test_nothing_is_left_in_the_server_and_what_was_left_is_replaced(crowd):
    ask(crowd, "graph.metrics", ", metrics: [pagerank]")
    name = "_mmetl_p:numbers"
    crowd.server.run("MATCH (n:Other) WITH gds.graph.project($name, n, null) AS g RETURN g.graphName", name=name)
    crowd.run()
    assert crowd.server.run("CALL gds.graph.drop($name, false) YIELD graphName RETURN graphName", name=name) == []


def test_what_gds_cannot_do_is_told(crowd):
    ask(crowd, "graph.communities", ", seed: 3")
    done = crowd.project.fast("validate", "p.yaml")
    assert (done.code, "`engine: gds` has no `seed`" in done.err) == (3, True)
    ask(crowd, "graph.metrics", "")
    crowd.project.edit("p.yaml", "inputs: [graph]", "inputs: [kg]")
    done, _ = crowd.told()
    told = {t["task"]: t["error"] for t in done.json()["tasks"] if t["outcome"] == "failed"}
    mended = "name a task with graph.load and `target: neo4j`, or leave `engine` out"
    assert told == {"numbers": f"'kg' is not in Neo4j, where `engine: gds` runs; {mended}"}


def test_a_server_that_lacks_a_procedure_is_told(crowd, monkeypatch):
    """As one without the plugin lacks all of them."""
    monkeypatch.setattr("mmetl.engines.neo4j.gds.PAGERANK", ("gds.articleRank.stream", "score"))
    ask(crowd, "graph.metrics", ", metrics: [pagerank]")
    done, _ = crowd.told()
    told = {t["task"]: t["error"] for t in done.json()["tasks"] if t["outcome"] == "failed"}
    assert told["numbers"].startswith("Neo4j 'main' has no Graph Data Science plugin, or not this part of it: ")
    assert told["numbers"].endswith("install the plugin in the server, or leave `engine: gds` out")


def test_dry_run_shows_what_computes(crowd):
    ask(crowd, "graph.metrics", "")
    lines = crowd.project.fast("dry-run", "p.yaml").out.splitlines()
    assert "runs in neo4j (gds)" in next(line for line in lines if " numbers " in line)
    assert "neo4j" not in next(line for line in lines if " own " in line)
