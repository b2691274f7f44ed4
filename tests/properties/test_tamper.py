"""Whatever is deleted or changed afterwards is put right by the next run, and no task is done again without need."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
from pathlib import Path

import pytest
from inside import run_here, worked
from layered import Layered


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Layered:
    graph = Layered(tmp_path_factory.mktemp("finished"), width=3, layers=4, slow=0)
    graph.run("mmetl")
    return graph


def query(graph: Layered, sql: str, *values: str) -> list[tuple[str, ...]]:
    with contextlib.closing(sqlite3.connect(graph.root / ".mmetl/state.db")) as db, db:
        return db.execute(sql, values).fetchall()


def part(graph: Layered, name: str) -> Path:
    """Return the part that holds the bytes of a task's output."""
    ((found,),) = query(graph, "select parts from tasks where task = ?", name)
    return graph.root / f".mmetl/parts/{found[:2]}/{found}"


def lose_manifest(graph: Layered, name: str) -> None:
    query(graph, "delete from manifests where fingerprint = (select manifest from tasks where task = ?)", name)


def flip(path: Path) -> None:
    """Change one byte and put the modification time back: only the content tells."""
    st = path.stat()
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


DAMAGE = {
    "output deleted": (lambda g, n: (g.root / g.output(n)).unlink(), 0),
    "output changed": (lambda g, n: (g.root / g.output(n)).write_text("tampered\n"), 0),
    "output changed, same size and time": (lambda g, n: flip(g.root / g.output(n)), 0),
    "output emptied": (lambda g, n: (g.root / g.output(n)).write_text(""), 0),
    "manifest lost, output deleted": (lambda g, n: (lose_manifest(g, n), (g.root / g.output(n)).unlink()), 1),
    "record lost": (lambda g, n: query(g, "delete from tasks where task = ?", n), 0),
    "index lost, output changed": (
        lambda g, n: (query(g, "delete from builds where task = ?", n), flip(g.root / g.output(n))),
        1,
    ),
    "interrupted": (lambda g, n: query(g, "update tasks set state = 'started' where task = ?", n), 0),
    "part deleted": (lambda g, n: part(g, n).unlink(), 0),
    "part changed, same size and time": (lambda g, n: flip(part(g, n)), 0),
    "part and output deleted": (lambda g, n: (part(g, n).unlink(), (g.root / g.output(n)).unlink()), 1),
    "part and output changed": (lambda g, n: (flip(part(g, n)), flip(g.root / g.output(n))), 1),
    "all parts deleted": (lambda g, n: shutil.rmtree(g.root / ".mmetl/parts"), 0),
    "all parts and outputs deleted": (
        lambda g, n: (shutil.rmtree(g.root / ".mmetl/parts"), shutil.rmtree(g.root / "out")),
        12,
    ),
    "all outputs deleted": (lambda g, n: shutil.rmtree(g.root / "out"), 0),
}


@pytest.mark.parametrize(("door", "name"), [("mmetl", "t1_1"), ("mmetl", "t3_2"), ("doit", "t1_1"), ("doit", "t3_2")])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_mended(finished, tmp_path, damage, door, name):
    """Outputs and parts restore each other; only where both are gone is the one task done again."""
    harm, tasks = DAMAGE[damage]
    graph = finished
    harm(graph, name)
    assert len(graph.run(door)) == tasks
    assert graph.found() == graph.expected()
    for task in graph.names:
        assert part(graph, task).read_bytes() == (graph.root / graph.output(task)).read_bytes(), task
    assert worked(run_here(graph.root)) == {}
