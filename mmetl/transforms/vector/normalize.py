"""`vector.normalize`: vectors get the length 1, and one type."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.items import Items
from mmetl.contracts.transform import Job, Table
from mmetl.errors import TaskError
from mmetl.items.transform import ItemTransform
from mmetl.transforms.vector.types import size_of, vector_type

if TYPE_CHECKING:
    import pyarrow as pa


class NormalizeParams(BaseModel):
    """Params of `vector.normalize`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vector: str = Field("vector", description="the column of vectors")
    into: str | None = Field(None, description="the column that is made; default: it takes the place of `vector`")
    dimensions: int | None = Field(
        None, ge=1, le=16384, description="of a vector; needed where the column is a list of any length"
    )


class Normalize(ItemTransform):
    """See the module."""

    def over(
        self, params: NormalizeParams, table: Table, others: Mapping[str, Table]
    ) -> tuple[Items, Mapping[str, Table]]:
        """Name the type that is made. Raises TaskError where the column is none of vectors, or of others than are asked for."""
        size = _size(params, table)
        return replace(self.items, makes={params.into or params.vector: vector_type(size)}), others

    def prepare(self, job: Job, closing: ExitStack) -> Callable[..., Any]:  # noqa: ARG002  it has nothing to close
        """Return the function of a batch."""
        params: NormalizeParams = job.params
        table = next(t for t in job.inputs.values() if isinstance(t, Table))
        size = _size(params, table)

        def normalized(batch: pa.RecordBatch) -> dict[str, Any]:
            from mmetl.transforms.vector.numbers import as_column, column_vectors, judged, unit

            try:
                vectors, errors = column_vectors(batch.column(params.vector), size)
            except ValueError as error:
                raise TaskError(f"no vector has {size} dimensions: {error}", help="set `dimensions`") from error
            bad = judged(vectors, errors)
            return {params.into or params.vector: as_column(unit(vectors), bad), "_error": bad}

        return normalized


def _size(params: NormalizeParams, table: Table) -> int:
    size = size_of(table.manifest, params.vector, table.task)
    if size is None and params.dimensions is None:
        raise TaskError(
            f"the vectors in '{params.vector}' of '{table.task}' are lists of any length", help="set `dimensions`"
        )
    if size is not None and params.dimensions not in {None, size}:
        raise TaskError(f"the vectors of '{table.task}' have {size} dimensions, not {params.dimensions}")
    return size or int(params.dimensions or 0)


NORMALIZE = Normalize(
    "vector.normalize",
    None,
    Items(reads=lambda params: (params.vector,), makes={}, batch_rows=4096),
    NormalizeParams,
    version=1,
)
