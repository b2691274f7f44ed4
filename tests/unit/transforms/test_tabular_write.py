# ruff: noqa: DTZ001 - times without a zone are data here
"""`tabular.write`: bytes of CSV, NDJSON and Parquet files, and the way back."""

from __future__ import annotations

import datetime as dt
import decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmetl.errors import ParamError, TaskError
from mmetl.transforms.tabular.read import READ
from mmetl.transforms.tabular.sql import SQL
from mmetl.transforms.tabular.write import WRITE

ROWS = pa.table(
    {
        "i": [2, 1, None],
        "f": [0.1, 1e300, None],
        "s": ['a,b "q"', "", None],
        "t": pa.array([dt.datetime(2020, 1, 1, 0, 0, 0, 500000), dt.datetime(2020, 1, 1), None], pa.timestamp("us")),
        "z": pa.array([dt.datetime(2020, 1, 1, tzinfo=dt.UTC), None, None], pa.timestamp("us", tz="UTC")),
        "d": [decimal.Decimal("1.50"), None, None],
        "l": [["x", None], [], None],
        "o": pa.array([{"k": 1}, None, None]),
        "b": [b"\x00\xff", b"", None],
        "y": [True, False, None],
        "line": ["a\nb", "é", None],
    }
)
CSV = (
    "i,f,s,t,z,d,l,o,b,y,line\n"
    '2,0.1,"a,b ""q""",2020-01-01T00:00:00.5,2020-01-01T00:00:00Z,1.50,"[""x"",null]","{""k"":1}",AP8=,true,"a\nb"\n'
    '1,1e+300,"",2020-01-01T00:00:00,,,[],,"",false,é\n'
    ",,,,,,,,,,\n"
)
NDJSON = (
    '{"i":2,"f":0.1,"s":"a,b \\"q\\"","t":"2020-01-01T00:00:00.5","z":"2020-01-01T00:00:00Z","d":1.5,"l":["x",null],'
    '"o":{"k":1},"b":"AP8=","y":true,"line":"a\\nb"}\n'
)


def test_csv(bench: Any) -> None:
    bench.run(WRITE, {"path": "out.csv"}, {"t": bench.table(ROWS)})
    assert (bench.root / "out.csv").read_text() == CSV
    assert [p.name for p in bench.root.iterdir()] == ["out.csv"]


def test_csv_options(bench: Any) -> None:
    table = bench.table({"a": [1, 2], "b": ["x;y", "z"]})
    bench.run(
        WRITE, {"path": "x", "format": "csv", "delimiter": ";", "header": False, "order_by": ["-a"]}, {"t": table}
    )
    assert (bench.root / "x").read_text() == '2;z\n1;"x;y"\n'


def test_ndjson(bench: Any) -> None:
    bench.run(WRITE, {"path": "out.ndjson"}, {"t": bench.table(ROWS.slice(0, 1))})
    assert (bench.root / "out.ndjson").read_text() == NDJSON


def test_json_has_no_nan(bench: Any) -> None:
    table = bench.table({"f": [float("nan"), float("-inf"), 1.5]})
    bench.run(WRITE, {"path": "x.jsonl"}, {"t": table})
    assert (bench.root / "x.jsonl").read_text() == '{"f":null}\n{"f":null}\n{"f":1.5}\n'


def test_parquet(bench: Any) -> None:
    bench.run(WRITE, {"path": "out.parquet"}, {"t": bench.table(ROWS)})
    assert pq.read_table(bench.root / "out.parquet").to_pylist() == ROWS.to_pylist()
    bench.run(WRITE, {"path": "none.parquet"}, {"t": bench.table(ROWS.slice(0, 0))})
    assert pq.read_table(bench.root / "none.parquet").num_rows == 0


@pytest.mark.parametrize("path", ["out.csv", "out.ndjson", "out.parquet"])
def test_what_is_written_can_be_read(bench: Any, path: str) -> None:
    rows = ROWS.select(["i", "f", "s", "y", "line", *([] if "json" in path else ["t"])])
    bench.run(WRITE, {"path": path}, {"t": bench.table(rows)})
    assert bench.rows(bench.run(READ, {"path": path})) == rows.to_pylist()


@pytest.mark.parametrize("path", ["out.csv", "out.ndjson", "out.parquet"])
def test_the_same_bytes_over_threads_and_buckets(bench: Any, path: str) -> None:
    plain = bench.run(SQL, {"sql": "select range id, range % 7 k, 'row ' || range s, range / 3 f from range(300000)"})
    keyed = bench.run(SQL, {"sql": "from t"}, {"t": plain}, key=["id"])
    assert keyed.manifest.buckets > 1
    for order in ([], ["k"]):
        found = set()
        for table, threads in ((keyed, 1), (keyed, 2), (keyed, 4), (plain, 4)):
            bench.run(WRITE, {"path": path, "order_by": order}, {"t": table}, threads=threads)
            found.add((bench.root / path).read_bytes())
        assert len(found) == 1


def test_an_order_without_a_key_is_kept(bench: Any) -> None:
    made = bench.run(SQL, {"sql": "select range a from range(5) order by a desc"})
    bench.run(WRITE, {"path": "x.csv"}, {"t": made})
    assert (bench.root / "x.csv").read_text() == "a\n4\n3\n2\n1\n0\n"


def test_a_failure_leaves_the_old_file(bench: Any) -> None:
    bench.file("x.csv", "old")
    with pytest.raises(TaskError) as caught:
        bench.run(WRITE, {"path": "x.csv", "order_by": ["aa"]}, {"t": bench.table({"a": [1]})})
    assert (
        str(caught.value) == "error: there is no column 'aa' for the order\nhelp: did you mean 'a'? the columns are: a"
    )
    assert [p.read_text() for p in bench.root.iterdir()] == ["old"]


ERRORS: dict[str, tuple[dict[str, Any], dict[str, str], str, str]] = {
    "extension": (
        {"path": "x.xls"},
        {"t": "t"},
        "the format of 'x.xls' is not known by its extension",
        "name it .csv, .ndjson, .jsonl, .parquet, or set `format`",
    ),
    "no input": ({"path": "x.csv"}, {}, "'tabular.write' writes one input, and has none", "write `inputs: [task]`"),
    "two inputs": (
        {"path": "x.csv"},
        {"a": "a", "b": "b"},
        "'tabular.write' writes one input, and has 2",
        "write `inputs: [task]`",
    ),
    "option": (
        {"path": "x.parquet", "header": False},
        {"t": "t"},
        "'header' is for csv, and this file is parquet",
        "leave it out",
    ),
}


@pytest.mark.parametrize("title", ERRORS)
def test_declare_errors(bench: Any, title: str) -> None:
    params, inputs, what, help_ = ERRORS[title]
    with pytest.raises(ParamError) as caught:
        bench.declare(WRITE, params, inputs)
    assert (caught.value.what, caught.value.help) == (what, help_)


def test_declare(bench: Any) -> None:
    declared = bench.declare(WRITE, {"path": "out/x.jsonl"}, {"t": "t"})
    assert (declared.outputs, declared.recipe) == (("out/x.jsonl",), {"format": "ndjson", "max_partitions": None})
