"""`graph.load` into Neo4j: what a server that others use too has beyond what every target has."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sqlite3

import pytest
from harness import Project, grow_old, wait_for
from neo4j_server import PASSWORD
from neo4j_server.people import CONNECTIONS, PEOPLE, PIPELINE, People
from neo4j_server.relay import Relay

from mmetl.engines.cypher import Ends
from mmetl.engines.neo4j import session as neo4j_session
from mmetl.engines.neo4j.text import leave_edges, merge_edges, spare_edges, spare_nodes

PLACE = "neo4j://main/p:graph"


def test_a_row_that_changes_writes_itself_only(people):
    assert people.run()["items"] == {"added": 15}
    people.check()
    ids = dict(people.server.run("MATCH (n:Person) RETURN n._key, elementId(n)"))
    people.people[3]["age"] = None
    people.knows[4, 5] = 1999
    assert people.run()["items"] == {"changed": 2, "unchanged": 13}
    people.check()
    assert dict(people.server.run("MATCH (n:Person) RETURN n._key, elementId(n)")) == ids
    assert people.run()["outcome"] == "fresh"


def test_a_node_gets_another_key(people):
    people.run()
    people.people[30] = people.people.pop(3)
    people.knows = {(30 if a == 3 else a, 30 if b == 3 else b): s for (a, b), s in people.knows.items()}
    assert people.run()["items"] == {"added": 3, "removed": 3, "unchanged": 12}
    people.check()


def test_a_property_that_goes_is_removed_and_those_of_others_stay(people):
    people.run()
    people.server.run("MATCH (n:Person {_key: '1'}) SET n.rank = 5, n:Admin")
    people.write(properties="name")
    people.run()
    assert people.server.run("MATCH (n:Person) WHERE n.age IS NOT NULL RETURN n") == []
    assert people.server.run("MATCH (n:Admin) RETURN n._key, n.name, n.rank") == [["1", "n1", 5]]
    assert people.run()["outcome"] == "fresh"


def test_a_node_of_two_tasks_goes_when_neither_has_it(people, empty):
    other = People(empty, people.server, "q")
    other.people, other.knows = {n: other.people[n] for n in (6, 7)} | {9: {"name": "only q", "age": 1}}, {(6, 7): 2006}
    people.run()
    other.run()
    assert people.run()["outcome"] == "fresh"
    for n in (6, 7):
        del people.people[n]
    people.knows = {k: v for k, v in people.knows.items() if not {6, 7} & set(k)}
    assert people.run()["items"]["removed"] == 4
    assert people.server.run("MATCH (n:Person) WHERE n._key > '5' RETURN n._key ORDER BY n._key") == [
        ["6"],
        ["7"],
        ["9"],
    ]
    assert people.server.run("MATCH ({_key: '6'})-[e]->({_key: '7'}) RETURN e.since") == [[2006]]
    assert other.run()["outcome"] == "fresh"
    del other.people[6]
    other.knows = {(7, 7): 1}
    other.run()
    assert people.server.run("MATCH (n:Person) WHERE n._key > '5' RETURN n._key ORDER BY n._key") == [["7"], ["9"]]
    assert people.run()["outcome"] == "fresh"


def test_two_checkouts_of_a_project_are_one_owner(people, tmp_path):
    """Each takes the part for its own, sees that it is not as it left it, and makes it its own again."""
    people.run()
    (tmp_path / "other").mkdir()
    other = People(Project(tmp_path / "other"), people.server)
    other.people, other.knows = {1: {"name": "other", "age": 1}, 9: {"name": "nine", "age": 9}}, {(1, 9): 5}
    for one in (other, people):
        one.run()
        one.check()
        assert one.run()["outcome"] == "fresh"
    assert other.reasons() == [f"output {PLACE} was changed by something else"]


def test_what_was_there_before_is_never_deleted(people):
    """Neither a node that the graph has too, nor an edge, nor a node of ours that others have an edge to."""
    people.server.run("CREATE (a:Person {_key: '1', mine: true})-[:LIKES]->(:Thing), (:Person {name: 'without a key'})")
    people.run()
    people.server.run("MATCH (a:Person {_key: '5'}) CREATE (:Thing)-[:OF]->(a)")
    people.people, people.knows = {0: people.people[0]}, {(0, 0): 1}
    people.run()
    left = "MATCH (n) WHERE n:Person OR n:Thing RETURN labels(n)[0], n._key, n.mine ORDER BY n._key, labels(n)[0]"
    assert people.server.run(left) == [
        ["Person", "0", None],
        ["Person", "1", True],
        ["Person", "5", None],
        ["Person", None, None],
        ["Thing", None, None],
        ["Thing", None, None],
    ]
    assert people.server.run("MATCH ()-[e]->() RETURN type(e) ORDER BY type(e)") == [["KNOWS"], ["LIKES"], ["OF"]]
    assert people.run()["outcome"] == "fresh"


DRIFT = {
    "a node is gone": "MATCH (n:Person {_key: '3'}) DETACH DELETE n",
    "an edge is gone": "MATCH (:Person {_key: '3'})-[e]->() DELETE e",
    "nodes are gone, and as many came": "MATCH (n:Person {_key: '0'})-[e]->() DELETE e CREATE (:`_mmetl_p:graph` {x: 1})",
    "an edge is there twice": "MATCH (a:Person {_key: '3'})-[e]->(b) CREATE (a)-[f:KNOWS]->(b) SET f = properties(e)",
    "all is gone": "MATCH (n) DETACH DELETE n",
}


@pytest.mark.parametrize("how", DRIFT)
def test_drift_is_seen_and_mended(people, how):
    people.run()
    people.server.run(DRIFT[how])
    what = "deleted" if how == "all is gone" else "changed by something else"
    assert people.reasons() == [f"output {PLACE} was {what}"]
    assert people.run()["outcome"] == "ran"
    people.check()
    assert people.run()["outcome"] == "fresh"


def test_when_the_server_is_asked(people):
    """`never`: only when there is something to write; an age: when it was asked longer ago."""
    people.write(params=", probe: never")
    people.run()
    people.server.run(DRIFT["a node is gone"])
    assert people.run()["outcome"] == "fresh"
    people.people[0]["age"] = 77
    people.run()  # finds that the numbers are wrong, and mends all
    people.check()
    people.write(params=", probe: 1h")
    assert people.run()["outcome"] == "fresh"
    people.server.run(DRIFT["a node is gone"])
    assert people.run()["outcome"] == "fresh"
    with contextlib.closing(sqlite3.connect(people.project.root / ".mmetl/state.db")) as db:
        db.execute("update probes set at_ms = at_ms - 3600000")
        db.commit()
    assert people.run()["outcome"] == "ran"
    people.check()


def test_force_writes_all(people):
    people.run()
    people.server.run("MATCH (n:Person {_key: '3'}) SET n.age = 0")
    assert people.run("--select", "graph", "--force")["items"] == {"added": 15}
    people.check()


def test_clean_removes_what_is_kept_for_the_task(people, empty):
    other = People(empty, people.server, "q")
    other.people, other.knows = {7: PEOPLE[7]}, {(7, 7): 1}
    people.run()
    other.run()
    people.server.run("CREATE (:Person {_key: 'x'})")
    assert people.project.fast("clean", "p:graph").code == 0
    assert people.server.run("MATCH (n:Person) RETURN n._key ORDER BY n._key") == [["7"], ["x"]]
    assert other.run()["outcome"] == "fresh"
    people.server.run("MATCH (n:Person {_key: 'x'}) DELETE n")
    assert people.project.fast("clean", "q:graph").code == 0
    assert people.server.run("MATCH (n) RETURN count(n)") == [[0]]
    people.run()
    people.check()


def test_killed_between_two_transactions(people):
    """What it holds is then nothing certain, by its own word; the next run completes it."""
    people.run()
    many = range(11_000)
    people.people = {n: {"name": f"new{n}", "age": n} for n in many}
    people.knows = {(n, n + 1): n for n in many[:-1]}
    people.save()
    process = people.project.start("run", "p.yaml")
    stamp = f"MATCH (s:_mmetl_target {{owner: '{PLACE.partition('main/')[2]}'}}) RETURN s.manifest"
    wait_for(lambda: people.server.run(stamp) == [[""]], 60)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert people.server.run(stamp) == [[""]]
    assert people.run()["outcome"] == "ran"
    people.check()
    assert people.run()["outcome"] == "fresh"


def test_nodes_are_found_by_the_index_whatever_the_database_counts(people):
    """With the counts of a small graph a plan went through all nodes for each row: that took minutes when many rows came."""
    people.run()
    ends = Ends("KNOWS", "Person", "Person")
    for statement in (
        spare_edges(ends),
        leave_edges("p:graph", ends),
        merge_edges(ends, "p:graph"),
        spare_nodes("Person"),
    ):
        plan = people.server.plan(statement, rows=[])
        assert plan.count("IndexSeek") == statement.count("USING INDEX SEEK") > 0
        assert "Scan" not in plan


def test_a_constraint_of_others_refuses_the_graph(people):
    """Then the transaction leaves nothing, and the next run completes it."""
    people.run()
    people.server.run("CREATE CONSTRAINT names FOR (n:Person) REQUIRE n.name IS UNIQUE")
    people.people[3]["name"] = "n4"
    people.people[0]["age"] = 99
    assert people.fails().startswith("Neo4j 'main' has a constraint that refuses this graph: Node(")
    people.people[3]["name"], people.people[0]["age"] = "n3", 20
    people.check()
    people.people[3]["name"] = "three"
    people.run()
    people.check()


def test_a_key_that_is_there_twice(people):
    people.server.run("CREATE (:Person {_key: 'x'}), (:Person {_key: 'x'})")
    assert people.fails().startswith("Neo4j 'main' cannot be made to hold each key of a label once: ")
    assert people.server.run("MATCH (n:Person) RETURN count(n)") == [[2]]


def test_a_wrong_password_is_told_and_no_secret_is_anywhere(people, monkeypatch):
    people.run()
    monkeypatch.setenv("NEO4J_PASSWORD", "another-secret")
    mended = "mend `user` or the secret of `password` of connection 'main' in mmetl.yml"
    assert people.fails() == f"'main' does not let the user 'neo4j' in; {mended}"
    assert people.reasons()[0] == f"output {PLACE} cannot be looked at: 'main' does not let the user 'neo4j' in"
    monkeypatch.delenv("NEO4J_PASSWORD")
    assert people.fails().startswith("secret 'NEO4J_PASSWORD' is not set")
    monkeypatch.setenv("NEO4J_PASSWORD", PASSWORD)
    people.run()
    people.check()
    state = [p.read_bytes() for p in (people.project.root / ".mmetl").rglob("*") if p.is_file()]
    assert any(b"main" in data for data in state)
    assert not any(word in data for data in state for word in (b"another-secret", PASSWORD.encode()))


def test_the_server_is_gone_and_comes_back(people):
    """A run that cannot know whether the graph is as it should be does not say that it is."""
    relay = Relay(people.server.port)
    people.connect(relay.uri)
    people.run()
    assert people.run()["outcome"] == "fresh"
    relay.go()
    gone = f"'main' cannot be reached at {relay.uri}: "
    assert people.reasons()[0].startswith(f"output {PLACE} cannot be looked at: {gone}")
    assert people.fails().startswith(gone)
    people.people[2]["age"] = 0
    assert people.fails().startswith(gone)
    relay.come_back()
    people.run()
    people.check()
    assert people.run()["outcome"] == "fresh"
    people.write(params=", probe: never")
    assert people.run()["outcome"] == "fresh"
    relay.go()
    assert people.run()["outcome"] == "fresh"


def test_a_server_that_says_nothing(people, monkeypatch):
    """It is waited for, but not for ever."""
    people.run()
    monkeypatch.setattr(neo4j_session, "CONNECT_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        people.connect(f"bolt://127.0.0.1:{silent.getsockname()[1]}")
        assert people.fails().startswith("'main' cannot be reached at ")


TYPES = {
    "true": (True, None),
    "2.5::decimal(5, 2)": (2.5, None),
    "date '2024-02-03'": ("2024-02-03", "toString(n.v)"),
    "time '10:11:12'": ("10:11:12", "toString(n.v)"),
    "timestamp '2024-02-03 10:11:12'": ("2024-02-03T10:11:12", "toString(n.v)"),
    "timestamptz '2024-02-03 10:11:12+00'": (1706955072000, "n.v.epochMillis"),
    "['a', 'b']": (["a", "b"], None),
    "'x'::blob": (b"x", None),
    "1e300": (1e300, None),
}


def write_value(people, value):
    text = f"""\
version: 1
name: p
tasks:
  rows: {{transform: tabular.sql, params: {{sql: "select 1 as id, {value} as v"}}, key: [id]}}
  kg: {{transform: graph.build, params: {{nodes: [{{label: Row, from: rows, key: id, properties: [v]}}]}}}}
  graph: {{transform: graph.load, inputs: [kg], params: {{target: neo4j, connection: main}}}}
"""
    people.project.write("p.yaml", text)


@pytest.mark.parametrize("value", TYPES)
def test_types(people, value):
    write_value(people, value)
    people.run()
    expected, shown = TYPES[value]
    assert people.server.run(f"MATCH (n:Row) RETURN {shown or 'n.v'}") == [[expected]]


@pytest.mark.parametrize("value", ["{'a': 1}", "map {'a': 1}", "[[1]]"])
def test_a_type_that_it_has_no_property_for(people, value):
    write_value(people, value)
    told = people.fails()
    assert told.startswith("the property 'v' of Row is a ")
    assert "which Neo4j has no property for; make it a text, such as to_json(...) in SQL" in told
    assert people.server.run("MATCH (n) RETURN count(n)") == [[0]]


WRONG = {
    "target: neo4j": "'graph.load' needs a connection to the server",
    "target: neo4j, connection: mian": "there is no connection 'mian'\n",
    "target: neo4j, connection: main, path: x/": "a target `neo4j` has no `path`",
    "path: x/, connection: main": "a target `ladybug` has no `connection`",
    "target: neo4j, connection: main, probe: sometimes": "'probe' is 'sometimes', expected ",
}


@pytest.mark.parametrize("params", WRONG)
def test_params_that_do_not_fit(empty, params):
    empty.write("mmetl.yml", CONNECTIONS.replace("URI", "bolt://localhost"))
    empty.write("p.yaml", PIPELINE.replace("target: neo4j, connection: main PARAMS", params).replace("NAME", "p"))
    done = empty.fast("validate")
    assert (done.code, WRONG[params] in done.err) == (3, True), done.err
    assert "p.yaml:13:" in done.err


def test_another_address_of_a_connection_is_another_place(people):
    """It counts in the recipe; the secret, and who goes there, do not."""
    people.run()
    people.connect(people.server.uri.replace("127.0.0.1", "localhost"))
    assert people.reasons() == [f"connection.uri changed: {people.server.uri} -> bolt://localhost:{people.server.port}"]
    assert people.run()["items"] == {"unchanged": 15}


def test_a_renamed_task_leaves_its_part_to_clean(people):
    people.run()
    people.project.edit("p.yaml", "  graph: {", "  net: {")
    assert people.run()["items"] == {"added": 15}
    people.check()
    marks = "MATCH (n:Person {_key: '1'}) UNWIND labels(n) AS l RETURN l ORDER BY l"
    assert people.server.run(marks) == [["Person"], ["_mmetl_p:graph"], ["_mmetl_p:net"]]
    assert people.project.fast("clean", "--orphans").code == 0
    assert people.server.run(marks) == [["Person"], ["_mmetl_p:net"]]
    assert people.run()["outcome"] == "fresh"
    people.check()


def test_edges_to_nodes_that_are_not_there(people):
    people.run()
    people.project.edit("p.yaml", "properties: [since]}\n", "properties: [since]}\n      dangling: drop\n")
    people.knows[3, 99] = 1
    assert people.run()["outcome"] == "fresh"
    people.people[99] = {"name": "late", "age": 1}
    assert people.run()["items"]["added"] == 2
    people.check()


@pytest.mark.parametrize(("probe", "expected"), [("never", []), ("run", ["neo4j"])])
def test_what_a_run_with_nothing_to_do_imports(people, probe, expected):
    """The driver, if the server is to be asked; no engine, and nothing that reads YAML, in any case."""
    grow_old()
    people.write(params=f", probe: {probe}")
    people.save()
    grow_old()
    people.run()
    people.project.write(
        "asks.py",
        "import sys\nfrom mmetl.__main__ import main\nsys.argv = ['mmetl', 'run', 'p.yaml', '--json']\ntry: main()\n"
        "finally: print('imported:', sorted({'neo4j', 'duckdb', 'doit', 'pydantic', 'yaml', 'rich'} & set(sys.modules)))\n",
    )
    for _ in range(2):
        told, _, imported = people.project.command("python", "asks.py").out.partition("imported: ")
    assert [t["outcome"] for t in json.loads(told)["tasks"]] == ["fresh"] * 4
    assert imported.strip() == str(expected)
