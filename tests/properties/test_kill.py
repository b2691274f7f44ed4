"""Kill -9 at any moment, run again: only what was unfinished is done, and all outputs are right."""

from __future__ import annotations

import random
import time
from pathlib import Path

import pytest
from layered import COMMIT_S, SHELL, Layered, kill_tree


def killed_run(graph: Layered, door: str, jobs: int, at: int) -> set[str]:
    """Start a run, kill it after `at` more tasks; return the tasks which that run may not be asked for again."""
    wanted = len(graph.done()) + at
    graph.brake(wanted + 2)
    process = graph.start(door, jobs)
    graph.wait_for(process, wanted)
    kept = graph.committed()
    kill_tree(process)
    graph.release()
    return kept


def assert_resumes(graph: Layered, door: str, jobs: int, kept: set[str]) -> None:
    again = graph.run(door, jobs)
    assert again.isdisjoint(kept), f"done again although committed before the kill: {sorted(again & kept)}"
    assert graph.found() == graph.expected()
    assert graph.run(door, jobs) == set()


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("door", ["mmetl", "doit"])
@pytest.mark.parametrize("transform", ["python", "shell"])
@pytest.mark.parametrize("percent", [30, 70])
def test_a_killed_run_is_resumed(tmp_path, door, jobs, transform, percent):
    """What was committed before a kill -9 is not done again; half-written outputs are not accepted."""
    graph = Layered(tmp_path, transform=transform)
    kept = killed_run(graph, door, jobs, len(graph.names) * percent // 100)
    assert_resumes(graph, door, jobs, kept)


@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_several_times_is_resumed(tmp_path, seed):
    """Kills at random moments, in the run that resumes too, through changing doors."""
    rng = random.Random(seed)
    graph = Layered(tmp_path, width=6, layers=9, slow=0.01)
    kept: set[str] = set()
    for _ in range(4):
        door, jobs = rng.choice(["mmetl", "doit"]), rng.choice([1, 2])
        at = rng.randrange(1, 11)
        before = len(graph.done())
        later = killed_run(graph, door, jobs, at)
        done = {name for name, _ in graph.done()[before:]}
        assert done.isdisjoint(kept), sorted(done & kept)
        kept |= later
        time.sleep(rng.random() * 0.02)
    assert_resumes(graph, rng.choice(["mmetl", "doit"]), rng.choice([1, 2]), kept)


@pytest.mark.parametrize("door", ["mmetl", "doit"])
def test_a_task_is_committed_when_it_has_finished(tmp_path, door):
    """The next task works on and on: nobody waits for it to commit those before it. Most are committed 50 ms after they finished."""
    graph = Layered(tmp_path, width=4, layers=4, slow=0.1)
    graph.brake(len(graph.names) - 4)
    process = graph.start(door)
    graph.wait_for(process, 1)
    seen: dict[str, float] = {}
    while len(seen) < len(graph.names) - 4:
        assert process.poll() is None, process.communicate()[0].decode()
        seen |= {name: time.time() for name in graph.committed() - seen.keys()}
        time.sleep(0.002)
    graph.release()
    process.communicate()
    late = sorted(seen[name] - finished for name, finished in graph.done() if name in seen)
    assert late[len(late) // 4] < COMMIT_S, late  # a busy machine may let any of them wait


@pytest.mark.parametrize("door", ["mmetl", "doit"])
def test_commands_that_outlive_their_killed_run_write_into_nothing(tmp_path, door):
    """Only the run is killed, in the middle of a command; what goes on is ended before the next run starts its own."""
    graph = Layered(tmp_path, width=1, layers=2, slow=0, transform="shell")
    (graph.root / "act.sh").write_text(f"echo $$ >> ../began\n{SHELL}")
    graph.brake(0)
    began = tmp_path / "began"
    killed = graph.start(door)
    while not graph.found():
        assert killed.poll() is None
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    process = graph.start(door)
    while len(began.read_text().split()) < 2:
        assert process.poll() is None, process.communicate()[0].decode()
        time.sleep(0.005)
    outlived, again = began.read_text().split()
    assert (is_alive(outlived), is_alive(again)) == (False, True)
    graph.release()
    assert (process.communicate()[0] is None, process.returncode) == (False, 0)
    assert sorted(name for name, _ in graph.done()) == sorted(graph.names)
    assert graph.found() == graph.expected()
    assert graph.run(door) == set()


def is_alive(pid: str) -> bool:
    """Tell whether a process is at work; one that is dead and that nobody has asked for is not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False
