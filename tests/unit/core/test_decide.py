"""`dry-run` takes the decision that `run` takes, and says exactly why."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from harness import Project, wait_for

TASKS = """\
  first:
    transform: python.run
    params: {function: "steps:copy", args: {source: in.txt, target: out/first.txt}, inputs: [in.txt], outputs: [out/first.txt]}
    env: [MODE]
  second:
    transform: python.run
    params: {function: "steps:copy", args: {source: out/first.txt, target: out/second.txt}, inputs: [out/first.txt], outputs: [out/second.txt]}
  other:
    transform: shell.run
    params: {command: "echo ${var:word} > out/other.txt", outputs: [out/other.txt]}
    files: [docs/*.md]
"""
VARS = "vars: {word: hi}\n"


def change_task(old: str, new: str) -> Callable[[Project], None]:
    return lambda p: p.edit("pipeline.yaml", old, new)


def edit(path: str, old: str, new: str) -> Callable[[Project], None]:
    return lambda p: p.edit(path, old, new)


def write(path: str, text: str) -> Callable[[Project], object]:
    return lambda p: p.write(path, text)


def remove(path: str) -> Callable[[Project], None]:
    return lambda p: (p.root / path).unlink()


def parts_of(project: Project, task: str) -> list[Path]:
    """Return the files of a task's parts, found by content."""
    wanted = (project.root / "out" / f"{task}.txt").read_bytes()
    return [f for f in (project.root / ".mmetl/parts").glob("*/*") if f.read_bytes() == wanted]


def lose_parts(project: Project) -> None:
    found = parts_of(project, "first")
    assert len(found) == 1
    found[0].unlink()


def damage_parts(project: Project) -> None:
    (part,) = parts_of(project, "first")
    part.write_bytes(b"?" * len(part.read_bytes()))


def both(*steps: Callable[[Project], object]) -> Callable[[Project], None]:
    def go(project: Project) -> None:
        for step in steps:
            step(project)

    return go


def old_age(project: Project) -> None:
    project.edit("pipeline.yaml", "    env: [MODE]\n", "    env: [MODE]\n    max_age: 1h\n")
    build_earlier(project, hours=2)


def build_earlier(project: Project, hours: int) -> None:
    """Let all tasks have been built so much earlier."""
    with sqlite3.connect(project.root / ".mmetl/state.db") as db:
        db.execute("update tasks set built_ms = built_ms - ?", (hours * 3_600_000,))


def rename(project: Project) -> None:
    project.edit("pipeline.yaml", "  second:\n", "  last:\n")


def reverted(project: Project) -> None:
    project.write("in.txt", "changed for a while")
    assert project.run()["first"] == "ran"
    project.write("in.txt", "hello")


@dataclass(frozen=True)
class Case:
    """What is done to a project that is up to date, and what `run` makes of it.

    Attributes:
        change: what is done.
        outcomes: of `run`, of the tasks that are not fresh.
        reasons: as `dry-run` gives them.
        dry: where it differs: tasks that `dry-run` must call "ran", since they wait.
    """

    change: Callable[[Project], object]
    outcomes: dict[str, str] = field(default_factory=dict)
    reasons: dict[str, list[str]] = field(default_factory=dict)
    argv: tuple[str, ...] = ()
    env: dict[str, str] = field(default_factory=dict)
    dry: dict[str, str] = field(default_factory=dict)


WAITS = {"second": ["waits for first"]}
WAITING = {"second": "ran"}
BOTH_RAN = {"first": "ran", "second": "ran"}

CASES = {
    "nothing": Case(lambda _: None),
    "touched input": Case(lambda p: os.utime(p.root / "in.txt", (1, 1))),
    "input rewritten with the same bytes": Case(write("in.txt", "hello")),
    "edited input": Case(write("in.txt", "world"), BOTH_RAN, {"first": ["in.txt changed"], **WAITS}),
    "cutoff": Case(write("in.txt", "HELLO"), {"first": "ran"}, {"first": ["in.txt changed"], **WAITS}, dry=WAITING),
    "comment in code": Case(edit("steps.py", "# a comment", "# another comment")),
    "docstring in code": Case(edit("steps.py", '"""Write the loud text of a file."""', '"""Write."""')),
    "constant": Case(
        edit("steps.py", 'MARK = "!"', 'MARK = "?"'),
        BOTH_RAN,
        {"first": ["code steps.py:MARK changed"], "second": ["code steps.py:MARK changed"]},
    ),
    "helper": Case(
        edit("helpers.py", "upper", "lower"),
        BOTH_RAN,
        {"first": ["code helpers.py:loud changed"], "second": ["code helpers.py:loud changed"]},
    ),
    "changed param": Case(
        change_task("echo ", "printf "),
        {"other": "ran"},
        {"other": ["params.command changed: echo hi > out/other.txt -> printf hi > out/other.txt"]},
    ),
    "--var": Case(
        lambda _: None,
        {"other": "ran"},
        {"other": ["params.command changed: echo hi > out/other.txt -> echo ho > out/other.txt"]},
        argv=("--var", "word=ho"),
    ),
    "new file": Case(write("docs/b.md", "b"), {"other": "ran"}, {"other": ["docs/b.md is new"]}),
    "removed file": Case(
        both(write("docs/b.md", "b"), lambda p: p.run(), remove("docs/b.md"), remove("out/other.txt")),
        {"other": "restored"},
        {"other": ["docs/b.md is gone", "output out/other.txt was deleted"]},
    ),
    "hidden file": Case(write("docs/.b.md", "b")),
    "deleted output": Case(
        remove("out/second.txt"), {"second": "restored"}, {"second": ["output out/second.txt was deleted"]}
    ),
    "deleted output in the middle": Case(
        remove("out/first.txt"),
        {"first": "restored"},
        {"first": ["output out/first.txt was deleted"]},
    ),
    "tampered output": Case(
        write("out/second.txt", "hacked"),
        {"second": "restored"},
        {"second": ["output out/second.txt was changed by something else"]},
    ),
    "cleaned": Case(
        lambda p: p.fast("clean", "second"),
        {"second": "restored"},
        {"second": ["output out/second.txt was deleted", "it was cleaned"]},
    ),
    "deleted part": Case(lose_parts, {"first": "restored"}, {"first": ["1 of its parts are missing or damaged"]}),
    "damaged part": Case(damage_parts, {"first": "restored"}, {"first": ["1 of its parts are missing or damaged"]}),
    "lost part and output": Case(
        both(lose_parts, remove("out/first.txt")),
        {"first": "ran"},
        {"first": ["output out/first.txt was deleted", "1 of its parts are missing or damaged"], **WAITS},
        dry=WAITING,
    ),
    "forced": Case(
        lambda _: None, {"first": "ran"}, {"first": ["--force"], **WAITS}, argv=("--force", "--select", "first")
    ),
    "forced with what needs it": Case(
        lambda _: None,
        {"first": "ran"},
        {"first": ["--force"], **WAITS},
        ("--force", "--select", "first+"),
        dry=WAITING,
    ),
    "all forced": Case(
        lambda _: None,
        {"first": "ran", "second": "ran", "other": "ran"},
        {"first": ["--force"], "second": ["--force"], "other": ["--force"]},
        argv=("--force",),
    ),
    "always": Case(
        change_task("    env: [MODE]\n", "    env: [MODE]\n    always: true\n"),
        {"first": "ran"},
        {"first": ["always: true"], **WAITS},
        dry=WAITING,
    ),
    "environment variable": Case(
        lambda _: None,
        {"first": "ran"},
        {"first": ["environment variable MODE was set"], **WAITS},
        env={"MODE": "x"},
        dry=WAITING,
    ),
    "renamed task": Case(rename, {"last": "restored"}, {"last": ["it never ran"]}),
    "reverted edit": Case(
        reverted,
        {"first": "restored", "second": "restored"},
        {"first": ["in.txt changed"], "second": ["out/first.txt changed"]},
    ),
    "missing input": Case(
        remove("in.txt"), {"first": "failed", "second": "blocked"}, {"first": ["input in.txt is missing"], **WAITS}
    ),
    "tags, description and retries": Case(
        change_task("    env: [MODE]\n", "    env: [MODE]\n    tags: [x]\n    description: y\n    retries: 2\n")
    ),
}


@pytest.fixture
def settled(project: Project) -> Project:
    """A project that is up to date, with three tasks."""
    project.write("docs/a.md", "a")
    project.tasks(TASKS)
    project.edit("pipeline.yaml", "tasks:\n", VARS + "tasks:\n")
    assert set(project.run().values()) == {"ran"}
    return project


@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_dry_run_decides_as_run_does(settled: Project, case: Case) -> None:
    """The preview and the run agree; the reasons are the exact cause; a second run is fresh."""
    case.change(settled)
    asked = settled.fast("dry-run", "--json", *case.argv, env=case.env)
    assert settled.fast("dry-run", "--json", *case.argv, env=case.env).out == asked.out
    done = settled.fast("run", "--json", *case.argv, env=case.env)
    assert {t: o for t, o in done.outcomes().items() if o != "fresh"} == case.outcomes
    expected = {t: o for t, o in {**case.outcomes, **case.dry}.items() if t in asked.outcomes()}
    assert {t: o for t, o in asked.outcomes().items() if o != "fresh"} == expected
    assert asked.reasons() == {t: r for t, r in case.reasons.items() if t in asked.outcomes()}
    if "failed" not in case.outcomes.values() and "--force" not in case.argv:
        again = settled.run(*case.argv, env=case.env)
        always = {t for t, r in case.reasons.items() if r == ["always: true"]}
        assert {t for t, o in again.items() if o != "fresh"} == always


@pytest.mark.parametrize("name", [n for n, c in CASES.items() if c.reasons and not c.argv and n != "reverted edit"])
def test_why_names_the_cause(settled: Project, name: str) -> None:
    """`why` gives the same reasons as `dry-run`, one on a line."""
    case = CASES[name]
    case.change(settled)
    for task, reasons in case.reasons.items():
        said = settled.fast("why", task, env=case.env).out.splitlines()
        assert [line.removeprefix("  - ") for line in said[1 : 1 + len(reasons)]] == reasons
        assert said[0] == f"p:{task} " + ("waits" if reasons[0].startswith("waits for") else "is stale")


def test_never_ran(project: Project) -> None:
    """Before the first run everything is stale; the second task waits for nothing that it could know."""
    asked = project.fast("dry-run", "--json", "--exit-code")
    assert asked.code == 10
    assert asked.outcomes() == {"first": "ran", "second": "ran"}
    assert asked.reasons() == {"first": ["it never ran"], "second": ["it never ran"]}
    assert project.fast("why", "first").out == "p:first is stale\n  - it never ran\n"
    assert project.run() == {"first": "ran", "second": "ran"}
    assert project.fast("dry-run", "--exit-code").code == 0
    assert project.fast("why", "p:second").out.startswith("p:second is fresh\n  last built ")


def test_max_age(project: Project) -> None:
    """A task older than its max_age runs again, and its age is counted from when it was built."""
    project.edit("pipeline.yaml", "  second:\n", "    max_age: 1h\n  second:\n")
    project.run()
    assert project.run() == {"first": "fresh", "second": "fresh"}
    build_earlier(project, hours=2)
    assert project.dry() == {"first": "ran", "second": "ran"}
    reasons = project.fast("dry-run", "--json").reasons()["first"]
    assert re.fullmatch(r"it was built 72\d\d s ago, and max_age is 3600 s", reasons[0])
    assert project.run() == {"first": "ran", "second": "fresh"}


def last_run(project: Project) -> str:
    return str(project.fast("status", "--json").json()["run_id"])


@pytest.mark.parametrize("code", ["raise ValueError('a long story\\n' * 40)", "raise ValueError('no')"])
def test_failed_and_never_succeeded(project: Project, code: str) -> None:
    """It did run: what came of it is said, and which run that was."""
    project.edit("steps.py", "    # a comment", f"    {code}")
    assert project.run() == {"first": "failed", "second": "blocked"}
    error = "a long story" if "long" in code else "no"
    said = f"its last run failed: ValueError: {error} (run {last_run(project)})"
    assert project.fast("dry-run", "--json").reasons() == {"first": [said], "second": ["it never ran"]}
    assert project.fast("why", "first").out == f"p:first is stale\n  - {said}\n"
    project.edit("steps.py", f"    {code}", "    # a comment")
    assert project.run() == {"first": "ran", "second": "ran"}
    assert project.fast("forget", "first").code == 0
    assert project.fast("dry-run", "--json").reasons()["first"] == ["it never ran"]


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("before", [True, False])
def test_interrupted(empty: Project, sig: signal.Signals, before: bool) -> None:
    """The run that did not finish a task is named, whether it ever succeeded or not."""
    empty.write("in.txt", "quick")
    empty.tasks(
        "  a: {transform: shell.run, params: {command: 'echo > started; grep -q quick in.txt || sleep 60', inputs: [in.txt]}}\n"
    )
    if before:
        empty.run()
        (empty.root / "started").unlink()
    empty.write("in.txt", "slow")
    child = empty.start("run")
    wait_for((empty.root / "started").exists)
    wait_for(lambda: empty.fast("status", "--json").json()["tasks"][0]["error"] == "it is running")
    assert empty.fast("dry-run", "--json").reasons()["a"] == ["in.txt changed" if before else "it never ran"]
    child.send_signal(sig)
    child.communicate()
    said = f"run {last_run(empty)} did not finish it"
    empty.write("in.txt", "quick")
    assert empty.fast("dry-run", "--json").reasons()["a"] == [said]
    assert empty.fast("why", "a").out.splitlines()[1] == f"  - {said}"
    assert empty.run() == {"a": "restored" if before else "ran"}


def test_a_task_begins_once(empty: Project) -> None:
    """One event says so, however many groups of other tasks are committed while it is at work."""
    quick = "  q{0}: {{transform: shell.run, depends_on: [{1}], params: {{command: sleep 0.05}}}}\n"
    empty.tasks(
        "  slow: {transform: shell.run, params: {command: 'until test -e go; do sleep 0.01; done'}}\n"
        + "".join(quick.format(n, f"q{n - 1}" if n else "") for n in range(4))
    )
    child = empty.start("run", "--jobs", "2")
    state = empty.root / ".mmetl/state.db"

    def counted(sql: str) -> int:
        with contextlib.closing(sqlite3.connect(state)) as db:
            return int(db.execute(f"select count(*) from {sql}").fetchone()[0])

    wait_for(lambda: state.exists() and counted("sqlite_master where name = 'tasks'"))
    wait_for(lambda: counted("tasks where task = 'q3' and state = 'done'"))
    began = counted("events where kind = 'began' and task = 'p:slow'")
    empty.write("go", "")
    child.communicate()
    assert (began, child.returncode) == (1, 0)


@pytest.mark.parametrize("sig", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("before", [True, False])
def test_tasks_that_never_began(empty: Project, sig: signal.Signals, before: bool) -> None:
    """They were invalidated with the one that was cut short, and are told apart from it, in `why` and in `status`."""
    task = "  {0}: {{transform: shell.run, params: {{command: '{1}', inputs: [in.txt]}}}}\n"
    slow = "echo > started; grep -q quick in.txt || sleep 60"
    empty.write("in.txt", "quick")
    empty.tasks(task.format("a", slow) + task.format("b", "cat in.txt"))
    if before:
        assert empty.run() == {"a": "ran", "b": "ran"}
        (empty.root / "started").unlink()
    empty.write("in.txt", "slow")
    child = empty.start("run")
    wait_for((empty.root / "started").exists)
    expected = {"a": "it is running", "b": None}
    wait_for(lambda: {t["task"]: t["error"] for t in empty.fast("status", "--json").json()["tasks"]} == expected)
    child.send_signal(sig)
    child.communicate()
    run_id = last_run(empty)
    tasks = {t["task"]: (t["outcome"], t["error"]) for t in empty.fast("status", "--json").json()["tasks"]}
    assert tasks == {"a": ("skipped", "it was running when the run ended"), "b": ("skipped", None)}
    empty.write("in.txt", "quick")
    reasons = empty.fast("dry-run", "--json").reasons()
    assert f"run {run_id} did not finish it" in reasons["a"]
    if before and sig == signal.SIGINT:
        assert "b" not in reasons  # it got its state back
    else:
        assert reasons["b"] == [f"run {run_id} ended before its turn came" if before else "it never ran"]
    assert empty.fast("retry", "--json").outcomes()["a"] in {"ran", "restored"}
    with contextlib.closing(sqlite3.connect(empty.root / ".mmetl/state.db")) as db:
        assert db.execute("select count(*) from events where kind = 'began' and run_id <> ?", (run_id,)).fetchone() == (
            0,
        )


def test_failed_last_time(project: Project) -> None:
    """A failed task is stale, though nothing changed since."""
    project.run()
    project.edit("steps.py", "    # a comment", "    assert source != 'in.txt'")
    assert project.run() == {"first": "failed", "second": "blocked"}
    assert project.fast("dry-run", "--json").reasons()["first"][0].startswith("code steps.py:copy changed")
    project.edit("steps.py", "    assert source != 'in.txt'", "    # a comment")
    assert project.fast("dry-run", "--json").reasons()["first"] == [
        "output out/first.txt was deleted",
        f"its last run failed: AssertionError (run {last_run(project)})",
    ]
    assert project.run()["first"] == "restored"


def test_two_inputs_that_change_places(empty: Project) -> None:
    """Which file has which content counts, not only what there is."""
    empty.write("a", "1")
    empty.write("b", "2")
    empty.tasks("  t: {transform: shell.run, params: {command: cat a b > c, inputs: [a, b], outputs: [c]}}\n")
    empty.run()
    empty.write("a", "2")
    empty.write("b", "1")
    assert empty.run() == {"t": "ran"}


def test_a_folder_with_another_name(empty: Project) -> None:
    """Of listed files, where they lie counts."""
    empty.write("src/x/a", "1")
    empty.tasks("  t: {transform: shell.run, params: {command: ls src > c, inputs: ['src/**/*'], outputs: [c]}}\n")
    empty.run()
    (empty.root / "src/x").rename(empty.root / "src/y")
    assert empty.run() == {"t": "ran"}


def test_a_cleaned_table_is_restored(empty: Project) -> None:
    """No file tells of it, and its part is still there."""
    empty.tasks("  t: {transform: tabular.sql, params: {sql: select 1 as n}}\n")
    empty.run()
    empty.fast("clean")
    assert empty.dry() == empty.run() == {"t": "restored"}


def test_a_lost_part_of_several(empty: Project) -> None:
    """Each is looked at."""
    empty.write("in.csv", "id,v\n" + "".join(f"{n},{'x' * 100}\n" for n in range(200)))
    empty.tasks("  t: {transform: tabular.read, key: id, params: {path: in.csv}}\n")
    empty.run()
    first, *others = sorted((empty.root / ".mmetl/parts").glob("*/*"))
    assert others
    first.unlink()
    assert empty.dry() == empty.run() == {"t": "ran"}
    assert first.exists()


def test_a_lost_part_whose_output_was_changed(empty: Project) -> None:
    """Nothing has its bytes any more, and `dry-run` knows that."""
    empty.tasks("  t: {transform: shell.run, params: {command: 'echo 1 > c', outputs: [c]}}\n")
    empty.run()
    for part in (empty.root / ".mmetl/parts").glob("*/*"):
        part.unlink()
    empty.write("c", "mine")
    assert empty.dry() == empty.run() == {"t": "ran"}


def test_a_failure_is_a_reason_by_itself(empty: Project) -> None:
    """The last success had this recipe and these inputs, and its table is still there."""
    empty.write("steps.py", "import os\n\n\ndef rows():\n    return [{'a': os.stat('here').st_size}]\n")
    empty.write("here", "x")
    empty.tasks("  t: {transform: tabular.python, params: {function: 'steps:rows'}}\n")
    assert empty.run() == {"t": "ran"}
    (empty.root / "here").unlink()
    assert empty.run("--force") == {"t": "failed"}
    (reason,) = empty.fast("dry-run", "--json").reasons()["t"]
    assert reason.startswith("its last run failed: steps.py:5:19: ")
    empty.write("here", "x")
    assert empty.run() == {"t": "restored"}
