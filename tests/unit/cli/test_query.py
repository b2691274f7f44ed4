"""`mmetl query`: the artifacts of a project as tables."""

from __future__ import annotations

import json

import pytest
from harness import Project

from mmetl.api.query import query
from mmetl.core.project import Project as CoreProject

TASKS = """\
  flights:
    transform: tabular.read
    key: [id]
    params: {path: flights.csv}
  late:
    transform: tabular.sql
    params: {sql: "select carrier, count(*) as n from flights where delay > 15 group by carrier"}
  above:
    transform: tabular.sql
    materialize: view
    params: {sql: "select id, delay from flights where delay > 20"}
  report: {transform: tabular.write, inputs: [late], params: {path: out.csv}}
"""


@pytest.fixture
def air(empty: Project) -> Project:
    empty.write("flights.csv", 'id,carrier,delay,note\n1,AF,42,"a, ""b"""\n2,AF,0,\n3,BA,18,x\n')
    empty.tasks(TASKS)
    empty.run()
    return empty


ANSWERS: dict[str, tuple[list[str], str]] = {
    "a table": (["from late"], "carrier  n\nAF       1\nBA       1\n2 rows\n"),
    "a view": (["from above"], "id  delay\n1   42\n1 row\n"),
    "qualified": (["select n from p.late"], "n\n1\n1\n2 rows\n"),
    "in capitals": (["SELECT MAX(N) AS M FROM LATE"], "M\n1\n1 row\n"),
    "a join": (["select delay from flights join late using (carrier) where id = 3"], "delay\n18\n1 row\n"),
    "a limit": (["from flights", "-n", "1"], 'id  carrier  delay  note\n1   AF       42     a, "b"\nthe first 1 row; --limit shows more\n'),
    "JSON": (["select id, note from flights where id < 3", "--json"], '{"id": 1, "note": "a, \\"b\\""}\n{"id": 2, "note": null}\n'),
    "CSV": (["select id, note, '' as e from flights where id < 3", "--csv"], 'id,note,e\n1,"a, ""b""",""\n2,,""\n'),
    "types in CSV": (
        ["select [1, null] as l, {'a': 1} as s, date '2024-01-31' as d, true as b, 1.50::decimal(9,2) as m", "--csv"],
        'l,s,d,b,m\n"[1, null]","{""a"": 1}",2024-01-31,true,1.50\n',
    ),
    "no row": (["from late where n > 9", "--csv"], "carrier,n\n"),
    "what there is": (["show tables"], "name\nabove\nflights\nlate\n3 rows\n"),
    "columns": (["select column_name from (describe late)"], "column_name\ncarrier\nn\n2 rows\n"),
    "no artifact": (["select 1 as one"], "one\n1\n1 row\n"),
}  # fmt: skip


@pytest.mark.parametrize(("argv", "text"), ANSWERS.values(), ids=ANSWERS.keys())
def test_answers(air: Project, argv: list[str], text: str) -> None:
    """Rows on stdout, as a table, as JSON, as CSV."""
    done = air.fast("query", *argv)
    assert (done.code, done.err, done.out) == (0, "", text)


MISTAKES = {
    "column": (
        "select carier from late",
        ('sql:1:8: error: referenced column "carier" not found in FROM clause\n   1 | select carier from late\n     |        ^\n'
        'help: candidate bindings: "carrier"\n'),
    ),
    "table": (
        "select *\nfrom laet",
        "sql:2:6: error: table with name laet does not exist\n   2 | from laet\n     |      ^\nhelp: did you mean 'late'?\n",
    ),
    "unlike any": (
        "from zzz",
        ("sql:1:6: error: table with name zzz does not exist\n   1 | from zzz\n     |      ^\n"
        "help: tasks with an artifact: above, flights, late, report\n"),
    ),
    "files": (
        "from report",
        ("sql:1:6: error: table with name report does not exist\n   1 | from report\n     |      ^\n"
        "help: 'report' made files, not a table\n"),
    ),
    "syntax": (
        "selec 1",
        'sql:1:1: error: syntax error at or near "selec"\n   1 | selec 1\n     | ^\n',
    ),
    "two": ("select 1; select 2", "error: one query is expected, and this is 2\nhelp: write one SELECT\n"),
    "nothing": (" ", "error: one query is expected, and this is none\nhelp: write one SELECT\n"),
    "a change": (
        "drop view late",
        "error: a query is expected, and this is DROP\nhelp: artifacts are only read here: write a SELECT\n",
    ),
    "a file": (
        "from 'flights.csv'",
        ('error: cannot access file "flights.csv" - file system operations are disabled by configuration\n'
        "help: artifacts are read here, and no files: a `tabular.read` task makes a table of them\n"),
    ),
}  # fmt: skip


@pytest.mark.parametrize(("sql", "text"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes(air: Project, sql: str, text: str) -> None:
    """Exit code 2; the place in the SQL, and what to write instead."""
    done = air.fast("query", sql)
    assert (done.code, done.out, done.err) == (2, "", text)


@pytest.mark.parametrize(
    "sql", ["copy late to 'x.csv'", "create table x as from late", "attach 'x.db'", "install json"]
)
def test_nothing_is_written(air: Project, sql: str) -> None:
    """Whatever is no query is refused before it is run."""
    before = sorted(p for p in air.root.rglob("*") if p.is_file() and ".mmetl" not in p.parts)
    assert air.fast("query", sql).code == 2
    assert sorted(p for p in air.root.rglob("*") if p.is_file() and ".mmetl" not in p.parts) == before


def test_an_error_in_the_rows(air: Project) -> None:
    """What the engine meets after the first rows is told in the same way; what was printed stays."""
    done = air.fast("query", "select error('row ' || id) from flights where id = 2", "--json")
    assert (done.code, done.err.splitlines()[0]) == (2, "error: row 2")


def test_names_that_clash(air: Project) -> None:
    """Of a name that two pipelines have, the whole one must be written."""
    air.write(
        "q.yaml",
        f"version: 1\nname: q\ntasks:\n{TASKS}".replace("delay > 15", "delay > 20").replace("out.csv", "q.csv"),
    )
    air.run("q")
    assert air.fast("query", "from late").err.endswith(
        "help: several pipelines have a task 'late': write p.late or q.late\n"
    )
    both = "select 'p' as of, * from p.late union all select 'q', * from q.late order by all"
    assert air.fast("query", both, "--csv").out == "of,carrier,n\np,AF,1\np,BA,1\nq,AF,1\n"


def test_a_family_is_one_table(empty: Project) -> None:
    """The union of the members of a matrix, after a column for each variable; each member is one too."""
    for name, value in (("eu", 1), ("us", 2)):
        empty.write(f"{name}.csv", f"id,v\n1,{value}\n")
    empty.tasks(
        "  load:\n    transform: tabular.read\n    matrix: {region: [eu, us]}\n"
        '    params: {path: "${matrix:region}.csv"}\n'
    )
    empty.run()
    assert empty.fast("query", "from load order by all", "--csv").out == "region,id,v\neu,1,1\nus,1,2\n"
    assert empty.fast("query", "select v from p.load where region = 'us'", "--csv").out == "v\n2\n"
    assert empty.fast("query", 'from "load@us"', "--csv").out == "id,v\n1,2\n"


def test_rows_stream(air: Project) -> None:
    """A reader that has enough does not wait for the rest."""
    done = air.mmetl("query", "select range as n from range(100000000000)", "--json", "--limit", "2")
    assert [json.loads(line) for line in done.out.splitlines()] == [{"n": 0}, {"n": 1}]


def test_orphans_are_no_tables(air: Project) -> None:
    """A task that is gone from the YAML is not asked."""
    air.edit("pipeline.yaml", "  above:\n", "  over:\n")
    air.run()
    assert air.fast("query", "show tables", "--csv").out == "name\nflights\nlate\nover\n"


def test_garbage_collection_waits_for_a_query(air: Project) -> None:
    """As long as rows are read, their parts stay."""
    with query(CoreProject.open(air.root), "from flights") as rows:
        assert air.fast("gc").err == "parts are being read: they stay until the next time\n"
        assert sum(batch.num_rows for batch in rows.batches) == 3
    assert air.fast("gc").err == ""


def test_json_and_csv_together(air: Project) -> None:
    """One of them."""
    assert (
        air.fast("query", "from late", "--json", "--csv").err
        == "error: --json and --csv were both given\nhelp: choose one\n"
    )


def test_a_project_that_never_ran(empty: Project) -> None:
    """Looking makes nothing."""
    assert empty.fast("query", "select 1 as one", "--csv").out == "one\n1\n"
    assert empty.fast("query", "from late").err.endswith("help: tasks with an artifact: none\n")
    assert list(empty.root.iterdir()) == []
