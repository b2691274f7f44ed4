"""Two runs at once: the second is refused and told who holds the project; the first is not harmed."""

from __future__ import annotations

import subprocess
import time

import pytest
from layered import DOORS, Layered

DOOR_PAIRS = [(a, b) for a in DOORS for b in DOORS]


@pytest.mark.parametrize(("first", "second"), DOOR_PAIRS)
def test_the_second_of_two_runs_is_refused(tmp_path, first, second):
    """It exits with 4 and names the pid of the first, which does every task exactly once."""
    graph = Layered(tmp_path, width=4, layers=4, slow=0)
    graph.brake(2)
    holder = graph.start(first)
    graph.wait_for(holder, 1)
    refused = graph.start(second)
    out, _ = refused.communicate(timeout=60)
    assert (refused.returncode, f"another run holds this project: pid {holder.pid} " in out.decode()) == (4, True), out
    assert holder.poll() is None
    graph.release()
    rest, _ = holder.communicate(timeout=60)
    assert holder.returncode == 0, rest.decode()
    assert sorted(name for name, _ in graph.done()) == sorted(graph.names)
    assert graph.found() == graph.expected()
    assert graph.run(second) == set()


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
