"""Checks of tables through the command line: each kind, each severity, what is told, what stays."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path

import pytest

from tests.harness import Project

ROWS = "id,name,n,at\n1,ann,0,2024-01-01\n2,bob,5,2024-01-02\n3,,10,2024-01-03\n"
BAD = "id,name,n,at\n1,ann,0,2024-01-01\n1,bob,-1,2024-01-02\n3,,11,2024-01-03\n,eve,,\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("in.csv", ROWS)
    return made


def expecting(project: Project, expect: str, more: str = "") -> None:
    project.tasks(f"  t:\n    transform: tabular.read\n    params: {{path: in.csv}}\n    expect: [{expect}]\n{more}")


NOW = dt.datetime.now(dt.UTC).strftime("%Y-%m-%d")
KINDS = [
    # a check, rows for which it holds, rows for which it does not, what is told
    ("not_null: id", "id\n1\n2\n", "id,x\n1,1\n,1\n,2\n", "not_null(id): 2 rows"),
    ("not_null: [id, name]", "id,name\n1,a\n", "id,name\n,a\n1,\n,\nx,y\n", "not_null(id, name): 3 rows"),
    ("unique: id", "id,x\n1,1\n2,1\n,1\n,1\n", "id\n1\n1\n2\n3\n3\n3\n", "unique(id): 5 rows"),
    ("unique: [a, b]", "a,b\n1,1\n1,2\n2,1\n1,\n1,\n", "a,b\n1,1\n1,1\n2,1\n", "unique(a, b): 2 rows"),
    ("unique: [a, b]", "a,b\n-5,1\n-5,-2\n3,1\n3,\n,1\n,1\n", "a,b\n-5,1\n-5,1\n3,1\n,1\n,1\n", "unique(a, b): 2 rows"),
    (
        "unique: a",
        "a,b\n9000000000000000000,1\n-9,2\n",
        "a,b\n9000000000000000000,1\n9000000000000000000,2\n",
        "unique(a): 2 rows",
    ),
    (
        "accepted_values: {column: c, values: [a, b]}",
        "c,x\na,1\nb,1\n,1\n",
        "c,x\na,1\nA,1\n,1\nit's,1\n",
        "accepted_values(c): 2 rows",
    ),
    ("accepted_values: {column: c, values: [1, 2.5]}", "c\n1\n2.5\n", "c\n1\n3\n", "accepted_values(c): 1 row"),
    ("accepted_values: {column: c, values: [1, x]}", "c\n1\nx\n", "c\n2\nx\n", "accepted_values(c): 1 row"),
    ("accepted_values: {column: c, values: [true]}", "c\ntrue\n", "c\ntrue\nfalse\n", "accepted_values(c): 1 row"),
    ("range: {column: n, min: 0, max: 10}", "n,x\n0,1\n10,1\n,1\n", "n\n-1\n0\n10\n11\n", "range(n): 2 rows"),
    ("range: {column: n, min: 0.5}", "n\n0.5\n99\n", "n\n0.4\n0.5\n", "range(n): 1 row"),
    ("range: {column: n, max: 3}", "n\n-9\n3\n", "n\n3\n4\n", "range(n): 1 row"),
    (
        "range: {column: d, min: 2024-01-01, max: 2024-12-31}",
        "d\n2024-01-01\n2024-12-31\n",
        "d\n2023-12-31\n2024-05-05\n2025-01-01\n",
        "range(d): 2 rows",
    ),
    ("regex: {column: s, pattern: '^[a-z]+$'}", "s,x\nab,1\n,1\n", "s\nab\nAB\na1\n", "regex(s): 2 rows"),
    ('regex: {column: s, pattern: "it\'s"}', "s\nit's so\n", "s\nits\n", "regex(s): 1 row"),
    ("row_count: {min: 2}", "a\n1\n2\n", "a\n1\n", "row_count: the table has 1 row, expected at least 2"),
    ("row_count: {max: 1}", "a\n1\n", "a\n1\n2\n", "row_count: the table has 2 rows, expected at most 1"),
    (
        "freshness: {column: at, max_age: 2d}",
        f"at\n2020-01-01\n{NOW}\n",
        "at\n2020-01-01\n2019-01-01\n",
        "freshness(at): the newest is 2020-01-01 00:00:00 UTC, older than 2d",
    ),
    (
        "freshness: {column: at, max_age: 1h}",
        f"at\n{NOW}T23:59:59Z\n",
        "at\n2020-01-01T12:30:00Z\n",
        "freshness(at): the newest is 2020-01-01 12:30:00 UTC, older than 1h",
    ),
    ("sql: select * from this where a > b", "a,b\n1,2\n", "a,b\n1,2\n3,2\n", "sql: 1 row"),
    ('sql: "select a from this group by a having count(*) > 1;"', "a\n1\n2\n", "a\n1\n1\n2\n", "sql: 1 row"),
    (
        "schema: {a: BIGINT, b: text}",
        "b,a\nx,1\n",
        "b,c\n1,x\n",
        "schema: 'a' is missing; 'b' is BIGINT, expected VARCHAR; 'c' is not expected",
    ),
    ("relationship: {column: a, to: t.b}", "a,b\n1,1\n,2\n2,3\n", "a,b\n1,1\n5,2\n", "relationship(a): 1 row"),
]


@pytest.mark.parametrize(("expect", "good", "bad", "told"), KINDS, ids=[k[0] for k in KINDS])
def test_a_check_holds_or_tells_its_rows(project: Project, expect: str, good: str, bad: str, told: str) -> None:
    expecting(project, f"{{{expect}}}")
    project.write("in.csv", good)
    assert project.run() == {"t": "ran"}
    assert project.fast("check", "t").code == 0
    project.write("in.csv", bad)
    done = project.fast("run", "--json")
    assert done.code == 1
    assert done.json()["tasks"][0]["error"] == f"a check fails: {told}; mmetl check t --rows"
    # What it warns of is told alike, and does not stop the table.
    expecting(project, f"{{{expect}, severity: warn}}")
    done = project.fast("run", "--json")
    assert (done.code, done.outcomes()) == (0, {"t": "ran"})
    assert done.json()["tasks"][0]["error"] == f"expected otherwise: {told}"
    assert told in project.fast("status").out


def test_a_failed_check_publishes_nothing(project: Project) -> None:
    expecting(project, "{unique: id}, {not_null: [id, name], severity: warn}, {range: {column: n, min: 0, max: 10}}")
    assert project.run() == {"t": "ran"}
    before = project.fast("show", "t", "--json").out
    project.write("in.csv", BAD)
    done = project.fast("run", "--json")
    assert done.outcomes() == {"t": "failed"}
    told = "2 checks fail: unique(id): 2 rows; range(n): 2 rows; mmetl check t --rows"
    assert done.json()["tasks"][0]["error"] == told
    assert project.fast("show", "t", "--json").out == before
    log = project.fast("logs", "latest", "t").out
    assert "check unique(id): 2 rows\ncheck not_null(id, name): 2 rows (warn)\ncheck range(n): 2 rows\n" in log
    assert project.dry() == {"t": "ran"}
    project.write("in.csv", ROWS)
    assert project.run() == {"t": "restored"}


def test_check_shows_the_rows_that_were_not_published(project: Project) -> None:
    expecting(project, "{unique: id}, {not_null: [id, name], severity: warn}, {row_count: {min: 9}}, {not_null: n}")
    project.write("in.csv", BAD)
    project.run()
    done = project.fast("check", "t", "--rows", "--limit", "1")
    assert done.code == 1
    assert re.sub(r"\d{8}-\d{6}-\w{4}", "RUN", done.out) == (
        "the table that run RUN made, which was not published\n"
        "failed   unique(id)          2 rows\n"
        "warning  not_null(id, name)  2 rows\n"
        "failed   row_count           the table has 4 rows, expected at least 9\n"
        "failed   not_null(n)         1 row\n"
        "\n"
        "unique(id): 2 rows, the first 1 shown\n"
        "id  name  n  at\n"
        "1   ann   0  2024-01-01\n"
        "\n"
        "not_null(id, name): 2 rows, the first 1 shown\n"
        "id  name  n   at\n"
        "3         11  2024-01-03\n"
        "\n"
        "not_null(n): 1 row\n"
        "id  name  n  at\n"
        "    eve\n"
    )
    found = project.fast("check", "t", "--rows", "--json").json()
    assert [c["failing"] for c in found["checks"]] == [2, 2, 0, 1]
    assert found["checks"][3] == {
        "check": "not_null(n)",
        "severity": "error",
        "holds": False,
        "error": "1 row",
        "failing": 1,
        "rows": [{"id": None, "name": "eve", "n": None, "at": None}],
    }


def test_check_of_a_published_table(project: Project) -> None:
    expecting(project, "{not_null: name, severity: warn}, {row_count: {min: 1}}")
    project.run()
    done = project.fast("check", "t")
    assert (done.code, done.out) == (0, "warning  not_null(name)  1 row\nholds    row_count\n")
    assert project.fast("check", "t", "--json").json()["rejected_by"] is None


def test_an_edited_check_is_evaluated_again(project: Project) -> None:
    expecting(project, "{range: {column: n, max: 10}}")
    assert project.run() == {"t": "ran"}
    assert project.run() == {"t": "fresh"}
    project.edit("pipeline.yaml", "max: 10", "max: 9")
    assert project.run() == {"t": "failed"}
    project.edit("pipeline.yaml", "max: 9", "max: 10")
    assert project.run() == {"t": "restored"}


def test_what_lies_downstream_is_not_run_for_an_edited_check(project: Project) -> None:
    more = "  u:\n    transform: tabular.write\n    inputs: [t]\n    params: {path: out.csv}\n"
    expecting(project, "{range: {column: n, max: 10}}", more)
    assert project.run() == {"t": "ran", "u": "ran"}
    project.edit("pipeline.yaml", "max: 10", "max: 11")
    assert project.run() == {"t": "ran", "u": "fresh"}


def test_a_failed_check_blocks_what_lies_downstream(project: Project) -> None:
    more = "  u:\n    transform: tabular.write\n    inputs: [t]\n    params: {path: out.csv}\n"
    expecting(project, "{not_null: name}", more)
    assert project.run() == {"t": "failed", "u": "blocked"}
    assert not (project.root / "out.csv").exists()


def test_a_relationship_is_an_input(project: Project) -> None:
    more = "  names:\n    transform: tabular.read\n    params: {path: names.csv}\n"
    project.write("names.csv", "who,x\nann,1\nbob,2\n")
    expecting(project, "{relationship: {column: name, to: names.who}}", more)
    assert project.run() == {"t": "ran", "names": "ran"}
    assert project.run() == {"t": "fresh", "names": "fresh"}
    project.write("names.csv", "who,x\nann,1\n,2\n")
    assert project.run() == {"t": "failed", "names": "ran"}
    assert project.fast("check", "t").out.endswith("failed  relationship(name)  1 row\n")
    project.write("names.csv", "who,x\n,1\n")
    assert project.run("--json") == {"t": "failed", "names": "ran"}
    assert project.fast("check", "t").out.endswith("failed  relationship(name)  2 rows\n")


def test_a_key_is_not_counted_again(project: Project) -> None:
    project.tasks(
        "  t:\n    transform: tabular.read\n    params: {path: in.csv}\n    key: id\n    expect: [{unique: [id, name]}]\n"
    )
    assert project.run() == {"t": "ran"}
    assert project.fast("check", "t").out == "holds  unique(id, name)\n"


TROUBLE = [
    ("not_null: nmae", "check not_null(nmae): the table has no column 'nmae'; did you mean 'name'?"),
    (
        "relationship: {column: id, to: t.idd}",
        "check relationship(id): 't' has no column 'idd'; did you mean 'id'?",
    ),
    ("range: {column: name, min: 1}", "its checks cannot be evaluated: "),
    ("sql: select * fro this", "its checks cannot be evaluated: "),
    ("schema: {a: INTT}", "its checks cannot be evaluated: "),
]


@pytest.mark.parametrize(("expect", "told"), TROUBLE, ids=[t[0] for t in TROUBLE])
def test_a_check_that_does_not_fit_fails_the_task(project: Project, expect: str, told: str) -> None:
    expecting(project, f"{{{expect}, severity: warn}}")
    done = project.fast("run", "--json")
    assert done.outcomes() == {"t": "failed"}
    assert done.json()["tasks"][0]["error"].startswith(told)


def test_a_task_without_checks(project: Project) -> None:
    project.tasks("  t:\n    transform: tabular.read\n    params: {path: in.csv}\n")
    project.run()
    done = project.fast("check", "t")
    assert (done.code, done.err) == (
        2,
        "error: 't' has no checks\nhelp: give it some: expect: [{not_null: COLUMN}]\n",
    )


INVALID = [
    ("{not_nul: id}", "'expect[0]' has no key 'not_nul'"),
    ("{range: {column: n, colum: m, min: 1}}", "'range' has no key 'colum'"),
    ("{range: {min: 1}}", "'range' needs 'column'"),
    ("{range: {column: n}}", "'range': it needs 'min' or 'max'"),
    ("{range: {column: n, min: 2, max: 1}}", "'range': 'min' is 2, above 'max', which is 1"),
    ("{severity: warn}", "'expect[0]': it names no check"),
    (
        "{unique: id, not_null: id}",
        "'expect[0]': it names 'not_null' and 'unique'; write each check as an item of its own",
    ),
    ("{not_null: id, severity: fatal}", "'severity' is 'fatal', expected 'warn', 'error' or 'quarantine'"),
    ("{not_null: []}", "'not_null' is an empty list, expected a list of at least 1 item"),
    ("{freshness: {column: at, max_age: 3}}", "'max_age' is 3, expected text"),
    ("{relationship: {column: a, to: x.b}}", "'x' is not a task of this pipeline"),
]


@pytest.mark.parametrize(("expect", "told"), INVALID, ids=[i[0] for i in INVALID])
def test_a_wrong_check_is_told_at_its_place(project: Project, expect: str, told: str) -> None:
    expecting(project, expect)
    done = project.fast("validate")
    assert done.code == 3
    assert re.search(r"^pipeline\.yaml:7:\d+: error: (.*)", done.err, re.MULTILINE)[1] == told  # type: ignore[index]


def test_the_whole_text_of_a_wrong_check(project: Project) -> None:
    expecting(project, "{range: {column: n, mim: 1}}")
    assert project.fast("validate").err == (
        "pipeline.yaml:7:34: error: 'range' has no key 'mim'\n"
        "   7 |     expect: [{range: {column: n, mim: 1}}]\n"
        "     |                                  ^\n"
        "help: did you mean 'min'? 'range' takes: column, min, max\n"
    )


def test_only_tables_have_checks(project: Project) -> None:
    task = "transform: shell.run\n    params: {command: 'touch x', outputs: [x]}"
    project.tasks(f"  t:\n    {task}\n    expect: [{{not_null: a}}]\n")
    done = project.fast("validate")
    assert done.code == 3
    assert "error: a task that writes files has no checks\n" in done.err
    assert "help: give `expect` to a task that makes a table\n" in done.err


def test_the_json_of_check_is_documented(project: Project) -> None:
    expecting(project, "{not_null: id}")
    project.run()
    page = (Path(__file__).parents[3] / "docs/reference/json.md").read_text(encoding="utf-8")
    section = page.partition("\n## `check TASK --json`\n")[2].partition("\n## ")[0]
    found = project.fast("check", "t", "--rows", "--json").json()
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == list(found)
    assert all(f"`{name}`" in section for name in found["checks"][0] if name != "check")


def test_the_page_prints_what_its_commands_print(project: Project) -> None:
    page = (Path(__file__).parents[3] / "docs/reference/checks.md").read_text(encoding="utf-8")
    for name, body in re.findall(r"^```\w+ (\S+)\n(.*?)^```$", page, re.DOTALL | re.MULTILINE):
        project.write(name, body)
    told = re.search(r"^```console\n\$ mmetl check orders --rows\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    failure = re.search(r"2 checks fail: .*", page)
    assert told
    assert failure
    assert project.fast("run", "--json").json()["tasks"][1]["error"] == failure[0]
    varying = re.compile(r"\d{8}-\d{6}-\w{4}")
    assert varying.sub("RUN", project.fast("check", "orders", "--rows").out) == varying.sub("RUN", told[1])


def test_gc_removes_what_was_not_published(project: Project) -> None:
    expecting(project, "{not_null: [id, name], severity: warn}, {range: {column: n, min: 0}}")
    project.run()
    project.write("in.csv", BAD)
    project.run()
    assert "failed   range(n)            1 row\n" in project.fast("check", "t").out
    project.fast("gc")
    done = project.fast("check", "t")
    assert (done.code, done.out) == (0, "warning  not_null(id, name)  1 row\nholds    range(n)\n")
    assert project.run() == {"t": "failed"}
    assert project.fast("check", "t").code == 1


def test_checks_of_members_of_a_matrix(project: Project) -> None:
    task = "  m:\n    matrix: {max: [10, 9]}\n    transform: tabular.read\n    params: {path: in.csv}\n"
    project.tasks(task + '    expect: [{range: {column: n, max: "${matrix:max}"}}]\n')
    assert project.run() == {"m@10": "ran", "m@9": "failed"}
    assert project.fast("check", "m@9").out.endswith("failed  range(n)  1 row\n")


def test_a_restored_table_is_checked_too(project: Project) -> None:
    expecting(project, "{not_null: name, severity: warn}")
    project.run()
    project.write("in.csv", ROWS + "4,eve,1,2024-01-04\n")
    assert project.run() == {"t": "ran"}
    project.write("in.csv", ROWS)
    (task,) = project.fast("run", "--json").json()["tasks"]
    assert (task["outcome"], task["error"]) == ("restored", "expected otherwise: not_null(name): 1 row")
