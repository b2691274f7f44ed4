"""`mmetl test`: given rows in, expected rows out, by the task's own transform, and nothing of the state is touched."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest
from harness import Project, Result
from shop_project import given


def statuses(done: Result) -> dict[str, str]:
    return {t["test"]: t["status"] for t in done.json()["tests"]}


PASSING = {
    "sql, in any order, with some columns only": """\
  t:
    task: big
    inputs:
      orders:
        - {id: 1, day: 2024-01-31, amount: 12.5, customer: ada}
        - {id: 2, amount: 9.99, customer: bob}
        - {id: 3, amount: 10, customer: cid}
    expected:
      - {id: 3, amount: 10}
      - {id: 1, amount: 12.50}
""",
    "a variable": """\
  t:
    task: big
    vars: {least: 100}
    inputs: {orders: [{id: 1, amount: 12.5, customer: a}, {id: 2, amount: 100, customer: b}]}
    expected: [{id: 2}]
""",
    "types that a check of the input fixes, nulls where nothing is said": """\
  t:
    task: big
    inputs: {orders: [{id: 1, amount: "10.00", customer: ada, day: "2024-02-29"}]}
    expected: [{id: 1, day: 2024-02-29, customer: ada}]
""",
    "an empty table": """\
  t: {task: big, inputs: {orders: []}, expected: []}
""",
    "a view": """\
  t:
    task: days
    inputs: {orders: [{id: 1, day: 2024-01-01, amount: 1}, {id: 2, day: 2024-01-01, amount: 2}]}
    expected: [{day: 2024-01-01, total: 3, n: 2}]
""",
    "a transform that writes its SQL": """\
  t:
    task: filtered
    inputs: {orders: [{id: 1, customer: ada}, {id: 2, customer: bob}, {id: 3}]}
    expected: [{id: 1, customer: ada}]
""",
    "a function": """\
  t:
    task: doubled
    inputs: {orders: [{id: 1, amount: 0.1}, {id: 2, amount: 0.7}]}
    expected: [{id: 1, twice: 0.2}, {id: 2, twice: 1.4}]
""",
    "a member of a matrix": """\
  t:
    task: region@south
    inputs: {orders: [{id: 7}]}
    expected: [{id: 7, place: south}]
""",
    "a family as an input, with a column of its variable, in order": """\
  t:
    task: regions
    ordered: true
    inputs: {region: [{name: north, id: 1}, {name: south, id: 2}, {name: south, id: 3}]}
    expected: [{name: south, n: 2}, {name: north, n: 1}]
""",
    "items": """\
  t:
    task: shout
    inputs: {orders: [{id: 1, customer: ada}, {id: 2, customer: bob}]}
    expected: [{id: 1, loud: ADA}, {id: 2, loud: BOB}]
""",
    "items that become many rows": """\
  t:
    task: chunks
    inputs:
      pages:
        key: [path]
        columns: {path: VARCHAR, media_type: VARCHAR, bytes: BLOB}
        rows: [{path: a.md, text: "The first sentence is here. The second one is there, too."}]
    expected: [{text: The first sentence is here.}, {text: "The second one is there, too."}]
""",
    "rows that a check sets aside": """\
  t:
    task: big
    inputs: {orders: [{id: 1, amount: 20, customer: ada}, {id: 2, amount: 30}]}
    expected: [{id: 1}]
    quarantined: [{id: 2, _error: not_null(customer)}]
""",
    "checks that do not apply": """\
  t:
    task: big
    checks: false
    inputs: {orders: [{id: 1, amount: 20, customer: ada}, {id: 2, amount: 30}]}
    expected: [{id: 1}, {id: 2}]
""",
    "a check that fails": """\
  t:
    task: big
    inputs:
      orders: [{id: 1, amount: 20, customer: eve}]
      customers: [{name: ada}]
    fails: relationship
""",
    "a transform that fails": """\
  t:
    task: big
    inputs: {orders: {key: [], rows: [{id: 1, amount: 20}, {id: 1, amount: 30}]}}
    fails: is not unique
""",
}


@pytest.mark.parametrize("text", PASSING.values(), ids=PASSING.keys())
def test_what_passes(shop: Project, text: str) -> None:
    """The real transform of each kind runs on the rows of the file, without a run before."""
    done = given(shop, text)
    assert (done.err, done.out, done.code) == ("", "passed  t\n1 test: 1 passed\n", 0)


def test_what_differs_is_shown_row_by_row(shop: Project) -> None:
    """Values that differ, rows that are missing, rows that nobody expected."""
    done = given(
        shop,
        """\
  totals:
    task: days
    inputs:
      orders:
        - {id: 1, day: 2024-01-01, amount: 5}
        - {id: 2, day: 2024-01-02, amount: 7}
        - {id: 3, day: 2024-01-03, amount: 9}
    expected:
      - {day: 2024-01-01, total: 5, n: 1}
      - {day: 2024-01-02, total: 8, n: 1}
      - {day: 2024-01-09, total: 0, n: 0}
""",
    )
    assert done.code == 1
    assert done.out == (
        "failed  totals  (days)  mmetl_tests/shop.yaml:3:3\n"
        "  1 row differs; 1 row is missing; 1 row is unexpected\n"
        "     day         total                 n\n"
        "  ~  2024-01-02  7.00 (expected 8.00)  1\n"
        "  -  2024-01-09  0.00                  0\n"
        "  +  2024-01-03  9.00                  1\n"
        "1 test: 0 passed, 1 failed\n"
    )


def test_rows_of_a_keyed_table_are_paired_by_their_key(shop: Project) -> None:
    """However many of their values differ."""
    text = """\
  t:
    task: big
    inputs: {orders: [{id: 1, amount: 20, customer: ada}]}
    expected: [{id: 1, amount: 99, customer: null, day: 2024-01-01}]
"""
    out = given(shop, text).out
    assert "1 row differs\n" in out
    assert "null (expected 2024-01-01)" in out
    assert "ada (expected null)" in out


def test_what_a_task_printed_is_shown_where_it_failed(shop: Project) -> None:
    text = "  t: {task: doubled, inputs: {orders: [{id: 1, amount: 1}]}, expected: [{twice: 3}]}\n"
    assert given(shop, text).out.endswith("  it printed:\n    doubling\n1 test: 0 passed, 1 failed\n")


def test_order_counts_where_it_is_asked_for(shop: Project) -> None:
    text = """\
  t:
    task: regions
    ordered: true
    inputs: {region: [{name: south, id: 2}]}
    expected: [{name: south, n: 1}]
  u:
    task: regions
    ordered: true
    inputs: {region: [{name: south, id: 2}, {name: north, id: 3}]}
    expected: [{name: south, n: 1}, {name: north, n: 1}]
"""
    done = given(shop, text)
    assert "passed  t" in done.out
    assert "the rows come in another order" in done.out


FAILING = {
    "a column that the table does not have": (
        "  t: {task: days, inputs: {orders: []}, expected: [{sum: 1}]}\n",
        "mmetl_tests/shop.yaml:3:53: error: the table has no column 'sum'",
    ),
    "a query that fails": (
        "  t: {task: sizes, inputs: {customers: [{label: ada}]}, expected: []}\n",
        "pipeline.yaml:28:34: error: ",
    ),
    "it does not fail": (
        "  t: {task: days, inputs: {orders: []}, fails: nothing}\n",
        "it was to fail with 'nothing', and it did not",
    ),
    "it fails with another error": (
        "  t: {task: big, inputs: {orders: {key: [], rows: [{id: 1, amount: 99}, {id: 1, amount: 88}]}}, fails: nothing}\n",
        "it failed, but 'nothing' is not in the error: key 'id' is not unique",
    ),
}


@pytest.mark.parametrize(("text", "told"), FAILING.values(), ids=FAILING.keys())
def test_what_fails(shop: Project, text: str, told: str) -> None:
    done = given(shop, text)
    assert done.code == 1
    assert told in done.out


INVALID = {
    "unknown task": (
        "  t: {task: bog, inputs: {orders: []}, expected: []}\n",
        "shop.yaml:3:13: error: 'bog' is not a task of pipeline.yaml",
        "did you mean 'big'?",
    ),
    "a family": ("  t: {task: region, inputs: {orders: []}, expected: []}\n", "shop.yaml:3:13", "region@north"),
    "a task that writes files": ("  t: {task: report, expected: []}\n", "shop.yaml:3:13", "writes files"),
    "unknown input": (
        "  t: {task: big, inputs: {orders: [], order: []}, expected: []}\n",
        "shop.yaml:3:39: error: 'big' has no input 'order'",
        "did you mean 'orders'?",
    ),
    "an input is left out": ("  t: {task: big, expected: []}\n", "shop.yaml:3:3", "the test does not give 'orders'"),
    "unknown var": (
        "  t: {task: big, vars: {lest: 1}, inputs: {orders: []}, expected: []}\n",
        "shop.yaml:3:25: error: the pipeline has no var 'lest'",
        "did you mean 'least'?",
    ),
    "unknown key": ("  t: {task: big, input: {}, expected: []}\n", "shop.yaml:3:18", "did you mean 'inputs'?"),
    "nothing is expected": ("  t: {task: big, inputs: {orders: []}}\n", "shop.yaml:3:6", "it expects nothing"),
    "rows and a failure": ("  t: {task: big, expected: [], fails: x}\n", "shop.yaml:3:6", "write two tests"),
    "no type": (
        "  t: {task: big, inputs: {orders: {columns: {id: WHOLE}}}, expected: []}\n",
        "shop.yaml:3:50: error: 'WHOLE' is not a type",
        "help: ",
    ),
    "a value that does not fit its type": (
        "  t: {task: big, inputs: {orders: [{id: 1}, {id: one}]}, expected: []}\n",
        "shop.yaml:3:50: error: 'id' is 'one', which is no BIGINT",
        "",
    ),
    "an expected value that does not fit": (
        "  t: {task: big, inputs: {orders: []}, expected: [{day: monday}]}\n",
        "shop.yaml:3:57: error: 'day' is 'monday', which is no DATE",
        "",
    ),
    "values of several types": (
        "  t: {task: filtered, inputs: {orders: [{x: 1}, {x: one}]}, expected: []}\n",
        "shop.yaml:3:53: error: 'x' has values of several types",
        "columns: {x: VARCHAR}",
    ),
    "rows that are none": ("  t: {task: big, inputs: {orders: 3}, expected: []}\n", "shop.yaml:3:35", "a list of rows"),
    "a key that is not unique": (
        "  t: {task: big, inputs: {orders: [{id: 1}, {id: 1}]}, expected: []}\n",
        "shop.yaml:3:35",
        "key 'id' is not unique",
    ),
    "no columns": (
        "  t: {task: regions, inputs: {region: []}, expected: []}\n  u: {task: chunks, inputs: {pages: []}, expected: []}\n",
        "shop.yaml:4:37",
        "nobody knows the columns of 'pages'",
    ),
}


@pytest.mark.parametrize(("text", "place", "told"), INVALID.values(), ids=INVALID.keys())
def test_what_is_invalid(shop: Project, text: str, place: str, told: str) -> None:
    """Exit code 3, the place with a caret, and how to mend it."""
    done = given(shop, text)
    said = done.out + done.err
    assert done.code == 3, said
    assert place in said
    assert told in said
    assert "^" in said


def test_all_problems_are_told_at_once(shop: Project) -> None:
    shop.write("mmetl_tests/a.yml", "version: 1\ntests:\n  x: {task: nothing, expected: []}\n")
    done = given(shop, "  y: {task: nobody, expected: []}\n  x: {task: big, inputs: {orders: []}, expected: []}\n")
    assert done.code == 3
    assert "a.yml:3:13" in done.err
    assert "shop.yaml:3:13" in done.err


def test_two_tests_of_one_name(shop: Project) -> None:
    text = "  x: {task: big, inputs: {orders: []}, expected: []}\n"
    shop.write("mmetl_tests/a.yml", f"version: 1\ntests:\n{text}")
    done = given(shop, text)
    assert (done.code, "two tests are called 'x'" in done.err) == (3, True)


def test_no_tests(shop: Project) -> None:
    """That is no success: a folder of another name would never be noticed."""
    done = shop.fast("test")
    assert (done.code, "this project has no tests" in done.err) == (2, True)


MANY = """\
  big_ones: {task: big, inputs: {orders: []}, expected: []}
  by_day: {task: days, inputs: {orders: []}, expected: [{n: 1}]}
  by_region: {task: region@south, inputs: {orders: []}, expected: []}
"""


@pytest.mark.parametrize(
    ("argv", "taken"),
    [
        ([], ["big_ones", "by_day", "by_region"]),
        (["by_day"], ["by_day"]),
        (["by_*"], ["by_day", "by_region"]),
        (["--select", "big"], ["big_ones"]),
        (["--select", "tag:money"], ["big_ones"]),
        (["--select", "transform:tabular.sql", "--exclude", "region"], ["big_ones", "by_day"]),
        (["--select", "orders+", "by_region"], ["by_region"]),
    ],
)
def test_some_of_the_tests(shop: Project, argv: list[str], taken: list[str]) -> None:
    """By the names of tests, and by selectors of the tasks under test."""
    given(shop, MANY)
    assert list(statuses(shop.fast("test", "--json", *argv))) == taken


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (["by_dya"], "did you mean 'by_day'?"),
        (["--select", "bigg"], "did you mean 'big'?"),
        (["--select", "state:stale"], "tests do not look at"),
        (["--select", "filtered"], "no test is about these tasks"),
    ],
)
def test_selections_that_cannot_be(shop: Project, argv: list[str], told: str) -> None:
    given(shop, MANY)
    done = shop.fast("test", *argv)
    assert (done.code, told in done.err) == (2, True)


def test_json(shop: Project) -> None:
    """What differs is there as data."""
    given(shop, MANY)
    done = shop.fast("test", "by_day", "--json")
    body = done.json()
    assert (done.code, body["failed"], body["passed"], body["invalid"]) == (1, 1, 0, 0)
    (test,) = body["tests"]
    assert (test["task"], test["pipeline"], test["file"], test["line"]) == ("days", "shop", "mmetl_tests/shop.yaml", 4)
    assert test["rows"] == {"missing": [{"n": 1}], "unexpected": [], "different": [], "other_order": False}


def state(project: Project) -> dict[str, Any]:
    """Return the name, size, times and bytes of everything in the state folder."""
    folder = project.root / ".mmetl"
    return {
        str(p.relative_to(folder)): (
            p.stat().st_mtime_ns,
            hashlib.sha256(p.read_bytes()).hexdigest() if p.is_file() else "",
        )
        for p in sorted(folder.rglob("*"))
    }


def test_the_state_is_not_touched(shop: Project) -> None:
    """Neither made, nor read, nor changed by a byte, whatever the tests come to; nor is any file of the project."""
    done = given(shop, "".join(t.replace("  t:", f"  t{n}:") for n, t in enumerate(PASSING.values())))
    assert (done.code, done.out.splitlines()[-1]) == (0, f"{len(PASSING)} tests: {len(PASSING)} passed")
    assert not (shop.root / ".mmetl").exists()
    shop.write("data/a.csv", "id,day,amount,customer\n1,2024-01-01,20.00,ada\n")
    shop.write("customers/a.csv", "name\nada\n")
    shop.fast("run", "--select", "+days", "--keep-going")
    before, files = state(shop), sorted(p for p in shop.root.rglob("*") if "__pycache__" not in str(p))
    assert len(before) > 1
    assert shop.fast("test").code == 0
    given(shop, MANY)
    assert state(shop) == before
    assert sorted(p for p in shop.root.rglob("*") if "__pycache__" not in str(p)) == files


def test_two_pipelines(shop: Project) -> None:
    """A file of tests says which it means."""
    shop.write(
        "other.yaml", "version: 1\nname: other\ntasks:\n  o: {transform: tabular.sql, params: {sql: select 1 as n}}\n"
    )
    shop.write("mmetl.yml", "version: 1\ntests: [checks/*.yaml]\n")
    text = "tests:\n  t: {task: o, expected: [{n: 1}]}\n"
    shop.write("checks/a.yaml", f"version: 1\n{text}")
    done = shop.fast("test")
    assert (done.code, "checks/a.yaml" in done.err, "pipeline:" in done.err) == (3, True, True)
    for name in ("other", "other.yaml"):
        shop.write("checks/a.yaml", f"version: 1\npipeline: {name}\n{text}")
        assert shop.fast("test").out == "passed  t\n1 test: 1 passed\n"
    shop.write("checks/a.yaml", f"version: 1\npipeline: othr\n{text}")
    assert "checks/a.yaml:2:11: error: no pipeline is called 'othr'" in shop.fast("test").err


def test_a_secret_stays_out_of_what_is_printed(shop: Project) -> None:
    """As in a run."""
    shop.write("steps.py", "def double(orders, by):\n    print(by)\n    raise ValueError(by)\n")
    shop.edit("pipeline.yaml", "by: 2", "by: '${secret:TOKEN}'")
    shop.write("mmetl_tests/s.yaml", "version: 1\ntests:\n  t: {task: doubled, inputs: {orders: []}, expected: []}\n")
    done = shop.fast("test", env={"TOKEN": "hunter2hunter2"})
    assert done.code == 1
    assert "hunter2" not in done.out + done.err


def test_nested_values(shop: Project) -> None:
    """Lists and mappings, of a declared type and without one."""
    shop.edit("pipeline.yaml", "select id, '${matrix:name}' as place from orders", "select * from orders")
    text = """\
  t:
    task: region@north
    checks: false
    inputs:
      orders:
        columns: {l: "DATE[]", s: "STRUCT(a INTEGER, b VARCHAR)", v: "FLOAT[2]", b: BLOB, at: TIMESTAMPTZ}
        rows:
          - {id: 1, l: [2024-01-01, null], s: {a: 1, b: "x, y"}, v: [0.1, 2], b: abc, at: "2024-01-01 10:00:00+02", free: [1, 2]}
          - {id: 2}
    expected:
      - {id: 2, l: null, free: null}
      - {id: 1, l: [2024-01-01, null], s: {a: 1, b: "x, y"}, v: [0.1, 2], b: abc, at: "2024-01-01T08:00:00Z", free: [1, 2]}
"""
    assert given(shop, text).out == "passed  t\n1 test: 1 passed\n"
