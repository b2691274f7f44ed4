"""`mmetl runs` and `mmetl logs`."""

from __future__ import annotations

import re
import threading
import time

from harness import Project, wait_for

TASKS = """\
  loud: {transform: shell.run, params: {command: "echo heard; echo x > out.txt", outputs: [out.txt]}}
  bad: {transform: shell.run, depends_on: [loud], params: {command: "echo it broke; exit 3"}}
  after: {transform: shell.run, depends_on: [bad], params: {command: "true"}}
"""


def test_runs_are_listed_newest_first(project: Project) -> None:
    """A line a run: when, how long, what came of its tasks; a run that found all fresh did nothing."""
    done = project.fast("runs")
    assert (done.code, done.out, done.err) == (0, "", "nothing ran here yet\n")
    ids = [project.fast("run", "--json").json()["run_id"] for _ in range(2)]
    head, *lines = project.fast("runs").out.splitlines()
    assert head.split("  ")[0] == "RUN"
    assert [line.split()[0] for line in lines] == ids[::-1]
    assert re.fullmatch(
        rf"{ids[1]}  p +succeeded  \d{{4}}-\d\d-\d\d \d\d:\d\d:\d\d +\d+\.\d s +nothing to do", lines[0]
    )
    assert lines[1].endswith("2 ran")
    assert [line.split()[0] for line in project.fast("runs", "--limit", "1").out.splitlines()[1:]] == [ids[1]]


def test_runs_as_json(project: Project) -> None:
    """The arguments are among the fields; a failed task is counted as such."""
    project.tasks(TASKS)
    project.fast("run", "--keep-going")
    body = project.fast("runs", "--json").json()
    (run,) = body["runs"]
    assert body["schema_version"] == 1
    assert list(run) == ["run_id", "pipeline", "status", "started", "seconds", "arguments", "outcomes"]
    assert (run["status"], run["pipeline"], run["arguments"]["keep_going"]) == ("failed", "p", True)
    assert run["outcomes"] == {"blocked": 1, "failed": 1, "ran": 1}
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", run["started"])


def test_a_killed_run_is_listed_as_crashed(project: Project) -> None:
    """The lock tells, as for `status`."""
    project.tasks("  slow: {transform: shell.run, params: {command: 'echo > started; sleep 60'}}\n")
    child = project.start("run")
    wait_for((project.root / "started").exists)
    assert project.fast("runs", "--json").json()["runs"][0]["status"] == "running"
    child.kill()
    child.communicate()
    assert project.fast("runs", "--json").json()["runs"][0]["status"] == "crashed"
    assert project.fast("runs").out.rstrip().endswith("nothing finished")


def test_logs(project: Project) -> None:
    """All of a run under headings, or one task's; the latest is the last run that left any."""
    project.tasks(TASKS)
    run = project.fast("run", "--json").json()["run_id"]
    heading = "== p:{0}: .mmetl/logs/{1}/p.{0}.log\n"
    everything = project.fast("logs").out
    assert everything == (
        heading.format("bad", run) + "it broke\nerror: the command exited with 3: it broke\n"
        + heading.format("loud", run) + "heard\n"
    )  # fmt: skip
    assert project.fast("run", "--select", "loud").code == 0  # with nothing to do: it leaves no log
    for argv in (["latest"], [run], [run[:-1]]):
        assert project.fast("logs", *argv).out == everything, argv
    for name in ("loud", "p:loud"):
        assert project.fast("logs", "latest", name).out == "heard\n"


def test_logs_that_are_not_there(project: Project) -> None:
    """Exit code 2 with the near name, or what there is."""
    done = project.fast("logs")
    assert (done.code, done.err) == (2, "error: nothing ran here yet\nhelp: mmetl run\n")
    project.tasks(TASKS)
    run = project.fast("run", "--json").json()["run_id"]
    done = project.fast("logs", run, "laud")
    assert (done.code, done.out) == (2, "")
    assert done.err == f"error: no task 'laud' wrote a log in run '{run}'\nhelp: did you mean 'loud'?\n"
    done = project.fast("logs", run, "zzz")
    assert done.err == f"error: no task 'zzz' wrote a log in run '{run}'\nhelp: logs: p:bad, p:loud\n"
    assert project.fast("logs", run, "--follow").code == 2


def test_a_log_is_followed_until_the_run_ends(project: Project) -> None:
    """What comes later is printed too, and the command ends with the run."""
    project.tasks("  a: {transform: shell.run, params: {command: 'echo one; touch began; sleep 1; echo two'}}\n")
    child = project.start("run")
    wait_for((project.root / "began").exists)
    said = []
    follower = threading.Thread(target=lambda: said.append(project.mmetl("logs", "latest", "a", "--follow")))
    begun = time.monotonic()
    follower.start()
    follower.join(30)
    child.communicate()
    assert said[0].out == "one\ntwo\n"
    assert time.monotonic() - begun < 20


def test_status_tells_which_definition_ran(project: Project) -> None:
    """The same as long as the YAML says the same, however it is written; another after an edit that means something."""

    def ran() -> str:
        project.fast("run", "--force")
        found = str(project.fast("status", "--json").json()["definition"])
        assert f", definition {found[:8]}\n" in project.fast("status").out
        return found

    first = ran()
    project.edit("pipeline.yaml", "tasks:", "# a comment\ntasks:")
    assert ran() == first
    project.edit("pipeline.yaml", "source: in.txt", "source: ./in.txt")
    assert ran() != first
    project.fast("run")
    assert project.fast("status", "--json").json()["definition"] is None
