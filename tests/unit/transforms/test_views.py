"""`materialize: view`: a query that those who read it run; it makes no rows of its own."""

from __future__ import annotations

import pytest

from tests.harness import Project

TASKS = """\
  raw: {transform: tabular.read, key: id, params: {path: raw.csv}}
  big:
    transform: tabular.sql
    materialize: view
    params: {sql: "select id, name, n from raw where n > 1"}
  bigger:
    transform: tabular.sql
    materialize: view
    inputs: {b: big}
    params: {sql: "with x as (select * from b) select * from x where n > 2"}
  top: {transform: tabular.sql, params: {sql: "select name, n from bigger order by n desc"}}
"""


@pytest.fixture
def views(empty: Project) -> Project:
    """Two views, one over the other, and a table over both."""
    empty.write("raw.csv", "id,name,n\n1,a,1\n2,b,2\n3,c,3\n4,d,4\n")
    empty.tasks(TASKS)
    assert set(empty.run().values()) == {"ran"}
    return empty


def shown(project: Project, task: str) -> list[str]:
    return project.fast("show", task, "--json").out.splitlines()


def test_rows(views: Project) -> None:
    """A query over a view over a view gives what one query would."""
    assert shown(views, "top") == ['{"name": "d", "n": 4}', '{"name": "c", "n": 3}']
    assert set(views.run().values()) == {"fresh"}


def test_show_runs_the_view(views: Project) -> None:
    """A view has no rows of its own; `show` computes them."""
    assert shown(views, "big") == [
        '{"id": 2, "name": "b", "n": 2}',
        '{"id": 3, "name": "c", "n": 3}',
        '{"id": 4, "name": "d", "n": 4}',
    ]


def test_a_view_makes_no_parts(views: Project) -> None:
    """Only `raw` and `top` have parts."""
    parts = [p for p in (views.root / ".mmetl/parts").rglob("*") if p.is_file()]
    assert len(parts) == 2


def test_edited_view(views: Project) -> None:
    """What reads it runs again; there is no cutoff at a view."""
    views.edit("pipeline.yaml", "n > 1", "n > 0")
    assert views.run() == {"raw": "fresh", "big": "ran", "bigger": "ran", "top": "ran"}
    views.edit("pipeline.yaml", "n > 0", "n  >  0")
    assert set(views.run().values()) == {"fresh"}
    views.edit("pipeline.yaml", "n  >  0", "n > 1")
    assert views.run() == {"raw": "fresh", "big": "restored", "bigger": "restored", "top": "restored"}


def test_changed_source(views: Project) -> None:
    """Rows that a view leaves out make no difference to the table, but the table is computed to know that."""
    views.edit("raw.csv", "1,a,1", "1,z,1")
    assert views.run() == {"raw": "ran", "big": "ran", "bigger": "ran", "top": "ran"}
    assert shown(views, "top")[0] == '{"name": "d", "n": 4}'


def test_other_readers(views: Project) -> None:
    """Files and project functions read a view as they read a table, in an order that is always the same."""
    views.write("steps.py", "def count(big):\n    return [{'rows': big.num_rows, 'first': big['id'][0].as_py()}]\n")
    views.tasks(
        TASKS
        + "  file: {transform: tabular.write, inputs: [big], params: {path: big.csv}}\n"
        + "  counted: {transform: tabular.python, inputs: [big], params: {function: 'steps:count'}}\n"
    )
    views.run()
    assert views.read("big.csv") == "id,name,n\n2,b,2\n3,c,3\n4,d,4\n"
    assert shown(views, "counted") == ['{"rows": 3, "first": 2}']


def test_a_view_whose_rows_depend_on_threads(empty: Project) -> None:
    """What reads it runs on one thread, over rows in the order of the key."""
    empty.write("raw.csv", "id,n\n" + "".join(f"{i},{i * 7 % 11}\n" for i in range(50)))
    empty.tasks(
        "  raw: {transform: tabular.read, key: id, params: {path: raw.csv}}\n"
        '  one: {transform: tabular.sql, materialize: view, params: {sql: "select id, n from raw limit 1"}}\n'
        '  all: {transform: tabular.sql, params: {sql: "select * from one"}}\n'
    )
    empty.run()
    assert shown(empty, "all") == ['{"id": 0, "n": 0}']


ERRORS = [
    (
        "  a: {transform: shell.run, materialize: view, params: {command: 'true'}}\n",
        "pipeline.yaml:4:42: error: 'shell.run' cannot be a view",
        "help: leave `materialize` out: only queries can be views",
    ),
    (
        "  a: {transform: tabular.sql, materialize: view, key: [x], params: {sql: select 1 as x}}\n",
        "pipeline.yaml:4:44: error: a view has no key",
        "help: give the key to the task that reads the view",
    ),
]


@pytest.mark.parametrize(("tasks", "error", "help_"), ERRORS)
def test_errors(empty: Project, tasks: str, error: str, help_: str) -> None:
    empty.tasks(tasks)
    done = empty.fast("validate")
    assert done.code == 3
    assert done.err.splitlines()[0] == error
    assert help_ in done.err.splitlines()


def test_wrong_query_fails_at_the_view(views: Project) -> None:
    """Not at the first task that reads it."""
    views.edit("pipeline.yaml", "id, name, n from raw", "id, nme, n from raw")
    done = views.fast("run", "--json")
    assert done.outcomes() == {"raw": "fresh", "big": "failed", "bigger": "blocked", "top": "blocked"}
    assert "nme" in done.json()["tasks"][1]["error"]
