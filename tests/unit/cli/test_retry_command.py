"""`mmetl retry`: what came to no result in a run, once more, as that run was asked to."""

from __future__ import annotations

import json
import re
import time
from typing import Any

import pytest
from harness import Project, wait_for

from mmetl.cache.store import Store

# first -> middle -> last, and others: `middle` fails until the file `mended` is there. `log` tells what was computed.
TASKS = """\
  first: {transform: shell.run, params: {command: "echo first >> log; echo f > f.txt", outputs: [f.txt]}}
  middle: {transform: shell.run, cache: false, params: {command: "echo middle >> log; cp mended m.txt", inputs: [f.txt], outputs: [m.txt]}}
  last: {transform: shell.run, params: {command: "echo last >> log; cp m.txt l.txt", inputs: [m.txt], outputs: [l.txt]}}
  other: {transform: shell.run, always: true, params: {command: "echo other >> log"}}
"""


@pytest.fixture
def failed(empty: Project) -> Project:
    """A project after a run in which `middle` failed, `last` was blocked, and the others ran."""
    empty.tasks(TASKS)
    done = empty.run("--keep-going")
    assert done == {"first": "ran", "middle": "failed", "last": "blocked", "other": "ran"}
    (empty.root / "log").unlink()
    return empty


def run_id(project: Project) -> str:
    return str(project.fast("status", "--json").json()["run_id"])


def arguments(project: Project, wanted: str | None = None) -> Any:
    sql = "select arguments from runs where id = ?"
    return json.loads(Store(project.root).rows(sql, (wanted or run_id(project),))[0][0])


def computed(project: Project) -> list[str]:
    return project.read("log").split()


def test_what_failed_and_what_it_blocked_runs(failed: Project) -> None:
    """Nothing else does, though `other` always would; the answer is that of `run`."""
    first = run_id(failed)
    failed.write("mended", "m")
    done = failed.fast("retry", "--json")
    assert (done.code, done.err, done.outcomes()) == (0, "", {"middle": "ran", "last": "ran"})
    assert list(done.json()) == ["schema_version", "run_id", "pipeline", "status", "tasks"]
    assert computed(failed) == ["middle", "last"]
    assert run_id(failed) == done.json()["run_id"] != first
    assert arguments(failed) == {"jobs": 1, "keep_going": True, "retry_of": first}
    assert arguments(failed, first) == {"jobs": 1, "keep_going": True}


def test_retry_in_words(failed: Project) -> None:
    """The real command line, from a folder below: exit code 1 while the task still fails, then 0."""
    (failed.root / "below").mkdir()
    again = failed.mmetl("retry", cwd="below")
    assert again.code == 1
    assert re.match(r"p: failed: 0 ran, 0 fresh, 1 failed, 1 blocked; 0 rows", again.out)
    failed.write("mended", "m")
    done = failed.mmetl("retry", cwd="below")
    assert (done.code, done.out.split(";")[0]) == (0, "p: 2 ran, 0 fresh")


def test_retry_of_a_retry(failed: Project) -> None:
    """A retry that failed can be tried again: it has the arguments of the first, and says whose retry it is."""
    first = run_id(failed)
    assert failed.fast("retry", "--json").outcomes() == {"middle": "failed", "last": "blocked"}
    second = run_id(failed)
    failed.write("mended", "m")
    assert failed.fast("retry", "--json").outcomes() == {"middle": "ran", "last": "ran"}
    assert arguments(failed, second) == {"jobs": 1, "keep_going": True, "retry_of": first}
    assert arguments(failed) == {"jobs": 1, "keep_going": True, "retry_of": second}
    done = failed.fast("retry", first, "--json")
    assert (done.code, done.outcomes()) == (0, {"middle": "fresh", "last": "fresh"})


def test_nothing_to_retry(failed: Project) -> None:
    """A run that succeeded is exit code 2 and a sentence, with nothing recorded."""
    failed.write("mended", "m")
    failed.run()
    last = run_id(failed)
    said = f"error: run '{last}' left nothing to retry: none of its tasks failed, was blocked or was skipped, and no item failed\nhelp: mmetl status {last}\n"
    for argv in ([], [last]):
        done = failed.fast("retry", *argv)
        assert (done.code, done.out, done.err) == (2, "", said)
    assert run_id(failed) == last


def test_before_the_first_run(project: Project) -> None:
    """There is no run to retry."""
    done = project.fast("retry")
    assert (done.code, done.err) == (2, "error: nothing ran here yet\nhelp: mmetl run\n")


def test_a_run_with_nothing_to_do_is_passed_over(failed: Project) -> None:
    """Without a name it is the latest run that had something to do."""
    assert failed.run("--select", "first") == {"first": "fresh"}
    noop = run_id(failed)
    failed.write("mended", "m")
    assert failed.fast("retry", "--json").outcomes() == {"middle": "ran", "last": "ran"}
    assert failed.fast("retry", noop).err.startswith(f"error: run '{noop}' left nothing to retry: ")


def test_by_a_prefix(failed: Project) -> None:
    """An earlier run is named by the start of its id; what several share or none has is an error."""
    first = run_id(failed)
    time.sleep(1.1)  # another second in the id
    failed.write("mended", "m")
    assert failed.run("--select", "first")["first"] == "fresh"
    second = run_id(failed)
    assert failed.fast("retry", first[:15], "--json").outcomes() == {"middle": "ran", "last": "ran"}
    several = failed.fast("retry", "20")
    assert (several.code, several.err.split("\n")[0]) == (2, "error: several runs start with '20'")
    none = failed.fast("retry", f"x{second}")
    assert (none.code, none.err.split("\n")[0]) == (2, f"error: no run has the id 'x{second}'")


def test_a_run_that_stopped(empty: Project) -> None:
    """Without --keep-going the tasks after a failure are skipped; a retry comes to them."""
    empty.tasks(TASKS)
    assert empty.run("--exclude", "first")["middle"] == "failed"
    assert list(empty.run().values()) == ["ran", "failed", "blocked", "skipped"]
    empty.write("mended", "m")
    assert empty.fast("retry", "--json").outcomes() == {"middle": "ran", "last": "ran", "other": "ran"}


def test_a_killed_run(empty: Project) -> None:
    """What a crashed run did not come to is run; a run that still runs is refused."""
    empty.tasks(TASKS.replace("cp mended m.txt", "echo > started; sleep 60; cp mended m.txt"))
    child = empty.start("run")
    wait_for((empty.root / "started").exists)
    wait_for(
        lambda: empty.fast("status", "--json").outcomes()["first"] == "ran"
    )  # what ended just before a kill may be lost
    running = empty.fast("retry")
    assert (running.code, running.err) == (
        4,
        f"error: run '{run_id(empty)}' has not ended\nhelp: mmetl status {run_id(empty)}\n",
    )
    child.kill()
    child.communicate()
    empty.write("mended", "m")
    empty.edit("pipeline.yaml", "echo > started; sleep 60; ", "")
    assert empty.fast("retry", "--json").outcomes() == {"middle": "ran", "last": "ran", "other": "ran"}


def test_with_the_same_arguments(empty: Project) -> None:
    """Selectors, exclusions, force, jobs, keep-going, variables and what may shrink are as they were."""
    text = "version: 1\nname: p\nvars: {word: default}\ntasks:\n"
    empty.write("pipeline.yaml", text + TASKS.replace("cp mended m.txt", "cp mended m.txt; echo ${var:word} > word"))
    given = ("--exclude", "other", "--force", "--jobs", "2", "--var", "word=given one", "--allow-shrink", "p:middle")
    assert empty.run("--keep-going", "--select", "+last", *given)["last"] == "blocked"
    first = run_id(empty)
    asked = {
        "select": ["+last"],
        "exclude": ["other"],
        "force": True,
        "jobs": 2,
        "keep_going": True,
        "allow_shrink": ["middle"],
        "vars": ["word"],
        "values": {"word": "given one"},
    }
    assert arguments(empty) == asked
    empty.write("mended", "m")
    assert empty.fast("retry", "--json").outcomes() == {"middle": "ran", "last": "ran"}
    assert arguments(empty) == {**asked, "retry_of": first}
    assert empty.read("word") == "given one\n"
    assert empty.fast("retry", first, "--json").reasons()["last"] == ["--force"]
    assert empty.fast("retry", first, "--json", "--var", "word=new").outcomes()["middle"] == "ran"
    assert empty.read("word") == "new\n"


def test_values_of_secrets_are_not_kept(empty: Project) -> None:
    """A variable that looks like a secret has to be given again; its value is nowhere in the record."""
    text = "version: 1\nname: p\nvars: {api_key: none, word: w}\ntasks:\n"
    empty.write("pipeline.yaml", text + TASKS)
    empty.run("--keep-going", "--var", "api_key=hush-hush", "--var", "word=v")
    first = run_id(empty)
    assert arguments(empty) == {"jobs": 1, "keep_going": True, "vars": ["api_key", "word"], "values": {"word": "v"}}
    done = empty.fast("retry")
    said = (
        f"error: the value of 'api_key' was not kept with run '{first}'\n"
        f"help: give it again: mmetl retry {first} --var api_key=VALUE\n"
    )
    assert (done.code, done.err) == (2, said)
    empty.write("mended", "m")
    assert empty.fast("retry", "--json", "--var", "api_key=hush-hush").outcomes() == {"middle": "ran", "last": "ran"}
    assert "hush-hush" not in str(Store(empty.root).rows("select * from runs"))


def test_tasks_that_are_gone(failed: Project) -> None:
    """Those that are left are retried; when none is, that is said."""
    failed.write("mended", "m")
    failed.edit("pipeline.yaml", "  last:", "  late:")
    first = run_id(failed)
    assert failed.fast("retry", "--json").outcomes() == {"middle": "ran"}
    failed.edit("pipeline.yaml", "  middle:", "  mid:")
    done = failed.fast("retry", first)
    said = f"error: none of the tasks that run '{first}' left is a task of 'p' any more\nhelp: mmetl run\n"
    assert (done.code, done.err) == (2, said)


def test_one_of_several_pipelines(failed: Project) -> None:
    """The pipeline is that of the run, wherever its file is and whatever it is called."""
    (failed.root / "deep").mkdir()
    (failed.root / "pipeline.yaml").rename(failed.root / "deep/x.yaml")
    failed.write(
        "pipeline.yaml", "version: 1\nname: x\ntasks:\n  a: {transform: shell.run, params: {command: 'true'}}\n"
    )
    assert failed.run("pipeline.yaml") == {"a": "ran"}
    assert failed.fast("run", "deep/x.yaml", "--keep-going", "--json").code == 1
    assert failed.run("pipeline.yaml") == {"a": "fresh"}
    failed.write("mended", "m")
    assert failed.fast("retry", "--json").outcomes() == {"middle": "ran", "last": "ran"}
    (failed.root / "deep/x.yaml").unlink()
    gone = failed.fast("retry", Store(failed.root).rows("select id from runs order by rowid limit 1")[0][0])
    assert (gone.code, gone.err) == (2, "error: the file of the pipeline 'p' is gone\nhelp: mmetl run PIPELINE\n")


def test_of_a_plain_doit_run(failed: Project) -> None:
    """One of a single pipeline is retried; one of several is not, and what to do is said."""
    failed.doit("run", "-c")
    failed.write("mended", "m")
    assert failed.fast("retry", "--json").outcomes() == {"middle": "ran", "last": "ran"}
    failed.write(
        "b.yaml", "version: 1\nname: b\ntasks:\n  a: {transform: shell.run, params: {command: 'false'}, always: true}\n"
    )
    failed.doit("run", "-c")
    done = failed.fast("retry")
    said = (
        f"error: run '{run_id(failed)}' is a doit run of several pipelines: b, p\n"
        "help: mmetl run PIPELINE --select 'result:error result:blocked result:skipped'\n"
    )
    assert (done.code, done.err) == (2, said)
