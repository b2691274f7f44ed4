"""Kill -9 at any moment, run again: only what was unfinished is done, and all outputs are right."""

from __future__ import annotations

import random
import time

import pytest
from layered import COMMIT_S, Layered, kill_tree


def killed_run(graph: Layered, door: str, jobs: int, at: int) -> set[str]:
    """Start a run, kill it after `at` more tasks; return the tasks which that run may not be asked for again."""
    before = len(graph.done())
    process = graph.start(door, jobs)
    stall = 0.0  # a machine that lets us wait lets the run wait as well
    while len(graph.done()) - before < at and process.poll() is None:
        asleep = time.perf_counter()
        time.sleep(0.002)
        stall = max(stall, time.perf_counter() - asleep - 0.002)
    assert process.poll() is None, process.communicate()[0].decode()
    killed = kill_tree(process)
    return {name for name, finished in graph.done()[before:] if finished < killed - COMMIT_S - stall}


def assert_resumes(graph: Layered, door: str, jobs: int, kept: set[str]) -> None:
    again = graph.run(door, jobs)
    assert again.isdisjoint(kept), f"done again although finished long before the kill: {sorted(again & kept)}"
    assert graph.found() == graph.expected()
    assert graph.run(door, jobs) == set()


@pytest.mark.parametrize("jobs", [1, 2])
@pytest.mark.parametrize("door", ["mmetl", "doit"])
@pytest.mark.parametrize("transform", ["python", "shell"])
@pytest.mark.parametrize("percent", [30, 70])
def test_a_killed_run_is_resumed(tmp_path, door, jobs, transform, percent):
    """What had finished 50 ms before a kill -9 is not done again; half-written outputs are not accepted."""
    graph = Layered(tmp_path, transform=transform)
    kept = killed_run(graph, door, jobs, len(graph.names) * percent // 100)
    assert_resumes(graph, door, jobs, kept)


@pytest.mark.parametrize("seed", range(4))
def test_a_run_killed_several_times_is_resumed(tmp_path, seed):
    """Kills at random moments, in the run that resumes too, through changing doors."""
    rng = random.Random(seed)
    graph = Layered(tmp_path, width=6, layers=8, slow=0.01)
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
def test_commands_that_outlive_their_killed_run_write_into_nothing(tmp_path, door):
    """Only the run is killed, in the middle of a command; what goes on is ended before the next run starts its own."""
    graph = Layered(tmp_path, width=1, layers=2, slow=0.5, transform="shell")
    process = graph.start(door)
    while not graph.found():
        assert process.poll() is None
        time.sleep(0.005)
    process.kill()
    process.communicate()
    assert graph.run(door) == set(graph.names)
    time.sleep(0.6)
    assert sorted(name for name, _ in graph.done()) == sorted(graph.names)
    assert graph.found() == graph.expected()
    assert graph.run(door) == set()
