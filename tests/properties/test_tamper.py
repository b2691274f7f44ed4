"""Whatever is deleted or changed afterwards is put right by the next run, with no task done again or one."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from layered import PIPELINE, Layered


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Layered:
    graph = Layered(tmp_path_factory.mktemp("finished"), width=3, layers=4, slow=0)
    graph.run("mmetl")
    return graph


def state(graph: Layered, name: str) -> tuple[Path, Path]:
    """Return a task's manifest and the part that it lists."""
    manifest = graph.root / f".mmetl/manifests/{PIPELINE}/{name}.json"
    part = json.loads(manifest.read_text())["files"][0][1]
    return manifest, graph.root / f".mmetl/parts/{part[:2]}/{part}"


def flip(path: Path) -> None:
    """Change one byte and put the modification time back: only the content tells."""
    import os

    st = path.stat()
    data = path.read_bytes()
    path.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    os.utime(path, ns=(st.st_atime_ns, st.st_mtime_ns))


DAMAGE = {
    "output deleted": (lambda g, n: (g.root / g.output(n)).unlink(), 0),
    "output changed": (lambda g, n: (g.root / g.output(n)).write_text("tampered\n"), 0),
    "output changed, same size and time": (lambda g, n: flip(g.root / g.output(n)), 0),
    "output emptied": (lambda g, n: (g.root / g.output(n)).write_text(""), 0),
    "manifest deleted": (lambda g, n: state(g, n)[0].unlink(), 0),
    "manifest changed": (lambda g, n: state(g, n)[0].write_text("{}"), 0),
    "part deleted": (lambda g, n: state(g, n)[1].unlink(), 0),
    "part changed, same size and time": (lambda g, n: flip(state(g, n)[1]), 0),
    "part and output deleted": (lambda g, n: (state(g, n)[1].unlink(), (g.root / g.output(n)).unlink()), 1),
    "part and output changed": (lambda g, n: (flip(state(g, n)[1]), flip(g.root / g.output(n))), 1),
    "all parts deleted": (lambda g, n: shutil.rmtree(g.root / ".mmetl/parts"), 0),
    "all manifests deleted": (lambda g, n: shutil.rmtree(g.root / ".mmetl/manifests"), 0),
    "all outputs deleted": (lambda g, n: shutil.rmtree(g.root / "out"), 0),
}


@pytest.mark.parametrize("name", ["t1_1", "t3_2"], ids=["middle", "last"])
@pytest.mark.parametrize("door", ["mmetl", "doit"])
@pytest.mark.parametrize("damage", DAMAGE)
def test_damage_is_mended(finished, tmp_path, damage, door, name):
    """Outputs and parts restore each other; only where both are gone is the one task done again."""
    harm, tasks = DAMAGE[damage]
    graph = finished
    harm(graph, name)
    assert len(graph.run(door)) == tasks
    assert graph.found() == graph.expected()
    for task in graph.names:
        manifest, part = state(graph, task)
        assert part.read_bytes() == (graph.root / graph.output(task)).read_bytes(), manifest
    assert graph.run("mmetl") == set()
