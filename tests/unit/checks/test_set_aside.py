"""Checks of severity `quarantine`: rows that fail are set aside, the others are published as if those had never been."""

from __future__ import annotations

import contextlib
import json
import random
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from mmetl.cache.tables import read_table
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Table
from mmetl.core.looking.find import find_task
from mmetl.core.project import Project as Opened
from tests.harness import Project

ALL = "severity: quarantine, max_fraction: 1"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project(tmp_path)


def expecting(project: Project, expect: str, key: str = "", more: str = "", path: str = "in.csv") -> None:
    task = f"  t:\n    transform: tabular.read\n    params: {{path: {path}}}\n"
    project.tasks(task + (f"    key: {key}\n" if key else "") + f"    expect: [{expect}]\n{more}")


def rows(project: Project, *argv: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in project.fast(*argv, "t", "--json").out.splitlines()]


def published(project: Project) -> list[dict[str, Any]]:
    return rows(project, "show")


def aside(project: Project) -> list[dict[str, Any]]:
    return rows(project, "quarantine", "show")


def manifest(project: Project, task: str = "t") -> Manifest:
    opened = Opened.open(project.root)
    plan, name = find_task(opened, task)
    return opened.artifact(plan, name)[0]


KINDS = [
    # a check, rows, the numbers of those that are set aside, the key
    ("not_null: [a, b]", "a,b\n1,1\n,2\n3,\n4,4\n", [1, 2], ""),
    ("unique: a", "a,b\n1,1\n2,2\n1,3\n,4\n,5\n", [0, 2], ""),
    ("unique: [a, b]", "a,b\n1,1\n1,2\n1,2\n2,\n2,\n", [1, 2], ""),
    ("accepted_values: {column: a, values: [x, y]}", "a,b\nx,1\nz,2\n,3\n", [1], ""),
    ("range: {column: a, min: 0, max: 9}", "a,b\n0,1\n-1,2\n10,3\n,4\n", [1, 2], ""),
    ("regex: {column: a, pattern: '^[a-z]$'}", "a,b\nx,1\nX,2\n,3\n", [1], ""),
    ("relationship: {column: a, to: t.b}", "a,b\n1,1\n9,2\n,3\n", [1], ""),
    ("sql: select b from this where a > 1", "a,b\n1,1\n2,2\n3,3\n", [1, 2], "b"),
    ("sql: 'select b, a from this where a > 1;'", "a,b\n1,1\n2,2\n3,3\n", [1, 2], "[a, b]"),
]


@pytest.mark.parametrize(("expect", "text", "bad", "key"), KINDS, ids=[k[0] for k in KINDS])
def test_rows_that_fail_are_set_aside(project: Project, expect: str, text: str, bad: list[int], key: str) -> None:
    project.write("in.csv", text)
    expecting(project, f"{{not_null: a, severity: warn}}, {{{expect}, {ALL}}}", key)
    done = project.fast("run", "--json")
    assert done.outcomes() == {"t": "ran"}
    _, *lines = text.splitlines()
    label = re.sub(r": .*", "", expect)
    assert [str(r["b"] or "") for r in published(project)] == [
        line.split(",")[1] for n, line in enumerate(lines) if n not in bad
    ]
    assert [(str(r["b"] or ""), r["_error"].partition("(")[0]) for r in aside(project)] == [
        (lines[n].split(",")[1], label) for n in bad
    ]
    assert list(aside(project)[0]) == ["_error", "a", "b"]
    count = "1 row" if len(bad) == 1 else f"{len(bad)} rows"
    told = done.json()["tasks"][0]["error"]
    assert re.search(rf"(^|; )set aside: {label}[^:]*: {count}$", told)
    assert f"set aside: {count} of p:t (mmetl quarantine show t)" in project.fast("status").out
    assert project.run() == {"t": "fresh"}
    # More than it may be fails the task, and keeps the artifact.
    before = published(project)
    project.edit("pipeline.yaml", "max_fraction: 1", "max_fraction: 0.1")
    done = project.fast("run", "--json")
    assert done.outcomes() == {"t": "failed"}
    assert re.fullmatch(
        rf"a check fails: {label}[^:]*: {len(bad)} of {len(lines)} rows, more than a share of 0.1; mmetl check t --rows",
        done.json()["tasks"][0]["error"],
    )
    assert published(project) == before
    assert len(aside(project)) == len(bad)
    assert re.search(rf"^failed +{label}", project.fast("check", "t", "--rows").out, re.MULTILINE)


def test_the_share_is_a_tenth_if_nothing_is_said(project: Project) -> None:
    expecting(project, "{range: {column: a, max: 9}, severity: quarantine}")
    project.write("in.csv", "a\n" + "".join(f"{n}\n" for n in range(1, 11)))
    assert project.run() == {"t": "ran"}
    assert [r["a"] for r in published(project)] == list(range(1, 10))
    project.write("in.csv", "a\n10\n" + "".join(f"{n}\n" for n in range(1, 9)))
    assert project.run() == {"t": "failed"}


def test_a_row_names_all_checks_that_it_fails(project: Project) -> None:
    project.write("in.csv", "a,b\n1,x\n11,\n12,y\n")
    expecting(project, f"{{range: {{column: a, max: 9}}, {ALL}}}, {{not_null: b, {ALL}}}")
    project.run()
    assert aside(project) == [
        {"_error": "range(a); not_null(b)", "a": 11, "b": None},
        {"_error": "range(a)", "a": 12, "b": "y"},
    ]


def test_rows_that_are_mended_come_back(project: Project) -> None:
    more = "  u:\n    transform: tabular.write\n    inputs: [t]\n    params: {path: out.csv}\n"
    expecting(project, f"{{range: {{column: a, max: 9}}, {ALL}}}", more=more)
    project.write("in.csv", "a\n1\n10\n2\n")
    assert project.run() == {"t": "ran", "u": "ran"}
    project.write("in.csv", "a\n1\n11\n2\n")
    assert project.run() == {"t": "ran", "u": "fresh"}
    assert aside(project) == [{"_error": "range(a)", "a": 11}]
    project.write("in.csv", "a\n1\n9\n2\n")
    assert project.run() == {"t": "ran", "u": "ran"}
    assert [r["a"] for r in published(project)] == [1, 9, 2]
    assert aside(project) == []
    project.write("in.csv", "a\n1\n10\n2\n")
    assert project.run() == {"t": "restored", "u": "restored"}
    assert aside(project) == [{"_error": "range(a)", "a": 10}]


def test_other_checks_are_about_what_is_published(project: Project) -> None:
    project.write("in.csv", "a\n1\n2\n10\n10\n")
    expecting(project, f"{{unique: a}}, {{row_count: {{min: 2}}}}, {{range: {{column: a, max: 9}}, {ALL}}}")
    assert project.run() == {"t": "ran"}
    assert project.fast("check", "t").out == "holds  unique(a)\nholds  row_count\nholds  range(a)\n"
    project.write("in.csv", "a\n1\n11\n10\n10\n")
    done = project.fast("run", "--json")
    assert done.json()["tasks"][0]["error"] == (
        "a check fails: row_count: the table has 1 row, expected at least 2; mmetl check t --rows"
    )
    assert "check range(a): 3 rows (quarantine)\n" in project.fast("logs", "latest", "t").out
    assert [r["a"] for r in published(project)] == [1, 2]


def test_beside_rows_that_could_not_be_read(project: Project) -> None:
    project.write("in.csv", "a,b\n1,x\nno,y\n10,z\n")
    project.tasks(
        "  t:\n    transform: tabular.read\n"
        "    params: {path: in.csv, types: {a: INTEGER}, bad_rows: quarantine, max_bad_fraction: 1}\n"
        f"    expect: [{{range: {{column: a, max: 9}}, {ALL}}}]\n"
    )
    project.run()
    assert published(project) == [{"a": 1, "b": "x"}]
    assert aside(project) == [
        {
            "_error": "'no' in column 'a' is no INTEGER",
            "_file": "in.csv",
            "_line": 3,
            "_text": "no,y",
            "a": None,
            "b": None,
        },
        {"_error": "range(a)", "_file": None, "_line": None, "_text": None, "a": 10, "b": "z"},
    ]
    assert project.fast("status", "--json").json()["tasks"][0]["items"] == {"quarantined": 2}


@pytest.mark.parametrize("name", ["_error", "_ERROR", "file_row_number"])
def test_a_column_in_the_way(project: Project, name: str) -> None:
    project.write("in.csv", f"a,{name}\n10,x\n")
    expecting(project, f"{{range: {{column: a, max: 9}}, {ALL}}}")
    done = project.fast("run", "--json")
    assert done.outcomes() == {"t": "failed"}
    assert f"column '{name}' is called" in done.json()["tasks"][0]["error"]


def test_a_query_without_the_key(project: Project) -> None:
    project.write("in.csv", "a,b\n1,x\n")
    expecting(project, f"{{sql: select b from this, {ALL}}}", key="a")
    assert project.fast("run", "--json").json()["tasks"][0]["error"] == (
        "its checks cannot be evaluated: the query of a check with `severity: quarantine` gives no column 'a' of the key;"
        " select the key of the rows that fail"
    )


INVALID = [
    (
        "row_count: {min: 1}, severity: quarantine",
        "quarantine",
        "'row_count' is about the table as a whole: no row can be set aside",
    ),
    (
        "schema: {a: BIGINT}, severity: quarantine",
        "quarantine",
        "'schema' is about the table as a whole: no row can be set aside",
    ),
    (
        "freshness: {column: a, max_age: 1d}, severity: quarantine",
        "quarantine",
        "'freshness' is about the table as a whole: no row can be set aside",
    ),
    (
        "sql: select 1, severity: quarantine",
        "quarantine",
        "the rows of a query are set aside by their key, which this task does not have",
    ),
    ("not_null: a, max_fraction: 0.5", "0.5", "'max_fraction' is for `severity: quarantine` only"),
    (
        "not_null: a, severity: quarantine, max_fraction: 2",
        "2",
        "'max_fraction' is 2, expected a number of at least 0 and of at most 1",
    ),
]


@pytest.mark.parametrize(("expect", "value", "told"), INVALID, ids=[i[0] for i in INVALID])
def test_what_cannot_be_set_aside(project: Project, expect: str, value: str, told: str) -> None:
    expecting(project, f"{{{expect}}}")
    done = project.fast("validate")
    column = project.read("pipeline.yaml").splitlines()[6].index(f" {value}") + 2
    assert done.code == 3
    assert done.err.splitlines()[0] == f"pipeline.yaml:7:{column}: error: {told}"


@pytest.mark.parametrize("key", ["", "id"])
def test_the_parts_are_those_of_a_table_without_the_rows(project: Project, key: str) -> None:
    """Part by part the same bytes as if the rows had not been in the source, over several parts and buckets."""
    dice = random.Random(7)
    size = 1_150_000 if not key else 60_000
    bad = set(dice.sample(range(size), 40)) | {size - 1}
    folder = project.root
    for name, left in (("all", range(size)), ("good", [n for n in range(size) if n not in bad])):
        text = (f"{n},{n * 7919 % 1000},{-1 if n in bad else 1}\n" for n in left)
        (folder / f"{name}.csv").write_text("id,v,ok\n" + "".join(text))
    said = f"    key: {key}\n" if key else ""
    project.tasks(
        "".join(
            f"  {name}:\n    transform: tabular.read\n    params: {{path: {name}.csv}}\n{said}"
            "    expect: [{range: {column: ok, min: 0}, severity: quarantine}]\n"
            for name in ("all", "good")
        )
    )
    assert project.run() == {"all": "ran", "good": "ran"}
    one, other = manifest(project, "all"), manifest(project, "good")
    assert len(one.parts) > 1
    assert one == other


def test_a_read_on_from_a_watermark_equals_a_full_read(project: Project) -> None:
    def execute(*statements: str) -> None:
        with contextlib.closing(sqlite3.connect(project.root / "x.db")) as con, con:
            for statement in statements:
                con.execute(statement)

    execute(
        "create table s (id integer, v integer, at integer)",
        "insert into s values (1, 1, 1), (2, -2, 2), (3, 3, 3), (4, -4, 4)",
    )
    task = (
        "    transform: tabular.read\n    key: id\n    params: {{path: x.db, table: s{mark}}}\n"
        "    expect: [{{range: {{column: v, min: 0}}, severity: quarantine, max_fraction: 1}}]\n"
    )
    marked = task.format(mark=", watermark: {column: at}")
    project.tasks(f"  t:\n{marked}  full:\n{task.format(mark='')}")
    project.run()
    assert sorted(r["id"] for r in aside(project)) == [2, 4]
    # A new bad row, one that is mended, one that goes bad; the one of before stays aside.
    execute(
        "insert into s values (5, -5, 5), (6, 6, 6)",
        "update s set v = 2, at = 7 where id = 2",
        "update s set v = -3, at = 8 where id = 3",
    )
    assert project.run() == {"t": "ran", "full": "ran"}
    assert sorted(r["id"] for r in aside(project)) == [3, 4, 5]
    assert sorted(r["id"] for r in published(project)) == [1, 2, 6]
    assert manifest(project, "t") == manifest(project, "full")


def test_lost_rows_that_were_set_aside_are_made_again(project: Project) -> None:
    """Their part is looked at as those of the table are."""
    project.write("in.csv", "a\n1\n10\n")
    expecting(project, f"{{range: {{column: a, max: 9}}, {ALL}}}")
    project.run()
    kept = {p.fingerprint for p in manifest(project).parts}
    for part in (project.root / ".mmetl/parts").glob("*/*"):
        if part.name not in kept:
            part.unlink()
    assert project.dry() == project.run() == {"t": "ran"}
    assert aside(project) == [{"_error": "range(a)", "a": 10}]


def test_gc_keeps_what_is_set_aside(project: Project) -> None:
    project.write("in.csv", "a\n1\n10\n")
    expecting(project, f"{{range: {{column: a, max: 9}}, {ALL}}}")
    project.run()
    assert "removed" in project.fast("gc").out
    assert aside(project) == [{"_error": "range(a)", "a": 10}]
    assert project.run() == {"t": "fresh"}
    opened = Opened.open(project.root)
    left = manifest(project)
    paths = [p for p in (opened.root / ".mmetl/parts").rglob("*") if p.is_file()]
    assert len(paths) == 2
    (path,) = (p for p in paths if p.name == left.parts[0].fingerprint)
    assert read_table(Table("t", left, (path,))).read_all().to_pydict() == {"a": [1]}
