"""Power loss: a task's files are made durable before the transaction that names them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
from inside import write_pipeline
from layered import DOORS, Layered

CALLS = "syncfs,fsync,fdatasync,sync,write,pwrite64,rename,renameat,renameat2"


def traceable() -> bool:
    """Tell whether strace is there and may trace here."""
    return (
        shutil.which("strace") is not None
        and subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0
    )


def trace(root: Path, door: str, *arguments: str, options: Sequence[str] = (), check: bool = True) -> list[str]:
    """Run under strace, with more of its options; return the system calls in the order in which they were completed."""
    program, command, _ = DOORS[door]
    log = root.parent / "trace"
    subprocess.run(
        [
            "strace",
            "-f",
            "-y",
            "-s",
            "65536",
            "-e",
            f"trace={CALLS}",
            *options,
            "-o",
            log,
            sys.executable,
            "-m",
            program,
            command,
            *arguments,
        ],
        cwd=root,
        capture_output=True,
        check=check,
        timeout=60,
    )
    begun: dict[str, str] = {}
    calls = []
    for line in log.read_text(errors="replace").splitlines():
        thread, _, call = line.partition(" ")
        if call.endswith("<unfinished ...>"):
            begun[thread] = call.removesuffix("<unfinished ...>").lstrip()
            continue
        resumed = re.match(r"\s*<\.\.\. \w+ resumed>(.*)", call)
        calls.append(begun.pop(thread) + resumed[1] if resumed else call.strip())
    return calls


def records(graph: Layered) -> list[tuple[str, str, str]]:
    """Return (task, manifest, part) of all tasks."""
    with contextlib.closing(sqlite3.connect(graph.root / ".mmetl/state.db")) as db:
        found = db.execute("select task, manifest, parts from tasks").fetchall()
    assert len(found) == len(graph.names)
    return found


def last_write(calls: list[str], *files: str) -> int:
    """Return the place of the last call that wrote or renamed any of some files, by what their names are followed by."""
    return max(i for i, c in enumerate(calls) if c.startswith(("write", "rename")) and any(f in c for f in files))


def first_row(calls: list[str], manifest: str) -> int:
    """Return the place of the first write of a manifest's fingerprint to the store."""
    return min(i for i, c in enumerate(calls) if "state.db-wal>" in c[:400] and manifest in c)


needs_strace = pytest.mark.skipif(not traceable(), reason="strace is not installed, or not allowed to trace here")


@needs_strace
@pytest.mark.parametrize("door", DOORS)
def test_files_are_synced_before_their_rows(tmp_path, door):
    """For every task: the last write of its output and manifest, then a sync, then the first write that names them."""
    graph = Layered(tmp_path, width=3, layers=3, slow=0.01)
    calls = trace(graph.root, door)
    synced = [i for i, c in enumerate(calls) if c.startswith("syncfs(") and c.endswith("= 0")]
    groups = set()
    for name, manifest, part in records(graph):
        data = last_write(calls, f"/{graph.output(name)}>", f"/{part}>", f'/{part}"')
        row = first_row(calls, manifest)
        between = [i for i in synced if data < i < row]
        assert between, f"{name}: data at call {data}, row at call {row}, syncs at {synced}"
        groups.add(between[-1])
    assert len(groups) > 1, "all tasks were committed at the end, not as they finished"
    assert any(c.startswith(("fsync(", "fdatasync(")) and "state.db-wal>" in c for c in calls), (
        "the store does not sync"
    )


@needs_strace
def test_files_on_two_file_systems_are_synced_before_their_rows(tmp_path):
    """Where the state is a link to another disk, the one with the outputs is synced, and the one with their parts."""
    if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("there is no second file system")
    graph = Layered(tmp_path, width=2, layers=2, slow=0.01)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (graph.root / ".mmetl").symlink_to(elsewhere)
        calls = trace(graph.root, "mmetl")
        for name, manifest, part in records(graph):
            row = first_row(calls, manifest)
            for file, disk in ((graph.output(name), str(graph.root)), (part, elsewhere)):
                data = last_write(calls, f"/{file}>", f'/{file}"')
                assert any(c.startswith("syncfs(") and f"<{disk}" in c for c in calls[data:row]), f"{name}: {disk}"


@needs_strace
def test_files_are_synced_one_by_one_where_a_file_system_cannot(tmp_path):
    """Without `syncfs`, as elsewhere than on Linux: the output and its part, before the row."""
    graph = Layered(tmp_path, width=2, layers=2, slow=0.01)
    calls = trace(graph.root, "mmetl", options=("-e", "inject=syncfs:error=ENOSYS"))
    for name, manifest, part in records(graph):
        row = first_row(calls, manifest)
        for file in (graph.output(name), part):
            data = last_write(calls, f"/{file}>", f'/{file}"')
            assert any(c.startswith("fsync(") and f"/{file}>" in c for c in calls[data:row]), f"{name}: {file}"


# Items of which one fails, a folder of partitions, and a target: what must be durable before something says so.
NOTED = """\
from mmetl import Items, register_transform

@register_transform("own.items", items=Items(reads="text", makes={"n": "int64"}, batch_rows=1))
def items(batch):
    return {"n": [1 // (t != "bad") for t in batch.column("text").to_pylist()]}
"""


@needs_strace
def test_notes_are_made_of_what_is_durable(tmp_path):
    """Finished items of a task that fails, the files that a folder is about to get, and the files of a target."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "own.py").write_text(NOTED)
    (root / "texts.csv").write_text("id,text\n1,good\n2,bad\n")
    tasks = {
        "texts": {"transform": "tabular.read", "params": {"path": "texts.csv"}, "key": ["id"]},
        "noted": {"transform": "own.items", "inputs": ["texts"]},
        "folder": {
            "transform": "tabular.write",
            "inputs": ["texts"],
            "params": {"path": "out", "partition_by": ["id"]},
        },
        "target": {"transform": "document.export", "inputs": ["texts"], "params": {"path": "docs", "name": "{id}.md"}},
    }
    write_pipeline(root, tasks)
    with (root / "pipeline.yaml").open("a") as file:
        file.write("imports: [./own.py]\n")
    calls = trace(root, "mmetl", "--keep-going", check=False)
    with contextlib.closing(sqlite3.connect(root / ".mmetl/state.db")) as db:
        assert db.execute("select task, outcome from task_runs order by 1").fetchall() == [
            ("folder", "ran"), ("noted", "failed"), ("target", "ran"), ("texts", "ran"),
        ]  # fmt: skip
        ((ledger,),) = db.execute("select json_extract(body, '$[2]') from unfinished").fetchall()

    def between(data: int, told: int, folder: str) -> bool:
        return any(c.startswith(("syncfs(", "fsync(")) and f"<{root}/{folder}" in c for c in calls[data:told])

    assert between(last_write(calls, f'/{ledger}"'), first_row(calls, ledger), ".mmetl/parts")
    journal = [i for i, c in enumerate(calls) if c.startswith("rename") and "/writing/" in c]
    assert between(last_write(calls, ".json.tmp>"), journal[0], ".mmetl/writing")
    stamp = [i for i, c in enumerate(calls) if c.startswith("rename") and 'mmetl.json"' in c]
    assert between(last_write(calls, '/docs/1.md"', '/docs/2.md"'), stamp[0], "docs>")
    assert any(c.startswith("fsync(") and "mmetl.json.new>" in c for c in calls[: stamp[0]])
