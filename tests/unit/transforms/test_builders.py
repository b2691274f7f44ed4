"""Transforms that write their SQL themselves: what they give, and that it is what the query by hand gives."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mmetl.cache.artifacts import PartStore
from mmetl.contracts.artifact import Manifest
from mmetl.core.project import Project as Opened
from mmetl.core.registry import BUILT_IN, load
from mmetl.core.running.inputs import Inputs
from mmetl.engines.duckdb import session
from mmetl.engines.sql.query import analyse
from mmetl.transforms.tabular.sql import SQL
from tests.harness import Project

FLIGHTS = "id,carrier,delay,day\n1,AF,42,mon\n2,AF,,tue\n3,BA,18,mon\n4,,7,tue\n5,BA,0,wed\n"
NAMES = "carrier,name\nAF,Air France\nBA,British\nXX,Nobody\n"
MORE = "id,carrier,knots\n9,LH,400\n1,AF,410\n"
READ = """\
  flights: {transform: tabular.read, params: {path: flights.csv}}
  names: {transform: tabular.read, params: {path: names.csv}}
  more: {transform: tabular.read, params: {path: more.csv}}
"""
CASES: dict[str, tuple[str, str, list[Any]]] = {
    "filter": (
        "{transform: tabular.filter, inputs: [flights], params: {where: delay > 10 -- late}}",
        "select * from flights where delay > 10",
        [[1, "AF", 42, "mon"], [3, "BA", 18, "mon"]],
    ),
    "filter on null": (
        "{transform: tabular.filter, inputs: [flights], params: {where: carrier is null or delay is null}}",
        "select * from flights where carrier is null or delay is null",
        [[2, "AF", None, "tue"], [4, None, 7, "tue"]],
    ),
    "filter an aliased input": (
        "{transform: tabular.filter, inputs: {f: flights}, params: {where: f.id = 2 or f.id = 4}}",
        "select * from flights where id in (2, 4)",
        [[2, "AF", None, "tue"], [4, None, 7, "tue"]],
    ),
    "select": (
        ("{transform: tabular.select, inputs: [flights],"
        " params: {columns: [delay, ID], rename: {ID: number}, computed: {late: delay > 10}}}"),
        "select delay, id as number, delay > 10 as late from flights",
        [[0, 5, False], [7, 4, False], [18, 3, True], [42, 1, True], [None, 2, None]],
    ),
    "select the others": (
        ("{transform: tabular.select, inputs: [flights],"
        ' params: {exclude: [delay, day], rename: {carrier: who}, computed: {delay: "coalesce(delay, -1)"}}}'),
        "select id, carrier as who, coalesce(delay, -1) as delay from flights",
        [[1, "AF", 42], [2, "AF", -1], [3, "BA", 18], [4, None, 7], [5, "BA", 0]],
    ),
    "join": (
        "{transform: tabular.join, inputs: [flights, names], params: {by: [carrier]}}",
        "select * from flights join names using (carrier)",
        [[1, "AF", 42, "mon", "Air France"], [2, "AF", None, "tue", "Air France"], [3, "BA", 18, "mon", "British"],
         [5, "BA", 0, "wed", "British"]],
    ),
    "full join": (
        "{transform: tabular.join, inputs: [names, more], params: {by: [carrier], how: full}}",
        "select * from names full join more using (carrier)",
        [["AF", "Air France", 1, 410], ["BA", "British", None, None], ["LH", None, 9, 400], ["XX", "Nobody", None, None]],
    ),
    "anti join": (
        "{transform: tabular.join, inputs: [flights, names], params: {by: [carrier], how: anti}}",
        "select * from flights where carrier is null",
        [[4, None, 7, "tue"]],
    ),
    "aggregate": (
        ("{transform: tabular.aggregate, inputs: [flights], key: [], params: {by: [carrier],"
        " columns: {flights: count(*), delay: cast(sum(delay) as bigint), known: count(delay)}}}"),
        "select carrier, count(*) as flights, cast(sum(delay) as bigint) as delay, count(delay) as known from flights group by all",
        [["AF", 2, 42, 1], ["BA", 2, 18, 2], [None, 1, 7, 1]],
    ),
    "aggregate all": (
        "{transform: tabular.aggregate, inputs: [flights], params: {columns: {n: count(*), last: max(day)}}}",
        "select count(*) as n, max(day) as last from flights",
        [[5, "wed"]],
    ),
    "deduplicate": (
        "{transform: tabular.deduplicate, inputs: [flights], params: {by: [carrier], latest: delay}}",
        "select * from flights where id in (1, 3, 4)",
        [[1, "AF", 42, "mon"], [3, "BA", 18, "mon"], [4, None, 7, "tue"]],
    ),
    "deduplicate by key, ties by all columns": (
        "{transform: tabular.deduplicate, inputs: [flights], key: day, params: {latest: day}}",
        "select * from flights where id in (1, 2, 5)",
        [[1, "AF", 42, "mon"], [2, "AF", None, "tue"], [5, "BA", 0, "wed"]],
    ),
    "union": (
        "{transform: tabular.union, inputs: [more, names], params: {source: src}}",
        "select *, 'more' as src from more union all by name select *, 'names' as src from names",
        [[1, "AF", 410, "more", None], [9, "LH", 400, "more", None], [None, "AF", None, "names", "Air France"],
         [None, "BA", None, "names", "British"], [None, "XX", None, "names", "Nobody"]],
    ),
    "distinct union": (
        "{transform: tabular.union, inputs: {a: names, b: names}, params: {distinct: true}}",
        "select * from names",
        [["AF", "Air France"], ["BA", "British"], ["XX", "Nobody"]],
    ),
    "pivot": (
        ("{transform: tabular.pivot, inputs: [flights],"
        " params: {by: [carrier], column: day, values: [mon, wed], value: delay, aggregate: max}}"),
        ("select carrier, max(case when day = 'mon' then delay end) as mon,"
        " max(case when day = 'wed' then delay end) as wed from flights group by all"),
        [["AF", 42, None], ["BA", 18, 0], [None, None, None]],
    ),
    "pivot counts": (
        "{transform: tabular.pivot, inputs: [flights], params: {column: id, values: [1, 7]}}",
        'select 1 as "1", 0 as "7"',
        [[1, 0]],
    ),
    "sample all": (
        "{transform: tabular.sample, inputs: [names], params: {rows: 9}}",
        "select * from names",
        [["AF", "Air France"], ["BA", "British"], ["XX", "Nobody"]],
    ),
}  # fmt: skip


@pytest.fixture
def tables(empty: Project) -> Project:
    """Three tables."""
    empty.write("flights.csv", FLIGHTS)
    empty.write("names.csv", NAMES)
    empty.write("more.csv", MORE)
    return empty


def rows(project: Project, task: str) -> list[list[Any]]:
    done = project.fast("show", task, "--json", "--limit", "100")
    return [list(json.loads(line).values()) for line in done.out.splitlines()]


@pytest.mark.parametrize("title", CASES)
def test_rows(tables: Project, title: str) -> None:
    """As a table and as a view, each gives what is written down, and what the query by hand gives."""
    task, sql, expected = CASES[title]
    view = (
        task.replace("{transform", "{materialize: view, transform", 1)
        .replace(" key: day,", "")
        .replace(" key: [],", "")
    )
    if "key: day" in task:
        view = view.replace("params: {", "params: {by: [day], ")
    tables.tasks(
        f"{READ}  made: {task}\n  seen: {view}\n  hand: {{transform: tabular.sql, params: {{sql: {json.dumps(sql)}}}}}\n"
    )
    done = tables.fast("run")
    assert done.code == 0, done.err + done.out
    made = rows(tables, "made")
    assert made == expected or sorted(made, key=repr) == sorted(expected, key=repr)
    assert sorted(rows(tables, "hand"), key=repr) == sorted(made, key=repr)
    assert sorted(rows(tables, "seen"), key=repr) == sorted(made, key=repr)
    assert set(tables.run().values()) == {"fresh"}


def test_a_sample_is_decided_by_key_seed_and_share(tables: Project) -> None:
    """The same rows whatever else there is; a larger share has the rows of a smaller one; another seed others."""
    tables.write("flights.csv", "id,v\n" + "".join(f"{i},{i % 7}\n" for i in range(400)))
    task = "{{transform: tabular.sample, inputs: [flights], params: {{{}}}}}"
    tables.tasks(
        READ
        + "".join(
            f"  {name}: {task.format(params)}\n"
            for name, params in {
                "few": "fraction: 0.1, by: [id]",
                "many": "fraction: 0.3, by: [id]",
                "seeded": "fraction: 0.1, by: [id], seed: 1",
                "whole": "fraction: 0.1",
                "five": "rows: 5, by: [id]",
                "eight": "rows: 8, by: [id]",
                "all": "fraction: 1",
            }.items()
        )
        + "  none: {transform: tabular.filter, inputs: [flights], params: {where: id < 200}}\n"
        + f"  half: {task.format('fraction: 0.1, by: [id]').replace('[flights]', '[none]')}\n"
    )
    assert tables.fast("run").code == 0
    found = {
        n: {r[0] for r in rows(tables, n)} for n in ("few", "many", "seeded", "whole", "five", "eight", "all", "half")
    }
    assert [len(found[n]) for n in ("five", "eight", "all")] == [5, 8, 400]
    assert all(20 < len(found[n]) < 65 for n in ("few", "seeded", "whole"))
    assert found["few"] < found["many"]
    assert found["five"] < found["eight"]
    assert found["few"] != found["seeded"]
    assert found["half"] == {i for i in found["few"] if i < 200}


ERRORS = {
    "no expression": (
        "{transform: tabular.filter, inputs: [flights], params: {where: delay >}}",
        "pipeline.yaml:7:77: error: this expression cannot be read",
    ),
    "subquery": (
        "{transform: tabular.filter, inputs: [flights], params: {where: id in (select 1)}}",
        "pipeline.yaml:7:78: error: an expression cannot have a subquery",
    ),
    "second statement": (
        "{transform: tabular.filter, inputs: [flights], params: {where: id = 1; drop table flights}}",
        "pipeline.yaml:7:77: error: an expression is not a statement: it has no semicolon",
    ),
    "leaves its parentheses": (
        '{transform: tabular.filter, inputs: [flights], params: {where: "id = 1) or (true"}}',
        "pipeline.yaml:7:78: error: nothing opens this ')'",
    ),
    "alias": (
        "{transform: tabular.select, inputs: [flights], params: {computed: {x: id as y}}}",
        "pipeline.yaml:7:78: error: this is not one expression",
    ),
    "volatile": (
        "{transform: tabular.select, inputs: [flights], params: {computed: {x: id + random()}}}",
        "pipeline.yaml:7:83: error: 'random' has another value at each run, so the result could not be reused",
    ),
    "two inputs": (
        "{transform: tabular.filter, inputs: [flights, names], params: {where: true or false}}",
        "pipeline.yaml:7:62: error: 'tabular.filter' reads one input, and has 2",
    ),
    "one input": (
        "{transform: tabular.join, inputs: [flights], params: {by: [id]}}",
        "pipeline.yaml:7:53: error: 'tabular.join' reads 2 inputs or more, and has 1",
    ),
    "sample of nothing": (
        "{transform: tabular.sample, inputs: [flights], params: {seed: 3}}",
        "pipeline.yaml:7:63: error: a sample has either `fraction` or `rows`",
    ),
    "nothing names a row": (
        "{transform: tabular.deduplicate, inputs: [flights], params: {latest: day}}",
        "pipeline.yaml:7:68: error: nothing names a row",
    ),
}


@pytest.mark.parametrize("title", ERRORS)
def test_errors_of_a_plan(tables: Project, title: str) -> None:
    task, error = ERRORS[title]
    tables.tasks(f"{READ}  bad: {task}\n")
    done = tables.fast("validate")
    assert (done.code, done.err.splitlines()[0]) == (3, error)


UNKNOWN = {
    "in an expression": (
        "{transform: tabular.filter, inputs: [flights], params: {where: id = 1 and dealy > 1}}",
        [
            'pipeline.yaml:7:82: error: referenced column "dealy" not found in FROM clause',
            "help: did you mean 'delay'? the columns are: id, carrier, delay, day",
        ],
    ),
    "in a list": (
        "{transform: tabular.aggregate, inputs: [flights], params: {by: [day, carier], columns: {n: count(*)}}}",
        [
            "pipeline.yaml:7:77: error: 'flights' has no column 'carier'",
            "help: did you mean 'carrier'? the columns are: id, carrier, delay, day",
        ],
    ),
    "in a mapping": (
        "{transform: tabular.select, inputs: [flights], params: {rename: {dy: weekday}}}",
        [
            "pipeline.yaml:7:77: error: 'flights' has no column 'dy'",
            "help: did you mean 'day'? the columns are: id, carrier, delay, day",
        ],
    ),
    "of the other table": (
        "{transform: tabular.join, inputs: [flights, names], params: {by: [day]}}",
        [
            "pipeline.yaml:7:74: error: 'names' has no column 'day'",
            "help: the columns are: carrier, name",
        ],
    ),
}


@pytest.mark.parametrize("title", UNKNOWN)
def test_unknown_columns(tables: Project, title: str) -> None:
    task, told = UNKNOWN[title]
    tables.tasks(f"{READ}  bad: {task}\n")
    assert tables.fast("run").code == 1
    (log,) = tables.root.glob(".mmetl/logs/*/p.bad.log")
    lines = log.read_text().splitlines()
    assert [next((line for line in lines if line.endswith(t)), lines) for t in told] == told


@pytest.mark.parametrize("kind", ["table", "view"])
def test_a_join_with_two_columns_of_one_name(tables: Project, kind: str) -> None:
    """It is an error, as a view too, which would else call the second one `id_1`."""
    task = f"{{transform: tabular.join, materialize: {kind}, inputs: [flights, more], params: {{by: [carrier]}}}}"
    tables.tasks(f"{READ}  bad: {task}\n")
    assert tables.fast("run").code == 1
    (log,) = tables.root.glob(".mmetl/logs/*/p.bad.log")
    assert "error: two columns are named 'id'" in log.read_text()


def test_layout_of_expressions_does_not_count(tables: Project) -> None:
    tables.tasks(
        READ + "  f: {transform: tabular.filter, inputs: [flights], params: {where: \"id > 1 and day = 'mon'\"}}\n"
    )
    assert tables.run()["f"] == "ran"
    tables.edit("pipeline.yaml", "id > 1 and day", "id  >  1 /* x */ AND day")
    assert tables.run()["f"] == "fresh"
    tables.edit("pipeline.yaml", "'mon'", "'Mon'")
    assert tables.run()["f"] == "ran"


ONE, MAX = "{rows: 1, by: [id]}", "{columns: {last: max(delay)}}"
FUSED = (
    READ
    + """\
  late: {transform: tabular.filter, materialize: view, inputs: [flights], params: {where: delay > 10 -- late}}
  few: {transform: tabular.select, materialize: view, inputs: {l: late}, params: {columns: [id, delay]}}
  first: {transform: tabular.sample, inputs: [few], params: {rows: 1, by: [id]}}
"""
)
FIRST = """\
-- first: duckdb
-- reads flights: columns are not known before it has run
with "few" as not materialized (
with "l" as not materialized (
select * from "flights" where (
delay > 10 -- late
)
)
select * from (
select "id", "delay" from "l"
)
)
select * from (
select * from (select * from "few" as __mmetl_row order by md5('0:' || cast([cast("id" as varchar)] as varchar)), __mmetl_row limit 1)
);
"""


def test_dry_run_shows_the_queries(tables: Project) -> None:
    """Each with the views that it reads inside, what runs it, and why on one thread; it gives what the run gives."""
    tables.tasks(FUSED)
    text = tables.fast("dry-run", "--sql").out
    assert FIRST in text
    assert "\n-- late: duckdb\n-- reads flights: columns are not known before it has run\nselect * from" in text
    tasks = {t["task"]: t["sql"] for t in tables.fast("dry-run", "--sql", "--json").json()["tasks"]}
    assert tasks["flights"] is None
    assert FIRST.split("\n", 2)[2] == tasks["first"].pop("query") + ";\n"
    assert tasks["first"] == {"engine": "duckdb", "single_thread": [], "reads": {"flights": None}}
    assert "sql" not in tables.fast("dry-run", "--json").json()["tasks"][0]


def test_a_chain_of_views_is_one_scan(tables: Project) -> None:
    """DuckDB's plan over the views reads only the columns that are needed, and filters while it reads."""
    tables.tasks(
        FUSED.replace("first: {transform: tabular.sample", "first: {transform: tabular.aggregate").replace(ONE, MAX)
    )
    assert tables.fast("run").code == 0
    assert rows(tables, "first") == [[42]]
    (scan,) = scans(plan_of(tables, "few", "select max(delay) as last from few"))
    assert scan["name"].strip() == "READ_PARQUET"
    assert scan["extra_info"]["Projections"] == "delay"
    assert scan["extra_info"]["Filters"] == "delay>10"


def test_filters_and_projections_reach_the_buckets_of_a_keyed_table(tables: Project) -> None:
    """Also through a view, on one thread in an order of its own, and below a family."""
    lines = "".join(f"{n},{n % 7},{n},{'x' * 500}\n" for n in range(6000))
    tables.write("wide.csv", f"id,carrier,delay,note\n{lines}")
    tables.tasks(
        """\
  wide: {transform: tabular.read, key: id, params: {path: wide.csv}}
  late: {transform: tabular.filter, materialize: view, inputs: [wide], params: {where: delay >= 5990}}
  each:
    matrix: {carrier: [1, 2]}
    materialize: view
    transform: tabular.filter
    inputs: [wide]
    params: {where: "carrier = ${matrix:carrier}"}
"""
    )
    assert tables.fast("run").code == 0
    manifest = current(tables, "wide").manifest
    assert manifest.buckets > 1
    assert len(manifest.parts) == manifest.buckets
    for canonical in (False, True):
        (scan,) = scans(plan_of(tables, "late", "select max(id) from late", canonical=canonical))
        assert scan["name"].strip() == "READ_PARQUET"
        assert scan["extra_info"]["Projections"] == "id"
        assert scan["extra_info"]["Filters"] == "delay>=5990"
    (scan,) = scans(plan_of(tables, "each@2", 'select sum(delay) from "each@2" where id < 10'))
    assert scan["extra_info"]["Projections"] == "delay"
    assert "carrier=2" in str(scan["extra_info"]["Filters"])
    assert "id<10" in str(scan["extra_info"]["Filters"])


def current(project: Project, task: str) -> Any:
    opened = Opened.open(project.root)
    (made,) = opened.store.rows(
        "select m.body from tasks join manifests m on fingerprint = manifest where task = ?", (task,)
    )
    return Inputs(opened.store, PartStore(opened.files), opened.root).find(task, Manifest.from_json(made[0]))


def plan_of(project: Project, task: str, sql: str, *, canonical: bool = False) -> Any:
    with session(project.root, tables={task: current(project, task)}, canonical=canonical) as db:
        return json.loads(db.rows(f"explain (format json) {sql}")[0][1])


def scans(nodes: list[Any]) -> Iterator[Any]:
    for node in nodes:
        yield from scans(node["children"])
        if not node["children"]:
            yield node


LAWS: list[tuple[str, dict[str, Any], str, int]] = [
    ("filter", {"where": "a > b or c is null"}, "from t where a > b or c is null", 1),
    (
        "select",
        {"columns": ["c", "a"], "rename": {"a": "x"}, "computed": {"y": "a + b"}},
        "select c, a x, a+b y from t",
        1,
    ),
    ("join", {"by": ["a"], "how": "left"}, "from t left join u using (a)", 2),
    ("aggregate", {"by": ["a"], "columns": {"n": "sum(b)"}}, "select a, sum(b) n from t group by a", 1),
    ("union", {}, "from t union all by name from u", 2),
    (
        "deduplicate",
        {"by": ["a"], "latest": "b"},
        (
            "select a, b, c from (select *, row_number() over (partition by a order by b desc nulls last, a, b, c) n from t)"
            " where n = 1"
        ),
        1,
    ),
    (
        "pivot",
        {"by": ["a"], "column": "b", "values": [1, -1], "value": "c", "aggregate": "max"},
        'select a, max(case b when 1 then c end) "1", max(case b when -1 then c end) "-1" from t group by a',
        1,
    ),
    ("sample", {"rows": 100}, "from t", 1),
]
values = st.one_of(st.none(), st.integers(-2, 2))


@given(st.lists(st.tuples(values, values, values), max_size=8))
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_each_equals_its_query_by_hand(bench: Any, found: list[tuple[int | None, int | None, int | None]]) -> None:
    """Over any small table, each gives the very parts that `tabular.sql` gives for the query that one would write."""
    columns = list(zip(*found, strict=True)) or [(), (), ()]
    data = {n: pa.array(list(c), pa.int64()) for n, c in zip("abc", columns, strict=True)}
    t, u = bench.table(pa.table(data)), bench.table(pa.table({"a": data["c"], "d": data["b"]}))
    for transform, params, sql, inputs in LAWS:
        given_ = {"t": t, "u": u} if inputs == 2 else {"t": t}
        made = bench.run(load(BUILT_IN[f"tabular.{transform}"]), params, given_)
        assert made.manifest.parts == bench.run(SQL, {"sql": sql}, given_).manifest.parts, transform


PICKS: dict[str, tuple[str, dict[str, Any], int]] = {
    # a transform, its params, how many rows it keeps
    "the latest of rows that tie": ("deduplicate", {"by": ["g"], "latest": "k"}, 1000),
    "of large groups": ("deduplicate", {"by": ["k"], "latest": "d"}, 50),
    "of rows of which some are equal": ("deduplicate", {"by": ["id"], "latest": "v"}, 200_000),
    "rows by the hash of a column that repeats": ("sample", {"rows": 777, "by": ["g"]}, 777),
    "rows by the hash of the row": ("sample", {"rows": 5000, "seed": 3}, 5000),
}


@pytest.fixture(scope="module")
def many(tmp_path_factory: Any) -> tuple[Any, Any]:
    from transform_bench import Bench

    bench = Bench(tmp_path_factory.mktemp("picks"))
    with duckdb.connect() as con:
        found = con.sql(
            """select r % 200000 id, (hash(r % 200000) % 1000)::int g, (hash(r % 200000 + 7) % 50)::int k,
            case when r % 5 > 1 then (r % 200000 % 100)::double when r % 200000 < 9 then -0.0::double else 0.0::double end v,
            ['a', null, 'c'][(r % 200000 % 3)::int + 1] s, (r % 200000)::decimal(12, 2) d from range(400000) x(r)"""
        )
        return bench, bench.table(found.to_arrow_table())


@pytest.mark.parametrize("title", PICKS)
def test_what_is_picked_does_not_depend_on_threads(many: tuple[Any, Any], title: str) -> None:
    """They run on all threads, since their order ends with all columns: what still ties is equal."""
    bench, table = many
    name, params, count = PICKS[title]
    transform = load(BUILT_IN[f"tabular.{name}"])
    assert analyse(transform.query_text(transform.params(**params), ["t"], ())).single_thread() == ()
    made = [bench.run(transform, params, {"t": table}, threads=threads).manifest for threads in (1, 2, 4)]
    assert made[0].rows == count
    assert made[0].parts == made[1].parts == made[2].parts
