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

import pytest
from layered import DOORS, Layered

CALLS = "syncfs,fsync,fdatasync,sync,write,pwrite64,rename,renameat,renameat2"


def traceable() -> bool:
    """Tell whether strace is there and may trace here."""
    return (
        shutil.which("strace") is not None
        and subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0
    )


def trace(graph: Layered, door: str, *more: str) -> list[str]:
    """Run under strace, with more of its options; return the system calls in the order in which they were completed."""
    program, command, _ = DOORS[door]
    log = graph.root.parent / "trace"
    subprocess.run(
        [
            "strace",
            "-f",
            "-y",
            "-s",
            "65536",
            "-e",
            f"trace={CALLS}",
            *more,
            "-o",
            log,
            sys.executable,
            "-m",
            program,
            command,
        ],
        cwd=graph.root,
        capture_output=True,
        check=True,
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
    calls = trace(graph, door)
    synced = [i for i, c in enumerate(calls) if c.startswith("syncfs(") and c.endswith("= 0")]
    groups = set()
    for name, manifest, part in records(graph):
        data = last_write(calls, f"/{graph.output(name)}>", f"/{part}>", f'/{part}"')
        row = first_row(calls, manifest)
        between = [i for i in synced if data < i < row]
        assert between, f"{name}: data at call {data}, row at call {row}, syncs at {synced}"
        groups.add(between[-1])
    assert len(groups) > 1, "all tasks were committed at the end, not as they finished"


@needs_strace
def test_files_on_two_file_systems_are_synced_before_their_rows(tmp_path):
    """Where the state is a link to another disk, the one with the outputs is synced, and the one with their parts."""
    if not os.access("/dev/shm", os.W_OK) or os.stat("/dev/shm").st_dev == os.stat(tmp_path).st_dev:
        pytest.skip("there is no second file system")
    graph = Layered(tmp_path, width=2, layers=2, slow=0.01)
    with tempfile.TemporaryDirectory(dir="/dev/shm") as elsewhere:
        (graph.root / ".mmetl").symlink_to(elsewhere)
        calls = trace(graph, "mmetl")
        for name, manifest, part in records(graph):
            row = first_row(calls, manifest)
            for file, disk in ((graph.output(name), str(graph.root)), (part, elsewhere)):
                data = last_write(calls, f"/{file}>", f'/{file}"')
                assert any(c.startswith("syncfs(") and f"<{disk}" in c for c in calls[data:row]), f"{name}: {disk}"


@needs_strace
def test_files_are_synced_one_by_one_where_a_file_system_cannot(tmp_path):
    """Without `syncfs`, as elsewhere than on Linux: the output and its part, before the row."""
    graph = Layered(tmp_path, width=2, layers=2, slow=0.01)
    calls = trace(graph, "mmetl", "-e", "inject=syncfs:error=ENOSYS")
    for name, manifest, part in records(graph):
        row = first_row(calls, manifest)
        for file in (graph.output(name), part):
            data = last_write(calls, f"/{file}>", f'/{file}"')
            assert any(c.startswith("fsync(") and f"/{file}>" in c for c in calls[data:row]), f"{name}: {file}"
