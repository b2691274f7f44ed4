"""`tabular.deduplicate` and `tabular.sample`: which rows to keep is decided by the rows alone, never by their order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from pydantic import Field

from mmetl.engines.sql.functions import ROW
from mmetl.errors import ParamError
from mmetl.transforms.tabular.builders.base import Builder, BuilderParams, lists, named
from mmetl.transforms.tabular.builders.pieces import Expression, Named

HASH_BITS = 128  # of MD5; its text is compared, in which the order is that of the numbers


class DeduplicateParams(BuilderParams):
    """Params of `tabular.deduplicate`."""

    by: list[str] = Field(default_factory=list, description="columns that name a row; default: the task's key")
    latest: str = Field(
        min_length=1, description="of rows with the same name the one with the largest value in this column is kept"
    )


class Deduplicate(Builder):
    """Keeps the latest of the rows that have the same name."""

    name = "tabular.deduplicate"
    params = DeduplicateParams

    def to_sql(
        self, params: DeduplicateParams, inputs: Sequence[str], key: Sequence[str]
    ) -> Iterator[str | Expression]:
        """See Builder."""
        by = params.by or key
        if not by:
            raise ParamError("nothing names a row", help="set `by`, or give the task a `key`")
        yield (
            f"select * from {lists(inputs)} as {ROW} qualify row_number() over"
            f" (partition by {lists(by)} order by {lists([params.latest])} desc nulls last, {ROW}) = 1"
        )

    def columns(self, params: DeduplicateParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterable[Named]:
        """See Builder."""
        yield from named("by", params.by, inputs)
        yield Named(params.latest, ("latest",), tuple(inputs))


class SampleParams(BuilderParams):
    """Params of `tabular.sample`."""

    fraction: float | None = Field(default=None, gt=0, le=1, description="about this share of all rows, such as 0.01")
    rows: int | None = Field(default=None, ge=1, description="so many rows, or all if there are fewer")
    seed: int = Field(default=0, description="another number takes other rows")
    by: list[str] = Field(
        default_factory=list,
        description="columns that decide whether a row is taken; default: the task's key, else all columns",
    )


class Sample(Builder):
    """Takes some rows, always the same: by a hash of the row's key, or of all of the row."""

    name = "tabular.sample"
    params = SampleParams

    def to_sql(self, params: SampleParams, inputs: Sequence[str], key: Sequence[str]) -> Iterator[str | Expression]:
        """See Builder."""
        if (params.fraction is None) == (params.rows is None):
            raise ParamError("a sample has either `fraction` or `rows`", help="such as `fraction: 0.01`")
        by = params.by or key
        held = f"[{', '.join(f'cast({lists([c])} as varchar)' for c in by)}]" if by else ROW
        hashed = f"md5('{params.seed}:' || cast({held} as varchar))"
        table = f"{lists(inputs)} as {ROW}"
        if params.rows is not None:
            yield f"select * from (select * from {table} order by {hashed}, {ROW} limit {params.rows})"
        elif params.fraction == 1:
            yield f"select * from {table}"
        else:
            below = int((params.fraction or 0) * 2**HASH_BITS)
            yield f"select * from {table} where {hashed} < '{below:0{HASH_BITS // 4}x}'"

    def columns(self, params: SampleParams, inputs: Sequence[str], _key: Sequence[str]) -> Iterable[Named]:
        """See Builder."""
        return named("by", params.by, inputs)


DEDUPLICATE = Deduplicate()
SAMPLE = Sample()
