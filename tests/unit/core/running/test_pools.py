"""`pools:`: how many tasks of a kind run at the same time, whatever `--jobs` says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmetl.core.running.pools import Pools
from tests.harness import Project

STEPS = """\
import json, os, time

def work(name):
    begin = time.monotonic()
    time.sleep(0.15)
    with open(f"{name}.json", "w") as f:
        json.dump([begin, time.monotonic()], f)
"""
TASK = "  {0}: {{transform: python.run, pool: {1}, params: {{function: 'steps:work', args: {{name: {0}}}, outputs: [{0}.json]}}}}\n"
FREE = TASK.replace(" pool: {1},", "")


def most_at_once(project: Project, names: list[str]) -> int:
    """Return how many of some tasks ran at the same time at most."""
    import json

    spans = [json.loads(project.read(f"{n}.json")) for n in names]
    return max(sum(b <= at < e for b, e in spans) for at, _ in spans)


@pytest.mark.parametrize(("size", "limit"), [(1, 1), (2, 2), (9, 4)])
def test_no_more_than_the_pool_lets_in(empty: Project, size: int, limit: int) -> None:
    names = list("abcde")
    empty.write("steps.py", STEPS)
    empty.tasks("".join(TASK.format(n, "gpu") for n in names))
    empty.edit("pipeline.yaml", "tasks:", f"pools: {{gpu: {size}}}\ntasks:")
    assert empty.run("--jobs", "4") == dict.fromkeys(names, "ran")
    assert 1 <= most_at_once(empty, names) <= limit
    assert set(empty.run("--jobs", "4").values()) == {"fresh"}


@pytest.mark.parametrize("size", [1, 2])
def test_a_plain_doit_run_holds_the_limit(empty: Project, size: int) -> None:
    """Its runner is doit's own, which knows no pools: our action waits for its turn."""
    names, free = list("abcde"), list("vw")
    empty.write("steps.py", STEPS)
    empty.tasks("".join(TASK.format(n, "gpu") for n in names) + "".join(FREE.format(n) for n in free))
    empty.edit("pipeline.yaml", "tasks:", f"pools: {{gpu: {size}}}\ntasks:")
    done = empty.doit("run", "-n", "4")
    assert done.code == 0, done.err
    assert most_at_once(empty, names) <= size
    assert most_at_once(empty, names + free) > size
    assert set(empty.run().values()) == {"fresh"}


def test_a_failure_gives_its_place_back_to_doit(empty: Project) -> None:
    empty.tasks(
        "".join(f"  t{n}: {{transform: shell.run, pool: api, params: {{command: 'exit {n % 2}'}}}}\n" for n in range(6))
    )
    empty.edit("pipeline.yaml", "tasks:", "pools: {api: 1}\ntasks:")
    assert empty.doit("run", "-n", "3", "--continue").code != 0
    outcomes = empty.fast("status", "--json").outcomes()
    assert sorted(outcomes.values()) == ["failed"] * 3 + ["ran"] * 3


def test_others_go_on(empty: Project) -> None:
    """A full pool holds back its own tasks only: the other thread takes what needs no pool."""
    empty.write("steps.py", STEPS)
    pooled, free = list("abc"), list("vwx")
    tasks = "".join(TASK.format(n, "gpu") for n in pooled) + "".join(FREE.format(n) for n in free)
    empty.tasks(tasks)
    empty.edit("pipeline.yaml", "tasks:", "pools: {gpu: 1}\ntasks:")
    assert set(empty.run("--jobs", "2").values()) == {"ran"}
    assert most_at_once(empty, pooled) == 1
    assert most_at_once(empty, pooled + free) == 2


@pytest.mark.parametrize("flags", [[], ["--keep-going"]])
def test_failure_in_a_pool(empty: Project, flags: list[str]) -> None:
    """A failed task gives its place back; without --keep-going the run ends, and does not wait for ever."""
    empty.tasks(
        "".join(f"  t{n}: {{transform: shell.run, pool: api, params: {{command: 'exit {n % 2}'}}}}\n" for n in range(6))
    )
    empty.edit("pipeline.yaml", "tasks:", "pools: {api: 1}\ntasks:")
    done = empty.mmetl("run", "--json", "--jobs", "3", *flags)
    assert done.code == 1
    if flags:
        assert sorted(done.outcomes().values()) == ["failed"] * 3 + ["ran"] * 3


def test_chain_through_a_pool(empty: Project) -> None:
    """What waits for a task of a full pool starts when that is done."""
    empty.tasks(
        "  a: {transform: shell.run, pool: one, params: {command: 'echo > a', outputs: [a]}}\n"
        "  b: {transform: shell.run, pool: one, params: {command: 'echo > b', inputs: [a], outputs: [b]}}\n"
        "  c: {transform: shell.run, pool: one, params: {command: 'echo > c', outputs: [c]}}\n"
    )
    empty.edit("pipeline.yaml", "tasks:", "pools: {one: 1}\ntasks:")
    assert set(empty.run("--jobs", "4").values()) == {"ran"}


def test_errors(empty: Project) -> None:
    empty.tasks("  a: {transform: shell.run, pool: gpus, params: {command: 'true'}}\n")
    empty.edit("pipeline.yaml", "tasks:", "pools: {gpu: 0}\ntasks:")
    assert "pipeline.yaml:3:14: error: 'gpu' is 0, expected a whole number of at least 1" in empty.fast("validate").err
    empty.edit("pipeline.yaml", "gpu: 0", "gpu: 1")
    done = empty.fast("validate")
    assert done.err.startswith("pipeline.yaml:5:35: error: there is no pool 'gpus'\n")
    assert done.err.endswith("help: did you mean 'gpu'?\n")


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 5)), max_size=60))
def test_counting(steps: list[tuple[bool, int]]) -> None:
    """Never more inside than the size, whatever comes and goes; who is not inside leaves nothing."""
    pools, inside = Pools({"p": 2}, {str(n): "p" for n in range(5)}), set()
    for come, n in steps:
        if come and n not in inside:
            entered = pools.enter(str(n))
            assert entered == (n == 5 or len(inside - {5}) < 2)
            inside |= {n} if entered else set()
        elif not come:
            pools.leave(str(n))
            inside.discard(n)
