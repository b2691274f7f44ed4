"""`tabular.python` by batch: batches of one size however the table is stored, and one of them in memory."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest
from harness import Project

from mmetl.errors import ParamError, TaskError
from mmetl.transforms.tabular.python import PYTHON
from mmetl.transforms.tabular.sql import SQL


def call(bench: Any, function: Any, inputs: Any, rows: int | None, key: Any = (), **args: Any) -> Any:
    params = {"function": "m:f", "args": args, "batch_rows": rows}
    return bench.run(PYTHON, params, inputs, key, functions={"m:f": function})


def numbers(bench: Any, count: int, key: Any = ()) -> Any:
    sql = f"select (range * 7919) % {count} as id, md5(range::varchar) as t from range({count})"
    plain = bench.run(SQL, {"sql": sql})
    return bench.run(SQL, {"sql": "from t"}, {"t": plain}, key=key) if key else plain


def double(rows: pa.Table) -> pa.Table:
    return rows.append_column("twice", pc.multiply(rows["id"], 2))


@pytest.mark.parametrize("rows", [1, 7, 64, 1000, 5000])
@pytest.mark.parametrize("key", [(), ("id",)], ids=["plain", "keyed"])
def test_the_same_bytes_as_of_the_whole(bench: Any, rows: int, key: Any) -> None:
    """Whatever the size of the batches."""
    table = numbers(bench, 1000, key)
    made = call(bench, double, {"t": table}, rows, key)
    assert made.manifest == call(bench, double, {"t": table}, None, key).manifest
    assert made.manifest.rows == 1000


def test_batches_do_not_depend_on_how_a_table_is_cut(bench: Any) -> None:
    """Exactly so many rows, in the order of the key: so a run after an edit calls as a run from scratch would."""
    seen: list[list[int]] = []

    def look(rows: pa.Table) -> pa.Table:
        seen.append(rows["id"].to_pylist())
        assert rows["t"].num_chunks <= 1
        return rows

    for table in (numbers(bench, 30_000, ("id",)), numbers(bench, 30_000)):
        call(bench, look, {"t": table}, 7_000)
    cut, plain = seen[:5], seen[5:]
    assert [len(b) for b in cut] == [len(b) for b in plain] == [7_000] * 4 + [2_000]
    assert [n for b in cut for n in b] == list(range(30_000))
    assert numbers(bench, 30_000, ("id",)).manifest.buckets > 1


@pytest.mark.parametrize("key", [(), ("id",)], ids=["plain", "keyed"])
def test_fewer_rows_more_rows_and_none(bench: Any, key: Any) -> None:
    """A batch may come to any number of rows."""

    def some(rows: pa.Table) -> pa.Table:
        kept = rows.filter(pc.equal(pc.bit_wise_and(rows["id"], 255), 3))
        return pa.table({"id": pa.concat_arrays([kept["id"].combine_chunks(), pc.negate(kept["id"].combine_chunks())])})

    made = call(bench, some, {"t": numbers(bench, 1000, key)}, 100, key)
    assert sorted(r["id"] for r in bench.rows(made)) == sorted(s * n for n in (3, 259, 515, 771) for s in (1, -1))


def test_a_table_without_rows(bench: Any) -> None:
    """Is one batch: the columns have to come from somewhere."""
    made = call(bench, double, {"t": numbers(bench, 0)}, 10)
    assert [c.name for c in made.manifest.columns] == ["id", "t", "twice"]
    assert made.manifest.rows == 0


def test_further_inputs_come_whole(bench: Any) -> None:
    def f(t: pa.Table, names: pa.Table, by: int) -> dict[str, Any]:
        return {"n": [t.num_rows], "names": [names.num_rows * by]}

    inputs = {"t": numbers(bench, 5), "names": bench.table({"a": [1, 2, 3]})}
    assert bench.rows(call(bench, f, inputs, 2, by=10)) == [{"n": n, "names": 30} for n in (2, 2, 1)]


def test_types_are_those_of_the_first_result(bench: Any) -> None:
    """Later values are cast without loss, or the task fails and says which batch."""

    def f(t: pa.Table, values: list[Any]) -> list[dict[str, Any]]:
        return [{"v": values[i]} for i in t["id"].to_pylist()]

    table = bench.table({"id": [0, 1]})
    assert bench.rows(call(bench, f, {"t": table}, 1, values=[1.5, 2])) == [{"v": 1.5}, {"v": 2.0}]
    with pytest.raises(TaskError, match=r"batch 2: column 'v' does not fit its type 'int64'") as caught:
        call(bench, f, {"t": table}, 1, values=[2, 1.5])
    assert "the first batch decides" in caught.value.help


def test_other_columns(bench: Any) -> None:
    def f(t: pa.Table) -> dict[str, Any]:
        return {"a": [1]} if t["id"][0].as_py() == 0 else {"a": [1], "b": [2]}

    with pytest.raises(TaskError, match="batch 2 has other columns than before: a, b; not a"):
        call(bench, f, {"t": bench.table({"id": [0, 1]})}, 1)


@pytest.mark.parametrize("key", [(), ("id",)], ids=["plain", "keyed"])
def test_an_error_of_the_function(bench: Any, key: Any) -> None:
    """It is told at its line, in whichever batch it comes."""

    def f(t: pa.Table) -> pa.Table:
        if t["id"][0].as_py() > 5:
            raise ValueError("no more than five")
        return t

    with pytest.raises(TaskError, match="'f' raised ValueError: no more than five"):
        call(bench, f, {"t": bench.table({"id": list(range(10))})}, 2, key)


def test_a_key_is_checked_over_all_batches(bench: Any) -> None:
    with pytest.raises(TaskError, match="key 'id' is not unique"):
        call(bench, lambda t: pa.table({"id": [1]}), {"t": bench.table({"id": [1, 2]})}, 1, ("id",))


def test_params(bench: Any) -> None:
    with pytest.raises(ParamError, match="no input whose rows"):
        bench.declare(PYTHON, {"function": "m:f", "batch_rows": 10})
    one, two, whole = (
        bench.declare(PYTHON, {"function": "m:f", "batch_rows": n}, {"t": "t"}).recipe for n in (10, 20, None)
    )
    assert one == two != whole


def test_memory_does_not_grow_with_the_table(bench: Any) -> None:
    """A batch and its result, and the row groups that are read and written: as much for three times the rows."""

    def most(rows: int) -> int:
        sql = f"select range as id, repeat(chr((65 + range % 26)::int), 60) || range as t from range({rows})"
        table = bench.run(SQL, {"sql": sql})
        before, alive = pa.total_allocated_bytes(), []

        def look(batch: pa.Table) -> pa.Table:
            alive.append(pa.total_allocated_bytes() - before)
            return double(batch)

        assert call(bench, look, {"t": table}, 10_000).manifest.rows == rows
        assert len(alive) == rows // 10_000
        return max(alive)

    assert most(900_000) < most(300_000) * 1.2


PIPELINE = """\
  rows: {transform: tabular.read, key: id, params: {path: "in/*.csv"}}
  seen: {transform: tabular.sql, materialize: view, params: {sql: select * from rows}}
  out: {transform: tabular.python, inputs: [seen], key: id, params: {function: "f:f", batch_rows: 3}}
"""


def test_an_incremental_run_equals_one_from_scratch(empty: Project) -> None:
    """Over a view, too; and another size of the batches makes nothing stale."""
    empty.write("f.py", "def f(t):\n    print(t.num_rows)\n    return t.select(['id'])\n")
    empty.tasks(PIPELINE)
    empty.write("in/a.csv", "id,x\n" + "".join(f"{n},a\n" for n in range(0, 20, 2)))
    assert empty.run()["out"] == "ran"
    empty.write("in/b.csv", "id,x\n7,b\n3,b\n")
    assert empty.run()["out"] == "ran"
    rows = empty.fast("show", "out", "--json").out
    assert empty.fast("logs", "latest", "out").out.split().count("3") == 4
    empty.edit("pipeline.yaml", "batch_rows: 3", "batch_rows: 4")
    assert set(empty.run().values()) == {"fresh"}
    assert empty.run("--force")["out"] == "ran"
    assert empty.fast("show", "out", "--json").out == rows
    assert empty.fast("diff", "out").code in {0, 2}
