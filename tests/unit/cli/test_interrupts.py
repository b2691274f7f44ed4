"""Ctrl-C and SIGTERM: what is at work stops at once, what was done stays done, and nothing that was started outlives the run."""

from __future__ import annotations

import signal
import subprocess
import time

import pytest
from harness import Project, Result, wait_for

SLEEP = """\
  quick: {transform: shell.run, params: {command: "echo q > q.txt", outputs: [q.txt]}}
  slow: {transform: shell.run, depends_on: [quick], params: {command: "echo > started; sleep 60", outputs: [s.txt]}}
  last: {transform: shell.run, depends_on: [slow], params: {command: "echo l > l.txt", outputs: [l.txt]}}
"""


@pytest.mark.parametrize("jobs", ["1", "2"])
@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_run_is_cancelled(project: Project, sig: signal.Signals, jobs: str) -> None:
    """Ctrl-C and SIGTERM stop the running task at once: exit code 130, what was done stays done."""
    project.tasks(SLEEP)
    child = project.start("run", "--json", "--jobs", jobs)
    wait_for((project.root / "started").exists)
    begun = time.monotonic()
    child.send_signal(sig)
    out, _ = child.communicate(timeout=20)
    assert time.monotonic() - begun < 15  # the command sleeps for 60
    assert child.returncode == 130
    body = Result(130, out, "").json()
    assert body["status"] == "cancelled"
    assert project.fast("status", "--json").json()["status"] == "cancelled"
    assert {t["task"]: t["outcome"] for t in body["tasks"]} == {"quick": "ran", "slow": "skipped", "last": "skipped"}
    project.edit("pipeline.yaml", "echo > started; sleep 60", "echo s > s.txt")
    assert project.run() == {"quick": "fresh", "slow": "ran", "last": "ran"}


SLEEPER = """\
import time


def rows():
    with open("started", "a") as f:
        f.write("x")
    time.sleep(8)
    with open("woken", "w"):
        pass
    return [{"id": 1}]
"""


def test_nobody_waits_for_a_function_that_sleeps(project: Project) -> None:
    """A thread that cannot be ended is left behind: Ctrl-C ends the run long before it wakes up."""
    project.write("sleeper.py", SLEEPER)
    task = '{transform: tabular.python, params: {function: "sleeper:rows"}}'
    project.tasks(f"  a: {task}\n  b: {task}\n")
    child = project.start("run", "--json", "--jobs", "2")
    wait_for(lambda: (project.root / "started").exists() and project.read("started") == "xx")
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=60)
    assert child.returncode == 130
    assert not (project.root / "woken").exists()


STUBBORN = """\
  a: {transform: shell.run, params: {command: "trap '' TERM; echo $$ > a.tmp; mv a.tmp a.pid; sleep 60; sleep 60"}}
  b: {transform: shell.run, params: {command: "trap '' TERM; echo $$ > b.tmp; mv b.tmp b.pid; sleep 60; sleep 60"}}
"""


def living_groups() -> set[str]:
    """Return the groups of all processes that are not dead yet; a dead one may wait for its parent."""
    done = subprocess.run(["ps", "-eo", "pgid=,stat="], capture_output=True, text=True, check=True)
    return {group for group, state in map(str.split, done.stdout.splitlines()) if not state.startswith("Z")}


@pytest.mark.parametrize("sig", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("jobs", ["1", "2"])
def test_second_interrupt_leaves_no_command(empty: Project, jobs: str, sig: signal.Signals) -> None:
    """A command that ignores the request is ended by force, at once where somebody asks again."""
    empty.tasks(STUBBORN)
    process = empty.start("run", "--jobs", jobs)
    pids = [empty.root / f"{name}.pid" for name in ("a", "b")[: int(jobs)]]
    wait_for(lambda: all(p.exists() for p in pids))
    begun = time.monotonic()
    for _ in range(3):
        process.send_signal(sig)
        time.sleep(0.2)
    _, err = process.communicate(timeout=20)
    assert process.returncode == 130
    assert "Traceback" not in err
    assert time.monotonic() - begun < 15  # the command sleeps for 60
    groups = {pid.read_text().strip() for pid in pids}
    wait_for(lambda: groups.isdisjoint(living_groups()), 2)
    assert empty.fast("status", "--json").json()["status"] == "cancelled"


def test_interrupted_query(empty: Project) -> None:
    """DuckDB does not wait until the query has ended."""
    empty.tasks(
        "  a:\n    transform: tabular.sql\n"
        "    params: {sql: 'select max(hash(x.range + y.range)) as n from range(10000000) x, range(10000000) y'}\n"
    )
    child = empty.start("run")
    wait_for(lambda: (told := empty.fast("status", "--json")).code == 0 and told.json()["tasks"][0]["error"])
    time.sleep(0.5)  # until it is in the query itself
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, "failed" in err) == (130, False), err
    assert empty.fast("status", "--json").outcomes() == {"a": "skipped"}


DEAF = """\
import pathlib, time

def slow(instead):
    try:
        pathlib.Path("started").touch()
        time.sleep(60)
    except KeyboardInterrupt:
        if instead:
            raise RuntimeError(instead) from None
"""


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize(("instead", "outcome"), [("Query interrupted", "skipped"), ("", "ran")])
def test_interrupt_that_a_library_keeps(empty: Project, sig: signal.Signals, instead: str, outcome: str) -> None:
    """DuckDB makes an error of its own of it: that is no failure, is not tried again, and nothing else begins."""
    empty.write("deaf.py", DEAF)
    empty.tasks(
        f"  a: {{transform: python.run, retries: 3, params: {{function: 'deaf:slow', args: {{instead: '{instead}'}}}}}}\n"
        "  b: {transform: shell.run, params: {command: 'true'}}\n"
    )
    child = empty.start("run", "--keep-going")
    wait_for((empty.root / "started").exists)
    child.send_signal(sig)
    _, err = child.communicate(timeout=60)
    assert (child.returncode, "failed" in err) == (130, False), err
    told = empty.fast("status", "--json")
    assert (told.json()["status"], told.outcomes()) == ("cancelled", {"a": outcome, "b": "skipped"})


def test_interrupted_while_it_starts(empty: Project) -> None:
    """Nothing has happened yet: the process ends by the signal, without a traceback of imports."""
    code = (
        "import os, signal, sys\nfrom mmetl.__main__ import main\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        "        if name == 'mmetl.cli.output': os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\nsys.argv = ['mmetl', 'status']\nmain()\n"
    )
    done = empty.command("python", "-c", code)
    assert (done.code, done.out, done.err) == (-signal.SIGINT, "", "")
