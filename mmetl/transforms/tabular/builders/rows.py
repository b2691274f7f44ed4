"""`tabular.filter` and `tabular.select`: some of the rows, some of the columns."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field

from mmetl.errors import ParamError
from mmetl.transforms.tabular.builders.base import Builder, BuilderParams, lists, named
from mmetl.transforms.tabular.builders.pieces import Expression, Named


class FilterParams(BuilderParams):
    """Params of `tabular.filter`."""

    where: str = Field(description="an expression; rows for which it is true are kept, so not those where it is null")


class Filter(Builder):
    """Keeps the rows for which an expression is true."""

    name = "tabular.filter"
    params = FilterParams

    def to_sql(self, params: FilterParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterator[str | Expression]:
        """See Builder."""
        yield f"select * from {lists(inputs)} where "
        yield Expression(params.where, ("where",))

    def columns(self, _params: FilterParams, _inputs: Sequence[str], _key: Sequence[str]) -> Iterable[Named]:
        """See Builder."""
        return ()


class SelectParams(BuilderParams):
    """Params of `tabular.select`."""

    columns: list[str] = Field(default_factory=list, description="columns to keep, in this order; default: all")
    exclude: list[str] = Field(default_factory=list, description="columns to leave out, where `columns` is not given")
    rename: dict[str, str] = Field(default_factory=dict, description="column: its new name")
    computed: dict[str, str] = Field(
        default_factory=dict, description="new column: an expression over the columns as they were; they come last"
    )


class Select(Builder):
    """Keeps, renames and computes columns."""

    name = "tabular.select"
    params = SelectParams

    def to_sql(self, params: SelectParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterator[str | Expression]:
        """See Builder."""
        if params.columns and params.exclude:
            raise ParamError("'exclude' is for where `columns` is not given", help="leave it out", param=("exclude",))
        for column in params.rename:
            if column in params.exclude or (params.columns and column not in params.columns):
                raise ParamError(
                    f"column '{column}' is renamed and not kept", help="keep it, or leave it", param=("rename", column)
                )
        if not (params.columns or params.exclude or params.rename or params.computed):
            raise ParamError("nothing is selected", help="set `columns`, `exclude`, `rename` or `computed`")
        yield f"select {self._kept(params)}"
        for name, text in params.computed.items():
            yield ", "
            yield Expression(text, ("computed", name))
            yield f" as {lists([name])}"
        yield f" from {lists(inputs)}"

    def _kept(self, params: SelectParams) -> str:
        if params.columns:
            return ", ".join(
                f"{lists([c])} as {lists([params.rename[c]])}" if c in params.rename else lists([c])
                for c in params.columns
            )
        renamed = ", ".join(f"{lists([old])} as {lists([new])}" for old, new in params.rename.items())
        exclude = f" exclude ({lists(params.exclude)})" if params.exclude else ""
        return f"*{exclude}" + (f" rename ({renamed})" if renamed else "")

    def columns(self, params: SelectParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterable[Named]:
        """See Builder."""
        yield from named("columns", params.columns, inputs)
        yield from named("exclude", params.exclude, inputs)
        for old, new in params.rename.items():
            yield Named(old, ("rename", old), tuple(inputs), text=new)


FILTER = Filter()
SELECT = Select()
