"""The command line: exit codes, shapes of `--json`, and both ways into `run`."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import time
from collections.abc import Callable

import pytest
from harness import BIN, Project, Result, wait_for
from typer.main import get_command

from mmetl.cli.main import app

SLEEP = """\
  quick: {transform: shell.run, params: {command: "echo q > q.txt", outputs: [q.txt]}}
  slow: {transform: shell.run, depends_on: [quick], params: {command: "echo > started; sleep 60", outputs: [s.txt]}}
  last: {transform: shell.run, depends_on: [slow], params: {command: "echo l > l.txt", outputs: [l.txt]}}
"""
FAILING = """\
  bad: {transform: shell.run, params: {command: "echo it broke; exit 3", outputs: [bad.txt]}}
  below: {transform: shell.run, depends_on: [bad], params: {command: "echo x > below.txt", outputs: [below.txt]}}
  zeta: {transform: shell.run, params: {command: "echo x > zeta.txt", outputs: [zeta.txt]}}
"""
TASK_KEYS = ["task", "outcome", "reasons", "rows", "seconds", "error"]
RUN_ID = r"\d{8}-\d{6}-[0-9a-f]{4}"


def shape(result: Result) -> dict:
    """Check the shape that is an interface; return the object."""
    assert result.out.count("\n") == 1
    body = result.json()
    assert [k for k in body if k not in {"definition", "drift"}] == [
        "schema_version",
        "run_id",
        "pipeline",
        "status",
        "tasks",
    ]
    assert body["schema_version"] == 1
    for task in body["tasks"]:
        assert list(task) == TASK_KEYS
        assert all(isinstance(r, str) for r in task["reasons"])
        assert isinstance(task["rows"], int)
        assert isinstance(task["seconds"], float)
        assert task["error"] is None or isinstance(task["error"], str)
    return body


def test_json_of_run_dry_run_and_status(project: Project) -> None:
    """One object each; `status` tells what `run` told."""
    asked = shape(project.fast("dry-run", "--json"))
    assert (asked["run_id"], asked["pipeline"], asked["status"]) == (None, "p", "succeeded")
    ran = project.fast("run", "--json")
    body = shape(ran)
    assert (body["pipeline"], body["status"]) == ("p", "succeeded")
    assert re.fullmatch(RUN_ID, body["run_id"])
    assert ran.err == ""
    told = shape(project.fast("status", "--json"))
    assert told == shape(project.fast("status", body["run_id"], "--json"))
    assert re.fullmatch(r"[0-9a-f]{32}", told.pop("definition"))
    assert told.pop("drift") == []
    assert {**told, "tasks": 0} == {**body, "tasks": 0}
    assert [{**t, "seconds": 0} for t in told["tasks"]] == [{**t, "seconds": 0} for t in body["tasks"]]


def test_every_outcome(project: Project) -> None:
    """ran, fresh, restored, failed, blocked and skipped, each reached for real, alike in `run` and `status`."""
    project.tasks("  kept: {transform: shell.run, params: {command: 'echo k > k.txt', outputs: [k.txt]}}\n" + FAILING)
    project.edit(
        "pipeline.yaml",
        "  zeta:",
        "  lost: {transform: shell.run, params: {command: 'echo m > m.txt', outputs: [m.txt]}}\n  zeta:",
    )
    done = project.fast("run", "--json", "--select", "kept", "--select", "lost")
    assert (done.code, done.outcomes()) == (0, {"kept": "ran", "lost": "ran"})
    (project.root / "m.txt").unlink()
    done = project.fast("run", "--json", "--keep-going")
    expected = {"kept": "fresh", "bad": "failed", "below": "blocked", "lost": "restored", "zeta": "ran"}
    assert (done.code, shape(done)["status"], done.outcomes()) == (1, "failed", expected)
    assert project.fast("status", "--json").outcomes() == expected
    project.edit("pipeline.yaml", "echo x > zeta.txt", "echo y > zeta.txt")
    done = project.fast("run", "--json")
    expected = {"kept": "fresh", "bad": "failed", "below": "blocked", "lost": "fresh", "zeta": "skipped"}
    assert (done.code, done.outcomes()) == (1, expected)
    assert project.fast("status", "--json").outcomes() == expected
    errors = {t["task"]: t["error"] for t in done.json()["tasks"] if t["error"]}
    assert errors == {"bad": "the command exited with 3: it broke"}


def test_plain_output_of_a_failed_run(project: Project) -> None:
    """Results go to stdout, talk to stderr; the failed task is told with its log."""
    project.tasks(FAILING)
    done = project.fast("run")
    assert done.code == 1
    assert re.fullmatch(
        r"p: failed: 0 ran, 0 fresh, 1 failed, 1 blocked, 1 skipped; 0 rows, 0 B, \d+\.\d\d s\n", done.out
    )
    lines = done.err.splitlines()
    assert re.fullmatch(rf"p: 3 to do, 0 fresh \(run {RUN_ID}\)", lines[0])
    assert lines[2] == "failed: p:bad: the command exited with 3: it broke"
    log = lines[3].removeprefix("  log: ")
    assert "it broke\n" in project.read(log)


def rows(project: Project, sql: str) -> list:
    with sqlite3.connect(project.root / ".mmetl/state.db") as db:
        return db.execute(sql).fetchall()


def test_killed_run_is_crashed(project: Project) -> None:
    """It is `running` while it lasts and `crashed` after kill -9, also once the next run has begun."""
    project.tasks(SLEEP)
    child = project.start("run")
    wait_for((project.root / "started").exists)
    time.sleep(0.2)  # a finished task is committed within 50 ms
    running = shape(project.fast("status", "--json"))
    assert running["status"] == "running"
    child.kill()
    child.communicate()
    crashed = shape(project.fast("status", "--json"))
    assert crashed["status"] == "crashed"
    assert crashed["run_id"] == running["run_id"]
    assert {t["task"]: t["outcome"] for t in crashed["tasks"]} == {"quick": "ran", "slow": "skipped", "last": "skipped"}
    project.edit("pipeline.yaml", "echo > started; sleep 60", "echo s > s.txt")
    assert project.run() == {"quick": "fresh", "slow": "ran", "last": "ran"}
    assert project.fast("status", running["run_id"], "--json").json()["status"] == "crashed"
    assert project.fast("status", "--json").json()["status"] == "succeeded"


def test_task_is_invalidated_before_its_action(empty: Project) -> None:
    """A kill leaves it stale, even where nothing of its earlier success is missing and the edit was taken back."""
    empty.write("in.txt", "quick")
    empty.tasks(
        "  a: {transform: shell.run, cache: false,"
        " params: {command: 'grep quick in.txt || { echo > started; sleep 60; }', inputs: [in.txt]}}\n"
    )
    assert empty.run() == {"a": "ran"}
    empty.write("in.txt", "slow")
    child = empty.start("run")
    wait_for(lambda: empty.fast("status", "--json").json()["tasks"][0]["error"] == "it is running")
    child.kill()
    child.communicate()
    empty.write("in.txt", "quick")
    said = empty.fast("why", "a").out.splitlines()
    assert said[:2] == ["p:a is stale", f"  - run {empty.fast('status', '--json').json()['run_id']} did not finish it"]
    assert empty.run() == {"a": "ran"}


def test_second_run_is_refused(project: Project) -> None:
    """It exits with 4 and names the pid of the first; readers do not wait."""
    project.tasks(SLEEP)
    child = project.start("run")
    wait_for((project.root / "started").exists)
    for argv in (["run"], ["clean"], ["forget", "--all"], ["gc"]):
        done = project.fast(*argv)
        assert done.code == 4, argv
        assert done.err.startswith(f"error: another run holds this project: pid {child.pid} (")
        assert done.err.endswith(f"help: wait for it to finish, or stop it: kill {child.pid}\n")
    wait_for(lambda: project.fast("show", "quick").code == 0)  # it is committed a moment after it has finished
    for argv in (["status"], ["dry-run"], ["why", "slow"], ["show", "quick"], ["validate"]):
        assert project.fast(*argv).code == 0, argv
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=20)


def test_status_of_unknown_runs(project: Project) -> None:
    """Prefixes do; an unknown id names the three nearest."""
    done = project.fast("status")
    assert (done.code, done.err) == (2, "error: nothing ran here yet\nhelp: mmetl run\n")
    ids = [project.fast("run", "--json").json()["run_id"] for _ in range(4)]
    assert project.fast("status", ids[1][:-1] if len({i[:-1] for i in ids}) == 4 else ids[1]).code == 0
    done = project.fast("status", "20")
    assert done.code == 2
    assert done.err.startswith("error: several runs start with '20'\nhelp: write more of it: ")
    done = project.fast("status", "nonsense")
    assert done.code == 2
    assert done.err.startswith("error: no run has the id 'nonsense'\nhelp: nearest: ")
    named = done.err.strip().partition("nearest: ")[2].split(", ")
    assert len(named) == 3
    assert set(named) <= set(ids)


USAGE: dict[str, tuple[list[str], str]] = {
    "unknown task": (["why", "frist"], "error: no task is called 'frist'\nhelp: did you mean 'first'?\n"),
    "unlike any task": (["why", "zzz"], "error: no task is called 'zzz'\nhelp: mmetl dry-run lists the tasks\n"),
    "unknown selection": (
        ["run", "--select", "+secnd"],
        (
            "--select:1:2: error: no task is called 'secnd' in the pipeline 'p'\n   1 | +secnd\n     |  ^\n"
            "help: did you mean 'second'?\n"
        ),
    ),
    "unknown pipeline": (
        ["run", "pipelin"],
        "error: no pipeline is called 'pipelin'\nhelp: did you mean 'pipeline'?\n",
    ),
    "no artifact yet": (["show", "first"], "error: 'first' has no artifact yet\nhelp: mmetl run --select +first\n"),
    "var without a value": (["run", "--var", "x"], "error: --var 'x' has no value\nhelp: write --var name=value\n"),
    "nothing to forget": (["forget"], "error: no task is named\nhelp: name tasks, or say --all\n"),
    "all and some to forget": (
        ["forget", "a", "--all"],
        "error: tasks are named, and --all was given\nhelp: choose one\n",
    ),
    "unknown shrink": (
        ["run", "--allow-shrink", "frist"],
        "error: no task is called 'frist' in the pipeline 'p'\nhelp: did you mean 'first'?\n",
    ),
}


@pytest.mark.parametrize(("argv", "text"), USAGE.values(), ids=USAGE.keys())
def test_usage_errors(project: Project, argv: list[str], text: str) -> None:
    """A name that is not there is exit code 2, with the near name."""
    done = project.fast(*argv)
    assert (done.code, done.out, done.err) == (2, "", text)


def test_unknown_variable(project: Project) -> None:
    """A variable that the pipeline does not have is a mistake, not an addition."""
    project.edit("pipeline.yaml", "tasks:", "vars: {word: 1}\ntasks:")
    done = project.fast("run", "--var", "wrd=2")
    assert done.code == 2
    assert done.err == (
        "error: --var sets 'wrd', but the pipeline has no such var\nhelp: did you mean 'word'? vars: word\n"
    )


def test_which_pipeline(empty: Project) -> None:
    """The only one is taken; of several one must be named, by file, stem or name."""
    done = empty.fast("run")
    assert (done.code, done.err) == (
        2,
        "error: no pipeline was found here\nhelp: name one: mmetl run PIPELINE.yaml, or list them in mmetl.yml\n",
    )
    body = "version: 1\nname: {0}\ntasks:\n  t: {{transform: shell.run, params: {{command: 'echo > {0}.txt', outputs: [{0}.txt]}}}}\n"
    empty.write("one.yaml", body.format("alpha"))
    empty.write("pipelines/two.yaml", body.format("beta"))
    done = empty.fast("run")
    assert done.err == "error: this project has 2 pipelines\nhelp: name one of: one.yaml, pipelines/two.yaml\n"
    for name in ("one.yaml", "pipelines/two.yaml", "two", "beta"):
        assert empty.fast("run", name).code == 0
    done = empty.fast("why", "t")
    assert done.err == "error: several pipelines have a task 't'\nhelp: write one of: alpha:t, beta:t\n"
    assert empty.fast("why", "beta:t").out.startswith("beta:t is fresh\n")


def test_from_another_folder(project: Project) -> None:
    """All paths are relative to the project, wherever a command is started."""
    project.write("mmetl.yml", "version: 1\n")
    project.write("deep/er/x.txt", "")
    assert project.mmetl("run", cwd="deep/er").code == 0
    assert (project.root / "out/second.txt").exists()
    assert (project.root / ".mmetl/state.db").exists()
    assert not (project.root / "deep/er/.mmetl").exists()
    assert project.run() == {"first": "fresh", "second": "fresh"}


def test_missing_plug_in_is_exit_5(project: Project) -> None:
    """A transform whose package cannot be imported says what to install."""
    project.write(
        "site/broken-1.dist-info/entry_points.txt", "[mmetl.transforms]\nbroken.read = no_such_package.x:READ\n"
    )
    project.write("site/broken-1.dist-info/METADATA", "Metadata-Version: 2.1\nName: broken\nVersion: 1\n")
    project.tasks("  a: {transform: broken.read}\n")
    done = project.mmetl("run", env={"PYTHONPATH": str(project.root / "site")})
    assert done.code == 5
    assert done.err == (
        "error: the transform 'broken.read' cannot be imported: No module named 'no_such_package'\n"
        "help: it is provided by 'broken'; reinstall that package\n"
    )
    project.tasks("  a: {transform: broken.read, retires: 1}\n  b: {transform: broken.read}\n")
    done = project.mmetl("run", env={"PYTHONPATH": str(project.root / "site")})
    assert (done.code, done.err.splitlines()[0]) == (3, "pipeline.yaml:4:31: error: task 'a' has no key 'retires'")


def test_debug_shows_the_traceback(project: Project) -> None:
    """Only when asked."""
    assert "Traceback" not in project.fast("why", "zzz").err
    assert "Traceback" in project.mmetl("--debug", "why", "zzz").err


def test_closed_pipe(project: Project) -> None:
    """A reader that leaves early is no error."""
    project.run()
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(
        [BIN / "mmetl", "status"], cwd=project.root, stdout=writing, stderr=subprocess.PIPE, check=False
    )
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


SITUATIONS: dict[str, tuple[Callable[[Project], object], int]] = {
    "never ran": (lambda _: None, 0),
    "nothing to do": (lambda p: p.run(), 0),
    "edited": (lambda p: (p.run(), p.write("in.txt", "x")), 0),
    "failing": (lambda p: p.edit("steps.py", "    # a comment", "    raise ValueError('no')"), 1),
    "invalid": (lambda p: p.edit("pipeline.yaml", "python.run", "python.rum"), 3),
    "damaged": (lambda p: p.write(".mmetl/state.db", "no database"), 4),
    "no pipeline": (lambda p: (p.root / "pipeline.yaml").unlink(), 2),
}


def state(project: Project) -> list:
    """Return what a run left in the store, without ids and times."""
    return [
        rows(
            project, "select pipeline, task, state, recipe, inputs, outputs, manifest, parts from tasks order by 1, 2"
        ),
        rows(project, "select pipeline, status, arguments, selected from runs order by started_ms, status"),
        rows(project, "select task, outcome, reasons, rows, bytes, error from task_runs order by task, reasons"),
        rows(project, "select key, manifest from builds order by key"),
    ]


@pytest.mark.parametrize(("prepare", "code"), SITUATIONS.values(), ids=SITUATIONS.keys())
def test_bare_run_equals_the_typer_path(project: Project, prepare: Callable[[Project], object], code: int) -> None:
    """`mmetl run` is answered before Typer is imported; `mmetl run --jobs 1` is not, and says and does the same."""
    prepare(project)
    twin = Project(project.root.parent / f"{project.root.name}-twin")
    shutil.copytree(project.root, twin.root)
    bare, typer = project.mmetl("run"), twin.mmetl("run", "--jobs", "1")

    def plain(r: Result, p: Project) -> tuple[int, str, str]:
        said = [re.sub(rf"{RUN_ID}|[\d.]+ s\b", "_", s.replace(str(p.root), "ROOT")) for s in (r.out, r.err)]
        return (r.code, said[0], said[1])

    assert plain(bare, project) == plain(typer, twin)
    assert bare.code == code
    if (project.root / ".mmetl/state.db").exists() and code != 4:
        assert state(project) == state(twin)


def test_every_command_has_help_with_an_example(empty: Project) -> None:
    """A sentence and a runnable example each."""
    commands = get_command(app).commands  # type: ignore[attr-defined]
    assert {"clean", "dry-run", "forget", "gc", "retry", "run", "show", "status", "validate", "why"} <= set(commands)
    for name, command in commands.items():
        assert re.search(rf"Example: mmetl {name}\b", command.help), name
        assert all(p.help for p in command.params), name
        done = empty.fast(name, "--help")
        assert (done.code, "Example: mmetl " + name in done.out) == (0, True)


def test_commands_are_shown_in_groups(empty: Project) -> None:
    """Each command is in one of them."""
    groups = dict(re.findall(r"^(\w[\w ]+):\n((?:  .*\n?)+)", empty.fast("--help").out, re.MULTILINE))
    assert list(groups) == ["Options", "Run", "Look", "Keep", "Begin and learn"]
    listed = [line.split()[0] for text in list(groups.values())[1:] for line in text.splitlines() if line[2] != " "]
    assert sorted(listed) == sorted(get_command(app).commands)  # type: ignore[attr-defined]


def test_show_files(project: Project) -> None:
    """The files that a task wrote, one JSON object each."""
    project.run()
    (line,) = project.fast("show", "first", "--json").out.splitlines()
    assert json.loads(line)["path"] == "out/first.txt"
    assert json.loads(line)["bytes"] == 6
    assert project.fast("show", "first").out.startswith("out/first.txt  6 B  ")


def test_module_and_version(empty: Project) -> None:
    """`python -m mmetl` is the same program."""
    assert empty.command("python", "-m", "mmetl", "--version").out == empty.mmetl("--version").out
    assert empty.mmetl("--version").out.startswith("mmetl ")


def test_one_is_not_several(empty: Project) -> None:
    empty.tasks("  a: {transform: shell.run, params: {command: 'echo > a', outputs: [a]}}\n")
    assert empty.fast("validate").out == "p: valid, 1 task\n"
    assert empty.fast("dry-run").out.splitlines()[1] == "p: 1 of 1 task has work to do or waits for it"
    assert empty.fast("run").code == 0
    assert empty.fast("clean").out == "1 file removed; the next run restores those of current tasks\n"
    assert empty.fast("forget", "a").out == "1 task forgotten; the next run computes it\n"
    assert empty.fast("gc").out.startswith("0 builds and 1 part removed, ")


def test_a_line_has_a_few_reasons(empty: Project) -> None:
    """A folder of many new files is no line of many reasons; `why` and `--json` have all of them."""
    empty.tasks("  a: {transform: shell.run, params: {command: 'true', inputs: ['in/*.txt']}}\n")
    empty.write("in/00.txt", "")
    assert empty.fast("run").code == 0
    for n in range(1, 20):
        empty.write(f"in/{n:02}.txt", "")
    told = "; ".join(f"in/{n:02}.txt is new" for n in range(1, 6)) + "; and 14 more reasons"
    assert empty.fast("dry-run").out.splitlines()[0].endswith(told)
    assert len(empty.fast("dry-run", "--json").reasons()["a"]) == 19
    assert len(empty.fast("why", "a").out.splitlines()) >= 19
    assert empty.fast("run").code == 0
    assert told in empty.fast("status").out


def test_rows_are_json(empty: Project) -> None:
    """Every line can be read by any reader of JSON."""
    query = "select 'nan'::double as n, [1.5, '-inf'::double] as l, {'x': 'inf'::float} as s, '\\xff\\x00'::blob as b, 1.10::decimal(4,2) as d"
    empty.tasks(f'  a: {{transform: tabular.sql, params: {{sql: "{query}"}}}}\n'.replace("\\", "\\\\"))
    assert empty.run() == {"a": "ran"}
    expected = '{"n": null, "l": [1.5, null], "s": {"x": null}, "b": "/wA=", "d": "1.10"}\n'
    assert empty.fast("show", "a", "--json").out == expected
    assert empty.fast("query", "from a", "--json").out == expected
