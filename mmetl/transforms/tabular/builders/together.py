"""`tabular.join` and `tabular.union`: several tables made one, side by side or one below the other."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Literal

from pydantic import Field

from mmetl.transforms.tabular.builders.base import Builder, BuilderParams, lists, named
from mmetl.transforms.tabular.builders.pieces import Expression, Named


class JoinParams(BuilderParams):
    """Params of `tabular.join`."""

    by: list[str] = Field(min_length=1, description="columns that all inputs have, and that are equal in joined rows")
    how: Literal["inner", "left", "right", "full", "semi", "anti"] = Field(
        default="inner",
        description="which rows are kept: those with a partner, also others of the left, the right or both; semi and anti: rows of the left that have one, or none",
    )


class Join(Builder):
    """Joins tables by columns that they share; each further input joins what came before it."""

    name = "tabular.join"
    params = JoinParams
    takes = (2, None)

    def to_sql(self, params: JoinParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterator[str | Expression]:
        """See Builder."""
        yield f"select * from {lists(inputs[:1])}"
        for other in inputs[1:]:
            yield f" {params.how} join {lists([other])} using ({lists(params.by)})"

    def columns(self, params: JoinParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterable[Named]:
        """See Builder."""
        return named("by", params.by, inputs)


class UnionParams(BuilderParams):
    """Params of `tabular.union`."""

    distinct: bool = Field(default=False, description="keep rows that are equal in all columns once")
    source: str | None = Field(
        default=None, min_length=1, description="a column to add, with the name of the input that a row is from"
    )


class Union(Builder):
    """Puts tables one below the other, by the names of their columns; a column that one lacks is null there."""

    name = "tabular.union"
    params = UnionParams
    takes = (2, None)

    def to_sql(self, params: UnionParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterator[str | Expression]:
        """See Builder."""
        from mmetl.engines.duckdb import literal

        word = " union by name " if params.distinct else " union all by name "
        yield word.join(
            f"select *{f', {literal(i)} as {lists([params.source])}' if params.source else ''} from {lists([i])}"
            for i in inputs
        )

    def columns(self, _params: UnionParams, _inputs: Sequence[str], _key: Sequence[str]) -> Iterable[Named]:
        """See Builder."""
        return ()


JOIN = Join()
UNION = Union()
