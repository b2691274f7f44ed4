"""`mmetl.Project`: what a notebook uses."""

from __future__ import annotations

import datetime as dt
import gc
import importlib.util
import os
import re
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest
from harness import Project as Folder
from harness import wait_for

from mmetl import Project
from mmetl.api import RunFailedError
from mmetl.errors import MissingError, RefusedError, UsageError

TASKS = """\
  flights: {transform: tabular.read, key: id, params: {path: flights.csv}}
  late: {transform: tabular.sql, tags: [x], params: {sql: "select carrier, count(*) as n from flights group by carrier"}}
  big: {transform: tabular.sql, materialize: view, params: {sql: "select id, carrier from flights where id > 1"}}
  made: {transform: tabular.python, inputs: [late], params: {function: "steps:add"}}
  report: {transform: tabular.write, inputs: [made], params: {path: out.csv}}
  two: {transform: shell.run, params: {command: "echo > a; echo > b", outputs: [a, b]}}
"""
STEPS = (
    "from other import ONE\n\n\ndef add(late):\n    return [{**row, 'm': row['n'] + ONE} for row in late.to_pylist()]\n"
)


@pytest.fixture
def air(empty: Folder) -> Iterator[Folder]:
    empty.write("flights.csv", "id,carrier\n1,AF\n2,<b>\n3,AF\n")
    empty.write("steps.py", STEPS)
    empty.write("other.py", "ONE = 1\n")
    empty.tasks(TASKS)
    yield empty
    empty._drop_modules()


@pytest.fixture
def project(air: Folder) -> Project:
    return Project.open(air.root)


def test_a_task_runs_after_what_it_needs(project: Project) -> None:
    """As `make` does; a selector means what it says."""
    run = project.run("late")
    assert (run.ok, run.outcomes) == (True, {"flights": "ran", "late": "ran"})
    assert project.run("p:late").outcomes == {"flights": "fresh", "late": "fresh"}
    assert project.run("+late", force=True).outcomes == {"flights": "fresh", "late": "ran"}
    assert list(project.run("tag:x").outcomes) == ["late"]
    assert list(project.run("late+", exclude=["report"]).outcomes) == ["late", "made"]
    assert "MMETL_RUN" not in os.environ, "what is started now would be taken for a command of that run"
    assert list(project.run().outcomes) == ["flights", "late", "big", "made", "report", "two"]
    assert re.fullmatch(r"Run\(\d{8}-\d{6}-\w{4}, p: succeeded, 6 fresh, [\d.]+ s\)", repr(project.run()))


def test_of_several_pipelines(air: Folder, project: Project) -> None:
    """A name that only one has is enough; else the pipeline is named."""
    air.write("q.yaml", "version: 1\nname: other\ntasks:\n  late: {transform: shell.run, params: {command: 'true'}}\n")
    assert project.pipelines == ["p", "other"]
    assert list(project.run("flights").outcomes) == ["flights"]
    assert list(project.run("other").outcomes) == ["late"]
    assert list(project.run("q.yaml").outcomes) == ["late"]
    assert list(project.run("other:late").outcomes) == ["late"]
    assert list(project.run("late", pipeline="p").outcomes) == ["flights", "late"]
    for what in ("late", None, "tag:x"):
        with pytest.raises(UsageError, match=r"several pipelines|2 pipelines"):
            project.run(what)


def test_a_failed_task_raises(air: Folder, project: Project) -> None:
    """The error has the whole result; `check=False` returns it."""
    air.write("steps.py", "def add(late):\n    raise ValueError('no')\n")
    with pytest.raises(RunFailedError, match=r"'p:made' failed: steps.py:2:5: 'add' raised ValueError: no") as caught:
        project.run("report")
    assert caught.value.run.outcomes == {"flights": "ran", "late": "ran", "made": "failed", "report": "blocked"}
    assert caught.value.help == f"mmetl logs {caught.value.run.run_id}"
    run = project.run("report", check=False)
    assert (run.ok, run.status) == (False, "failed")


def test_edited_code_is_imported_anew(air: Folder, project: Project) -> None:
    """A process that lives on does not record what the old code made under the new recipe."""
    project.run("made")
    assert [r["m"] for r in project.artifact("made").to_arrow().to_pylist()] == [2, 3]
    air.write("other.py", "ONE = 10\n")
    assert project.run("made").outcomes["made"] == "ran"
    assert [r["m"] for r in project.artifact("made").to_arrow().to_pylist()] == [11, 12]


def test_code_that_was_imported_before(air: Folder, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module that the notebook imported itself, and that was edited since, is not what a task calls."""
    monkeypatch.syspath_prepend(air.root)
    import other  # type: ignore[import-not-found]

    assert other.ONE == 1
    air.write("other.py", "ONE = 20\n")
    project.run("made")
    assert [r["m"] for r in project.artifact("made").to_arrow().to_pylist()] == [21, 22]


def test_the_process_is_left_as_it_was(project: Project) -> None:
    """Handlers, search path, folder, output and garbage collection are the caller's."""

    def state() -> list[object]:
        return [
            signal.getsignal(signal.SIGTERM),
            list(sys.path),
            os.getcwd(),
            sys.stdout,
            gc.get_threshold(),
            gc.isenabled(),
        ]

    before = state()
    project.run()
    assert state() == before
    assert "MMETL_RUN" not in os.environ


def test_from_another_thread(project: Project) -> None:
    """Signals are the main thread's business."""
    found = []
    thread = threading.Thread(target=lambda: found.append(project.run("late").outcomes))
    thread.start()
    thread.join(30)
    assert found == [{"flights": "ran", "late": "ran"}]


def test_variables(air: Folder) -> None:
    """Values are given as Python values."""
    air.tasks("  t: {transform: shell.run, params: {command: 'echo ${var:n} ${var:b} > o', outputs: [o]}}\n")
    air.edit("pipeline.yaml", "tasks:", "vars: {n: 1, b: false}\ntasks:")
    assert Project.open(air.root).run(variables={"n": 2, "b": True}).ok
    assert air.read("o") == "2 true\n"


def test_an_artifact(project: Project) -> None:
    """What it is, and its rows, each time as the last run left it."""
    project.run()
    late = project.artifact("late")
    assert (late.kind, late.key, late.rows, late.schema.names) == ("table", (), 2, ["carrier", "n"])
    assert late.to_arrow() == pa.table({"carrier": ["<b>", "AF"], "n": [1, 2]})
    assert late.to_arrow(["n"]).to_pydict() == {"n": [1, 2]}
    assert all(p.is_file() for p in late.paths)
    assert abs(dt.datetime.now(dt.UTC) - late.built) < dt.timedelta(minutes=5)
    assert project.artifact("flights").key == ("id",)
    assert repr(late) == "Artifact('p:late')"
    assert late.sql("select sum(n) as s from late").to_arrow().to_pydict() == {"s": [3]}


def test_a_handle_sees_the_next_run(air: Folder, project: Project) -> None:
    """It is lazy: made before the first run, and good after each."""
    late = project.artifact("late")
    with pytest.raises(UsageError, match="has no artifact yet"):
        late.to_arrow()
    first = project.run("late").run_id
    assert (late.rows, late.run_id) == (2, first)
    air.write("flights.csv", "id,carrier\n1,KL\n")
    assert project.run("late").run_id == late.run_id != first
    assert late.to_arrow().to_pydict() == {"carrier": ["KL"], "n": [1]}


def test_a_view(project: Project) -> None:
    """Its query is run when rows are asked for."""
    project.run()
    big = project.artifact("big")
    assert (big.kind, big.rows, big.paths) == ("view", 2, [])
    assert big.to_arrow().to_pydict() == {"id": [2, 3], "carrier": ["<b>", "AF"]}
    assert big.to_arrow(["id"]).to_pydict() == {"id": [2, 3]}
    assert big.head(1).text() == "id  carrier\n2   <b>\n2 rows, the first 1 shown"


def test_files(air: Folder, project: Project) -> None:
    """They have paths, and no rows."""
    project.run()
    report = project.artifact("report")
    assert (report.kind, report.path, report.paths) == ("files", air.root / "out.csv", [air.root / "out.csv"])
    assert project.artifact("two").paths == [air.root / "a", air.root / "b"]
    for wrong in (lambda: report.rows, report.to_arrow, lambda: project.artifact("two").path):
        with pytest.raises(UsageError):
            wrong()


def test_mistakes(project: Project) -> None:
    """They are errors of one tree, with the near name."""
    with pytest.raises(UsageError, match="no task is called 'lat'") as caught:
        project.artifact("lat")
    assert caught.value.help == "did you mean 'late'?"
    with pytest.raises(UsageError, match="no task is called 'lat'"):
        project.run("lat")
    project.run("late")
    with pytest.raises(UsageError, match="has no column 'm'"):
        project.artifact("late").to_arrow(["m"])
    with pytest.raises(UsageError, match="does not exist") as caught:
        project.sql("from lat")
    assert caught.value.where
    with pytest.raises(UsageError, match="there is no"):
        Project.open("/nowhere/at/all")


def test_another_run_holds_the_project(air: Folder, project: Project) -> None:
    """As on the command line, the second is refused; reading is not."""
    project.run("late")
    air.edit("pipeline.yaml", "echo > a; echo > b", "touch began; sleep 60")
    child = air.start("run")
    wait_for((air.root / "began").exists)
    with pytest.raises(RefusedError, match="another run holds this project"):
        project.run("late", force=True)
    assert project.artifact("late").rows == 2
    child.send_signal(signal.SIGINT)
    child.communicate(timeout=20)


def test_html(project: Project) -> None:
    """Everything shows itself in a notebook; what comes from data is escaped."""
    run = project.run()
    shown = project.artifact("late")._repr_html_()
    assert '<td style="text-align:left">&lt;b&gt;</td><td style="text-align:right">1</td>' in shown
    assert "2 rows</small>" in shown
    assert f"UTC by run {run.run_id}" in shown
    assert "p: succeeded, 6 ran" in run._repr_html_()
    assert "it never ran" in run._repr_html_()
    assert "out.csv" in project.artifact("report")._repr_html_()
    assert ">fresh</td>" in project._repr_html_()
    assert "tabular.sql" in project._repr_html_()
    assert "&lt;b&gt;" in project.sql("from late")._repr_html_()
    assert "<b>" not in project.sql("from late")._repr_html_()


def test_show(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    """The first rows, aligned."""
    project.run()
    project.artifact("late").show(1)
    assert capsys.readouterr().out == "carrier  n\n<b>      1\n2 rows, the first 1 shown\n"


def test_polars(project: Project) -> None:
    """A DataFrame."""
    project.run("late")
    assert project.artifact("late").to_polars().rows() == [("<b>", 1), ("AF", 2)]


@pytest.mark.skipif(
    not importlib.util.find_spec("pandas"), reason="pandas is not installed: it slows down every run (architecture.md)"
)
def test_pandas(project: Project) -> None:
    """A DataFrame."""
    project.run("late")
    assert project.artifact("late").to_pandas().to_dict("list") == {"carrier": ["<b>", "AF"], "n": [1, 2]}


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_a_missing_library_names_its_extra(project: Project, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to guess what to install."""
    project.run("late")
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingError, match=f"'{library}' is not installed") as caught:
        getattr(project.artifact("late"), f"to_{library}")()
    assert caught.value.help == f"pip install 'mmetl[{library}]'"


def test_from_below_the_project(air: Folder) -> None:
    """The project is found upward."""
    air.write("mmetl.yml", "version: 1\n")
    below = air.write("deep/er/x.txt", "").parent
    assert Project.open(below).root == air.root
    assert Project.open(air.root / "pipeline.yaml").run("late").ok
    assert repr(Project.open(below)) == f"Project('{air.root}')"


def test_the_folder_may_change(
    air: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """A project that was opened by a relative path stays the same one."""
    monkeypatch.chdir(air.root)
    project = Project.open(".")
    monkeypatch.chdir(tmp_path_factory.mktemp("else"))
    assert project.run("late").ok
    assert Path(project.root) == air.root
