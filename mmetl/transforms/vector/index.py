"""`vector.index`: a place that can be searched is kept equal to a table of vectors."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.lineage import Trace, same_rows
from mmetl.contracts.transform import Declaration, Job, Made, Scope
from mmetl.engines.packages import require
from mmetl.errors import ParamError
from mmetl.items.frugal import frugal
from mmetl.transforms.vector.types import dimensions_of

if TYPE_CHECKING:
    from mmetl.engines.lance import LanceIndex
    from mmetl.engines.light import LightIndex

ANN_ABOVE = 100_000
"""Up to so many vectors are compared one by one, in a fifth of a second; the answer is exact then."""


class IndexParams(BaseModel):
    """Params of `vector.index`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    path: str = Field(description="a folder of its own, relative to the project")
    target: Literal["light", "lancedb"] = Field(
        "light",
        description="light: SQLite and, above `ann_above`, usearch; lancedb: a LanceDB database (extra `lancedb`)",
    )
    vector: str = Field("vector", description="the column of vectors")
    text: str | None = Field(None, description="a column of texts to be searched by their words too")
    columns: tuple[str, ...] = Field(
        (), description="lancedb: columns that it holds beside the key; default: all of the input"
    )
    ann_above: int = Field(
        ANN_ABOVE, ge=0, description="above so many rows a search is approximate, and far faster; below, it is exact"
    )


def make_target(
    params: IndexParams, folder: Any, manifest: Manifest, dimensions: int
) -> tuple[LightIndex | LanceIndex, Sequence[str]]:
    """Return the target of a task, and the columns that it holds besides the key."""
    graph = manifest.rows > params.ann_above
    named = [params.vector, *([params.text] if params.text else [])]
    if params.target == "lancedb":
        from mmetl.engines.lance import LanceIndex

        wanted = list(dict.fromkeys([*(params.columns or (c.name for c in manifest.columns)), *named]))
        held = [c for c in wanted if c not in manifest.key]
        return LanceIndex(folder, params.vector, params.text, graph=graph), held
    from mmetl.engines.light import LightIndex

    light = LightIndex(folder, params.vector, dimensions, params.text, manifest.key, graph=graph)
    return light, named if graph else named[1:]


class VectorIndex:
    """See the module. Its table is that of its input: what is searched, and what is shown, is one."""

    name = "vector.index"
    version = 1
    grain = "item: only rows that are new, changed or gone are written"
    params = IndexParams
    packages: tuple[str, ...] = ()
    optional_packages = ("usearch",)  # few vectors need it not
    code: tuple[str, ...] = ()

    def declare(self, params: IndexParams, scope: Scope) -> Declaration:
        """Name the folder. Raises ParamError without exactly one input."""
        if len(scope.inputs) != 1:
            raise ParamError("'vector.index' needs one input: a table of vectors", help="name a task in `inputs:`")
        if params.columns and params.target == "light":
            raise ParamError("`columns` is for lancedb", help="leave it out: `light` holds no rows", param=("columns",))
        return Declaration(
            folder=params.path, kept=True, packages=("lancedb",) if params.target == "lancedb" else ("usearch",)
        )

    def lineage(self, _params: IndexParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that its rows are those of the input: see contracts.lineage."""
        return same_rows(inputs)

    def run(self, job: Job) -> Made:
        """Bring the target up to date. Raises TaskError for an input without key or vectors, and a folder of others."""
        frugal()
        require("tabular", "pyarrow")
        from mmetl.items.keeping import keep_equal, keyed_input, refuse_unknown

        table = keyed_input(job, "vectors")
        params: IndexParams = job.params
        dimensions = dimensions_of(table.manifest, params.vector, table.task)
        refuse_unknown(table, (*params.columns, *([params.text] if params.text else [])))
        target, columns = make_target(params, job.root / params.path, table.manifest, dimensions)
        return keep_equal(job, target, table, columns, [params.model_dump(), target.graph, self.version])


INDEX = VectorIndex()
