"""`mmetl diff`: what differs between two builds of a task."""

from __future__ import annotations

import json
import sqlite3

import pytest
from harness import Project

READ = "  t: {{transform: tabular.read, key: [{key}], params: {{path: t.csv}}}}\n"


def keyed(project: Project, text: str, key: str = "id") -> None:
    """Write the source of `t` and run."""
    project.write("t.csv", text)
    project.tasks(READ.format(key=key))
    assert project.fast("run").code == 0


def test_rows_by_key(empty: Project) -> None:
    """Counts, then each change; of a changed row the columns that differ."""
    keyed(empty, "id,a,b\n1,x,1.5\n2,y,\n3,z,3\n4,w,4\n")
    keyed(empty, "id,a,b\n1,x,1.5\n2,yy,2\n4,w,4.5\n5,v,5\n")
    head, *lines = empty.fast("diff", "t").out.splitlines()
    assert head.startswith("p:t: 1 added, 2 changed, 1 removed, 1 same (")
    assert lines == ["~ id=2: a y -> yy, b  -> 2.0", "- id=3  a=z  b=3.0", "~ id=4: b 4.0 -> 4.5", "+ id=5  a=v  b=5.0"]


def test_limit_and_json(empty: Project) -> None:
    """All are counted, the first are told."""
    keyed(empty, "id,a\n1,x\n2,y\n3,z\n")
    keyed(empty, "id,a\n1,xx\n2,yy\n3,zz\n")
    lines = empty.fast("diff", "p:t", "--limit", "1").out.splitlines()[1:]
    assert lines == ["~ id=1: a x -> xx", "the first 1 of 3 changes; --limit shows more"]
    body = empty.fast("diff", "t", "--limit", "1", "--json").json()
    assert {k: body[k] for k in ("task", "key", "added", "changed", "removed", "same", "columns")} == {
        "task": "p:t", "key": ["id"], "added": 0, "changed": 3, "removed": 0, "same": 0, "columns": {},
    }  # fmt: skip
    assert body["changes"] == [{"change": "changed", "before": {"id": 1, "a": "x"}, "after": {"id": 1, "a": "xx"}}]


def test_rows_without_a_key(empty: Project) -> None:
    """Rows are compared as a bag: how often each is there counts."""
    empty.tasks("  t: {transform: tabular.read, params: {path: t.csv}}\n")
    empty.write("t.csv", "a\nx\nx\ny\n")
    empty.run()
    empty.write("t.csv", "a\nx\ny\ny\nz\n")
    empty.run()
    head, *lines = empty.fast("diff", "t").out.splitlines()
    assert head.startswith("p:t: 2 added, 0 changed, 1 removed, 2 same (")
    assert lines == ["- a=x", "+ a=y", "+ a=z"]


def test_changed_columns(empty: Project) -> None:
    """Columns that came, went or have another type are told; rows are compared by those that both have."""
    keyed(empty, "id,a,b,c\n1,1,x,p\n2,2,y,q\n")
    keyed(empty, "id,a,b,d\n1,1,x,0\n2,2.5,z,0\n")
    head, *lines = empty.fast("diff", "t").out.splitlines()
    assert head.startswith("p:t: 0 added, 1 changed, 0 removed, 1 same (")
    assert lines == [
        "column a: was int64, is double",
        "column c: removed, string",
        "column d: added, int64",
        "~ id=2: a 2 -> 2.5, b y -> z",
    ]
    body = empty.fast("diff", "t", "--json").json()
    assert body["columns"] == {
        "a": {"before": "int64", "after": "double"},
        "c": {"before": "string", "after": None},
        "d": {"before": None, "after": "int64"},
    }


@pytest.fixture
def wide(empty: Project) -> Project:
    """A table of several buckets, of which an edit changed one."""
    rows = [f"{n},{'v' * 100}{n}" for n in range(600)]
    keyed(empty, "\n".join(["id,text", *rows, ""]))
    rows[7] += "!"
    keyed(empty, "\n".join(["id,text", *rows, ""]))
    return empty


def test_equal_buckets_are_not_read(wide: Project) -> None:
    """Parts that both builds have are skipped: they may even be unreadable. Those that differ are read."""
    before = wide.fast("diff", "t", "--json").json()
    assert (before["changed"], before["same"], before["parts_read"]) == (1, 599, 2)
    parts = [p for p in (wide.root / ".mmetl/parts").rglob("*") if p.is_file()]
    assert len(parts) >= 5
    shared = [p for p in parts if p.name in both_builds(wide)]
    assert len(shared) == len(parts) - 2
    for part in shared:
        part.chmod(0o644)
        part.write_bytes(b"garbage")
    assert wide.fast("diff", "t", "--json").json() == before
    for part in set(parts) - set(shared):
        part.chmod(0o644)
        part.write_bytes(b"garbage")
    assert wide.fast("diff", "t", "--json").code == 1


def both_builds(project: Project) -> set[str]:
    """Return the parts that the manifests of both builds name."""
    with sqlite3.connect(project.root / ".mmetl/state.db") as db:
        bodies = [json.loads(b) for (b,) in db.execute("select body from manifests")]
    first, second = ({p[1] for p in body["parts"]} for body in bodies)
    return first & second


def test_against_a_run_or_a_build(empty: Project) -> None:
    """What the task's artifact was after a run, also one that found it fresh; or a build by the start of its key."""
    runs = []
    for text in ("1,a", "1,b", "1,c"):
        empty.write("t.csv", f"id,v\n{text}\n")
        empty.tasks(READ.format(key="id"))
        runs.append([empty.fast("run", "--json").json()["run_id"] for _ in range(2)])

    def before(*argv: str) -> str:
        return empty.fast("diff", "t", "--json", *argv).json()["changes"][0]["before"]["v"]

    assert before() == "b"
    assert [before("--against", run) for pair in runs[:2] for run in pair] == ["a", "a", "b", "b"]
    assert empty.fast("diff", "t", "--json", "--against", "latest").json()["same"] == 1
    key = empty.fast("diff", "t", "--json", "--against", runs[0][0]).json()["before"]
    assert before("--against", key[:8]) == "a"
    done = empty.fast("diff", "t", "--against", "zzz")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: no run and no build is 'zzz'")
    assert done.err.splitlines()[1].startswith("help: builds: ")
    assert key[:12] in done.err


def test_files(empty: Project) -> None:
    """Of a task that writes files, the files."""
    empty.tasks(
        "  w: {transform: shell.run, params: {command: 'cat in > a; echo > b', inputs: [in], outputs: [a, b]}}\n"
    )
    for text in ("one", "three"):
        empty.write("in", text)
        empty.run()
    head, *lines = empty.fast("diff", "w").out.splitlines()
    assert head.startswith("p:w: 0 added, 1 changed, 0 removed, 1 same (")
    assert lines[0].startswith("~ path=a: bytes 3 -> 5, fingerprint ")
    assert len(lines) == 1


def test_nothing_to_compare(empty: Project) -> None:
    """No artifact, no earlier build, a view: exit code 2."""
    empty.write("t.csv", "id\n1\n")
    empty.tasks(READ.format(key="id") + "  v: {transform: tabular.sql, materialize: view, params: {sql: from t}}\n")
    assert empty.fast("diff", "t").err == "error: 't' has no artifact yet\nhelp: mmetl run --select +t\n"
    empty.run()
    done = empty.fast("diff", "t")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: no earlier build of 't' is kept that differs")
    empty.write("t.csv", "id\n2\n")
    empty.run()
    assert empty.fast("diff", "v").err.splitlines()[0] == "error: 'v' is a view, or was one: no rows of it are kept"
    empty.fast("forget", "t")
    assert empty.fast("diff", "t").code == 2


def test_parts_that_were_collected(empty: Project) -> None:
    """An earlier build whose parts are gone is told."""
    keyed(empty, "id\n1\n")
    first = {p.name for p in (empty.root / ".mmetl/parts").rglob("*") if p.is_file()}
    keyed(empty, "id\n2\n")
    for part in (empty.root / ".mmetl/parts").rglob("*"):
        if part.name in first:
            part.unlink()
    assert empty.fast("diff", "t").err.startswith("error: parts of a build of 't' are no longer kept\n")
