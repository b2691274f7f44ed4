"""`tabular.python`: how the function is called, and what it may return."""

from __future__ import annotations

import importlib.util
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from mmetl.errors import ParamError, TaskError
from mmetl.transforms.tabular.python import PYTHON
from mmetl.transforms.tabular.sql import SQL

RETURNS: dict[str, Any] = {
    "table": lambda: pa.table({"a": [2, 1], "b": ["x", None]}),
    "batch": lambda: pa.record_batch({"a": [2, 1], "b": ["x", None]}),
    "reader": lambda: pa.table({"a": [2, 1], "b": ["x", None]}).to_reader(max_chunksize=1),
    "dicts": lambda: [{"a": 2, "b": "x"}, {"a": 1}],
    "columns": lambda: {"a": [2, 1], "b": ["x", None]},
}


def call(bench: Any, function: Any, inputs: Any = None, key: Any = (), **args: Any) -> Any:
    return bench.run(PYTHON, {"function": "m:f", "args": args}, inputs, key, functions={"m:f": function})


@pytest.mark.parametrize("kind", RETURNS)
def test_what_may_be_returned(bench: Any, kind: str) -> None:
    made = call(bench, RETURNS[kind])
    assert bench.rows(made) == [{"a": 2, "b": "x"}, {"a": 1, "b": None}]
    assert made.manifest == call(bench, RETURNS["table"]).manifest


@pytest.mark.parametrize("kind", RETURNS)
def test_a_key_sorts(bench: Any, kind: str) -> None:
    assert [r["a"] for r in bench.rows(call(bench, RETURNS[kind], key=["a"]))] == [1, 2]


def test_inputs_come_by_alias(bench: Any) -> None:
    def f(left: pa.Table, right: pa.Table, factor: int) -> dict[str, Any]:
        return {"x": [left.num_rows * factor, right.num_rows]}

    inputs = {"right": bench.table({"a": [1]}), "left": bench.table({"a": [1, 2]})}
    assert bench.rows(call(bench, f, inputs, factor=10)) == [{"x": 20}, {"x": 1}]


def test_a_single_input_needs_no_name(bench: Any) -> None:
    def f(rows: pa.Table, step: int = 0, *, by: int) -> pa.Table:
        return rows.set_column(0, "a", pc.add(rows["a"], by + step))

    assert bench.rows(call(bench, f, {"t": bench.table({"a": [1]})}, by=4, step=1)) == [{"a": 6}]


def test_a_keyed_input_comes_in_the_order_of_its_key(bench: Any) -> None:
    first = bench.run(SQL, {"sql": "select range id, repeat('x', 50) || range s from range(20000)"})
    keyed = bench.run(SQL, {"sql": "from t"}, {"t": first}, key=["id"])
    assert keyed.manifest.buckets > 1

    def f(t: pa.Table) -> pa.Table:
        assert t["id"].to_pylist() == list(range(20000))
        return t

    assert call(bench, f, {"t": keyed}, key=["id"]).manifest == keyed.manifest


RUN_ERRORS: dict[str, tuple[Any, list[str], str]] = {
    "none": (
        lambda: None,
        [],
        (
            "error: '<lambda>' returned None, not rows\n"
            "help: return a pyarrow Table or RecordBatchReader, a list of dicts, or a dict of columns"
        ),
    ),
    "number": (
        lambda: 1,
        [],
        (
            "error: '<lambda>' returned an int, not rows\n"
            "help: return a pyarrow Table or RecordBatchReader, a list of dicts, or a dict of columns"
        ),
    ),
    "mixed": (
        lambda: [{"a": 1}, {"a": "x"}],
        [],
        (
            "error: what '<lambda>' returned is not a table: Could not convert 'x' with type str: tried to convert to int64\n"
            "help: give all rows of a column one type"
        ),
    ),
    "key": (
        lambda: {"a": [1, 1, 2]},
        ["a"],
        (
            "error: key 'a' is not unique: more than one row has 1\n"
            "help: add a column to the key, or keep one row of each, for example with `select distinct on`"
        ),
    ),
    "raises elsewhere": (
        lambda: {}["x"],
        [],
        "error: '<lambda>' raised KeyError: 'x'\nhelp: the log of the task has the whole trace",
    ),
}


@pytest.mark.parametrize("title", RUN_ERRORS)
def test_run_errors(bench: Any, title: str) -> None:
    function, key, expected = RUN_ERRORS[title]
    with pytest.raises(TaskError) as caught:
        call(bench, function, key=key)
    assert str(caught.value) == expected


def test_an_error_is_shown_at_its_line(bench: Any) -> None:
    path = bench.file("transforms.py", "def f():\n    rows = []\n    return rows[3]\n")
    spec = importlib.util.spec_from_file_location("bench_transforms", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    with pytest.raises(TaskError) as caught:
        call(bench, module.f)
    assert str(caught.value) == (
        "transforms.py:3:12: error: 'f' raised IndexError: list index out of range\n"
        "   3 |     return rows[3]\n"
        "     |            ^\n"
        "help: the log of the task has the whole trace"
    )
    assert "Traceback (most recent call last)" in bench.log.getvalue()


@pytest.mark.parametrize("function", ["clean", "a:b:c", "a b:c", "./x.txt:f", ":f"])
def test_what_is_no_function(bench: Any, function: str) -> None:
    with pytest.raises(ParamError) as caught:
        bench.declare(PYTHON, {"function": function})
    assert caught.value.what == f"'{function}' does not name a function"
    assert caught.value.help == "write module:function or ./file.py:function"


def test_declare(bench: Any) -> None:
    assert bench.declare(PYTHON, {"function": "./transforms.py:clean"}).functions == ("./transforms.py:clean",)
    with pytest.raises(ParamError, match="'t' is an input and an argument"):
        bench.declare(PYTHON, {"function": "m:f", "args": {"t": 1}}, {"t": "t"})
