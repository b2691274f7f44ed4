"""`tabular.aggregate` and `tabular.pivot`: one row for each group."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import Field, StrictInt, StrictStr

from mmetl.errors import ParamError
from mmetl.transforms.tabular.builders.base import Builder, BuilderParams, lists, named
from mmetl.transforms.tabular.builders.pieces import Expression, Named


class AggregateParams(BuilderParams):
    """Params of `tabular.aggregate`."""

    by: list[str] = Field(default_factory=list, description="columns that name a group; default: all rows are one")
    columns: dict[str, str] = Field(
        min_length=1, description="column: an expression with aggregates, such as sum(delay)"
    )


class Aggregate(Builder):
    """Gives one row for each group: its columns, and what is computed over its rows."""

    name = "tabular.aggregate"
    params = AggregateParams

    def to_sql(self, params: AggregateParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterator[str | Expression]:
        """See Builder."""
        yield "select "
        yield from (f"{lists([c])}, " for c in params.by)
        for n, (name, text) in enumerate(params.columns.items()):
            if name in params.by:
                raise ParamError(f"'{name}' is a column of `by`", help="rename it", param=("columns", name))
            yield ", " if n else ""
            yield Expression(text, ("columns", name))
            yield f" as {lists([name])}"
        yield f" from {lists(inputs)}" + _group(params.by)

    def columns(self, params: AggregateParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterable[Named]:
        """See Builder."""
        return named("by", params.by, inputs)


class PivotParams(BuilderParams):
    """Params of `tabular.pivot`."""

    by: list[str] = Field(default_factory=list, description="columns that name a row of the result; default: one row")
    column: str = Field(min_length=1, description="the column whose values become columns")
    values: list[StrictStr | StrictInt] = Field(
        min_length=1, description="the values that become columns, named as they are; rows with others are left out"
    )
    value: str = Field(default="1", description="an expression: what is taken from each row")
    aggregate: Literal["count", "sum", "min", "max", "avg", "median"] = Field(
        default="count", description="what is made of these where several rows meet"
    )


class Pivot(Builder):
    """Turns the values of a column into columns, one row for each group."""

    name = "tabular.pivot"
    params = PivotParams

    def to_sql(self, params: PivotParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterator[str | Expression]:
        """See Builder."""
        from mmetl.engines.duckdb import literal

        yield "select "
        yield from (f"{lists([c])}, " for c in params.by)
        for n, value in enumerate(params.values):
            if str(value) in {*params.by, *map(str, params.values[:n])}:
                raise ParamError(f"two columns would be named '{value}'", help="leave it out", param=("values", n))
            yield f"{', ' if n else ''}{params.aggregate}("
            yield Expression(params.value, ("value",))
            same = literal(value) if isinstance(value, str) else str(value)
            yield f") filter (where {lists([params.column])} = {same}) as {lists([str(value)])}"
        yield f" from {lists(inputs)}" + _group(params.by)

    def columns(self, params: PivotParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterable[Named]:
        """See Builder."""
        yield from named("by", params.by, inputs)
        yield Named(params.column, ("column",), tuple(inputs))


def _group(by: Sequence[str]) -> str:
    return f" group by {lists(by)}" if by else ""


AGGREGATE = Aggregate()
PIVOT = Pivot()
