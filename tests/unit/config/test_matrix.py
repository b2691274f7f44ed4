"""`matrix:`: a task for each combination of values, and the family of them as one table."""

from __future__ import annotations

import pytest

from tests.harness import Project

PIPELINE = """\
version: 1
name: p
vars: {regions: [EU, "North America"], low: 1}
tasks:
  sales:
    matrix: {day: [1, 2], region: "${var:regions}"}
    transform: tabular.sql
    params: {sql: "select ${matrix:day} * 10 + ${var:low} as amount, '${matrix:region}' as place"}
  total: {transform: tabular.sql, params: {sql: "select region, day, max(amount) as amount from sales group by all"}}
"""


@pytest.fixture
def sales(empty: Project) -> Project:
    empty.write("pipeline.yaml", PIPELINE)
    return empty


def shown(project: Project, task: str) -> list[str]:
    return project.fast("show", task, "--json").out.splitlines()


MEMBERS = ["sales@1,eu", "sales@1,north-america", "sales@2,eu", "sales@2,north-america"]


def test_members_and_family(sales: Project) -> None:
    assert sales.run() == {**dict.fromkeys(MEMBERS, "ran"), "total": "ran"}
    assert shown(sales, "sales@2,north-america") == ['{"amount": 21, "place": "North America"}']
    assert shown(sales, "total") == [
        '{"region": "EU", "day": 1, "amount": 11}',
        '{"region": "EU", "day": 2, "amount": 21}',
        '{"region": "North America", "day": 1, "amount": 11}',
        '{"region": "North America", "day": 2, "amount": 21}',
    ]
    assert set(sales.run().values()) == {"fresh"}


def test_one_more_value(sales: Project) -> None:
    """Only the new members run, and what reads the family."""
    sales.run()
    sales.edit("pipeline.yaml", "day: [1, 2]", "day: [1, 2, 3]")
    ran = [t for t, outcome in sales.run().items() if outcome == "ran"]
    assert ran == ["sales@3,eu", "sales@3,north-america", "total"]
    sales.edit("pipeline.yaml", "day: [1, 2, 3]", "day: [1, 2]")
    assert [t for t, outcome in sales.run().items() if outcome != "fresh"] == ["total"]
    assert "gone from the YAML: p:sales@3,eu" in sales.fast("status").out


def test_a_value_that_means_another_thing(sales: Project) -> None:
    """The values count for what reads the family, though the rows of the members are the same."""
    sales.write("pipeline.yaml", PIPELINE.replace("select ${matrix:day} * 10 + ${var:low}", "select 1"))
    sales.run()
    sales.edit("pipeline.yaml", "day: [1, 2]", "day: [1, 5]")
    assert sales.run()["total"] == "ran"
    assert '"day": 5' in shown(sales, "total")[1]


def test_selecting_a_family(sales: Project) -> None:
    assert list(sales.run("--select", "sales")) == MEMBERS
    assert list(sales.run("--select", "sales@1,eu+")) == ["sales@1,eu", "total"]


def test_one_member_and_order(sales: Project) -> None:
    """A member is read by its full name; `depends_on` a family waits for all of it."""
    sales.write(
        "pipeline.yaml",
        PIPELINE + "  one: {transform: tabular.sql, inputs: {s: 'sales@1,eu'}, params: {sql: select amount from s}}\n"
        "  last: {transform: shell.run, depends_on: [sales], params: {command: 'true'}}\n",
    )
    sales.run()
    assert shown(sales, "one") == ['{"amount": 11}']
    assert "upstream" not in sales.fast("why", "last").out


def test_members_of_different_columns(empty: Project) -> None:
    """The union is by name; what a member does not have is null."""
    empty.write("a.csv", "id,x\n1,2\n")
    empty.write("b.csv", "id,y\n3,z\n")
    empty.tasks(
        "  part: {matrix: {name: [a, b]}, transform: tabular.read, params: {path: '${matrix:name}.csv'}}\n"
        "  all: {transform: tabular.sql, inputs: [part], params: {sql: 'select name, id, x, y from part order by id'}}\n"
        "  view: {transform: tabular.sql, materialize: view, params: {sql: 'select id from part'}}\n"
        "  more: {transform: tabular.sql, params: {sql: 'select id from view'}}\n"
        "  file: {transform: tabular.write, inputs: [part], params: {path: out.csv}}\n"
    )
    empty.run()
    assert shown(empty, "all") == [
        '{"name": "a", "id": 1, "x": 2, "y": null}',
        '{"name": "b", "id": 3, "x": null, "y": "z"}',
    ]
    assert shown(empty, "more") == ['{"id": 1}', '{"id": 3}']
    assert empty.read("out.csv") == "name,id,x,y\na,1,2,\nb,3,,z\n"


ERRORS = [
    ("matrix: {day: [EU, eu]}", "6:24: error: the values 'EU' and 'eu' of 'day' both give the name 'eu'"),
    ("matrix: {day: []}", "6:19: error: 'day' needs a list of values"),
    ("matrix: {day: 3}", "6:19: error: 'day' needs a list of values"),
    ("matrix: [1]", "6:13: error: a matrix names variables, each with a list of values"),
    ("matrix: {day: [[1]]}", "6:20: error: a value of 'day' is not text, a number, true or false"),
    ("matrix: {day: ['?']}", "6:21: error: the value '?' has nothing to make a name of"),
    ("matrix: {day: [1], region: ['${matrix:day}']}", "6:34: error: '${matrix:day}' stands in no task with a matrix"),
    ("matrix: {d: [1], region: [x]}", "8:27: error: the matrix has no variable 'day'"),
    ("tags: [x]", "8:27: error: '${matrix:day}' stands in no task with a matrix"),
]


@pytest.mark.parametrize(("matrix", "error"), ERRORS)
def test_errors(sales: Project, matrix: str, error: str) -> None:
    sales.edit("pipeline.yaml", 'matrix: {day: [1, 2], region: "${var:regions}"}', matrix)
    done = sales.fast("validate")
    assert done.code == 3
    assert done.err.splitlines()[0] == f"pipeline.yaml:{error}"


def test_other_errors(empty: Project) -> None:
    empty.tasks(
        "  a@b: {transform: shell.run, params: {command: 'true'}}\n"
        "  c: {matrix: {x: [1]}, transform: shell.run, depends_on: [c], params: {command: 'true'}}\n"
    )
    assert [line for line in empty.fast("validate").err.splitlines() if ": error:" in line] == [
        "pipeline.yaml:4:3: error: 'a@b' is called like a member of a matrix",
        "pipeline.yaml:5:60: error: task 'c@1' cannot depend on itself",
    ]


def test_list_inside_a_text(sales: Project) -> None:
    sales.edit("pipeline.yaml", "${var:low}", "${var:regions}")
    assert "error: a var that is a list is part of a text" in sales.fast("validate").err


def test_plain_doit(sales: Project) -> None:
    sales.write("dodo.py", "from mmetl.core.build import DOIT_CONFIG, task_pipelines\n")
    assert sales.doit("run", "p:sales@1,eu").code == 0
    assert sales.doit("run").code == 0
    assert set(sales.run().values()) == {"fresh"}
