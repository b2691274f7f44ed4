"""A project whose graph, in a Neo4j server, is two dicts."""

from __future__ import annotations

import json

CONNECTIONS = """\
version: 1
connections:
  main: {kind: neo4j, uri: "URI", password: "${secret:NEO4J_PASSWORD}"}
"""
PIPELINE = """\
version: 1
name: NAME
tasks:
  people: {transform: tabular.read, params: {path: NAME.people.ndjson}, key: [id]}
  knows: {transform: tabular.read, params: {path: NAME.knows.ndjson}, key: [a, b]}
  kg:
    transform: graph.build
    params:
      nodes:
        - {label: Person, from: people, key: id, properties: [PROPERTIES]}
      edges:
        - {type: KNOWS, from: knows, source: {label: Person, key: a}, target: {label: Person, key: b}, properties: [since]}
  graph: {transform: graph.load, inputs: [kg], params: {target: neo4j, connection: main PARAMS}}
"""
PEOPLE = {n: {"name": f"n{n}", "age": 20 + n} for n in range(8)}
KNOWS = {(n, n + 1): 2000 + n for n in range(7)}


class People:
    """The project; `people` and `knows` are what its files come to have."""

    def __init__(self, project, server, name="p"):
        self.project, self.server, self.name = project, server, name
        self.people, self.knows = {n: dict(p) for n, p in PEOPLE.items()}, dict(KNOWS)
        self.connect(server.uri)
        self.write()

    def connect(self, uri):
        self.project.write("mmetl.yml", CONNECTIONS.replace("URI", uri))

    def write(self, properties="name, age", params=""):
        text = PIPELINE.replace("NAME", self.name).replace("PROPERTIES", properties).replace(" PARAMS", params)
        self.project.write(f"{self.name}.yaml", text)

    def save(self):
        rows = {
            "people": [{"id": n, **p} for n, p in self.people.items()],
            "knows": [{"a": a, "b": b, "since": since} for (a, b), since in self.knows.items()],
        }
        for table, listed in rows.items():
            self.project.write(f"{self.name}.{table}.ndjson", "".join(json.dumps(row) + "\n" for row in listed))

    def told(self, *argv, command="run"):
        self.save()
        done = self.project.fast(command, f"{self.name}.yaml", "--json", *argv)
        return done, done.json()["tasks"][-1]

    def run(self, *argv):
        done, task = self.told(*argv)
        assert done.code == 0, done.out + done.err
        return task

    def fails(self, *argv):
        done, task = self.told(*argv)
        assert done.code == 1, done.out
        return task["error"]

    def reasons(self):
        return self.told(command="dry-run")[1]["reasons"]

    def check(self):
        """The database holds exactly the graph: node by node, edge by edge."""
        nodes = {n: (name, age) for n, name, age in self.server.run("MATCH (n:Person) RETURN n._key, n.name, n.age")}
        assert nodes == {str(n): (p.get("name"), p.get("age")) for n, p in self.people.items()}
        edges = self.server.run("MATCH (a)-[e:KNOWS]->(b) RETURN a._key, b._key, e.since")
        assert sorted(edges) == sorted([str(a), str(b), since] for (a, b), since in self.knows.items())
