"""`document.deduplicate`: of texts that say the same, or nearly so, one is kept.

It is done in two steps. The signature of a text depends on that text alone: it is kept as that of an item, in parts of its own
beside the table. Which texts are duplicates of which is found anew from all signatures; of the table only parts in which that
changed are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.items import ItemIndex, Items
from mmetl.contracts.lineage import Trace, same_rows, whole
from mmetl.contracts.transform import Declaration, Job, Made, Scope, Table
from mmetl.errors import ParamError, TaskError
from mmetl.items.steps import EarlierStep, known_rows, recipe_of_step
from mmetl.items.transform import ItemTransform

if TYPE_CHECKING:
    import pyarrow as pa

    from mmetl.transforms.document.kept_rows import Said


class SignatureParams(BaseModel):
    """Params that decide the signature of a text."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    text: str = Field("text", description="the column of texts")
    method: Literal["near", "exact"] = Field(
        "near", description="near: texts of which enough is the same; exact: the same words in the same order"
    )
    shingles: Literal["words", "characters"] = Field(
        "words", description="near: what texts are compared by; characters are for languages without spaces"
    )
    size: int = Field(3, ge=1, le=64, description="near: how many words or characters in a row are compared as one")
    permutations: int = Field(
        128,
        ge=16,
        le=1024,
        description="near: numbers of a signature; four times as many halve the error of similarities",
    )


class DeduplicateParams(SignatureParams):
    """Params of `document.deduplicate`."""

    threshold: float = Field(0.7, gt=0, le=1, description="near: the similarity from which on texts are duplicates")
    keep: Literal["first", "all"] = Field(
        "first", description="first: rows that are no duplicates; all: every row, with `duplicate_of` and `similarity`"
    )
    drop: tuple[str, ...] = Field((), description="columns of the input that are left out")


def _signed(batch: pa.RecordBatch, params: SignatureParams) -> dict[str, Any]:
    """Return the hashes and the signatures of a batch of texts."""
    import pyarrow as pa

    from mmetl.transforms.document.duplicates import exact_names, normalized, signatures

    texts = [normalized(text or "") for text in batch.column(params.text).to_pylist()]
    near: list[bytes | None] = [None] * len(texts)
    if params.method == "near":
        near = [s.tobytes() for s in signatures(texts, params.size, params.shingles, params.permutations)]
    return {
        "_item": pa.array(range(len(texts)), pa.int64()),
        "_exact": pa.array(exact_names(texts), pa.string()),
        "_near": pa.array(near, pa.binary()),
    }


SIGNATURES = ItemTransform(
    "document.deduplicate",
    _signed,
    Items(
        reads=lambda params: (params.text,), makes={"_exact": "string", "_near": "binary"}, many=True, batch_rows=512
    ),
    SignatureParams,
    version=1,
    packages=("rensa",),
)


class Deduplicate:
    """See the module."""

    name = "document.deduplicate"
    version = 2
    grain = "item: only new and changed texts get a signature; duplicates are found anew among all signatures"
    params = DeduplicateParams
    packages: tuple[str, ...] = SIGNATURES.packages
    code: tuple[str, ...] = ()
    optional_packages = SIGNATURES.packages  # `method: exact` needs none

    def declare(self, params: DeduplicateParams, scope: Scope) -> Declaration:  # noqa: ARG002  the protocol's parameters
        """Say that it reads its input. Raises ParamError without exactly one."""
        if len(scope.inputs) != 1:
            raise ParamError(
                "'document.deduplicate' needs one input: a table of texts", help="name a task in `inputs:`"
            )
        return Declaration(named_inputs=False)

    def estimate(self, job: Job) -> Mapping[str, float]:
        """Return how many signatures a run would compute. Raises TaskError where a run would fail before it began."""
        return SIGNATURES.estimate(self._of_signatures(job))

    def lineage(self, params: DeduplicateParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that its rows are rows of the input: see contracts.lineage."""
        why = "which rows are duplicates is decided among all of them"
        yield from same_rows(inputs, why if params.keep == "first" else "")
        if params.keep == "all":
            yield from (whole(alias, why) for alias in inputs)

    def run(self, job: Job) -> Made:
        """Compute new signatures, find duplicates, write what changed. Raises TaskError for an input without a key."""
        signed = SIGNATURES.run(self._of_signatures(job))
        from mmetl.transforms.document.kept_rows import kept_rows

        assert signed.items
        table = next(iter(job.inputs.values()))
        assert isinstance(table, Table)
        said = _find(job, table, signed)
        rows = kept_rows(job, table, said)
        units = rows.units(known_rows(job.earlier))
        found = int((said.duplicates.of >= 0).sum())
        return Made(
            tuple(p for unit in units for p in unit.parts),
            rows.columns,
            table.manifest.buckets,
            items=ItemIndex(signed.items.basis, (*signed.items.units, *units)),
            key=table.manifest.key,
            counts={**signed.counts, **({"duplicates": found} if found else {})},
        )

    def _of_signatures(self, job: Job) -> Job:
        """Return the job of the first step. Raises TaskError for an input without a key."""
        table = next(iter(job.inputs.values()), None)
        if isinstance(table, Table) and not table.manifest.key:
            raise TaskError(f"'{table.task}' has no key", help="which of two texts is kept goes by the key: set `key:`")
        given: DeduplicateParams = job.params
        params = SIGNATURES.params.model_validate({n: getattr(given, n) for n in SignatureParams.model_fields})
        recipe = recipe_of_step(self.name, SIGNATURES.version, params.model_dump(), self.packages)
        return replace(job, params=params, earlier=EarlierStep(job.earlier, recipe) if job.earlier else None)


def _find(job: Job, table: Table, signed: Made) -> Said:
    """Find duplicates among all signatures, in the order of the key: the cut into parts has no say in it."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from mmetl.cache.tables import read_table
    from mmetl.transforms.document.duplicates import Duplicates, find_duplicates
    from mmetl.transforms.document.kept_rows import Said

    manifest = Manifest("table", signed.parts, table.manifest.key, signed.columns, signed.buckets)
    paths = tuple(job.parts.path(p.fingerprint) for p in signed.parts)
    known = read_table(Table(table.task, manifest, paths)).read_all().combine_chunks()
    keys = known.select(list(table.manifest.key))
    order = np.asarray(pc.sort_indices(keys, [(name, "ascending") for name in keys.column_names]), np.int64)
    exact = known.column("_exact").take(pa.array(order)).to_pylist()
    signatures = None
    if job.params.method == "near":
        size = job.params.permutations
        values = known.column("_near").combine_chunks().cast(pa.binary(4 * size))
        if len(order):
            numbers = np.frombuffer(values.buffers()[1], np.uint32)[values.offset * size :][: len(order) * size]
            signatures = numbers.reshape(-1, size)[order]
    found = find_duplicates(exact, signatures, job.params.threshold)
    of, similarity = np.full(len(order), -1, np.int64), np.zeros(len(order), np.float32)
    there = found.of >= 0
    of[order[there]], similarity[order[there]] = order[found.of[there]], found.similarity[there]
    return Said(Duplicates(of, similarity), keys)


DEDUPLICATE = Deduplicate()
