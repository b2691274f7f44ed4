"""Random queries: whatever they are made of, a row that goes changes only rows that are said to come from it."""

from __future__ import annotations

import random
import re
from dataclasses import dataclass, field

import pytest

from mmetl.engines.sql.lineage import sql_traces
from tests.unit.engines.test_sql_lineage import TABLES, WHOLE, Data, manifest, told

QUERIES = 30  # of each seed
Column = tuple[str, str]
"""Name and type."""


@dataclass
class Queries:
    """Makes queries over the tables of a test."""

    chance: random.Random
    names: int = 0
    tables: dict[str, list[Column]] = field(
        default_factory=lambda: {
            name: [(c.split()[0], c.split()[1]) for c in columns.split(", ")]
            for name, (_, columns, _) in TABLES.items()
        }
    )

    def query(self, depth: int) -> tuple[str, list[Column]]:
        """Return a query, and its columns."""
        source, columns = self._source(depth)
        joins = ""
        for _ in range(self.chance.choice([0, 0, 1, 1, 2])):
            joined, more = self._joined(columns, depth - 1)
            joins += joined
            columns += more
        conditions = [self._condition(columns) for _ in range(self.chance.choice([0, 0, 1, 2]))]
        where = f" where {' and '.join(conditions)}" if conditions else ""
        return self._shown(f"from {source}{joins}{where}", columns)

    def _source(self, depth: int) -> tuple[str, list[Column]]:
        self.names += 1
        alias = f"s{self.names}"
        if depth > 0 and self.chance.random() < 0.5:
            text, columns = self.query(depth - 1)
            source = f"({text})"
        else:
            source = self.chance.choice(list(self.tables))
            columns = self.tables[source]
        return f"{source} as {alias}", [(f"{alias}.{name}", kind) for name, kind in columns]

    def _joined(self, before: list[Column], depth: int) -> tuple[str, list[Column]]:
        source, columns = self._source(depth)
        pairs = [(a, b) for a, kind in before for b, other in columns if kind == other]
        if not pairs:
            return "", []
        a, b = self.chance.choice(pairs)
        kind = self.chance.choice(["join", "join", "semi join", "anti join"])
        more = f" and {self._simple(columns)}" if self.chance.random() < 0.2 else ""
        return f" {kind} {source} on {a} = {b}{more}", columns if kind == "join" else []

    def _simple(self, columns: list[Column]) -> str:
        name, kind = self.chance.choice(columns)
        tests = ["{} <> 'b'", "{} is not null", "upper({}) < 'S'"] if kind == "varchar" else ["{} > 1", "{} <> 3"]
        return self.chance.choice(tests).format(name)

    def _condition(self, columns: list[Column]) -> str:
        if self.chance.random() < 0.7:
            return self._simple(columns)
        name, kind = self.chance.choice(columns)
        table = self.chance.choice(list(self.tables))
        fits = [other for other, of in self.tables[table] if of == kind]
        if not fits:
            return f"({self._simple(columns)} or {self._simple(columns)})"
        other = self.chance.choice(fits)
        ways = ("{0} in (select {1} from {2})", "exists (select 1 from {2} as e where e.{1} = {0})",
                "{0} not in (select {1} from {2} where {1} is not null)")  # fmt: skip
        return self.chance.choice(ways).format(name, other, table)

    def _shown(self, rest: str, columns: list[Column]) -> tuple[str, list[Column]]:
        picked = self.chance.sample(columns, min(len(columns), self.chance.choice([1, 2, 3])))
        shown = [(f"upper({n})" if k == "varchar" and self.chance.random() < 0.2 else n, k) for n, k in picked]
        listed = ", ".join(f"{text} as o{n}" for n, (text, _) in enumerate(shown))
        made = [(f"o{n}", kind) for n, (_, kind) in enumerate(shown)]
        way = self.chance.random()
        if way < 0.4:
            name, _ = self.chance.choice(columns)
            groups = self.chance.choice(["all", ", ".join(text for text, _ in shown)])
            return f"select {listed}, list({name} order by {name})::varchar as agg {rest} group by {groups}", made
        return f"select {'distinct ' if way < 0.55 else ''}{listed} {rest}", made


@pytest.mark.parametrize("seed", range(2))
def test_a_row_that_goes_changes_what_is_said_to_come_from_it(seed: int) -> None:
    data, chance, followed = Data(), random.Random(seed), 0
    for _ in range(QUERIES):
        sql, _ = Queries(chance).query(chance.choice([0, 1, 1, 2]))
        tables = [t for t in TABLES if re.search(rf"\b{t}\b", sql)]
        traces = sql_traces(sql, {t: manifest(t) for t in tables})
        whole = data.result(sql)
        for table in tables:
            own = [t for t in traces if t.input == table]
            if told(own) == WHOLE:
                continue
            followed += bool(whole)
            claimed = data.claimed(sql, own)
            for number in data.rows[table]:
                data.without(table, number)
                changed = set(whole - data.result(sql))
                data.without("", 0)
                assert changed <= {row for n, row in claimed if n == number}, (sql, table, number)
    assert followed > QUERIES / 3
