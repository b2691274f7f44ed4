"""`tabular.python`: a function of the project over Arrow tables."""

from __future__ import annotations

import inspect
import re
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TextIO

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.transform import Declaration, Input, Job, Made, Scope, View
from mmetl.engines.packages import require
from mmetl.errors import MmetlError, ParamError, TaskError, Where

_FUNCTION = re.compile(r"(?:[^:]+\.py|[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")


class PythonParams(BaseModel):
    """Params of `tabular.python`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    function: str = Field(description="a function of the project, as module:function or ./file.py:function")
    args: dict[str, Any] = Field(default_factory=dict, description="further arguments, by name")
    batch_rows: int | None = Field(
        default=None,
        ge=1,
        description="call the function with so many rows of its first input at a time, such as 100000; default: with all",
    )


class Python:
    """See the module. The function takes its inputs as pyarrow Tables by alias, and returns rows."""

    name = "tabular.python"
    version = 3
    params = PythonParams
    packages: tuple[str, ...] = ("pyarrow",)
    code: tuple[str, ...] = ()

    def declare(self, params: PythonParams, scope: Scope) -> Declaration:
        """Name the function. Raises ParamError when it is not written as one, or when an argument hides an input."""
        if _FUNCTION.fullmatch(params.function) is None:
            raise ParamError(
                f"'{params.function}' does not name a function",
                help="write module:function or ./file.py:function",
                param=("function",),
            )
        hidden = [name for name in params.args if name in scope.inputs]
        if hidden:
            raise ParamError(
                f"'{hidden[0]}' is an input and an argument", help="rename one of them", param=("args", hidden[0])
            )
        if params.batch_rows is not None and not scope.inputs:
            what = "there is no input whose rows could come in batches"
            raise ParamError(what, help="name one in `inputs`, or leave 'batch_rows' out", param=("batch_rows",))
        # One input is passed by position unless the parameter has its name: what it is called does not matter.
        # How many rows a batch has must not change the result.
        recipe = {"batch_rows": params.batch_rows is not None}
        return Declaration(functions=(params.function,), recipe=recipe, named_inputs=len(scope.inputs) != 1)

    def run(self, job: Job) -> Made:
        """Call the function and keep what it returns."""
        require("tabular", "duckdb", "pyarrow")
        params: PythonParams = job.params
        function = job.functions[params.function]
        if params.batch_rows is not None:
            return _by_batch(job, function, params.args, params.batch_rows)
        tables = {alias: whole_table(job, table) for alias, table in job.inputs.items()}
        return keep_rows(job, function, _call(job, function, tables, params.args))


def _by_batch(job: Job, function: Callable[..., Any], args: Mapping[str, Any], rows: int) -> Made:
    """Call the function with batches of the first input, and with the others whole."""
    if not job.inputs:
        raise TaskError("its input writes files, it has no rows", help="name a task that makes a table")
    from mmetl.transforms.tabular.batches import keep_batches

    (first, table), *others = job.inputs.items()
    whole = {alias: whole_table(job, other) for alias, other in others}
    return keep_batches(
        job, table, rows, lambda batch: _rows(function, _call(job, function, {first: batch, **whole}, args))
    )


def keep_rows(job: Job, function: Callable[..., Any], result: Any) -> Made:
    """Keep the rows that a project's function returned. Raises TaskError for what is not rows, or fails while it comes."""
    from mmetl.transforms.tabular.results import buckets_of, store_rows

    schema, batches = _rows(function, result)
    try:
        return store_rows(job, schema, batches, buckets=buckets_of(job))
    except MmetlError:
        raise
    except Exception as error:
        raise failed(job, function, error) from error


def whole_table(job: Job, table: Input) -> Any:
    """Return an input whole. Rows of a keyed table come in the order of the key and in one batch, however it is cut."""
    if isinstance(table, View):
        from mmetl.transforms.tabular.views import view_rows

        with view_rows(table, job.scratch, threads=job.threads, on_cancel=job.on_cancel) as stream:
            return stream.read_all()
    from mmetl.cache.tables import read_table

    rows = read_table(table).read_all()
    if table.manifest.buckets > 1:
        return rows.sort_by([(column, "ascending") for column in table.manifest.key])
    return rows.combine_chunks() if table.manifest.key else rows


def _call(job: Job, function: Callable[..., Any], tables: Mapping[str, Any], args: Mapping[str, Any]) -> Any:
    signature = inspect.signature(function)
    names = [n for n in signature.parameters if n not in args]
    positional: tuple[Any, ...] = ()
    named = {**tables, **args}
    if len(tables) == 1 and len(names) == 1 and names[0] not in tables:
        positional, named = tuple(tables.values()), dict(args)
    try:
        signature.bind(*positional, **named)
    except TypeError as error:
        takes, gives = ", ".join(signature.parameters) or "nothing", ", ".join([*tables, *args]) or "nothing"
        raise TaskError(
            f"'{function.__name__}' cannot be called: {error}", help=f"it takes: {takes}; the task gives: {gives}"
        ) from error
    try:
        return function(*positional, **named)
    except MmetlError:
        raise
    except Exception as error:
        raise failed(job, function, error) from error


def failed(job: Job, function: Callable[..., Any], error: Exception) -> TaskError:
    """Return the error of the project's function, at its own line; the whole trace goes to the log."""
    return raised(function, error, job.root, job.log)


def raised(function: Callable[..., Any], error: Exception, folder: Path, log: TextIO) -> TaskError:
    """Do what `failed` does, for a project in a folder."""
    log.write("".join(traceback.format_exception(error)))
    text = f"'{function.__name__}' raised {type(error).__name__}"
    text += f": {str(error).splitlines()[0]}" if str(error) else ""
    root = f"{folder}/"
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename.startswith(root)]
    if not frames:
        return TaskError(text, help="the log of the task has the whole trace")
    last = frames[-1]
    column = (last.colno or 0) + 1
    raw = last._original_line if hasattr(last, "_original_line") else ""  # noqa: SLF001 - `line` has lost its indent
    where = Where(last.filename.removeprefix(root), last.lineno or 1, column, str(raw).rstrip())
    return TaskError(text, where, "the log of the task has the whole trace")


def _rows(function: Callable[..., Any], result: Any) -> tuple[Any, Any]:
    """Return the schema and the batches of what the function returned."""
    import pyarrow as pa

    try:
        if isinstance(result, list) and all(isinstance(row, dict) for row in result):
            names = list(dict.fromkeys(name for row in result for name in row))
            result = pa.table({name: pa.array([row.get(name) for row in result]) for name in names})
        elif isinstance(result, dict):
            result = pa.table(result)
    except (pa.ArrowException, TypeError, ValueError, OverflowError) as error:
        raise TaskError(
            f"what '{function.__name__}' returned is not a table: {error}", help="give all rows of a column one type"
        ) from error
    if isinstance(result, pa.RecordBatchReader):
        return result.schema, result
    if isinstance(result, pa.RecordBatch):
        result = pa.Table.from_batches([result])
    if isinstance(result, pa.Table):
        return result.schema, result.to_batches(max_chunksize=8192)
    raise TaskError(
        f"'{function.__name__}' returned {_a(type(result).__name__)}, not rows",
        help="return a pyarrow Table or RecordBatchReader, a list of dicts, or a dict of columns",
    )


def _a(word: str) -> str:
    return "None" if word == "NoneType" else f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


PYTHON = Python()
