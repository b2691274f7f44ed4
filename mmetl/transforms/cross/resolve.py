"""`cross.resolve_entities`: which records are one thing, each with the name of what it is.

It is done in two steps. Records that share a block are compared: a block is an item, which depends on its own records alone, and
the pairs of it are kept in parts of their own beside the table. Which records are one is found anew from all pairs and from what
somebody said of some; of the table only parts in which that changed are written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.items import ItemIndex, Items
from mmetl.contracts.lineage import Trace, by_columns, whole
from mmetl.contracts.transform import Declaration, Job, Made, Scope, Table
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.items.frugal import frugal
from mmetl.items.keeping import refuse_unknown
from mmetl.items.steps import EarlierStep, known_rows, recipe_of_step
from mmetl.items.transform import ItemTransform, item_inputs
from mmetl.transforms.cross.resolve_params import PairParams, ResolveParams

if TYPE_CHECKING:
    import pyarrow as pa

EXCEPTIONS = "exceptions"


def _compared(batch: pa.RecordBatch, params: PairParams) -> dict[str, Any]:
    from mmetl.transforms.cross.pairs import similar_pairs

    return similar_pairs(batch, params.compare, params.review_from)


PAIRS = ItemTransform(
    "cross.resolve_entities",
    _compared,
    Items(
        reads=("_members",),
        makes={"_left": "string", "_right": "string", "_score": "double"},
        many=True,
        key=("_left", "_right"),
        batch_rows=1024,
        batch_bytes=1 << 18,
    ),
    PairParams,
    version=1,
    packages=("rapidfuzz",),
    extra=("entities", "rapidfuzz"),
)


class ResolveEntities:
    """See the module."""

    name = "cross.resolve_entities"
    version = 1
    grain = "item, of blocks: only blocks with new and changed records are compared; which records are one is found anew from all pairs"
    params = ResolveParams
    packages: tuple[str, ...] = PAIRS.packages
    code: tuple[str, ...] = ()

    def declare(self, params: ResolveParams, scope: Scope) -> Declaration:  # noqa: ARG002  the protocol's parameters
        """Say that it reads its inputs. Raises ParamError unless they are records and, maybe, exceptions."""
        records = [alias for alias in scope.inputs if alias != EXCEPTIONS]
        if len(records) != 1:
            raise ParamError(
                f"'{self.name}' needs one input of records, and maybe one that is called '{EXCEPTIONS}'",
                help=f"write `inputs: {{records: TASK, {EXCEPTIONS}: TASK}}`",
            )
        return Declaration()

    def estimate(self, job: Job) -> Mapping[str, float]:
        """Return how many blocks a run would find added, changed and so on, and compare. Raises TaskError where a run would fail before it began."""
        _require()
        from mmetl.transforms.cross.records import Records

        table, _ = _inputs(job)
        records = Records(table, job.params)
        with TemporaryDirectory() as folder:
            blocks = records.block_table(records.blocks(), Path(folder))
            return PAIRS.estimate(self._of_pairs(job, blocks))

    def lineage(self, _params: ResolveParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that its rows are those of the records: see contracts.lineage."""
        for alias, table in inputs.items():
            if alias == EXCEPTIONS:
                yield whole(alias, "it joins and splits what was found")
            else:
                yield by_columns(alias, table.key, same_cut=True)
                yield whole(alias, "which records are one is decided among all of them")

    def run(self, job: Job) -> Made:
        """Compare new and changed blocks, find what is one, write what changed. Raises TaskError for inputs that do not fit."""
        _require()
        from mmetl.items.beside import RowsBeside
        from mmetl.transforms.cross.records import Records, entities, exceptions_of, said

        table, exceptions = _inputs(job)
        params: ResolveParams = job.params
        records = Records(table, params)
        blocks = records.blocks()
        for name, count in sorted(blocks.large.items()):
            shown = " ".join(name.split("\x1f")[1:])
            job.log.write(f"not compared: {count:,} records share '{shown}'; see `largest_block`\n")
        compared = PAIRS.run(self._of_pairs(job, records.block_table(blocks, job.scratch)))
        assert compared.items
        manifest = Manifest("table", compared.parts, ("_block", "_left", "_right"), compared.columns, compared.buckets)
        pairs = records.pairs(Table(table.task, manifest, tuple(job.parts.path(p.fingerprint) for p in manifest.parts)))
        decided = exceptions_of(exceptions, records, job.log.write) if exceptions else said()
        made = entities(records, pairs, decided, params.threshold)
        rows = RowsBeside(job, table, made.columns, params.drop)
        units = tuple(rows.units(known_rows(job.earlier)))
        large = {"blocks_not_compared": len(blocks.large)} if blocks.large else {}
        return Made(
            tuple(p for unit in units for p in unit.parts),
            rows.columns,
            table.manifest.buckets,
            items=ItemIndex(compared.items.basis, (*compared.items.units, *units)),
            key=table.manifest.key,
            counts={
                "computed": compared.counts.get("computed", 0),
                "entities": made.entities,
                "review": made.review,
                **large,
            },
        )

    def _of_pairs(self, job: Job, blocks: Table) -> Job:
        given: ResolveParams = job.params
        params = PAIRS.params.model_validate({n: getattr(given, n) for n in PairParams.model_fields})
        recipe = recipe_of_step(self.name, self.version, params.model_dump(), self.packages)
        earlier = EarlierStep(job.earlier, recipe) if job.earlier else None
        return replace(job, params=params, inputs={"blocks": blocks}, earlier=earlier, key=())


def _require() -> None:
    frugal()
    require("tabular", "pyarrow")
    require("entities", "rapidfuzz")


def _inputs(job: Job) -> tuple[Table, Table | None]:
    ordered = sorted(job.inputs.items(), key=lambda item: item[0] == EXCEPTIONS)
    table, others = item_inputs(replace(job, inputs=dict(ordered)))
    if not table.manifest.key:
        raise TaskError(f"'{table.task}' has no key", help="records are named by their key: set `key:`")
    refuse_unknown(table, [*job.params.compare, *(column for rule in job.params.block for column in rule)])
    return table, others.get(EXCEPTIONS)


RESOLVE = ResolveEntities()
