"""Checks that are functions of the project: what they are given, what they may return, what makes them stale."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from tests.harness import Project, grow_old

CHECKS = '''\
import pyarrow as pa
import pyarrow.compute as pc

from limits import LIMIT


def above(rows, limit=LIMIT):
    """Refuse what is above a limit."""
    print("columns", rows.column_names)
    return pc.greater(rows.column(0), limit)


def falling(rows):
    """Refuse what is less than the value before."""
    values = rows["n"].to_pylist()
    return [n > 0 and v is not None and v < values[n - 1] for n, v in enumerate(values)]
'''
BAD = "id,n,s\n1,1,a\n2,9,b\n3,,c\n4,8,d\n"
GOOD = "id,n,s\n1,1,a\n3,,c\n"


@pytest.fixture
def project(tmp_path: Path) -> Project:
    made = Project(tmp_path)
    made.write("checks.py", CHECKS)
    made.write("limits.py", "LIMIT = 5\n")
    made.write("in.csv", BAD)
    return made


def expecting(project: Project, expect: str, more: str = "", view: bool = False) -> None:
    read = "transform: tabular.read\n    params: {path: in.csv}\n"
    if view:
        read = "transform: tabular.sql\n    materialize: view\n    params: {sql: select * from rows}\n"
        more += "  rows:\n    transform: tabular.read\n    params: {path: in.csv}\n"
    project.tasks(f"  t:\n    {read}    expect: [{{{expect}}}]\n{more}")


def rows(project: Project, *argv: str) -> list[object]:
    return [json.loads(line)["id"] for line in project.fast(*argv, "t", "--json").out.splitlines()]


@pytest.mark.parametrize("view", [False, True], ids=["table", "view"])
@pytest.mark.parametrize("name", ["checks.above", "checks:above", "./checks.py:above"])
def test_a_function_refuses_rows(project: Project, name: str, view: bool) -> None:
    expecting(project, f"function: '{name}', columns: N", view=view)
    project.write("in.csv", GOOD)
    assert project.run()["t"] == "ran"
    assert project.fast("check", "t").out == "holds  above(N)\n"
    assert "columns ['n']\n" in project.fast("logs", "latest", "t").out
    project.write("in.csv", BAD)
    done = project.fast("run", "--json")
    assert done.outcomes()["t"] == "failed"
    errors = [t["error"] for t in done.json()["tasks"]]
    assert "a check fails: above(N): 2 rows; mmetl check t --rows" in errors
    assert rows(project, "show") == [1, 3]
    found = project.fast("check", "t", "--rows", "--json").json()["checks"][0]
    assert found["rows"] == [{"id": 2, "n": 9, "s": "b"}, {"id": 4, "n": 8, "s": "d"}]
    expecting(project, f"function: '{name}', columns: N, severity: warn", view=view)
    done = project.fast("run", "--json")
    assert (done.code, done.outcomes()["t"]) == (0, "ran")
    assert "expected otherwise: above(N): 2 rows" in [t["error"] for t in done.json()["tasks"]]


@pytest.mark.parametrize("key", ["", "    key: id\n"])
def test_rows_that_a_function_refuses_are_set_aside(project: Project, key: str) -> None:
    quarantine = "columns: [n], severity: quarantine, max_fraction: 0.5"
    expecting(project, f"function: checks.above, {quarantine}, args: {{limit: 8}}", key)
    assert project.run() == {"t": "ran"}
    assert (rows(project, "show"), rows(project, "quarantine", "show")) == ([1, 3, 4], [2])
    assert '"_error": "above(n)"' in project.fast("quarantine", "show", "t", "--json").out
    project.edit("pipeline.yaml", "limit: 8", "limit: 0")
    done = project.fast("run", "--json")
    told = "a check fails: above(n): 3 of 4 rows, more than a share of 0.5; mmetl check t --rows"
    assert done.json()["tasks"][0]["error"] == told
    assert rows(project, "show") == [1, 3, 4]


def test_a_keyed_table_comes_in_the_order_of_its_key(project: Project) -> None:
    """However many buckets it is cut into, and rows are found in them again."""
    size = 60_000
    bad = {17, 30_001, size - 1}
    project.write("in.csv", "id,n,s\n" + "".join(f"{n},{0 if n in bad else n},x\n" for n in range(size)))
    expecting(project, "function: checks.falling, columns: [n], severity: quarantine", "    key: id\n")
    assert project.run() == {"t": "ran"}
    assert sorted(rows(project, "quarantine", "show")) == sorted(bad)  # type: ignore[type-var]
    assert len(rows(project, "show")) == size - len(bad)


def test_its_code_makes_the_task_stale(project: Project) -> None:
    expecting(project, "function: checks.above, columns: n, severity: warn")
    grow_old()
    assert project.run() == {"t": "ran"}
    project.edit("checks.py", '"""Refuse what is above a limit."""', '"""Another text."""')
    assert project.run() == {"t": "fresh"}
    project.write("limits.py", "LIMIT = 8\n")
    assert "code" in project.fast("why", "t").out
    done = project.fast("run", "--json")
    assert done.json()["tasks"][0]["error"] == "expected otherwise: above(n): 1 row"
    project.write("limits.py", "LIMIT = 9\n")
    assert project.run() == {"t": "ran"}
    project.write("limits.py", "LIMIT = 8\n")
    assert project.run() == {"t": "restored"}


def test_what_imports_do_comes_first(project: Project) -> None:
    project.write("setup_limits.py", "import limits\nlimits.LIMIT = 8\n")
    expecting(project, "function: checks.above, columns: n, severity: warn")
    text = project.read("pipeline.yaml")
    project.write("pipeline.yaml", text.replace("tasks:", "imports: [setup_limits]\ntasks:"))
    assert project.fast("run", "--json").json()["tasks"][0]["error"] == "expected otherwise: above(n): 1 row"
    assert project.fast("check", "t").out == "warning  above(n)  1 row\n"


RETURNS = [
    ("return [True, False, True, None]", "2 rows"),
    ("return pa.array([None] * 4)", ""),
    ("return pa.chunked_array([[True], [False, False, True]])", "2 rows"),
    ("return (n is not None and n > 8 for n in rows['n'].to_pylist())", "1 row"),
]


@pytest.mark.parametrize(("body", "told"), RETURNS, ids=[r[0] for r in RETURNS])
def test_what_it_may_return(project: Project, body: str, told: str) -> None:
    project.write("checks.py", f"import pyarrow as pa\n\n\ndef f(rows):\n    {body}\n")
    expecting(project, "function: checks.f, columns: n, severity: warn")
    error = project.fast("run", "--json").json()["tasks"][0]["error"]
    assert error == (f"expected otherwise: f(n): {told}" if told else None)


TROUBLE = [
    (
        "return [True]",
        "'checks.f' returned 1 values for 4 rows; return a boolean for each row, true where the row is bad",
    ),
    ("return [1, 2, 3, 4]", "'checks.f' returned values of type 'int64'; return a boolean for each row, true where"),
    ("return None", "'checks.f' returned NoneType; return a boolean for each row, true where the row is bad"),
    ("raise ValueError('no')", "checks.py:5:5: its checks cannot be evaluated: 'f' raised ValueError: no; the log"),
]


@pytest.mark.parametrize(("body", "told"), TROUBLE, ids=[t[0] for t in TROUBLE])
def test_a_function_that_does_not_answer_fails_the_task(project: Project, body: str, told: str) -> None:
    project.write("checks.py", f"import pyarrow as pa\n\n\ndef f(rows):\n    {body}\n")
    expecting(project, "function: checks.f, columns: n, severity: warn")
    done = project.fast("run", "--json")
    assert done.outcomes() == {"t": "failed"}
    assert told in done.json()["tasks"][0]["error"]


INVALID = [
    ("function: checks.abov, columns: n", "checks.abov", "'checks' has no function 'abov'"),
    ("function: nothing.f, columns: n", "nothing.f", "the project has no module 'nothing'"),
    ("function: above, columns: n", "above", "'above' names no function"),
    ("function: checks.above", "{function", "'expect[0]': it needs 'columns', those that the function gets"),
    ("not_null: n, columns: n", "{not_null", "'expect[0]': 'columns' is for 'function' only"),
    (
        "function: checks.above, columns: n, args: {limits: 1}",
        "limits",
        "'checks:above' has no parameter 'limits'",
    ),
    ("function: checks.above, columns: n, args: {rows: 1}", "rows", "'checks:above' has no parameter 'rows'"),
    ("function: checks.more, columns: n", "checks.more", "'checks:more' needs 'b', which task 't' does not give"),
    (
        "function: checks.none, columns: n",
        "checks.none",
        "'checks:none' has no parameter for the table of its columns",
    ),
]


@pytest.mark.parametrize(("expect", "at", "told"), INVALID, ids=[i[0] for i in INVALID])
def test_a_wrong_function_is_told_at_its_place(project: Project, expect: str, at: str, told: str) -> None:
    project.write("checks.py", CHECKS + "\n\ndef more(rows, b):\n    return b\n\n\ndef none():\n    return 1\n")
    expecting(project, expect)
    done = project.fast("validate")
    assert done.code == 3
    column = project.read("pipeline.yaml").splitlines()[6].rindex(at) + 1
    assert re.match(rf"pipeline\.yaml:7:{column}: error: {re.escape(told)}", done.err), done.err
