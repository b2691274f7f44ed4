"""Power loss: a task's files are made durable before the transaction that names them."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sqlite3
import subprocess
import sys

import pytest
from layered import DOORS, Layered

CALLS = "syncfs,fsync,fdatasync,sync,write,pwrite64,rename,renameat,renameat2"


def traceable() -> bool:
    """Tell whether strace is there and may trace here."""
    return (
        shutil.which("strace") is not None
        and subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True, check=False).returncode == 0
    )


def trace(graph: Layered, door: str) -> list[str]:
    """Run under strace; return the system calls in the order in which they were completed."""
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


@pytest.mark.skipif(not traceable(), reason="strace is not installed, or not allowed to trace here")
@pytest.mark.parametrize("door", DOORS)
def test_files_are_synced_before_their_rows(tmp_path, door):
    """For every task: the last write of its output and manifest, then a sync, then the first write that names them."""
    graph = Layered(tmp_path, width=3, layers=3, slow=0.01)
    calls = trace(graph, door)
    synced = [i for i, c in enumerate(calls) if c.startswith("syncfs(") and c.endswith("= 0")]
    groups = set()
    with contextlib.closing(sqlite3.connect(graph.root / ".mmetl/state.db")) as db:
        records = db.execute("select task, manifest, parts from tasks").fetchall()
    assert len(records) == len(graph.names)
    for name, manifest, part in records:
        files = (f"/{graph.output(name)}>", f"/{part}>", f'/{part}"')
        data = max(i for i, c in enumerate(calls) if c.startswith(("write", "rename")) and any(f in c for f in files))
        row = min(i for i, c in enumerate(calls) if "state.db-wal>" in c[:400] and manifest in c)
        between = [i for i in synced if data < i < row]
        assert between, f"{name}: data at call {data}, row at call {row}, syncs at {synced}"
        groups.add(between[-1])
    assert len(groups) > 1, "all tasks were committed at the end, not as they finished"
