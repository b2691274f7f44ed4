"""What is told of a query is true: rows are taken away from its tables, and the result changes where it is said to."""

from __future__ import annotations

from collections import Counter
from typing import Any, NamedTuple

import duckdb
import pytest

from mmetl.contracts.artifact import Column, Manifest
from mmetl.contracts.lineage import Trace
from mmetl.engines.sql.lineage import sql_traces

TABLES = {
    "books": (
        ("id",),
        "id bigint, title varchar, genre varchar, price bigint",
        "(1,'a','x',5), (2,'b','x',7), (3,'c','y',5), (4,'d',null,9), (5,'e','y',2)",
    ),
    "wrote": (
        ("book", "author"),
        "book bigint, author varchar, share bigint",
        "(1,'ann',1), (1,'bob',2), (2,'ann',3), (3,'cleo',4), (9,'dan',5)",
    ),
    "people": (("name",), "name varchar, town varchar", "('ann','Ur'), ('bob','Rom'), ('cleo','Ur'), ('eve','Rom')"),
    "loose": ((), "a varchar, b bigint", "('p',1), ('p',1), ('p',2), ('q',3)"),
}
WHOLE, SOME, ROWS = "whole", "some", "rows"


class Case(NamedTuple):
    """A query, and how exactly it can be followed to each table."""

    sql: str
    told: dict[str, str]


CASES = {
    "filter": Case("select * from books where price > 4", {"books": ROWS}),
    "columns": Case("select id as n, title from books", {"books": ROWS}),
    "exclude, rename, replace": Case(
        "select * exclude (genre) replace (price * 2 as price) from (select * rename (title as t) from books)",
        {"books": ROWS},
    ),
    "no key is shown": Case("select genre from books", {"books": SOME}),
    "a key that is computed": Case("select id + 1 as n, title from books", {"books": SOME}),
    "all columns without a key": Case("select * from loose", {"loose": ROWS}),
    "distinct": Case("select distinct genre from books where price > 4", {"books": ROWS}),
    "group by": Case("select genre, sum(price) as price from books group by genre", {"books": ROWS}),
    "group by an expression": Case("select upper(genre) as g, count(*) as n from books group by 1", {"books": ROWS}),
    "group by all, having": Case(
        "select genre, count(*) as n from books where id < 5 group by all having count(*) > 1", {"books": ROWS}
    ),
    "an aggregate that is named again": Case(
        "select genre, sum(price) as total, total / count(*) as mean from books group by all", {"books": ROWS}
    ),
    "a group that is not shown": Case("select sum(price) as price from books group by genre", {"books": WHOLE}),
    "one row of all": Case("select sum(price) as price from books where price > 4", {"books": ROWS}),
    "join": Case(
        "select b.id, w.author, p.town from books b join wrote w on w.book = b.id join people p on p.name = w.author",
        {"books": ROWS, "wrote": ROWS, "people": ROWS},
    ),
    "join using": Case(
        "select * from books join (select book as id, author, share from wrote) using (id)",
        {"books": ROWS, "wrote": ROWS},
    ),
    "join by comma": Case(
        "select id, author from books, wrote where book = id and price > 4", {"books": ROWS, "wrote": ROWS}
    ),
    "left join": Case(
        "select id, title, author, share from books left join wrote on book = id", {"books": ROWS, "wrote": ROWS}
    ),
    "left join on more": Case(
        "select id, title, share from books left join wrote on book = id and share > 1", {"books": ROWS, "wrote": SOME}
    ),
    "full join": Case(
        "select * from books full join (select book as id, author from wrote) using (id)",
        {"books": ROWS, "wrote": ROWS},
    ),
    "semi join": Case("select * from books semi join wrote on book = id", {"books": ROWS, "wrote": ROWS}),
    "anti join": Case("select * from books anti join wrote on book = id", {"books": ROWS, "wrote": WHOLE}),
    "anti join, then group": Case(
        "select genre, count(*) as n from books anti join wrote on book = id and share > 1 group by all",
        {"books": SOME, "wrote": WHOLE},
    ),
    "join, then group": Case(
        "select author, list(title order by title) as titles from books join wrote on book = id group by author",
        {"books": SOME, "wrote": SOME},
    ),
    "joins one after the other, then group": Case(
        "select town, count(*) as n from books join wrote on book = id join people on name = author group by town",
        {"books": SOME, "wrote": SOME, "people": SOME},
    ),
    "left join, then group": Case(
        "select title, count(share) as n from books left join wrote on book = id group by title",
        {"books": SOME, "wrote": SOME},
    ),
    "join by a text": Case(
        "select id, author from books join wrote on book::varchar = id::varchar", {"books": ROWS, "wrote": ROWS}
    ),
    "in": Case("select * from books where id in (select book from wrote)", {"books": ROWS, "wrote": ROWS}),
    "in, grouped": Case(
        "select book, count(*) as n from wrote where author in (select name from people) and book in (select id from books)"
        " group by all",
        {"wrote": SOME, "books": ROWS, "people": SOME},
    ),
    "exists": Case(
        "select id, title from books where exists (select 1 from wrote where book = id)", {"books": ROWS, "wrote": ROWS}
    ),
    "not exists": Case(
        "select id from books where not exists (select 1 from wrote where book = id)", {"books": ROWS, "wrote": WHOLE}
    ),
    "in or else": Case(
        "select * from books where price > 6 or id in (select book from wrote)", {"books": ROWS, "wrote": WHOLE}
    ),
    "a value that is looked up": Case(
        "select id, (select list(author order by author) from wrote where book = id) as authors from books",
        {"books": ROWS, "wrote": ROWS},
    ),
    "a value of all rows": Case(
        "select id, price - (select max(share) from wrote) as left from books", {"books": ROWS, "wrote": WHOLE}
    ),
    "cte": Case(
        "with dear as (select * from books where price > 4) select genre, count(*) as n from dear group by genre",
        {"books": ROWS},
    ),
    "cte of a join": Case(
        "with j as (select id, author, town from books join wrote on book = id join people on name = author)"
        " select id, author, town from j where town = 'Ur'",
        {"books": ROWS, "wrote": ROWS, "people": ROWS},
    ),
    "group over a join": Case(
        "with j as (select id, author from books join wrote on book = id) select author, count(*) as n from j group by author",
        {"books": WHOLE, "wrote": SOME},
    ),
    "group over groups": Case(
        "with g as (select genre, count(*) as n from books group by genre) select n, list(genre order by genre) as gs"
        " from g group by n",
        {"books": WHOLE},
    ),
    "union all": Case(
        "select name as x, 'person' as kind from people union all select title, 'book' from books",
        {"people": ROWS, "books": SOME},
    ),
    "union by name": Case("select id, title from books union by name select book as id, author from wrote", {"books": ROWS, "wrote": ROWS}),
    "except": Case("select id from books except select book from wrote", {"books": ROWS, "wrote": WHOLE}),
    "qualify": Case(
        "select * from books qualify row_number() over (partition by genre order by price desc, id) = 1",
        {"books": ROWS},
    ),
    "window": Case("select id, sum(price) over (partition by genre) as total from books", {"books": WHOLE}),
    "limit": Case("select * from (select * from books order by price, id limit 3)", {"books": ROWS}),
    "unnest": Case("select id, unnest([title, genre]) as word from books", {"books": ROWS}),
    "alias used again": Case("select id, price * 2 as p2, p2 + 1 as p3 from books where p2 > 9", {"books": ROWS}),
    "pattern of columns": Case("select columns('i.*') from books", {"books": WHOLE}),
    "natural join": Case("select * from books natural join (select 1 as id)", {"books": WHOLE}),
    "recursive": Case(
        "with recursive r as (select id from books union select id + 10 from r where id < 9) select * from r",
        {"books": WHOLE},
    ),
}  # fmt: skip
NOT_ALONE = {"qualify", "limit", "distinct", "semi join", "in", "exists"}
"""Where a row that goes lets another one in, or leaves others that are enough."""


def manifest(name: str) -> Manifest:
    key, columns, _ = TABLES[name]
    return Manifest("table", key=key, columns=tuple(Column(c.split()[0], "string") for c in columns.split(", ")))


class Data:
    """The tables in DuckDB. Each row has a number, which queries do not see."""

    def __init__(self) -> None:
        self.db = duckdb.connect()
        self.rows: dict[str, list[int]] = {}
        for name, (_, columns, values) in TABLES.items():
            self.db.execute(f"create table __{name} ({columns})")
            self.db.execute(f"insert into __{name} values {values}")
            self.db.execute(f"create table __n_{name} as select row_number() over () as n, * from __{name}")
            self.rows[name] = [n for (n,) in self.db.execute(f"select n from __n_{name} order by n").fetchall()]
        self.without("", 0)

    def without(self, name: str, number: int) -> None:
        """Take one row away from a table; all others have all of theirs."""
        for table in TABLES:
            gone = f" where n <> {number}" if table == name else ""
            self.db.execute(f"create or replace view {table} as select * exclude (n) from __n_{table}{gone}")

    def result(self, sql: str) -> Counter[str]:
        """Return the rows of a query, as texts."""
        return Counter(repr(row) for row in self.db.execute(sql).fetchall())

    def claimed(self, sql: str, traces: list[Trace]) -> set[tuple[int, str]]:
        """Return (number of an input's row, row of the result) of all pairs that belong together by some traces."""
        found = set()
        for trace in traces:
            tables, conditions = [f"{selected(trace)} x0"], []
            step: Trace | None = trace
            for depth in range(1, 9):
                assert step
                conditions += [f"x{depth}.a{k} is not distinct from x{depth - 1}.b{k}" for k in range(len(step.pairs))]
                above = "".join(f", ({side}) as a{k}" for k, (side, _) in enumerate(step.pairs))
                step = step.through
                tables.append(f"{selected(step, above) if step else f'(select *{above} from ({sql}))'} x{depth}")
                if step is None:
                    break
            rows = self.db.execute(
                f"select x0.n, x{depth}.* from {', '.join(tables)} where {' and '.join(conditions) or 'true'}"
            ).fetchall()
            width = len(self.db.execute(f"select * from ({sql}) limit 0").description or [])
            found |= {(row[0], repr(tuple(row[1 : 1 + width]))) for row in rows}
        return found


def selected(trace: Trace, more: str = "") -> str:
    """Return the rows of a trace's input with what its pairs compare."""
    below = "".join(f", ({side}) as b{k}" for k, (_, side) in enumerate(trace.pairs))
    where = f" where {trace.where}" if trace.where else ""
    return f"(select n{more}{below} from __n_{trace.input}{where})"


def told(traces: list[Trace]) -> str:
    if any(t.whole for t in traces):
        return WHOLE
    return ROWS if all(t.exact for t in traces) else SOME


@pytest.fixture(scope="module")
def data() -> Data:
    return Data()


@pytest.mark.parametrize("name", CASES)
def test_what_is_told_of_a_query_is_true(data: Data, name: str) -> None:
    """A row that goes changes only rows that are said to come from it; where that is exact, it changes all of these."""
    sql, expected = CASES[name]
    traces = sql_traces(sql, {table: manifest(table) for table in expected})
    by_table: dict[str, list[Trace]] = {table: [t for t in traces if t.input == table] for table in expected}
    assert {table: told(found) for table, found in by_table.items()} == expected
    data.without("", 0)
    whole = data.result(sql)
    assert whole
    claims: dict[str, Any] = {table: data.claimed(sql, found) for table, found in by_table.items()}
    for table, claimed in claims.items():
        for number in data.rows[table]:
            data.without(table, number)
            changed = set(whole - data.result(sql))
            data.without("", 0)
            said = {row for n, row in claimed if n == number}
            if expected[table] != WHOLE:
                assert changed <= said, (table, number)
            if expected[table] == ROWS and name not in NOT_ALONE:
                assert changed == said, (table, number)
