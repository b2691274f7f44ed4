"""What the transforms that write their SQL themselves share: they are checked, run and kept as `tabular.sql` is."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.lineage import Trace
from mmetl.contracts.transform import Declaration, Input, Job, Made, Scope
from mmetl.engines.packages import require
from mmetl.engines.sql.analysis import Analysis
from mmetl.errors import ParamError, QueryError, TaskError
from mmetl.transforms.tabular.builders.pieces import Expression, Named, Query, query
from mmetl.transforms.tabular.sql import analysed
from mmetl.utils.memory import MEMORY
from mmetl.utils.text import near

_NO_COLUMN = re.compile(r'referenced column "(.+)" (?:was )?not found')


class BuilderParams(BaseModel):
    """Params of every transform here."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    reproducible: bool = Field(
        default=True, description="run on one thread where more could change the result; false: always on all threads"
    )
    memory_limit: str | None = Field(
        default=None, pattern=MEMORY, description="memory above which the query spills to disk, such as 2GB"
    )


class Builder:
    """A transform that is one query, made from its params.

    Attributes:
        takes: how many inputs there may be at least and at most; None: any number.
    """

    name: ClassVar[str]
    version: ClassVar[int | None] = 2
    params: ClassVar[type[Any]]
    packages: tuple[str, ...] = ("duckdb", "pyarrow")
    code: tuple[str, ...] = ()
    views = True
    takes: ClassVar[tuple[int, int | None]] = (1, 1)

    def to_sql(self, params: Any, inputs: Sequence[str], key: Sequence[str]) -> Iterator[str | Expression]:
        """Yield the query over the tables `inputs` in pieces. Pure. Raises ParamError for params that do not fit."""
        raise NotImplementedError

    def columns(self, params: Any, inputs: Sequence[str], key: Sequence[str]) -> Iterable[Named]:
        """Yield the columns of inputs that the params name."""
        raise NotImplementedError

    def declare(self, params: Any, scope: Scope) -> Declaration:
        """Make the query, and see what it is. Raises ParamError at the param that is wrong."""
        require("tabular", "sqlglot")
        from mmetl.engines.sql.query import analyse

        self._check_inputs(scope.inputs)
        made = self._query(params, list(scope.inputs), scope.key)
        with _placed_in_params(made):
            found = analyse(made.sql)
        notes = (
            tuple(f"may run on one thread: {reason}" for reason in found.single_thread()) if params.reproducible else ()
        )
        written = {name: None for name in type(params).model_fields if name != "reproducible"}
        return Declaration(recipe={**written, "sql": found.canonical}, notes=notes, prepared=found)

    def query_text(self, params: Any, inputs: Sequence[str], key: Sequence[str]) -> str:
        """Return the query of a task, for people to read."""
        return self._query(params, inputs, key).sql

    def lineage(self, params: Any, inputs: Mapping[str, Manifest], key: Sequence[str]) -> Iterable[Trace]:
        """Return what the query tells of where its rows come from: see contracts.lineage."""
        require("tabular", "sqlglot")
        from mmetl.engines.sql.lineage import sql_traces

        return sql_traces(self.query_text(params, list(inputs), key), inputs)

    def run(self, job: Job) -> Made:
        """Run the query and keep its result."""
        require("tabular", "duckdb", "pyarrow")
        from mmetl.transforms.tabular.queries import run_query

        params = job.params
        inputs = list(job.inputs)
        for named in self.columns(params, inputs, job.key):
            _check_column(named, job.inputs)
        made = query(list(self.to_sql(params, inputs, job.key)))
        if Analysis.kept(job.prepared, made.sql) is None:
            made = self._query(params, inputs, job.key)
        with _placed_in_yaml(made, job.inputs):
            found = analysed(job, made.sql)
            return run_query(job, found, params.memory_limit, reproducible=params.reproducible)

    def _query(self, params: Any, inputs: Sequence[str], key: Sequence[str]) -> Query:
        from mmetl.engines.sql.expressions import check_expression

        pieces = list(self.to_sql(params, inputs, key))
        for piece in pieces:
            if isinstance(piece, Expression):
                check_expression(piece.text, piece.param)
        return query(pieces)

    def _check_inputs(self, inputs: Mapping[str, str]) -> None:
        least, most = self.takes
        if least <= len(inputs) and (most is None or len(inputs) <= most):
            return
        count = len(inputs) or "none"
        wanted = "one input" if most == 1 else f"{least} inputs or more"
        raise ParamError(
            f"'{self.name}' reads {wanted}, and has {count}",
            help="write `inputs: [task]`" if most == 1 else "write `inputs: [one_task, another_task]`",
            param=("inputs",) if inputs else (),
        )


def lists(columns: Iterable[str]) -> str:
    """Return columns as SQL."""
    from mmetl.utils.text import quote

    return ", ".join(quote(c) for c in columns)


def named(param: str, columns: Iterable[str], inputs: Sequence[str]) -> Iterator[Named]:
    """Yield the columns of a param that is a list."""
    for n, column in enumerate(columns):
        yield Named(column, (param, n), tuple(inputs))


def _check_column(found: Named, inputs: Mapping[str, Input]) -> None:
    for alias in found.inputs:
        known = [c.name for c in inputs[alias].manifest.columns]
        if found.column.lower() not in {name.lower() for name in known}:
            what, text = f"'{alias}' has no column '{found.column}'", found.text or found.column
            raise QueryError(what, None, _meant(found.column, known), text, 0, found.param)


def _meant(column: str, known: Sequence[str]) -> str:
    meant = near(column, known)
    return (f"did you mean '{meant}'? " if meant else "") + f"the columns are: {', '.join(known)}"


@contextlib.contextmanager
def _placed_in_params(made: Query) -> Iterator[None]:
    """Say of what is wrong in the query in which param that stands."""
    try:
        yield
    except ParamError as error:
        found = made.place(error.offset or 0)
        error.param, error.offset = (found[0].param, found[1]) if found else ((), None)
        error.help = error.help.removesuffix(", or set `volatile: true`")
        raise


@contextlib.contextmanager
def _placed_in_yaml(made: Query, inputs: Mapping[str, Input]) -> Iterator[None]:
    """Say of an error of the running query in which param it stands, and what an unknown column may have meant."""
    try:
        yield
    except TaskError as error:
        unknown = _NO_COLUMN.match(error.what)
        if unknown:
            known = dict.fromkeys(c.name for i in inputs.values() for c in i.manifest.columns)
            error.help = _meant(unknown[1], list(known))
        if error.where is None or error.where.file != "sql":
            raise
        lines = made.sql.splitlines(keepends=True)[: error.where.line - 1]
        found = made.place(sum(map(len, lines)) + error.where.column - 1)
        if found is None:
            raise
        (expression, offset) = found
        raise QueryError(error.what, error.where, error.help, expression.text, offset, expression.param) from error
