"""Plain doit and `mmetl` come from one task builder and agree."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable

import pytest
from harness import BIN, DODO, Project, wait_for

from mmetl.cache.lock import RunLock

LETTERS = {"fresh": "U", "ran": "R", "restored": "R"}


def listed(project: Project) -> dict[str, str]:
    """Return task -> the letter that `doit list` gives it."""
    done = project.doit("list", "--all", "-s")
    assert done.code == 0, done.err
    found = (line.split() for line in done.out.splitlines())
    return {name.partition(":")[2]: letter for letter, name, *_ in found if ":" in name}


def worked_on(project: Project) -> set[str]:
    """Run plain doit; return the tasks that it did."""
    done = project.doit("run")
    assert done.code == 0, done.err
    return {line.partition(":")[2] for line in done.out.splitlines() if line.startswith(".  ")}


def nothing(_: Project) -> None:
    return


SITUATIONS: dict[str, Callable[[Project], object]] = {
    "never ran": nothing,
    "fresh": lambda p: p.run(),
    "edited input": lambda p: (p.run(), p.write("in.txt", "x")),
    "edited code": lambda p: (p.run(), p.edit("helpers.py", "upper", "lower")),
    "edited comment": lambda p: (p.run(), p.edit("steps.py", "# a comment", "# another")),
    "deleted output": lambda p: (p.run(), (p.root / "out/second.txt").unlink()),
    "tampered output": lambda p: (p.run(), p.write("out/second.txt", "x")),
    "forgotten": lambda p: (p.run(), p.fast("forget", "second")),
    "cleaned": lambda p: (p.run(), p.fast("clean", "second")),
}


@pytest.mark.parametrize("prepare", SITUATIONS.values(), ids=SITUATIONS.keys())
def test_doit_and_mmetl_agree(project: Project, prepare: Callable[[Project], object]) -> None:
    """`doit list` shows what `dry-run` says, `doit run` does it, and both then find everything fresh."""
    prepare(project)
    expected = {task: LETTERS[outcome] for task, outcome in project.dry().items()}
    if "first" in expected and expected["first"] == "R" and expected["second"] == "R":
        expected["second"] = listed(project)["second"]  # it waits: doit cannot say so
    assert listed(project) == expected
    work = worked_on(project)
    assert {t for t, letter in expected.items() if letter == "R"} <= work
    assert set(project.run().values()) == {"fresh"}
    assert worked_on(project) == set()
    assert listed(project) == {"first": "U", "second": "U"}


def test_an_input_that_has_another_name(empty: Project) -> None:
    """Names of tasks are no part of what is read: previously doit did what reads a renamed task again."""
    empty.write("dodo.py", DODO)
    empty.tasks("""\
  old: {transform: tabular.sql, params: {sql: select 1 as a}}
  copy: {transform: tabular.write, inputs: [old], params: {path: copy.csv}}
""")
    empty.run()
    empty.edit("pipeline.yaml", "old", "new")
    assert empty.run() == {"new": "restored", "copy": "fresh"}
    assert listed(empty) == {"new": "U", "copy": "U"}
    assert re.search(r"status +: up-to-date", empty.doit("info", "p:copy").out)
    assert worked_on(empty) == set()


def test_list_before_the_first_run(project: Project) -> None:
    """It exits with 0, and names every task with what it does."""
    done = project.doit("list", "--all", "-s")
    assert (done.code, done.err) == (0, "")
    assert [line.split() for line in done.out.splitlines()] == [
        ["R", "p", "pipeline"],
        ["R", "p:first", "python.run"],
        [done.out.splitlines()[2].split()[0], "p:second", "python.run"],
    ]


def test_info_before_the_first_run_names_the_maker(project: Project) -> None:
    """doit calls a missing file an error; the task that makes it is named."""
    done = project.doit("info", "p:second")
    assert "Traceback" not in done.err
    assert "p:first" in done.out
    assert "made by p:first" in done.out + done.err


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda p: p.write("in.txt", "x"), "in.txt changed"),
        (lambda p: p.edit("helpers.py", "upper", "lower"), "code helpers.py:loud changed"),
        (lambda p: (p.root / "out/first.txt").unlink(), "output out/first.txt was deleted"),
        (lambda p: p.write("out/first.txt", "x"), "output out/first.txt was changed by something else"),
        (lambda p: p.fast("forget", "first"), "it never ran"),
    ],
)
def test_info_gives_the_reasons_of_why(project: Project, change: Callable[[Project], object], reason: str) -> None:
    """There is no second opinion."""
    project.run()
    change(project)
    assert project.fast("why", "first").out.splitlines()[1] == f"  - {reason}"
    assert reason in project.doit("info", "p:first").out


def test_info_of_a_fresh_task(project: Project) -> None:
    """It says so."""
    project.run()
    assert re.search(r"status +: up-to-date", project.doit("info", "p:first").out)


def test_select_in_doit(project: Project) -> None:
    """A pipeline's name stands for its tasks; one task brings what it needs."""
    assert project.doit("run", "p:second").code == 0
    assert project.run() == {"first": "fresh", "second": "fresh"}
    project.write("in.txt", "x")
    assert project.doit("run", "p").code == 0
    assert project.run() == {"first": "fresh", "second": "fresh"}


def test_doit_clean(project: Project) -> None:
    """It removes what the tasks wrote; the next run restores; an edited output is left."""
    project.run()
    assert project.doit("clean", "p:second").code == 0
    assert not (project.root / "out/second.txt").exists()
    assert (project.root / "out/first.txt").exists()
    assert project.run() == {"first": "fresh", "second": "restored"}
    project.write("out/second.txt", "mine")
    done = project.doit("clean", "p:second")
    assert "left out/second.txt: it was changed since mmETL wrote it" in done.out
    assert project.read("out/second.txt") == "mine"


def test_doit_clean_dry_run(project: Project) -> None:
    """`doit clean -n` removes nothing."""
    project.run()
    assert project.doit("clean", "-n", "p").code == 0
    assert project.run() == {"first": "fresh", "second": "fresh"}


def test_doit_forget(project: Project) -> None:
    """A forgotten task computes: its earlier output is no longer looked for."""
    project.run()
    assert project.doit("forget", "p:second").code == 0
    assert project.dry() == {"first": "fresh", "second": "ran"}
    assert project.run() == {"first": "fresh", "second": "ran"}
    assert project.doit("forget", "--all").code == 0
    assert project.run() == {"first": "ran", "second": "ran"}


def test_failure_in_doit_does_not_lose_the_index(project: Project) -> None:
    """Only `doit forget` forgets: after a failed run the earlier output is still restored."""
    project.run()
    project.edit("steps.py", "    # a comment", "    raise ValueError('no')")
    done = project.doit("run")
    assert done.code == 1
    assert "p:first: ValueError: no" in done.out + done.err
    project.edit("steps.py", "    raise ValueError('no')", "    # a comment")
    assert project.run()["first"] == "restored"


def test_status_of_a_doit_run(project: Project) -> None:
    """A plain doit run is a run like any other: what was fresh is told as fresh."""
    project.run()
    project.edit("pipeline.yaml", "source: out/first.txt,", "source: ./out/first.txt,")
    assert project.doit("run").code == 0
    told = project.fast("status", "--json")
    assert (told.json()["status"], told.outcomes()) == ("succeeded", {"first": "fresh", "second": "ran"})


def test_invalid_pipeline_in_doit(project: Project) -> None:
    """doit shows mmETL's own message."""
    project.edit("pipeline.yaml", "python.run", "python.rum")
    done = project.doit("list")
    assert done.code != 0
    assert "pipeline.yaml:5:16: error: no transform is named 'python.rum'" in done.err
    assert "Traceback" not in done.err


def test_doit_ignore_is_refused(project: Project) -> None:
    """mmETL has no such state, and says what to do."""
    project.run()
    done = project.doit("ignore", "p:first")
    assert done.code != 0
    assert "leave a task out with --select" in done.err


def test_threads_in_doit(project: Project) -> None:
    """`doit run -n 2` does the same."""
    assert project.doit("run", "-n", "2").code == 0
    assert project.run() == {"first": "fresh", "second": "fresh"}


def test_own_tasks_beside_the_pipelines(project: Project) -> None:
    """A dodo.py may have tasks of its own, kept in doit's way."""
    project.write(
        "dodo.py",
        "from mmetl.core.build import DOIT_CONFIG, task_pipelines\n"
        "def task_own():\n    return {'actions': ['cp out/second.txt own.txt'], 'task_dep': ['p'], 'targets': ['own.txt']}\n",
    )
    done = project.command("doit", "run", "own")
    assert done.code == 0, done.err
    assert project.read("own.txt") == "HELLO!!"


def test_status_of_a_selection(project: Project) -> None:
    """What `doit run TASK` was not asked to do is not told as skipped; what it did not come to is."""
    project.edit(
        "pipeline.yaml", "  second:", "  beside: {transform: shell.run, params: {command: 'exit 3'}}\n  second:"
    )
    assert project.doit("run", "p:first").code == 0
    assert project.fast("status", "--json").outcomes() == {"first": "ran"}
    assert project.doit("run", "p:beside", "p:second").code == 1
    told = project.fast("status", "--json")
    assert (told.json()["status"], told.outcomes()) == (
        "failed",
        {"first": "fresh", "beside": "failed", "second": "skipped"},
    )


def test_status_of_several_pipelines(project: Project) -> None:
    """Tasks of all of them are told, under their full names."""
    project.write("other.yaml", project.read("pipeline.yaml").replace("name: p", "name: q").replace("out/", "other/"))
    assert project.doit("run").code == 0
    told = project.fast("status", "--json")
    assert told.json()["pipeline"] == "q, p"
    assert told.outcomes() == {"p:first": "ran", "p:second": "ran", "q:first": "ran", "q:second": "ran"}
    project.edit("other.yaml", "args: {source: in.txt", "args: {source: none.txt")
    assert project.doit("run").code == 1
    told = project.fast("status", "--json")
    assert (told.json()["pipeline"], told.json()["status"]) == ("q, p", "failed")
    assert told.outcomes() == {"p:first": "fresh", "p:second": "fresh", "q:first": "failed", "q:second": "blocked"}
    assert told.reasons()["q:first"][0].startswith("params.args changed")
    assert "  - its last run failed: FileNotFoundError" in project.fast("why", "q:first").out


def test_missing_input_in_doit(project: Project) -> None:
    """doit finds it before the task is started; the run's record has it all the same."""
    project.edit("pipeline.yaml", "  first:", "  zero: {transform: shell.run, params: {command: 'true'}}\n  first:")
    (project.root / "in.txt").unlink()
    assert project.doit("run", "-c").code != 0
    told = project.fast("status", "--json")
    assert told.json()["status"] == "failed"
    assert told.outcomes() == {"zero": "ran", "first": "failed", "second": "blocked"}


@pytest.mark.parametrize(
    ("command", "said"),
    [("reset-dep", "decides by content alone: there is nothing to reset"), ("forget", "pass task name, ")],
)
def test_commands_that_do_not_fit(project: Project, command: str, said: str) -> None:
    """They change nothing, and say what to do."""
    project.run()
    project.write("in.txt", "x")
    before = project.dry()
    done = project.doit(command)
    assert "Traceback" not in done.err
    assert said in done.out + done.err
    assert project.dry() == before


def test_several_tasks_in_doit(project: Project) -> None:
    """All that are named run, not only the first."""
    project.tasks(
        "".join(f"  {n}: {{transform: shell.run, params: {{command: 'echo > {n}', outputs: [{n}]}}}}\n" for n in "abc")
    )
    assert project.doit("run", "p:c", "p:a").code == 0
    assert project.run() == {"a": "fresh", "b": "ran", "c": "fresh"}


@pytest.mark.parametrize("command", [("forget", "p:first"), ("forget", "--all"), ("clean",)], ids=" ".join)
def test_a_project_that_is_held_is_left_alone(project: Project, command: tuple[str, ...]) -> None:
    """While a run holds it, doit forgets and removes nothing."""
    project.run()
    lock = RunLock(project.root / ".mmetl")
    lock.acquire("a run")
    refused = project.doit(*command)
    assert (refused.code, f"another run holds this project: pid {os.getpid()} " in refused.err) == (4, True)
    lock.release()
    assert set(project.run().values()) == {"fresh"}


@pytest.mark.parametrize("sig", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("jobs", [(), ("-n", "2")])
def test_interrupted_in_doit(project: Project, sig: signal.Signals, jobs: tuple[str, ...]) -> None:
    """The run is recorded as cancelled, and its command is ended before the project is given free."""
    project.write("dodo.py", DODO)
    project.tasks(
        "  a: {transform: shell.run, params: {command: 'echo $$ > pid; mv pid started; sleep 60'}}\n"
        "  b: {transform: shell.run, depends_on: [a], params: {command: 'true'}}\n"
    )
    child = subprocess.Popen(
        [BIN / "doit", "run", *jobs], cwd=project.root, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    wait_for((project.root / "started").exists)
    refused = project.doit("clean")
    assert (refused.code, f"another run holds this project: pid {child.pid} " in refused.err) == (4, True)
    child.send_signal(sig)
    said, _ = child.communicate()
    assert (child.returncode, "interrupted\n" in said, "Traceback" in said) == (130, True, False), said
    told = project.fast("status", "--json").json()
    assert told["status"] == "cancelled"
    tasks = {t["task"]: (t["outcome"], t["error"]) for t in told["tasks"]}
    assert tasks == {"a": ("skipped", "it was running when the run ended"), "b": ("skipped", None)}
    with pytest.raises(ProcessLookupError):
        os.kill(int(project.read("started")), 0)
