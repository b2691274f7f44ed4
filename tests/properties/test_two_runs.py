"""Two runs at once: the second is refused and told who holds the project; the first is not harmed."""

from __future__ import annotations

import subprocess
import sys
import time

import pytest
from inside import run_here, worked, write_pipeline
from layered import DODO, DOORS, Layered

DOOR_PAIRS = [(a, b) for a in DOORS for b in DOORS]


@pytest.mark.parametrize(("first", "second"), DOOR_PAIRS)
def test_the_second_of_two_runs_is_refused(tmp_path, first, second):
    """It exits with 4 and names the pid of the first, which does every task exactly once."""
    graph = Layered(tmp_path, width=4, layers=4, slow=0)
    graph.brake(2)
    holder = graph.start(first)
    graph.wait_for(holder, 1)
    temp = graph.root / ".mmetl/parts/unfinished/of-the-first.tmp"
    temp.parent.mkdir(parents=True, exist_ok=True)
    temp.touch()
    refused = graph.start(second)
    out, _ = refused.communicate(timeout=60)
    assert (refused.returncode, f"another run holds this project: pid {holder.pid} " in out.decode()) == (4, True), out
    assert (holder.poll(), temp.exists()) == (None, True)
    graph.release()
    rest, _ = holder.communicate(timeout=60)
    assert holder.returncode == 0, rest.decode()
    assert sorted(name for name, _ in graph.done()) == sorted(graph.names)
    assert graph.found() == graph.expected()
    assert graph.run(second) == set()


# Another run begins and ends after this one has decided, and before it takes the lock.
LATE = """\
import subprocess, sys
from mmetl.cache.lock import RunLock

take = RunLock.acquire

def late(self, what):
    RunLock.acquire = take
    subprocess.run([sys.executable, "-m", "mmetl", "run"], check=True, stdout=subprocess.DEVNULL)
    return take(self, what)

RunLock.acquire = late
sys.argv = ["PROGRAM", "run", *sys.argv[1:]]
from PROGRAM.__main__ import main
sys.exit(main())
"""
COUNTED = """\
import pathlib

def join(folder, out):
    with open("../done", "a") as done:
        done.write(out + "\\n")
    pathlib.Path(out).write_text("".join(p.read_text() for p in sorted(pathlib.Path(folder).iterdir())))
"""
INPUTS = {"files": ["files/a", "files/b"], "listed": ["listed/*"]}


@pytest.mark.parametrize(("door", "arguments"), [("mmetl", []), ("doit", []), ("doit", ["-n", "2"])])
def test_another_run_after_the_decision(tmp_path, door, arguments):
    """What that has done is not done again, and what it has found out of files counts."""
    root = tmp_path / "project"
    for folder in INPUTS:
        (root / folder).mkdir(parents=True)
        for name in "ab":
            (root / folder / name).write_text(name)
    (root / "dodo.py").write_text(DODO)
    (root / "work.py").write_text(COUNTED)
    (root / "late.py").write_text(LATE.replace("PROGRAM", DOORS[door][0]))
    tasks = {
        folder: {
            "transform": "python.run",
            "cache": False,  # else it would be restored
            "params": {
                "function": "work:join",
                "args": {"folder": folder, "out": f"{folder}.txt"},
                "inputs": inputs,
                "outputs": [f"{folder}.txt"],
            },
        }
        for folder, inputs in INPUTS.items()
    }
    write_pipeline(root, tasks)
    done = tmp_path / "done"
    for edit in ("x", "y"):
        done.write_text("")
        for folder in tasks:
            (root / folder / "b").write_text(edit)
        subprocess.run([sys.executable, "late.py", *arguments], cwd=root, check=True, capture_output=True, timeout=60)
        assert sorted(done.read_text().split()) == ["files.txt", "listed.txt"]
        assert [(root / f"{t}.txt").read_text() for t in tasks] == [f"a{edit}"] * 2
    assert worked(run_here(root)) == {}


@pytest.mark.parametrize("door", DOORS)
def test_a_run_with_nothing_to_do_does_not_wait(tmp_path, door):
    """The lock is for those who change something: beside another pipeline's run, a no-op exits with 0."""
    graph = Layered(tmp_path, width=2, layers=1, slow=0)
    graph.run("mmetl")
    slow = {"transform": "shell.run", "params": {"command": "touch ../begun; sleep 30", "outputs": []}, "always": True}
    import yaml

    (graph.root / "slow").mkdir()
    (graph.root / "slow/long.yaml").write_text(yaml.safe_dump({"version": 1, "name": "long", "tasks": {"nap": slow}}))
    import sys

    holder = subprocess.Popen(
        [sys.executable, "-m", "mmetl", "run", "slow/long.yaml"],
        cwd=graph.root,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        while not (tmp_path / "begun").exists():
            assert holder.poll() is None
            time.sleep(0.005)
        assert graph.run(door) == set()
        assert holder.poll() is None
    finally:
        holder.terminate()
        holder.wait(10)
