"""A graph of 100,000 nodes and 500,000 edges in Ladybug or Neo4j: loaded by mmETL and by hand, then 1 % changed, nothing, one node.

    python benchmarks/graphs.py [--target neo4j]

CPU is user and system time of a whole process. By hand means one script that makes the same tables and fills them by `COPY` from
Parquet files, which is how the engine itself loads in bulk; it gets the nodes and the edges as files of their own, in the order of
columns that `COPY` wants. For Neo4j it is one script with the driver, which makes the constraint first, and then the nodes and edges by
CREATE from batches of 10,000 rows; by hand and mmETL each get a server of their own, newly started: Neo4j's own test harness, from Maven,
as the tests have it. What mmETL is measured at is `mmetl run`: the input of the graph, one table of 600,000 rows, has been made before.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

PIPELINE = """\
version: 1
name: g
tasks:
  kg: {transform: tabular.read, params: {path: kg/*.parquet}, key: [_kind, _label, _key]}
  graph: {transform: graph.load, inputs: [kg], params: {PARAMS}}
"""
PARAMS = {"ladybug": "path: graph/", "neo4j": "target: neo4j, connection: main"}
CONNECTIONS = """\
connections:
  main: {kind: neo4j, uri: "URI", password: "${secret:NEO4J_PASSWORD}"}
"""
BY_HAND = """\
import sys, ladybug
with ladybug.Database(sys.argv[1] + "/hand.lbug", max_num_threads=2) as db, ladybug.Connection(db) as c:
    c.execute("CREATE NODE TABLE Person(_key STRING, name STRING, born INT64, score DOUBLE, PRIMARY KEY(_key))")
    c.execute("CREATE REL TABLE KNOWS(FROM Person TO Person, _key STRING, weight DOUBLE)")
    c.execute(f"COPY Person FROM '{sys.argv[1]}/nodes.parquet'")
    c.execute(f"COPY KNOWS FROM '{sys.argv[1]}/edges.parquet'")
    c.execute("CHECKPOINT")
"""
CHANGED_BY_HAND = """\
import sys, ladybug
ends = "MATCH (a:Person {_key: _source}) MATCH (b:Person {_key: _target})"
with ladybug.Database(sys.argv[1] + "/hand.lbug", max_num_threads=2, auto_checkpoint=False) as db, ladybug.Connection(db) as c:
    c.execute("CALL force_checkpoint_on_close=false")
    c.execute("BEGIN TRANSACTION")
    c.execute(f"LOAD FROM '{sys.argv[1]}/gone.parquet' {ends} MATCH (a)-[e:KNOWS]->(b) WHERE e._key = `_key` DELETE e")
    c.execute(f"LOAD FROM '{sys.argv[1]}/born.parquet' MATCH (n:Person {{_key: `_key`}}) SET n.born = `born`")
    c.execute(f"LOAD FROM '{sys.argv[1]}/made.parquet' {ends} CREATE (a)-[:KNOWS {{_key: `_key`, weight: `weight`}}]->(b)")
    c.execute("COMMIT")
"""
BY_HAND_NEO4J = """\
import os, sys, neo4j, pyarrow.parquet as pq
folder, uri = sys.argv[1:]
with neo4j.GraphDatabase.driver(uri, auth=("neo4j", os.environ["NEO4J_PASSWORD"])) as driver, driver.session() as session:
    session.run("CREATE CONSTRAINT FOR (p:Person) REQUIRE p._key IS UNIQUE").consume()
    session.run("CALL db.awaitIndexes()").consume()
    for name, statement in (
        ("nodes", "UNWIND $rows AS r CREATE (p:Person) SET p = r"),
        ("edges", "UNWIND $rows AS r MATCH (a:Person {_key: r._source}) MATCH (b:Person {_key: r._target})"
                  " CREATE (a)-[:KNOWS {_key: r._key, weight: r.weight}]->(b)"),
    ):
        for batch in pq.read_table(f"{folder}/{name}.parquet").to_batches(max_chunksize=10_000):
            session.execute_write(lambda t: t.run(statement, rows=batch.to_pylist()).consume())
"""


def graph(nodes: int, edges: int, seed: int) -> tuple[pa.Table, pa.Table]:
    """Return people and whom they know, as the engine takes them."""
    rng = np.random.default_rng(seed)
    names = [f"person {n:07}" for n in range(nodes)]
    people = pa.table(
        {
            "_key": names,
            "name": [f"Name of {n} {n % 977}" for n in range(nodes)],
            "born": rng.integers(1900, 2020, nodes),
            "score": rng.random(nodes),
        }
    )
    ends = rng.integers(0, nodes, (edges, 2)).tolist()
    keys = [
        json.dumps(["Person", names[a], "Person", names[b], n], separators=(",", ":")) for n, (a, b) in enumerate(ends)
    ]
    known = pa.table(
        {
            "_source": [names[a] for a, _ in ends],
            "_target": [names[b] for _, b in ends],
            "_key": keys,
            "weight": rng.random(edges),
        }
    )
    return people, known


def as_rows(people: pa.Table, known: pa.Table) -> pa.Table:
    """Return both as one table, as graph.build makes it."""

    def constant(value: str | None, rows: int) -> pa.Array:
        return pa.array([value] * rows, pa.string())

    n, e = people.num_rows, known.num_rows
    nodes = people.append_column("_kind", constant("node", n)).append_column("_label", constant("Person", n))
    edges = known.append_column("_kind", constant("edge", e)).append_column("_label", constant("KNOWS", e))
    edges = edges.append_column("_source_label", constant("Person", e))
    edges = edges.append_column("_target_label", constant("Person", e))
    return pa.concat_tables([nodes, edges], promote_options="default")


def changed(people: pa.Table, known: pa.Table, share: float, seed: int = 1) -> tuple[pa.Table, pa.Table]:
    """Return the graph with a share of it edited, anywhere: nodes and edges with another property, edges gone and new ones."""
    rng = np.random.default_rng(seed)
    born, weight = (people["born"].to_numpy().copy(), known["weight"].to_numpy().copy())
    born[rng.choice(len(born), int(len(born) * share), replace=False)] += 1
    touched = rng.permutation(known.num_rows)[: int(known.num_rows * share)]
    third = len(touched) // 3
    weight[touched[:third]] += 1.0
    after = known.set_column(3, "weight", pa.array(weight))
    moved = touched[third : 2 * third]
    keep = np.ones(known.num_rows, bool)
    keep[touched[third:]] = False
    fresh = after.take(pa.array(moved))
    renamed = [key[:-1] + f',"again {seed}"]' for key in fresh["_key"].to_pylist()]
    fresh = fresh.set_column(2, "_key", pa.array(renamed))
    return people.set_column(2, "born", pa.array(born)), pa.concat_tables([after.filter(pa.array(keep)), fresh])


def differences(before: pa.Table, after: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Return the rows of each of two tables that the other one does not have, by `_key` and the last column."""
    named = [pc.binary_join_element_wise(t["_key"], t.columns[-1].cast(pa.string()), " ") for t in (before, after)]
    return tuple(
        t.filter(pc.invert(pc.is_in(own, value_set=other)))
        for t, own, other in zip((before, after), named, named[::-1], strict=True)
    )


def cpu_of(command: list[str], folder: Path) -> tuple[float, float, str]:
    """Run a command; return CPU seconds, wall seconds, and what it said."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    done = subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True, env={**os.environ})
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent, time.perf_counter() - start, done.stdout


class Served:
    """Servers that are started one after the other, each with a database of its own."""

    def __init__(self, folder: Path) -> None:
        sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
        import neo4j_server

        cache = Path(__file__).parents[1] / ".pytest_cache" / "d" / "neo4j"  # where the tests have them
        cache.mkdir(parents=True, exist_ok=True)
        jars = neo4j_server.jars(cache)
        if isinstance(jars, str):
            sys.exit(jars)
        os.environ["NEO4J_PASSWORD"] = neo4j_server.PASSWORD
        self._jars, self._folder, self._start, self._server = jars, folder, neo4j_server.Server, None

    def again(self) -> str:
        """End the server that runs, and start another one; return where."""
        self.close()
        data = Path(tempfile.mkdtemp(dir=self._folder, prefix="server-"))
        self._server = self._start(self._jars, data, ("-Xmx2g",))
        return self._server.uri

    def cpu(self) -> float:
        """Return the CPU seconds that the server that runs has used."""
        if self._server is None:
            return 0.0
        fields = Path(f"/proc/{self._server.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def close(self) -> None:
        """End the server."""
        if self._server is not None:
            self._server.close()


class Spent(NamedTuple):
    """What a step took, in seconds."""

    cpu: float
    server: float
    wall: float


def write_differences(folder: Path, before: tuple[pa.Table, pa.Table], after: tuple[pa.Table, pa.Table]) -> None:
    """Write the rows that a script has to know which changes a graph by hand."""
    gone, made = differences(before[1], after[1])
    pq.write_table(gone.drop_columns("weight"), folder / "gone.parquet")
    pq.write_table(made, folder / "made.parquet")
    ages = [people.select(["_key", "born"]) for people, _ in (before, after)]
    pq.write_table(differences(*ages)[1], folder / "born.parquet")


def report(share: float, by_hand: Spent, load: Spent, update: Spent, again: Spent, no_op: Spent) -> None:
    """Print how the steps stand to each other."""
    for what in Spent._fields:
        if h := getattr(by_hand, what):
            a, u, v, n = (getattr(spent, what) for spent in (load, update, again, no_op))
            parts = f"{share:.0%} changed {u / a:.1%} of a load, another {v / a:.1%}"
            print(f"{what}: load {a / h:.2f} x by hand; {parts}; no-op {n:.2f} s")


def measure(args: argparse.Namespace, folder: Path, served: Served | None) -> None:
    """Take all steps in a folder, and print one line for each."""
    mmetl = [str(Path(sys.executable).with_name("mmetl")), "run"]
    people, known = graph(args.nodes, args.edges, 0)
    for name, table in (("nodes", people), ("edges", known)):
        pq.write_table(table, folder / f"{name}.parquet")
    pq.write_table(as_rows(people, known), folder / "kg" / "kg.parquet")

    def step(name: str, command: list[str]) -> Spent:
        before = served.cpu() if served else 0.0
        spent, wall, said = cpu_of(command, folder)
        server = served.cpu() - before if served else 0.0
        last = said.strip().splitlines()[-1] if said.strip() else ""
        shown = f" {server:7.2f} of the server" if served else ""
        print(f"{name:28} {spent:7.2f} CPU s{shown} {wall:7.2f} wall s   {last}", flush=True)
        return Spent(spent, server, wall)

    def edited(people: pa.Table, known: pa.Table) -> None:
        pq.write_table(as_rows(people, known), folder / "kg" / "kg.parquet")
        step("its input, made again", [*mmetl, "--select", "kg"])

    if served:
        by_hand = step("by hand", [sys.executable, "-c", BY_HAND_NEO4J, str(folder), served.again()])
        (folder / "mmetl.yml").write_text("version: 1\n" + CONNECTIONS.replace("URI", served.again()))
    else:
        by_hand = step("by hand", [sys.executable, "-c", BY_HAND, str(folder)])
    step("its input, made", [*mmetl, "--select", "kg"])
    load = step("load", mmetl)
    no_op = step("nothing changed", mmetl)
    before = people, known
    people, known = changed(people, known, args.share)
    if not served:
        write_differences(folder, before, (people, known))
        step("the changes by hand", [sys.executable, "-c", CHANGED_BY_HAND, str(folder)])
    edited(people, known)
    update = step(f"{args.share:.0%} changed", mmetl)
    people, known = changed(people, known, args.share, seed=2)
    edited(people, known)
    again = step(f"another {args.share:.0%} changed", mmetl)
    born = pa.concat_arrays([pa.array([1]), people["born"].combine_chunks().slice(1)])
    edited(people.set_column(2, "born", born), known)
    step("one node changed", mmetl)
    report(args.share, by_hand, load, update, again, no_op)


def main() -> None:
    """Make a project, and measure in it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", choices=sorted(PARAMS), default="ladybug")
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=500_000)
    parser.add_argument("--share", type=float, default=0.01, help="how much of it is changed")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    args = parser.parse_args()
    folder = args.keep or Path(tempfile.mkdtemp(prefix="mmetl-graphs-"))
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "kg").mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(PIPELINE.replace("{PARAMS}", f"{{{PARAMS[args.target]}}}"))
    served = Served(folder) if args.target == "neo4j" else None
    (folder / "mmetl.yml").write_text("version: 1\n")
    measure(args, folder, served)
    if served:
        served.close()
    if not args.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
