"""What the text of a query tells."""

from __future__ import annotations

import json

import duckdb
import pytest

from mmetl.engines.sql.analysis import Analysis
from mmetl.engines.sql.functions import HARD, SAFE_AGGREGATES, SUMS, UNORDERED
from mmetl.engines.sql.query import _RESERVED, analyse
from mmetl.errors import ParamError

TABLES = {
    "select * from t": ["t"],
    "from T join t using (a), U": ["T", "U"],
    'select * from "Big" b, lateral (select b.x) l': ["Big"],
    "with a as (select * from late), late as (select * from a) select * from late": ["late"],
    "with recursive r as (select 1 x union all select x + 1 from r) from r, t": ["t"],
    "select (with q as (from t) select max(x) from q), (select 1 from q)": ["t", "q"],
    "select * from unnest([1]), range(3), generate_series(1, 2), t x, unnest(x.l)": ["t"],
    "select a from t where a in (select b from u) and exists (from v)": ["t", "u", "v"],
    "pivot t on a using sum(b)": ["t"],
    "from (values (1)) v(x), (from t) w": ["t"],
    "select 'from x' -- from y\n from t /* from z */": ["t"],
}


@pytest.mark.parametrize("sql", TABLES)
def test_tables(sql: str) -> None:
    found = analyse(sql).tables
    assert sorted(m.name for m in found) == sorted(TABLES[sql])
    assert all(sql[m.offset :].lstrip('"').startswith(m.name) for m in found)


SAME = [
    ("select a from t", "SELECT  a -- x\nFROM t ;"),
    ("select a from t order by a limit 1", "select a From t ORDER  BY a /* c */ Limit 1"),
    ("select count(*) from t", "select count( * ) from t"),
    (
        "with recursive r as ( values ( 1 ) ) select sum ( a ) over ( partition by b ) from t where exists ( from r )",
        "WITH RECURSIVE r AS ( VALUES ( 1 ) ) SELECT sum ( a ) OVER ( PARTITION BY b ) FROM t WHERE EXISTS ( FROM r )",
    ),
]
DIFFERENT = [
    ("select a from t", "select A from t"),  # the name of the column
    ("select stddev(a) from t", "select stddev_samp(a) from t"),  # so it is here
    ("select 'a' from t", "select 'A' from t"),
    ('select "ALL" from t', 'select "all" from t'),
    ("select 1.5", "select 1 .5"),
    ("select struct_pack(left := 1) s from t", "select struct_pack(LEFT := 1) s from t"),
    ("select struct_pack(full => 1) s from t", "select struct_pack(Full => 1) s from t"),
    ("select {over: 1} s from t", "select {Over: 1} s from t"),
    ("select over: 1 from t", "select OVER: 1 from t"),
    ("select x::struct(values int) s from t", "select x::struct(VALUES int) s from t"),
    ("select values from t", "select Values from t"),
    ("select a as order from t", "select a as ORDER from t"),
    ("select s.order from t", "select s.ORDER from t"),
    ("from t x(partition)", "from t x(Partition)"),
    ("select f(x).end from t", "select f(x).END from t"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_canonical_form_sees_no_layout(one: str, other: str) -> None:
    assert analyse(one).canonical == analyse(other).canonical == one.replace("count(*)", "count ( * )")


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_canonical_form_sees_meaning(one: str, other: str) -> None:
    assert analyse(one).canonical != analyse(other).canonical


PLACES = (
    "select {w} from (select 1 as {w})", "select struct_pack({w} := 1) s", "select struct_pack({w} => 1) s", "select {{{w}: 1}} s",
    "select {{'a': 1}}::struct({w} int) s", "select {w}: 1", "select 1 as {w}", "select 1 {w}", "select a.{w} from (select 1 as {w}) a",
    "select a.{w} x from (select {{'{w}': 1}} a)", "select * from (select 1) t({w})", "select max(1) {w}", "select (1) {w}, 2",
    "select * exclude (b) replace (2 as {w}) from (select 1 as {w}, 2 b)", "select * rename (a as {w}) from (select 1 a)",
    "pivot (select 1 a, 2 b) on a using sum(b) as {w}", "select {w}(1)", "unpivot (select 1 a) on a into name {w} value v",
    "select * from (select 1 as {w}) a join (select 1 as {w}) b using ({w})", "select (select 1 as x) {w} from (select 1)",
)  # fmt: skip


def test_words_whose_case_duckdb_shows_count() -> None:
    """Every word whose case does not count elsewhere, where a name may stand: where the case is in the columns, it counts."""
    with duckdb.connect() as con:

        def columns(sql: str) -> object:
            try:
                return con.execute(f"describe {sql}").fetchall()
            except duckdb.Error:
                return None

        shown = 0
        for word in sorted(_RESERVED):
            for place in PLACES:
                one, other = place.format(w=word), place.format(w=word.title())
                if columns(one) != columns(other):
                    shown += 1
                    try:
                        assert analyse(one).canonical != analyse(other).canonical, one
                    except ParamError:
                        continue
    assert shown > 150


TIES = {
    "select * from t order by b limit 3": "select * from t order by b, 1, 2 limit 3",
    "select a from t order by b, c desc nulls last -- x\n offset 2": "select a from t order by b, c desc nulls last, 1, 2 -- x\n offset 2",
    "(select a from t order by (a + 1) limit 3);": "(select a from t order by (a + 1), 1, 2 limit 3)",
    "select a from t order by all": "select a from t order by all",
    "from t select a order by b": "from t select a order by b, 1, 2",
    "with a as (from t order by x) select a, row_number() over (order by z) from a order by 'é', y": (
        "with a as (from t order by x) select a, row_number() over (order by z) from a order by 'é', y, 1, 2"
    ),
}


@pytest.mark.parametrize("sql", TIES)
def test_ties_are_broken_in_the_outermost_order(sql: str) -> None:
    found = analyse(sql)
    assert found.ordered
    assert found.break_ties(2) == TIES[sql]


@pytest.mark.parametrize(
    "sql", ["select a from t", "select * from (from t order by a)", "select sum(a) over (order by b) from t"]
)
def test_no_order(sql: str) -> None:
    assert not analyse(sql).ordered


PARALLEL = [
    "select sum(1), sum(x::int), avg(case when a then 1 else 0 end), sum(if(a, 1, 0)), sum(length(s)) from t",
    "select sum(cast(x as decimal(9, 2))), sum(count(*)) over () from t",
    "select sum(n), sum(t.n * 2 + -1), sum(distinct n), sum(n) filter (where b), avg(coalesce(n, 0)) from t",
    "select list(x order by x), string_agg(s, ',' order by s desc), array_agg(distinct x order by x) from t",
    "select a from t order by a limit 3",
    "select first, list from t",
]


@pytest.mark.parametrize("sql", PARALLEL)
def test_exact_queries_run_in_parallel(sql: str) -> None:
    assert analyse(sql).single_thread({"n"}) == ()


FLOATS = "'sum' adds numbers that may be floats in any order"
ALONE = {
    "select sum(x) from t": (FLOATS,),
    "select sum(n), sum(x) from t": (FLOATS,),
    "select sum(n / 2) from t": (FLOATS,),
    "select sum(n) from (select v as n from t)": (FLOATS,),
    "select sum(n) from (select n: v from t)": (FLOATS,),
    "select sum(n) from (select v from t) x(n)": (FLOATS,),
    "select sum(n) from (select * replace (n / 2 as n) from t)": (FLOATS,),
    "select sum(n) from (select columns(*) / 2 from t)": (FLOATS,),
    "select sum(n) from (select n from t union all select 1.5::double)": (FLOATS,),
    "select sum(s.n) from (select {'n': 1.5::double} s)": (FLOATS,),
    'select t.l.list_first(), "sum"(x) from t': (FLOATS,),
    "select list(x) from t": ("'list' takes rows in any order",),
    "select list(x order by y), list(x order by x) from t": ("'list' takes rows in any order",),
    "select x.first() from t": ("'first' takes any row of those that tie",),
    "(select a from t order by b) limit 3": ("LIMIT without a total order takes any rows",),
    "select * from (select a from t order by b limit 3) order by a limit 1": (
        "LIMIT without a total order takes any rows",
    ),
    "select row_number() over w from t window w as (order by a)": ("'row_number' numbers rows that tie in any order",),
    "from t as __mmetl_row qualify row_number() over (order by a, __mmetl_row) = row_number() over (order by a)": (
        "'row_number' numbers rows that tie in any order",
    ),
    "from t as __mmetl_row join u using (a) qualify row_number() over (order by a, __mmetl_row) = 1": (
        "'row_number' numbers rows that tie in any order",
    ),
    "from t as __mmetl_row qualify row_number() over (order by __mmetl_row, a) = 1": (
        "'row_number' numbers rows that tie in any order",
    ),
    "select * from (from t as __mmetl_row order by a limit 3)": ("LIMIT without a total order takes any rows",),
    "select * from (from (from t limit 1) as __mmetl_row order by a, __mmetl_row limit 3)": (
        "LIMIT without a total order takes any rows",
    ),
    "select count(*) over w from t window w as (order by a rows 3 preceding)": (
        "a window of ROWS splits rows that tie",
    ),
    "select s collate nocase x from t group by 1": ("COLLATE takes any of the texts that it holds equal",),
    "select * from t positional join u": ("this join takes any row of those that tie",),
}


@pytest.mark.parametrize("sql", ALONE)
def test_other_queries_run_alone(sql: str) -> None:
    assert analyse(sql).single_thread({"n"}) == ALONE[sql]


@pytest.mark.parametrize("sql", [*PARALLEL, *ALONE, *TIES])
def test_kept_analysis_is_the_same(sql: str) -> None:
    """A plan keeps it as JSON; for another text, as a secret makes it, it is not taken."""
    found = analyse(sql)
    kept = Analysis.kept(json.loads(json.dumps(found)), sql)
    assert kept
    for columns in ((), {"n"}):
        assert kept.single_thread(columns) == found.single_thread(columns)
    assert kept.break_ties(2) == found.break_ties(2)
    assert json.dumps(kept) == json.dumps(found)
    assert Analysis.kept(kept, f"{sql} ") is None
    assert Analysis.kept((), sql) is None


def test_every_aggregate_of_duckdb_is_known() -> None:
    """A new DuckDB may bring functions of which nobody has found out whether threads matter."""
    with duckdb.connect() as con:
        found = con.execute(
            "select distinct function_name from duckdb_functions() where function_type = 'aggregate'"
        ).fetchall()
    internal = {"combine_aggr"}
    assert {n for (n,) in found} - {*HARD, *SAFE_AGGREGATES, *SUMS, *UNORDERED, *internal} == set()


VOLATILE = ("has another value at each run, so the result could not be reused",
            "pass the value in with `${var:name}` and `--var name=value`, or set `volatile: true`")  # fmt: skip
FILE = "itself: a change of the file would go unseen"
ERRORS = {
    "": ("the SQL is empty", "write a query, such as: select * from other_task", None),
    "-- nothing": ("the SQL is empty", "write a query, such as: select * from other_task", None),
    "select 1; select 2": (
        "this SQL has more than one statement",
        "a task is one query: use one task for each, or `with ... as (...)`",
        10,
    ),
    "update t set a = 1": (
        "this SQL is not a query",
        "tabular.sql takes one SELECT; what it returns is the task's table",
        None,
    ),
    "create table x as select 1": (
        "this SQL is not a query",
        "tabular.sql takes one SELECT; what it returns is the task's table",
        None,
    ),
    "select 'a": ("this SQL cannot be read: a quote or a comment is not closed", "", None),
    "select a\nfrom from": ("this SQL cannot be read near 'from'", "", 14),
    "select * from 'data/My flights.csv'": (
        f"a query cannot read the file 'data/My flights.csv' {FILE}",
        "add a task `my_flights: {transform: tabular.read, params: {path: data/My flights.csv}}` and write: from my_flights",
        14,
    ),
    "select * from read_parquet('x/*.parquet')": (
        f"a query cannot read the file 'x/*.parquet' {FILE}",
        "add a task `rows: {transform: tabular.read, params: {path: x/*.parquet}}` and write: from rows",
        14,
    ),
    "from read_csv('data/2024-01.csv')": (
        f"a query cannot read the file 'data/2024-01.csv' {FILE}",
        "add a task `rows: {transform: tabular.read, params: {path: data/2024-01.csv}}` and write: from rows",
        5,
    ),
    "from '2024-Flights of May.csv.gz'": (
        f"a query cannot read the file '2024-Flights of May.csv.gz' {FILE}",
        "add a task `flights_of_may: {transform: tabular.read, params: {path: 2024-Flights of May.csv.gz}}` and write: from flights_of_may",
        5,
    ),
    "from 'order.csv'": (
        f"a query cannot read the file 'order.csv' {FILE}",
        "add a task `order_rows: {transform: tabular.read, params: {path: order.csv}}` and write: from order_rows",
        5,
    ),
    "select * from 'https://host/a.csv'": (
        f"a query cannot read the file 'https://host/a.csv' {FILE}",
        "add a task `a: {transform: tabular.read, params: {path: https://host/a.csv}}` and write: from a",
        14,
    ),
    "select * from raw.flights": (
        "'raw.flights' has a schema; a query reads tasks of this pipeline by their names",
        "write the name of a task, such as: from flights",
        14,
    ),
    "from query('select 1')": (
        "a query cannot call the table function 'query': it looks outside of the pipeline",
        "these can be called: generate_series, generate_subscripts, json_each, json_tree, range, repeat, repeat_row, unnest",
        5,
    ),
    "select now()": (f"'now' {VOLATILE[0]}", VOLATILE[1], 7),
    "select a, RANDOM ( ) from t": (f"'random' {VOLATILE[0]}", VOLATILE[1], 10),
    "select current_date - a from t": (f"'current_date' {VOLATILE[0]}", VOLATILE[1], 7),
    "select age(a) from t": (f"'age' {VOLATILE[0]}", VOLATILE[1], 7),
    "select gen_random_uuid()": (f"'gen_random_uuid' {VOLATILE[0]}", VOLATILE[1], 7),
    "select * from t using sample 10": (f"'sample' {VOLATILE[0]}", VOLATILE[1], 22),
}


@pytest.mark.parametrize("sql", ERRORS)
def test_errors(sql: str) -> None:
    with pytest.raises(ParamError) as caught:
        analyse(sql)
    assert (caught.value.what, caught.value.help, caught.value.offset) == ERRORS[sql]
    assert caught.value.param == ("sql",)


@pytest.mark.parametrize(
    "sql", ['select a as current_date, t.today, "now" from t', "select age(a, b) from t", "select 'now()' from t"]
)
def test_names_that_only_look_volatile(sql: str) -> None:
    assert analyse(sql).tables


def test_volatile_is_allowed_when_asked_for() -> None:
    assert analyse("select now(), random(), age(a) from t using sample 10", volatile=True).tables
