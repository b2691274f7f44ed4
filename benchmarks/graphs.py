"""A graph of 100,000 nodes and 500,000 edges in Ladybug: loaded by mmETL and by hand, then 1 % changed, nothing, one node.

    python benchmarks/graphs.py

CPU is user and system time of a whole process. By hand means one script that makes the same tables and fills them by `COPY` from
Parquet files, which is how the engine itself loads in bulk; it gets the nodes and the edges as files of their own, in the order of
columns that `COPY` wants. What mmETL is measured at is `mmetl run --select graph`: its input, one table of 600,000 rows, has been made before.
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

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

PIPELINE = """\
version: 1
name: g
tasks:
  kg: {transform: tabular.read, params: {path: kg/*.parquet}, key: [_kind, _label, _key]}
  graph: {transform: graph.load, inputs: [kg], params: {path: graph/}}
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


def changed(people: pa.Table, known: pa.Table, share: float) -> tuple[pa.Table, pa.Table]:
    """Return the graph with a share of it edited, anywhere: nodes and edges with another property, edges gone and new ones."""
    rng = np.random.default_rng(1)
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
    renamed = [key[:-1] + ',"again"]' for key in fresh["_key"].to_pylist()]
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


def main() -> None:
    """Measure, and print one line a step."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nodes", type=int, default=100_000)
    parser.add_argument("--edges", type=int, default=500_000)
    parser.add_argument("--share", type=float, default=0.01, help="how much of it is changed")
    parser.add_argument("--keep", type=Path, help="work in this folder, and leave it")
    args = parser.parse_args()
    folder = args.keep or Path(tempfile.mkdtemp(prefix="mmetl-graphs-"))
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "kg").mkdir(parents=True)
    (folder / "pipeline.yaml").write_text(PIPELINE)
    (folder / "mmetl.yml").write_text("version: 1\n")
    mmetl = [str(Path(sys.executable).with_name("mmetl")), "run"]
    people, known = graph(args.nodes, args.edges, 0)
    pq.write_table(people, folder / "nodes.parquet")
    pq.write_table(known, folder / "edges.parquet")
    pq.write_table(as_rows(people, known), folder / "kg" / "kg.parquet")

    def step(name: str, command: list[str]) -> float:
        spent, wall, said = cpu_of(command, folder)
        print(
            f"{name:28} {spent:7.2f} CPU s {wall:7.2f} wall s   {said.strip().splitlines()[-1] if said.strip() else ''}",
            flush=True,
        )
        return spent

    by_hand = step("by hand", [sys.executable, "-c", BY_HAND, str(folder)])
    step("its input, made", [*mmetl, "--select", "kg"])
    load = step("load", [*mmetl, "--select", "graph"])
    no_op = step("nothing changed", mmetl)
    before = people, known
    people, known = changed(people, known, args.share)
    gone, made = differences(before[1], known)
    pq.write_table(gone.drop_columns("weight"), folder / "gone.parquet")
    pq.write_table(made, folder / "made.parquet")
    ages = [t.select(["_key", "born"]) for t in (before[0], people)]
    pq.write_table(differences(*ages)[1], folder / "born.parquet")
    by_hand_again = step("the changes by hand", [sys.executable, "-c", CHANGED_BY_HAND, str(folder)])
    pq.write_table(as_rows(people, known), folder / "kg" / "kg.parquet")
    step("its input, made again", [*mmetl, "--select", "kg"])
    update = step(f"{args.share:.0%} changed", [*mmetl, "--select", "graph"])
    born = pa.concat_arrays([pa.array([1]), people["born"].combine_chunks().slice(1)])
    pq.write_table(as_rows(people.set_column(2, "born", born), known), folder / "kg" / "kg.parquet")
    step("its input, made again", [*mmetl, "--select", "kg"])
    step("one node changed", [*mmetl, "--select", "graph"])
    print(
        f"load {load / by_hand:.2f} x by hand; {args.share:.0%} changed {update / load:.1%} of a load, by hand {by_hand_again / load:.1%}; no-op {no_op:.2f} s"
    )
    if not args.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
