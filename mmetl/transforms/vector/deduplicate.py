"""`vector.deduplicate`: of rows whose vectors are nearly the same, one is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.transform import Declaration, Job, Made, Scope, Table
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.items.frugal import frugal
from mmetl.items.transform import item_inputs
from mmetl.transforms.vector.types import dimensions_of

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

    from mmetl.transforms.vector.leaders import Leaders

OF = "duplicate_of_"
"""What the names of the columns begin with that say, with `action: mark`, which row is kept instead."""

SIMILARITY = "similarity"


class DeduplicateParams(BaseModel):
    """Params of `vector.deduplicate`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    threshold: float = Field(
        0.95,
        gt=0,
        le=1,
        description="the cosine of the angle between two vectors from which on they are nearly the same",
    )
    vector: str = Field("vector", description="the column of vectors")
    action: Literal["drop", "mark"] = Field(
        "drop", description="drop: duplicates are left out; mark: columns say which row each is a duplicate of"
    )


class _Found(NamedTuple):
    """What came of the rows: their places in the order of the key, the keys in that order, and who stays."""

    order: np.ndarray[Any, Any]
    keys: pa.Table
    leaders: Leaders


class Deduplicate:
    """See the module. Each pair may matter, so all is done anew; parts of the input in which no row goes are kept."""

    name = "vector.deduplicate"
    version = 1
    grain = "task: all vectors are compared"
    params = DeduplicateParams
    packages: tuple[str, ...] = ()
    code: tuple[str, ...] = ()

    def declare(self, params: DeduplicateParams, scope: Scope) -> Declaration:  # noqa: ARG002  the protocol's parameters
        """Name nothing. Raises ParamError without exactly one input, and for a key of its own."""
        if len(scope.inputs) != 1:
            raise ParamError(f"'{self.name}' needs one input: a table of vectors", help="name a task in `inputs:`")
        return Declaration(named_inputs=False)

    def run(self, job: Job) -> Made:
        """Keep one of each. Raises TaskError for an input without key, and for vectors that cannot be compared."""
        frugal()
        require("tabular", "pyarrow")
        table, _ = item_inputs(job)
        manifest = table.manifest
        if not manifest.key:
            raise TaskError(f"'{table.task}' has no key", help="the row with the smallest key is kept: set `key:`")
        if job.key and tuple(job.key) != manifest.key:
            raise TaskError("`key` is not the key of its input", help=f"leave it out: it is {', '.join(manifest.key)}")
        found = _find(job, table)
        gone = int((found.leaders.of != range(len(found.leaders.of))).sum())
        job.log.write(f"{manifest.rows:,} vectors compared, {gone:,} are duplicates\n")
        counts = {"computed": manifest.rows}
        if job.params.action == "mark":
            return _marked(job, table, found, counts)
        return _dropped(job, table, found, counts)


def _find(job: Job, table: Table) -> _Found:
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    from mmetl.cache.tables import read_table
    from mmetl.transforms.vector.leaders import leaders
    from mmetl.transforms.vector.numbers import column_vectors, judged

    params: DeduplicateParams = job.params
    key = list(table.manifest.key)
    size = dimensions_of(table.manifest, params.vector, table.task)
    rows = read_table(table, list(dict.fromkeys((*key, params.vector)))).read_all()
    order = np.asarray(pc.sort_indices(rows.select(key), [(k, "ascending") for k in key])).astype(np.intp)
    vectors, errors = column_vectors(rows.column(params.vector), size)
    bad = judged(vectors, errors)
    wrong = [n for n in order.tolist() if bad[n]]
    if wrong:
        named = "/".join(str(rows.column(k)[wrong[0]].as_py()) for k in key)
        raise TaskError(
            f"{len(wrong):,} rows of '{table.task}' cannot be compared; of the first, {named}, {bad[wrong[0]]}",
            help="set them aside before: expect: [{finite: " + params.vector + ", severity: quarantine}]",
        )
    return _Found(order, rows.select(key).take(pa.array(order)), leaders(vectors[order], 1 - params.threshold))


def _dropped(job: Job, table: Table, found: _Found, counts: dict[str, int]) -> Made:
    """Return the rows that stay. A part in which all do is kept as it is."""
    import numpy as np
    import pyarrow as pa

    from mmetl.cache.arrow_types import arrow_schema
    from mmetl.cache.tables import read_table, write_table

    manifest = table.manifest
    stays = np.empty(len(found.order), bool)
    stays[found.order] = found.leaders.of == np.arange(len(found.order))
    schema = arrow_schema(manifest.columns)
    parts = []
    start = 0
    for number, part in enumerate(manifest.parts):
        mask = stays[start : start + part.rows]
        start += part.rows
        if mask.all():
            parts.append(part)
        elif mask.any():
            rows = read_table(Table(table.task, manifest, (table.paths[number],))).read_all().filter(pa.array(mask))
            parts += [p._replace(bucket=part.bucket) for p in write_table(rows.to_batches(), schema, job.parts)]
    return Made(tuple(parts), manifest.columns, manifest.buckets, key=manifest.key, counts=counts)


def _marked(job: Job, table: Table, found: _Found, counts: dict[str, int]) -> Made:
    """Return all rows, with the key of the one that is kept instead, and how similar it is; null in rows that stay."""
    import numpy as np
    import pyarrow as pa

    from mmetl.cache.arrow_types import arrow_schema, columns_of
    from mmetl.cache.tables import read_table, write_table

    manifest = table.manifest
    schema = arrow_schema(manifest.columns)
    marks = [schema.field(k).with_name(OF + k).with_nullable(True) for k in manifest.key]
    whole = pa.schema([*schema, *marks, pa.field(SIMILARITY, pa.float64())])
    for name in whole.names[len(schema) :]:
        if name in schema.names:
            raise TaskError(f"'{table.task}' has a column '{name}' already", help="rename it before")
    leader = np.empty(len(found.order), np.intp)
    leader[found.order] = found.leaders.of
    similarity = np.empty(len(found.order))
    similarity[found.order] = 1 - found.leaders.distances
    itself = np.empty(len(found.order), bool)
    itself[found.order] = found.leaders.of == np.arange(len(found.order))
    parts = []
    start = 0
    for number, part in enumerate(manifest.parts):
        here = slice(start, start + part.rows)
        start += part.rows
        rows = read_table(Table(table.task, manifest, (table.paths[number],))).read_all()
        named = found.keys.take(pa.array(leader[here], mask=itself[here]))
        columns = [*rows.columns, *named.columns, pa.chunked_array([pa.array(similarity[here], mask=itself[here])])]
        made = pa.Table.from_arrays(columns, schema=whole).combine_chunks()
        parts += [p._replace(bucket=part.bucket) for p in write_table(made.to_batches(), whole, job.parts)]
    return Made(tuple(parts), columns_of(whole), manifest.buckets, key=manifest.key, counts=counts)


DEDUPLICATE = Deduplicate()
