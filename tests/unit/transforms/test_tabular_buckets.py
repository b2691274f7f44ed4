"""How a keyed table is cut has no part in what is made of it: its buckets may differ from those of a build from scratch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_tabular_sql import HARD, SOFT
from transform_bench import Bench

from mmetl.contracts.transform import Table
from mmetl.transforms.tabular.python import PYTHON
from mmetl.transforms.tabular.results import store_rows
from mmetl.transforms.tabular.sql import SQL

ROWS = 60_000
BUCKETS = (1, 4, 16)


def cut(bench: Any, rows: pa.Table, key: list[str], buckets: int) -> Table:
    """Keep rows under a key in so many buckets."""
    params = PYTHON.params.model_validate({"function": "m:f"})
    job = bench.job(params, bench.declare(PYTHON, {"function": "m:f"}), key=key)
    return bench.table_of(store_rows(job, rows.schema, rows.to_batches(), buckets=buckets), key)


@pytest.fixture(scope="module")
def tables(tmp_path_factory: Any) -> tuple[Any, list[Table]]:
    bench = Bench(tmp_path_factory.mktemp("buckets"))
    with duckdb.connect() as con:
        rows = con.sql(
            f"""select r id, (hash(r) % 1000)::int g, (hash(r + 7) % 50)::int k,
            ((hash(r) % 1000003) / 7.0) * pow(10.0, (r % 9) - 4) v, (r % 997)::int n, (hash(r) % 100000)::decimal(12, 2) d,
            's' || (hash(r + 1) % 5000) s, case when r % 2 = 0 then -0.0::double else 0.0::double end z
            from range({ROWS}) x(r) order by hash(r)"""
        ).to_arrow_table()
    found = [cut(bench, rows, ["id"], n) for n in BUCKETS]
    assert [len({p.bucket for p in t.manifest.parts}) for t in found] == list(BUCKETS)
    return bench, found


def made(bench: Any, tables: list[Table], sql: str, key: tuple[str, ...] = ()) -> set[tuple[str, ...]]:
    """Return the different artifacts of a query over the same rows in several cuts."""
    results = [bench.run(SQL, {"sql": sql}, {"t": table}, key=key) for table in tables]
    return {tuple(p.fingerprint for p in result.manifest.parts) for result in results}


OTHERS = {
    "row_number over nothing": "select id, row_number() over () x from t",
    "row_number over nothing, of some": "select id, row_number() over () x from t where k = 3",
    "limit of groups": "select * from (select g, count(*) c from t group by g) limit 10",
    "limit of a join": "select a.id, b.id other from t a join t b on a.g = b.g and a.k < b.k limit 50",
    "any value of a join": "select b.k, any_value(a.s) x, first(b.s) y from t a join t b on a.n = b.n group by b.k",
    "last of a filter": "select last(s) x, first(id) y from t where g < 10",
    "list of structs": "select k, list({'s': s, 'n': n}) x from t where n < 50 group by k",
    "offset": "select id from t offset 59990",
    "nested": "select sum(v) x from (select v from t order by k limit 1000)",
    "collation": "select s collate nocase x from (select case when id % 2 = 0 then upper(s) else s end s from t) group by 1",
}


@pytest.mark.parametrize("title", [*HARD, *OTHERS])
def test_buckets_have_no_part_in_a_hard_query(tables: tuple[Any, list[Table]], title: str) -> None:
    assert len(made(*tables, {**HARD, **OTHERS}[title])) == 1


@pytest.mark.parametrize("title", SOFT)
def test_buckets_have_no_part_in_another_query(tables: tuple[Any, list[Table]], title: str) -> None:
    assert len(made(*tables, SOFT[title].replace("sum(f)", "sum(d)"))) == 1


def test_without_the_canonical_order_they_differ(
    tables: tuple[Any, list[Table]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The guard is what makes them equal."""
    monkeypatch.setattr("mmetl.engines.duckdb._order", lambda table: "")
    for title in ("unordered list", "float sum", "any_value"):
        assert len(made(*tables, HARD[title])) > 1, title


def test_a_query_of_a_keyed_result_with_an_order_sees_that_order(bench: Any) -> None:
    table = bench.run(SQL, {"sql": "select range id from range(9) order by id desc"}, key=["id"])
    assert bench.rows(bench.run(SQL, {"sql": "select id from t limit 2"}, {"t": table})) == [{"id": 7}, {"id": 8}]


def test_columns_named_as_places_in_files(bench: Any) -> None:
    rows = pa.table({"id": [1, 2, 3], "file_row_number": [3, 2, 1]})
    for buckets in (1, 4):
        table = cut(bench, rows, ["id"], buckets)
        assert bench.rows(bench.run(SQL, {"sql": "select first(id) x from t"}, {"t": table})) == [{"x": 1}]


def test_a_function_sees_rows_in_one_order(tables: tuple[Any, list[Table]]) -> None:
    bench, cuts = tables
    seen: list[tuple[list[int], list[int]]] = []

    def look(rows: pa.Table) -> pa.Table:
        seen.append((rows["id"].to_pylist(), [b.num_rows for b in rows.to_batches()]))
        return rows.slice(0, 1)

    for table in cuts:
        bench.run(PYTHON, {"function": "m:look"}, {"rows": table}, functions={"m:look": look})
    assert seen[0][0] == list(range(ROWS))
    assert seen[1:] == seen[:1] * 2


KEYS = st.one_of(
    st.lists(st.integers(-(2**63), 2**63 - 1), unique=True, min_size=1, max_size=40),
    st.lists(st.text(max_size=5), unique=True, min_size=1, max_size=40),
    st.lists(st.datetimes(), unique=True, min_size=1, max_size=40),
    st.lists(st.dates(), unique=True, min_size=1, max_size=40),
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(keys=KEYS)
def test_any_key_gives_one_order(tmp_path: Path, keys: list[Any]) -> None:
    """Arrow's sort, DuckDB's sort and the order within parts agree, whatever the key's type."""
    import tempfile

    bench = Bench(Path(tempfile.mkdtemp(dir=tmp_path)))
    rows = pa.table({"id": keys, "n": range(len(keys))})
    seen = []

    def look(rows: pa.Table) -> pa.Table:
        seen.append(rows["n"].to_pylist())
        return rows

    cuts = [cut(bench, rows, ["id"], buckets) for buckets in BUCKETS]
    for table in cuts:
        bench.run(PYTHON, {"function": "m:look"}, {"rows": table}, functions={"m:look": look})
    assert seen == seen[:1] * 3
    found = [bench.rows(bench.run(SQL, {"sql": "select list(n) l from t"}, {"t": t}))[0]["l"] for t in cuts]
    assert found == seen
