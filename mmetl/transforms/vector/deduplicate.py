"""`vector.deduplicate`: of rows whose vectors are nearly the same, one is kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.items import Basis, ItemIndex
from mmetl.contracts.lineage import Trace, same_rows, whole
from mmetl.contracts.transform import Declaration, Job, Made, Scope, Table
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.items.frugal import frugal
from mmetl.items.steps import known_rows
from mmetl.items.transform import item_inputs
from mmetl.transforms.vector.types import dimensions_of

if TYPE_CHECKING:
    from mmetl.transforms.document.kept_rows import Said


class DeduplicateParams(BaseModel):
    """Params of `vector.deduplicate`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    vector: str = Field("vector", description="the column of vectors")
    threshold: float = Field(
        0.95, gt=0, le=1, description="the cosine of the angle of two vectors from which on they are nearly the same"
    )
    keep: Literal["first", "all"] = Field(
        "first", description="first: rows that are no duplicates; all: every row, with `duplicate_of` and `similarity`"
    )
    drop: tuple[str, ...] = Field((), description="columns of the input that are left out")


class Deduplicate:
    """See the module. Each pair of vectors may matter, so all are compared anew; only parts that changed are written."""

    name = "vector.deduplicate"
    version = 1
    grain = "task: all vectors are compared; only parts that changed are written"
    params = DeduplicateParams
    packages: tuple[str, ...] = ()
    code: tuple[str, ...] = ()

    def declare(self, params: DeduplicateParams, scope: Scope) -> Declaration:  # noqa: ARG002  the protocol's parameters
        """Say that it reads its input. Raises ParamError without exactly one."""
        if len(scope.inputs) != 1:
            raise ParamError(f"'{self.name}' needs one input: a table of vectors", help="name a task in `inputs:`")
        return Declaration(named_inputs=False)

    def lineage(self, params: DeduplicateParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that its rows are rows of the input: see contracts.lineage."""
        why = "which rows are duplicates is decided among all of them"
        yield from same_rows(inputs, why if params.keep == "first" else "")
        if params.keep == "all":
            yield from (whole(alias, why) for alias in inputs)

    def run(self, job: Job) -> Made:
        """Find duplicates, write what changed. Raises TaskError for an input without key, and vectors that cannot be compared."""
        frugal()
        require("tabular", "pyarrow")
        from mmetl.cache.fingerprints import combine
        from mmetl.transforms.document.kept_rows import kept_rows

        table, _ = item_inputs(job)
        manifest = table.manifest
        if not manifest.key:
            raise TaskError(f"'{table.task}' has no key", help="which of two rows is kept goes by the key: set `key:`")
        said = _find(job, table)
        rows = kept_rows(job, table, said)
        units = tuple(rows.units(known_rows(job.earlier)))
        found = int((said.duplicates.of >= 0).sum())
        # What decides a part is in the name of its unit.
        basis = Basis(job.earlier.recipe if job.earlier else "", combine([c.name for c in rows.columns]))
        return Made(
            tuple(p for unit in units for p in unit.parts),
            rows.columns,
            manifest.buckets,
            items=ItemIndex(basis, units),
            key=manifest.key,
            counts={"computed": manifest.rows, **({"duplicates": found} if found else {})},
        )


def _find(job: Job, table: Table) -> Said:
    """Find duplicates in the order of the key: the cut into parts has no say in it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from mmetl.cache.tables import read_table
    from mmetl.transforms.document.duplicates import Duplicates
    from mmetl.transforms.document.kept_rows import Said
    from mmetl.transforms.vector.leaders import leaders
    from mmetl.transforms.vector.numbers import column_vectors, judged

    params: DeduplicateParams = job.params
    key = list(table.manifest.key)
    size = dimensions_of(table.manifest, params.vector, table.task)
    rows = read_table(table, list(dict.fromkeys((*key, params.vector)))).read_all()
    keys = rows.select(key).combine_chunks()
    order = np.asarray(pc.sort_indices(keys, [(k, "ascending") for k in key])).astype(np.int64)
    vectors, errors = column_vectors(rows.column(params.vector), size)
    bad = judged(vectors, errors)
    wrong = [n for n in order.tolist() if bad[n]]
    if wrong:
        named = "/".join(str(v) for v in keys.take(pa.array(wrong[:1])).to_pylist()[0].values())
        raise TaskError(
            f"{len(wrong):,} rows of '{table.task}' cannot be compared; of the first, {named}, {bad[wrong[0]]}",
            help=f"set them aside before: expect: [{{finite: {params.vector}, severity: quarantine}}]",
        )
    found = leaders(vectors[order], 1 - params.threshold)
    of, similarity = np.full(len(order), -1, np.int64), np.zeros(len(order), np.float32)
    there = np.nonzero(found.of != np.arange(len(order)))[0]
    of[order[there]], similarity[order[there]] = order[found.of[there]], 1 - found.distances[there]
    return Said(Duplicates(of, similarity), keys)


DEDUPLICATE = Deduplicate()
