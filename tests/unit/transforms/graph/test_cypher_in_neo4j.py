"""`graph.cypher` and `mmetl cypher` where the graph is in a server that others use too."""

from __future__ import annotations

import json

from harness import wait_for
from neo4j_server import PASSWORD

ASKED = """\
  found:
    transform: graph.cypher
    inputs: [graph]
    params:
      query: |
        QUERY
"""
COUNTED = "MATCH (n:Person) WHERE n.age >= $least RETURN count(*) AS n\n      parameters: {least: 20}"


def ask(people, query):
    people.write()
    people.project.write("p.yaml", people.project.read("p.yaml") + ASKED.replace("QUERY", query))


def rows(people):
    people.run()
    return [json.loads(line) for line in people.project.fast("show", "found", "--json").out.splitlines()]


def cypher(people, *argv):
    return people.project.fast("cypher", "graph", *argv)


def columns(people):
    shown = people.project.fast("show", "found", "--schema").out
    return dict(line.split(None, 1) for line in shown.splitlines() if line)


VALUES = {
    "duration('P1M2DT3S')": ("VARCHAR", "P1M2DT3S"),
    "time('10:00+01:00')": ("VARCHAR", "10:00:00.000000000+01:00"),
    "localtime('10:00')": ("TIME", "10:00:00"),
    "date('2024-02-03')": ("DATE", "2024-02-03"),
    "localdatetime('2024-02-03T10:00')": ("TIMESTAMP", "2024-02-03 10:00:00"),
    "datetime('2024-02-03T10:00[Europe/Paris]')": ("TIMESTAMPTZ", "2024-02-03 09:00:00+00:00"),
    "point({x: 1, y: 2})": ("STRUCT", {"srid": 7203, "x": 1.0, "y": 2.0}),
    "point({longitude: 1, latitude: 2, height: 3})": ("STRUCT", {"srid": 4979, "x": 1.0, "y": 2.0, "z": 3.0}),
    "{a: 1, b: ['x', null]}": ("STRUCT", {"a": 1, "b": ["x", None]}),
    "true": ("BOOLEAN", True),
    "2 ^ 70": ("DOUBLE", 2.0**70),
    "null": ("VARCHAR", None),
}


def test_each_type_has_a_column(people):
    names = {f"v{n}": value for n, value in enumerate(VALUES)}
    ask(people, "RETURN " + ", ".join(f"{value} AS {name}" for name, value in names.items()))
    (row,) = rows(people)
    for name, value in names.items():
        assert row[name] == VALUES[value][1], value


def test_rows_of_many_batches_have_the_types_of_all(people):
    """What a column holds is known when the last row was read; no more than some thousand rows are in memory."""
    values = "CASE WHEN x > 4000 THEN x / 2.0 ELSE x END AS v, CASE WHEN x = 4999 THEN {a: 1} WHEN x = 5000 THEN {b: 'y'} END AS m"
    ask(people, f"UNWIND range(1, 5000) AS x RETURN x, {values} ORDER BY x DESC")
    found = rows(people)
    assert [r["x"] for r in found] == list(range(5000, 0, -1))
    assert [r["v"] for r in found] == [x / 2 if x > 4000 else float(x) for x in range(5000, 0, -1)]
    assert [r["m"] for r in found[:3]] == [{"a": None, "b": "y"}, {"a": 1, "b": None}, None]


WRONG = {
    "UNWIND [1, 'a'] AS x RETURN x": "the column 'x' holds values of several types: int and str; make them one type, such as toString(x)",
    "UNWIND range(1, 1001) AS x RETURN CASE x WHEN 1001 THEN true ELSE x END AS x": "the column 'x' holds values of several types: ",
    "UNWIND [datetime('2024-02-03T10:00Z'), localdatetime('2024-02-03T10:00')] AS t RETURN t": "times with and without a zone",
    "RETURN date('+12024-01-01') AS d": "'main' gave a row that cannot be read: ",
    "MATCH (n:Person) RETURN n": "the column 'n' holds nodes, edges or paths, which are no values of a table; return what is needed of them: n._key, labels(n), n.property",
    "MATCH p = ()-[:KNOWS]->() RETURN {path: p} AS m": "the column 'm' holds nodes, edges or paths",
    "MATCH (n:Person) RETURN m.name AS name": "p.yaml:19:33: variable `m` not defined",
    "MATCH (n:Person) RETRUN n.name AS name RETURN 1": "p.yaml:19:26: the query is wrong at 'RETRUN'",
    "RETURN 1 / 0 AS n": "/ by zero",
    "CALL db.createLabel('New') RETURN 1 AS n": "the query would change the database; a query only reads; `writes: true` in a graph.cypher task allows it",
}


def test_what_cannot_be_a_table_is_told(people):
    for query, told in WRONG.items():
        ask(people, query)
        assert told in people.fails(), query
    assert people.server.run("CALL db.labels() YIELD label WHERE label = 'New' RETURN label") == []


def test_drift_is_mended_before_the_query_runs(people):
    ask(people, COUNTED)
    assert rows(people) == [{"n": 8}]
    people.server.run("MATCH (n:Person {_key: '3'}) DETACH DELETE n")
    done, task = people.told()
    assert (done.outcomes()["graph"], task["outcome"]) == ("ran", "fresh")
    assert cypher(people, COUNTED.splitlines()[0], "--param", "least=20", "--json").json() == {"n": 8}


def test_a_graph_that_is_not_as_its_run_left_it_is_not_asked(people):
    ask(people, COUNTED)
    people.run()
    people.server.run("MATCH (s:_mmetl_target) SET s.manifest = 'other'")
    done = cypher(people, "MATCH (n) RETURN count(n) AS n")
    assert (done.code, done.out) == (2, "")
    assert "the graph of 'graph' is not as its last run left it" in done.err


def test_what_others_keep_is_seen_by_a_query_and_makes_none_run(people):
    """A label of the task's own leaves it out."""
    ask(people, COUNTED)
    people.run()
    people.server.run("CREATE (:Person {age: 99})")
    assert people.told()[1]["outcome"] == "fresh"
    own = "MATCH (n:Person:`_mmetl_p:graph`) RETURN count(*) AS n"
    for query, n in (("MATCH (n:Person) RETURN count(*) AS n", 9), (own, 8)):
        assert cypher(people, query, "--json").json() == {"n": n}


def test_entities_are_shown_without_the_marks_of_who_keeps_them(people):
    people.run()
    done = cypher(people, "MATCH p = (a {_key: $k})-[e:KNOWS]->(b) RETURN a, e, p", "--param", 'k="1"', "--json")
    first, second = ({"_label": "Person", "_key": f"{n}", "age": 20 + n, "name": f"n{n}"} for n in (1, 2))
    edge = {"_label": "KNOWS", "_key": '["Person","1","Person","2"]', "since": 2001}
    assert done.json() == {"a": first, "e": edge, "p": {"nodes": [first, second], "edges": [edge]}}


def test_a_name_that_is_nowhere_is_told(people):
    ask(people, "MATCH (n:Persn) RETURN n.name AS name")
    assert rows(people) == []
    assert "The label `Persn` does not exist" in people.project.fast("logs", "latest", "p:found").out
    done = cypher(people, "MATCH (n:Persn) RETURN n.name AS name")
    assert done.code == 0
    assert "warning: label does not exist. The label `Persn` does not exist." in done.err


def test_a_query_of_another_engine_runs_again(people):
    ask(people, COUNTED)
    people.run()
    people.project.edit("p.yaml", "target: neo4j, connection: main", "path: graph/")
    done, task = people.told(command="dry-run")
    assert task["reasons"] == ["engine changed: neo4j -> ladybug"]
    assert done.code == 0


def test_who_is_not_let_in_is_told(people, monkeypatch):
    ask(people, COUNTED)
    people.run()
    monkeypatch.setenv("NEO4J_PASSWORD", "another-secret")
    done = cypher(people, "MATCH (n) RETURN count(n) AS n")
    assert "'main' does not let the user 'neo4j' in" in done.err
    assert "another-secret" not in done.err
    monkeypatch.setenv("NEO4J_PASSWORD", PASSWORD)


def test_a_query_that_takes_too_long_is_ended_in_the_server_too(people):
    many = "range(1, 1000000)"
    ask(people, f"UNWIND {many} AS a UNWIND {many} AS b WITH a WHERE a % 7 = b % 5 RETURN count(*) AS n")
    people.run("--select", "+graph")
    people.project.edit("p.yaml", "  found:\n", "  found:\n    timeout_s: 1\n")
    assert people.fails() == "it took longer than its timeout_s of 1"
    running = "SHOW TRANSACTIONS YIELD currentQuery WHERE currentQuery STARTS WITH 'UNWIND' RETURN currentQuery"
    wait_for(lambda: people.server.run(running) == [], 20)
