"""`vector.knn`: for each vector of one table the nearest ones of another, or of the same."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.items import Items
from mmetl.contracts.lineage import Trace, whole
from mmetl.contracts.transform import Declaration, Job, Scope, Table
from mmetl.errors import ParamError, TaskError
from mmetl.items.transform import ItemTransform, item_inputs
from mmetl.transforms.vector.types import dimensions_of
from mmetl.utils.text import quote

if TYPE_CHECKING:
    import pyarrow as pa

    from mmetl.transforms.vector.nearest import Near, Nearest

NEAR = "near_"
"""What the names of the other table's key columns begin with."""


class KnnParams(BaseModel):
    """Params of `vector.knn`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    k: int = Field(5, ge=1, le=1000, description="how many of the nearest")
    metric: Literal["cosine", "euclidean"] = Field(
        "cosine",
        description="cosine: the distance is 1 - the cosine of the angle; euclidean: the length of the difference",
    )
    max_distance: float | None = Field(None, ge=0, description="those that are farther are left out")
    vector: str = Field("vector", description="the column of vectors, of the first input")
    other_vector: str | None = Field(None, description="that of the second input; default: the same name")


class _Other(NamedTuple):
    """The table that is searched: its keys in order, where each stands, and its vectors."""

    keys: pa.Table
    digests: pa.Array
    nearest: Nearest


class Knn(ItemTransform):
    """See the module."""

    def declare(self, params: KnnParams, scope: Scope) -> Declaration:
        """Refuse more inputs than two. Raises ParamError."""
        if len(scope.inputs) > 2:
            raise ParamError("'vector.knn' takes one input, or two", help="the second one is searched")
        return super().declare(params, scope)

    def over(self, params: KnnParams, table: Table, others: Mapping[str, Table]) -> tuple[Items, Mapping[str, Table]]:
        """Name the columns. Raises TaskError for inputs without key, or whose vectors cannot be compared."""
        other = next(iter(others.values()), table)
        for one in (table, other):
            if not one.manifest.key:
                raise TaskError(f"'{one.task}' has no key", help="pairs are named by keys: set `key:`")
        sizes = (
            dimensions_of(table.manifest, params.vector, table.task),
            dimensions_of(other.manifest, _of_other(params, others), other.task),
        )
        if sizes[0] != sizes[1]:
            raise TaskError(
                f"the vectors of '{table.task}' have {sizes[0]} dimensions, those of '{other.task}' {sizes[1]}",
                help="compare vectors of one model",
            )
        kinds = {c.name: c.type for c in other.manifest.columns}
        near = {NEAR + name: kinds[name] for name in other.manifest.key}
        # Within one table a row's own key decides, too: it is not among its nearest.
        reads = [params.vector] if others else [*table.manifest.key, params.vector]
        items = replace(self.items, reads=reads, makes={**near, "rank": "int32", "distance": "double"}, key=tuple(near))
        return items, others or {"": table}

    def lineage(self, params: KnnParams, inputs: Mapping[str, Manifest], key: object) -> Iterator[Trace]:
        """Yield that a row came from two: that of its key, and the near one: see contracts.lineage."""
        own, *_ = super().lineage(params, inputs, key)
        yield own
        alias, table = list(inputs.items())[-1]
        pairs = tuple((quote(NEAR + k), quote(k)) for k in table.key)
        yield Trace(alias, pairs)
        yield whole(alias, "a vector is compared with all of it")

    def prepare(self, job: Job, closing: ExitStack) -> Callable[..., Any]:  # noqa: ARG002  it has nothing to close
        """Return the function of a batch. The other table is read when the first batch comes."""
        params: KnnParams = job.params
        table, others = item_inputs(job)
        size = dimensions_of(table.manifest, params.vector, table.task)
        searched = cache(lambda: _read(job, next(iter(others.values()), table), _of_other(params, others), size))

        def nearest(batch: pa.RecordBatch) -> dict[str, Any]:
            import numpy as np
            import pyarrow as pa
            import pyarrow.compute as pc

            from mmetl.items.hashes import row_digests
            from mmetl.transforms.vector.numbers import column_vectors, judged

            other = searched()
            vectors, errors = column_vectors(batch.column(params.vector), size)
            bad = judged(vectors, errors, zero_is_bad=params.metric == "cosine")
            sound = np.array([n for n, e in enumerate(bad) if e is None], np.intp)
            own = None
            if not others:
                keys = pa.Table.from_batches([batch.select(list(table.manifest.key))]).take(pa.array(sound))
                own = np.asarray(pc.index_in(row_digests(keys), value_set=other.digests)).astype(np.intp)
            return _rows(other.nearest.of(vectors[sound], own), other.keys, sound, bad)

        nearest.__name__ = self.name  # what messages call it
        return nearest


def _of_other(params: KnnParams, others: Mapping[str, Table]) -> str:
    return (params.other_vector or params.vector) if others else params.vector


def _read(job: Job, table: Table, column: str, size: int) -> _Other:
    """Read the table that is searched, in the order of its key. Vectors that cannot be compared are left out."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from mmetl.cache.tables import read_table
    from mmetl.items.hashes import row_digests
    from mmetl.transforms.vector.nearest import Nearest
    from mmetl.transforms.vector.numbers import column_vectors, judged

    params: KnnParams = job.params
    key = list(table.manifest.key)
    rows = read_table(table, list(dict.fromkeys((*key, column)))).read_all()
    rows = rows.take(pc.sort_indices(rows.select(key), [(k, "ascending") for k in key]))
    vectors, errors = column_vectors(rows.column(column), size)
    bad = judged(vectors, errors, zero_is_bad=params.metric == "cosine")
    sound = np.array([n for n, e in enumerate(bad) if e is None], np.intp)
    if len(sound) < len(bad):
        told = next(e for e in bad if e)
        what = f"{len(bad) - len(sound):,} rows of '{table.task}' cannot be compared; of the first, {told}"
        if job.params.on_error == "fail":
            raise TaskError(what, help="mend them, or leave them out with `on_error: quarantine`")
        job.log.write(f"{what}\n")
    keys = rows.select(key).take(pa.array(sound))
    most = math.inf if params.max_distance is None else params.max_distance
    found = Nearest(vectors[sound], params.k, cosine=params.metric == "cosine", max_distance=most)
    return _Other(keys, row_digests(keys), found)


def _rows(near: Near, keys: pa.Table, sound: Any, bad: list[str | None]) -> dict[str, Any]:
    """Return the pairs as rows, and one row for each item that has no vector."""
    import numpy as np
    import pyarrow as pa

    failed = [n for n, e in enumerate(bad) if e is not None]

    def padded(column: pa.Array) -> pa.Array:
        return pa.concat_arrays([column, pa.nulls(len(failed), column.type)])

    found = keys.take(pa.array(near.places)).combine_chunks()
    chunks = {n: found.column(n).chunks or [pa.array([], found.column(n).type)] for n in found.column_names}
    return {
        "_item": pa.array(np.concatenate([sound[near.rows], np.array(failed, np.intp)])),
        **{NEAR + n: padded(pa.concat_arrays(c)) for n, c in chunks.items()},
        "rank": padded(pa.array(near.ranks.astype(np.int32))),
        "distance": padded(pa.array(near.distances)),
        "_error": pa.array([*[None] * len(near.rows), *(bad[n] for n in failed)], pa.string()),
    }


KNN = Knn(
    "vector.knn",
    None,
    Items(reads=(), makes={}, many=True, batch_rows=1024),
    KnnParams,
    version=1,
)
