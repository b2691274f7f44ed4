"""Selectors over one worked-out pipeline, through `dry-run`: what each stands for, and what is said of a wrong one."""

from __future__ import annotations

import ast
import shlex
from pathlib import Path
from typing import get_args
from unittest import mock

import pytest
from harness import Project, grow_old

from mmetl.cache.store import Store
from mmetl.contracts.plan import Plan, TaskNode
from mmetl.core.options import RunOptions
from mmetl.core.project import Project as CoreProject
from mmetl.core.select import select
from mmetl.core.selectors import asked as asked_module
from mmetl.core.selectors.evaluate import Evaluator, Known
from mmetl.core.selectors.parser import RESULTS, parse
from mmetl.observability.runs import Outcome

DAG = """
    raw_a --> stg_a --+
                      +--> joined --+--> report --> mail
    raw_b --> stg_b --+             +--> export
                |
                +--> audit --> archive

    lone
"""
TASKS = """\
  raw_a: {transform: tabular.read, params: {path: a.csv}, tags: [nightly]}
  raw_b: {transform: tabular.read, params: {path: b.csv}}
  stg_a: {transform: python.run, depends_on: [raw_a], params: {function: "steps:write", args: {path: stg_a.txt}, outputs: [stg_a.txt]}, tags: [nightly]}
  stg_b: {transform: python.run, depends_on: [raw_b], params: {function: "steps:write", args: {path: stg_b.txt}, outputs: [stg_b.txt]}}
  joined: {transform: shell.run, params: {command: cat stg_a.txt stg_b.txt > j.txt, inputs: [stg_a.txt, stg_b.txt], outputs: [j.txt]}, tags: [nightly, slow]}
  audit: {transform: shell.run, params: {command: cat stg_b.txt > audit.txt, inputs: [stg_b.txt], outputs: [audit.txt]}}
  archive: {transform: shell.run, params: {command: cat audit.txt > archive.txt, inputs: [audit.txt], outputs: [archive.txt]}}
  report: {transform: shell.run, params: {command: exit 3, inputs: [j.txt], outputs: [report.txt]}}
  export: {transform: shell.run, params: {command: cat j.txt > export.txt, inputs: [j.txt], outputs: [export.txt]}, tags: [slow]}
  mail: {transform: shell.run, params: {command: cat report.txt > mail.txt, inputs: [report.txt], outputs: [mail.txt]}}
  lone: {transform: shell.run, params: {command: echo l > lone.txt, outputs: [lone.txt]}, tags: ["c++ code"]}
"""
ORDER = "raw_a raw_b stg_a stg_b joined audit archive report export mail lone"

# What happened before: `joined` and what it needs ran; then all but `lone` was run, where `report` failed; then `audit`
# was edited. So `audit`, `report`, `mail` and `lone` are stale, of which the last three never succeeded, and `archive`
# waits for `audit`.
CASES = {
    # names
    "joined": "joined",
    "p:joined": "joined",
    "stg_*": "stg_a stg_b",
    "p:stg_?": "stg_a stg_b",
    "*_a": "raw_a stg_a",
    "*[!a-z]a": "raw_a stg_a",
    "*": ORDER,
    # graph operators
    "+joined": "raw_a raw_b stg_a stg_b joined",
    "joined+": "joined report export mail",
    "+joined+": "raw_a raw_b stg_a stg_b joined report export mail",
    "1+joined": "stg_a stg_b joined",
    "2+joined": "raw_a raw_b stg_a stg_b joined",
    "99+joined": "raw_a raw_b stg_a stg_b joined",
    "joined+1": "joined report export",
    "joined+2": "joined report export mail",
    "1+joined+1": "stg_a stg_b joined report export",
    "2+report+1": "stg_a stg_b joined report mail",
    "+lone+": "lone",
    "raw_a+": "raw_a stg_a joined report export mail",
    "@audit": "raw_b stg_b audit archive",
    "@stg_a": "raw_a raw_b stg_a stg_b joined report export mail",
    "@raw_b": "raw_a raw_b stg_a stg_b joined audit archive report export mail",
    "@mail": "raw_a raw_b stg_a stg_b joined report mail",
    "stg_*+1": "stg_a stg_b joined audit",
    # methods
    "tag:nightly": "raw_a stg_a joined",
    "tag:slow": "joined export",
    "tag:[ns]*": "raw_a stg_a joined export",
    "tag:c???code": "lone",
    "transform:shell.run": "joined audit archive report export mail lone",
    "transform:tabular.*": "raw_a raw_b",
    "transform:*.run": "stg_a stg_b joined audit archive report export mail lone",
    "state:stale": "audit report mail lone",
    "state:fresh": "raw_a raw_b stg_a stg_b joined export",
    "state:new": "report mail lone",
    "result:error": "report",
    "result:failed": "report",
    "result:success": "audit archive export",
    "result:ran": "audit archive export",
    "result:fresh": "raw_a raw_b stg_a stg_b joined",
    "result:blocked": "mail",
    # methods with graph operators
    "+tag:slow": "raw_a raw_b stg_a stg_b joined export",
    "1+tag:slow": "stg_a stg_b joined export",
    "tag:nightly+1": "raw_a stg_a joined report export",
    "state:stale+": "audit archive report mail lone",
    "result:error+": "report mail",
    "1+result:error": "joined report",
    "@transform:tabular.*": "raw_a raw_b stg_a stg_b joined audit archive report export mail",
    # or, and
    "lone mail": "mail lone",
    "  lone   +stg_a ": "raw_a stg_a lone",
    "tag:nightly,tag:slow": "joined",
    "+report,stg_*": "stg_a stg_b",
    "+report,raw_*+": "raw_a raw_b stg_a stg_b joined report",
    "transform:shell.run,state:fresh": "joined export",
    "state:stale,state:new,transform:shell.run,+mail": "report mail",
    "tag:nightly,tag:slow lone": "joined lone",
    "joined,joined": "joined",
}
COMMANDS = {
    "--select lone --select mail": "mail lone",
    "-s 'lone mail' -s raw_a": "raw_a mail lone",
    "--exclude '+joined'": "audit archive report export mail lone",
    "--exclude lone --exclude tag:slow": "raw_a raw_b stg_a stg_b audit archive report mail",
    "--exclude state:fresh": "audit archive report mail lone",
    "--select +mail --exclude raw_*": "stg_a stg_b joined report mail",
    "--select +mail --exclude 'raw_* stg_*'": "joined report mail",
    "--select +mail --exclude tag:nightly,tag:slow": "raw_a raw_b stg_a stg_b report mail",
    "--select joined+ --exclude report+": "joined export",
    "--select tag:slow --exclude lone": "joined export",
    "--select joined --exclude result:skipped": "joined",
    "--select result:skipped": "",  # states and results change: there is nothing to do, and that is no error
}
WRONG = {  # option and text -> what is said
    "--select lonesome": """\
--select:1:1: error: no task is called 'lonesome' in the pipeline 'p'
   1 | lonesome
     | ^
help: did you mean 'lone'?
""",
    "--select 'lone +tag:slow,2+xyz+'": """\
--select:1:18: error: no task is called 'xyz' in the pipeline 'p'
   1 | lone +tag:slow,2+xyz+
     |                  ^
help: tasks: raw_a, raw_b, stg_a, stg_b, joined, audit, archive, report
""",
    "--select lone --select p:reprot": """\
--select:2:1: error: no task is called 'reprot' in the pipeline 'p'
   2 | p:reprot
     | ^
help: did you mean 'report'?
""",
    "--exclude 'lone tmp_*'": """\
--exclude:1:6: error: no task is called 'tmp_*' in the pipeline 'p'
   1 | lone tmp_*
     |      ^
help: tasks: raw_a, raw_b, stg_a, stg_b, joined, audit, archive, report
""",
    "--select +tags:slow": """\
--select:1:2: error: no method is called 'tags'
   1 | +tags:slow
     |  ^
help: did you mean 'tag:'?
""",
    "--select other:lone": """\
--select:1:1: error: no method is called 'other'
   1 | other:lone
     | ^
help: methods: tag:, transform:, state:, result:; a task is NAME or p:NAME
""",
    "--select tag:nigthly+": """\
--select:1:5: error: no task of the pipeline 'p' has the tag 'nigthly'
   1 | tag:nigthly+
     |     ^
help: did you mean 'nightly'?
""",
    "--exclude tag:x": """\
--exclude:1:5: error: no task of the pipeline 'p' has the tag 'x'
   1 | tag:x
     |     ^
help: tags: c++ code, nightly, slow
""",
    "--select transform:graph.*": """\
--select:1:11: error: no task of the pipeline 'p' has the transform 'graph.*'
   1 | transform:graph.*
     |           ^
help: transforms: python.run, shell.run, tabular.read
""",
    "--select state:stail": """\
--select:1:7: error: no state is called 'stail'
   1 | state:stail
     |       ^
help: did you mean 'stale'?
""",
    "--select result:warn": """\
--select:1:8: error: no result is called 'warn'
   1 | result:warn
     |        ^
help: results: error, success, ran, fresh, restored, failed, blocked, skipped
""",
    "--select tag:": """\
--select:1:5: error: nothing stands after 'tag:'
   1 | tag:
     |     ^
help: write tag:NAME
""",
    "--select joined+x": """\
--select:1:8: error: 'x' is not a number of steps
   1 | joined+x
     |        ^
help: 2+NAME goes two steps up, NAME+3 three steps down; +NAME and NAME+ all the way
""",
    "--select 'lone 1.5+joined'": """\
--select:1:6: error: '1.5' is not a number of steps
   1 | lone 1.5+joined
     |      ^
help: 2+NAME goes two steps up, NAME+3 three steps down; +NAME and NAME+ all the way
""",
    "--select=-1+joined": """\
--select:1:1: error: '-1' is not a number of steps
   1 | -1+joined
     | ^
help: 2+NAME goes two steps up, NAME+3 three steps down; +NAME and NAME+ all the way
""",
    "--select 0+joined": """\
--select:1:1: error: '0' is not a number of steps
   1 | 0+joined
     | ^
help: 2+NAME goes two steps up, NAME+3 three steps down; +NAME and NAME+ all the way
""",
    "--select tag:c++": """\
--select:1:7: error: 'tag:c++' has a '+' too many
   1 | tag:c++
     |       ^
help: a selector takes one '+' before and one after; in the name of a tag write '?' for it
""",
    "--select @joined+": """\
--select:1:8: error: '@' and '+' do not go together
   1 | @joined+
     |        ^
help: @NAME is already all that needs it, with all that those need
""",
    "--select 'lone +'": """\
--select:1:6: error: nothing is named by '+'
   1 | lone +
     |      ^
help: write +NAME, NAME+ or @NAME
""",
    "--select 'lone, mail'": """\
--select:1:6: error: nothing stands on one side of a comma
   1 | lone, mail
     |      ^
help: a comma joins what must hold at once, a space what may; neither stands beside a comma
""",
    "--select ,lone": """\
--select:1:1: error: nothing stands on one side of a comma
   1 | ,lone
     | ^
help: a comma joins what must hold at once, a space what may; neither stands beside a comma
""",
    "--select lone --exclude ' '": """\
--exclude:1:1: error: the selector is empty
   1 |\x20\x20
     | ^
help: name a task, such as +report, or leave it out
""",
    "--select +tag:slow,lone": """\
--select:1:1: error: the selection is empty
   1 | +tag:slow,lone
     | ^
help: selected: none; excluded: none
""",
    "--select tag:slow --exclude joined+": """\
--select:1:1: error: the selection is empty
   1 | tag:slow
     | ^
help: selected: joined, export; excluded: joined, report, export, mail
""",
    "--exclude '*'": """\
--exclude:1:1: error: the selection is empty
   1 | *
     | ^
help: selected: raw_a, raw_b, stg_a, stg_b, joined, audit, archive, report and 3 more; excluded: raw_a, raw_b, stg_a, stg_b, joined, audit, archive, report and 3 more
""",
}


@pytest.fixture(scope="module")
def worked(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The pipeline after what happened before; the cases change nothing of it."""
    project = Project(Path(tmp_path_factory.mktemp("select")))
    project.write("a.csv", "id\n1\n")
    project.write("b.csv", "id\n2\n")
    project.write("steps.py", "def write(path):\n    with open(path, 'w') as f:\n        f.write(path)\n")
    project.tasks(TASKS)
    grow_old()
    assert set(project.run("--select", "+joined").values()) == {"ran"}
    ran = project.run("--keep-going", "--exclude", "lone")
    assert (ran["report"], ran["mail"], ran["audit"], ran["joined"]) == ("failed", "blocked", "ran", "fresh")
    project.edit("pipeline.yaml", "cat stg_b.txt > audit.txt", "cat stg_b.txt - > audit.txt")
    grow_old()
    return project


@pytest.fixture(scope="module")
def order(worked: Project) -> list[str]:
    """All tasks in the plan's order."""
    names = list(worked.dry())
    assert sorted(names) == sorted(ORDER.split())
    return names


@pytest.mark.parametrize(
    ("argv", "tasks"),
    [
        *((["--select", text], tasks) for text, tasks in CASES.items()),
        *((shlex.split(text), tasks) for text, tasks in COMMANDS.items()),
    ],
    ids=str,
)
def test_selection(worked: Project, order: list[str], argv: list[str], tasks: str) -> None:
    """Each selector stands for the tasks spelled out here, in the plan's order."""
    done = worked.fast("dry-run", "--json", *argv)
    assert done.err == ""
    assert sorted(done.outcomes()) == sorted(tasks.split())
    assert list(done.outcomes()) == [t for t in order if t in tasks.split()]


@pytest.mark.parametrize(("command", "said"), WRONG.items(), ids=str)
def test_wrong_selectors(worked: Project, command: str, said: str) -> None:
    """Exit code 2, and a caret at the place; `run` says the same and runs nothing."""
    before = Store(worked.root).rows("select id from runs")
    for name in ("dry-run", "run"):
        done = worked.fast(name, "--json", *shlex.split(command))
        assert (done.code, done.out, done.err) == (2, "", said)
    assert Store(worked.root).rows("select id from runs") == before


FORCE = {
    "": {"raw_a", "raw_b", "stg_a", "stg_b", "joined", "audit", "archive", "export"},
    "--select joined": {"joined"},
    "--select +joined+": {"joined"},
    "--select @stg_*": {"stg_a", "stg_b"},
    "--select +tag:slow": {"joined", "export"},
    "--select +report,state:fresh": {"raw_a", "raw_b", "stg_a", "stg_b", "joined"},
    "--select 'joined+ lone' --exclude 'mail lone'": {"joined"},
    "--exclude +joined+": {"audit", "archive"},
}


@pytest.mark.parametrize("command", FORCE)
def test_force_is_for_what_is_named(worked: Project, command: str) -> None:
    """Not for what graph operators add; a method names what it stands for. A task without a result needs no force."""
    done = worked.fast("dry-run", "--json", "--force", *shlex.split(command))
    assert {t for t, reasons in done.reasons().items() if "--force" in reasons} == FORCE[command]


def test_only_what_is_used_is_paid_for(worked: Project) -> None:
    """Details are read for `tag:` and `transform:`, decisions taken for `state:`, runs read for `result:`."""
    project = CoreProject.open(worked.root)
    plan = project.plan(worked.root / "pipeline.yaml")

    def asked(text: str) -> list[str]:
        with (
            mock.patch.object(project, "details", wraps=project.details) as details,
            mock.patch.object(project, "decide", wraps=project.decide) as decide,
            mock.patch.object(asked_module, "find_run", wraps=asked_module.find_run) as runs,
        ):
            select(project, plan, RunOptions(select=(text,)))
        calls = {"details": details, "decisions": decide, "runs": runs}
        return [name for name, call in calls.items() if call.called]

    assert asked("+joined+ @lone stg_*") == []
    assert asked("tag:slow") == ["details"]
    assert asked("transform:*.run+") == ["details"]
    assert asked("lone,state:stale") == ["decisions"]
    assert asked("result:error") == ["runs"]


IMPORTED = """
import sys
from mmetl.__main__ import main
try:
    main()
except SystemExit:
    pass
print([m for m in sys.modules if m.startswith("mmetl.core.selectors.")])
"""


def test_a_run_of_everything_imports_no_selectors(project: Project) -> None:
    """Neither the language nor what it needs."""
    for argv, imported in (["run"], 0), (["run", "--select", "first"], 3):
        said = project.command("python", "-c", IMPORTED, *argv)
        assert len(ast.literal_eval(said.out.splitlines()[-1])) == imported, said


@pytest.mark.parametrize(("before", "tasks"), [("", []), ("first", ["first"])])
def test_state_before_and_after_the_first_run(project: Project, before: str, tasks: list[str]) -> None:
    """All is new in a project that never ran; a result is that of no task there."""
    if before:
        project.run("--select", before)
    assert list(project.dry("--select", "state:new")) == [t for t in ("first", "second") if t not in tasks]
    done = project.fast("dry-run", "--json", "--select", "result:success")
    assert (done.code, list(done.outcomes())) == (0, tasks)


def test_result_is_of_the_last_run_with_work(project: Project) -> None:
    """A run that found everything fresh does not count, nor one of another pipeline."""
    project.run("--select", "first")
    assert project.run("--select", "first") == {"first": "fresh"}
    other = "version: 1\nname: other\ntasks:\n  x: {transform: shell.run, params: {command: 'true'}, always: true}\n"
    project.write("other.yaml", other)
    assert project.run("other.yaml") == {"x": "ran"}
    assert project.dry("pipeline.yaml", "--select", "result:success") == {"first": "fresh"}
    project.doit("run")
    assert project.dry("pipeline.yaml", "--select", "result:success") == {"second": "fresh"}


MEMBERS = ("sales@2024,eu", "sales@2024,us", "sales@2025,eu", "stock@eu", "total", "eu")
MEMBER_CASES = {
    "sales": "sales@2024,eu sales@2024,us sales@2025,eu",
    "sales@2024,eu": "sales@2024,eu",
    "p:sales@2024,eu": "sales@2024,eu",
    "sales@2024,*": "sales@2024,eu sales@2024,us",
    "s*@*,eu": "sales@2024,eu sales@2025,eu",
    "sales@*": "sales@2024,eu sales@2024,us sales@2025,eu",
    "sales@2024,eu+": "sales@2024,eu total",
    "sales@2024,eu+1,total": "total",
    "total,+sales@2024,us+": "total",
    "stock@eu,eu": None,
    "stock@eu eu": "stock@eu eu",
    "sales,*eu": "sales@2024,eu sales@2025,eu",
    "+total,sales": "sales@2024,eu sales@2024,us sales@2025,eu",
}


@pytest.mark.parametrize(("text", "tasks"), MEMBER_CASES.items())
def test_members_of_a_matrix(text: str, tasks: str | None) -> None:
    """The commas inside the name of a member are no intersection; a family stands for its members."""
    nodes = {n: TaskNode(n, "", after=MEMBERS[:4] if n == "total" else ()) for n in MEMBERS}
    plan = Plan("", "p", nodes)
    assert Evaluator(plan, Known()).tasks(parse([text], plan)) == set((tasks or "").split())


def test_every_outcome_is_a_result() -> None:
    """A new outcome can be selected by."""
    assert set(get_args(Outcome)) <= set(RESULTS)


def test_a_matrix_of_the_yaml(empty: Project) -> None:
    """A family, one of its members and some of them, by the names that a matrix gives."""
    command = 'params: {command: "true"}'
    matrix = "matrix: {day: [1, 2], region: [EU, US]}"
    empty.tasks(
        f"  load: {{transform: shell.run, {command}, {matrix}}}\n  all: {{transform: shell.run, {command}, depends_on: [load]}}\n"
    )
    members = ["load@1,eu", "load@1,us", "load@2,eu", "load@2,us"]
    assert sorted(empty.dry("--select", "load")) == members
    assert sorted(empty.dry("--select", "load@1,us")) == ["load@1,us"]
    assert sorted(empty.dry("--select", "load@*,eu all")) == ["all", "load@1,eu", "load@2,eu"]
    assert sorted(empty.dry("--select", "+all", "--exclude", "load@2,*")) == ["all", "load@1,eu", "load@1,us"]
