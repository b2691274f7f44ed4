"""Rows that are set aside: `mmetl quarantine`, `status`, and that they live and go with the artifact beside them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from harness import Project

PAGE = (Path(__file__).parents[3] / "docs/reference/json.md").read_text(encoding="utf-8")
TASKS = """\
  load:
    transform: tabular.read
    params: {path: data/*.csv, bad_rows: quarantine, max_bad_fraction: 0.6, types: {n: INTEGER}}
  total:
    transform: tabular.sql
    params: {sql: select sum(n)::bigint as n from load}
"""


@pytest.fixture
def messy(empty: Project) -> Project:
    empty.write("data/a.csv", "n,t\n1,x\n2\n3,y\n4\n")
    empty.write("data/b.csv", "n,t\nno,z\n5,v\n")
    empty.tasks(TASKS)
    assert empty.run() == {"load": "ran", "total": "ran"}
    return empty


def run_id(project: Project) -> str:
    return str(project.fast("status", "--json").json()["run_id"])


def parts(project: Project) -> list[Path]:
    return [p for p in (project.root / ".mmetl/parts").rglob("*") if p.is_file()]


def test_list(messy: Project) -> None:
    """Each task with rows set aside: how many, since which run, the commonest error."""
    run = run_id(messy)
    assert messy.fast("quarantine", "ls").out == (
        f"TASK    ROWS  RUN                   COMMONEST ERROR\np:load  3     {run}  this row has 1 columns, not 2\n"
    )
    listed = messy.fast("quarantine", "ls", "load", "--json").json()
    assert list(listed["tasks"][0]) == re.findall(
        r"^\| `(\w+)` \|", PAGE.partition("`quarantine ls --json`")[2].partition("##")[0], re.MULTILINE
    )
    assert listed == {
        "schema_version": 1,
        "tasks": [
            {
                "task": "load",
                "pipeline": "p",
                "rows": 3,
                "run_id": run,
                "error": "this row has 1 columns, not 2",
                "error_rows": 2,
            }
        ],
    }


def test_show(messy: Project) -> None:
    """The rows, with file and line; all of them as JSON."""
    assert messy.fast("quarantine", "show", "load", "--limit", "2").out == (
        "_error                         _file       _line  _text\n"
        "this row has 1 columns, not 2  data/a.csv  3      2\n"
        "this row has 1 columns, not 2  data/a.csv  5      4\n"
        "3 rows, the first 2 shown\n"
    )
    lines = messy.fast("quarantine", "show", "p:load", "--json").out.splitlines()
    assert len(lines) == 3
    assert lines[2] == (
        '{"_error": "\'no\' in column \'n\' is no INTEGER", "_file": "data/b.csv", "_line": 2, "_text": "no,z"}'
    )


def test_what_is_wrong_is_told_whole(messy: Project) -> None:
    """Other columns are cut in a table."""
    long = "x" * 60
    messy.write("data/b.csv", f"n,t\n{long},{long}\n")
    messy.run()
    shown = messy.fast("quarantine", "show", "load").out
    assert f"'{long}' in column 'n' is no INTEGER" in shown
    assert f"{long},{long}" not in shown


def test_nothing_set_aside(messy: Project) -> None:
    """Said on stderr; no error."""
    shown = messy.fast("quarantine", "show", "total")
    assert (shown.code, shown.out, shown.err) == (0, "", "no row of 'total' is set aside\n")
    messy.write("data/a.csv", "n,t\n1,x\n")
    messy.write("data/b.csv", "n,t\n1,x\n")
    messy.run()
    listed = messy.fast("quarantine", "ls")
    assert (listed.code, listed.out, listed.err) == (0, "", "no row is set aside\n")


def test_no_such_task(messy: Project) -> None:
    shown = messy.fast("quarantine", "show", "lode")
    assert (shown.code, shown.err) == (2, "error: no task is called 'lode'\nhelp: did you mean 'load'?\n")


def test_status_says_how_many(messy: Project) -> None:
    """In the run that set them aside, and as long as they are there."""
    assert "3 quarantined" in messy.fast("status").out
    assert "set aside: 3 rows of p:load (mmetl quarantine show load)\n" in messy.fast("status").out
    assert messy.fast("status", "--json").json()["tasks"][0]["items"] == {"quarantined": 3}
    assert messy.run() == {"load": "fresh", "total": "fresh"}
    assert "set aside: 3 rows of p:load (mmetl quarantine show load)\n" in messy.fast("status").out


def test_good_rows_alone_count_downstream(messy: Project) -> None:
    """Another bad row is another quarantine, and the same table."""
    assert '{"n": 9}\n' in messy.fast("show", "total", "--json").out
    messy.edit("data/b.csv", "no,z", "nein,z")
    assert messy.run() == {"load": "ran", "total": "fresh"}
    assert "'nein' in column" in messy.fast("quarantine", "show", "load", "--json").out


def test_restored_with_its_artifact(messy: Project) -> None:
    """A reverted change brings the rows back; a lost part of them makes the task run again."""
    messy.edit("data/a.csv", "2\n", "2,w\n")
    assert messy.run() == {"load": "ran", "total": "ran"}
    messy.edit("data/a.csv", "2,w\n", "2\n")
    assert messy.run() == {"load": "restored", "total": "restored"}
    assert "3 rows" in messy.fast("quarantine", "show", "load").out
    shutil.rmtree(messy.root / ".mmetl/parts")
    assert "missing or damaged" in messy.fast("quarantine", "show", "load").err
    assert messy.run() == {"load": "ran", "total": "ran"}
    assert "3 rows" in messy.fast("quarantine", "show", "load").out


def test_kept_by_gc(messy: Project) -> None:
    before = parts(messy)
    messy.fast("gc")
    assert parts(messy) == before


def test_too_many_keep_the_artifact(messy: Project) -> None:
    """The task fails; its rows and those that were set aside stay."""
    messy.write("data/b.csv", "n,t\n" + "no,z\n" * 9)
    ran = messy.fast("run")
    assert ran.code == 1
    assert (
        "data/a.csv:3:1: 11 of 13 rows are bad, more than a share of 0.6; the first: this row has 1 columns" in ran.err
    )
    assert "3 rows" in messy.fast("quarantine", "show", "load").out
    assert '{"n": 9}\n' in messy.fast("show", "total", "--json").out
