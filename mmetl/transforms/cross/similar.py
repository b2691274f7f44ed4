"""`cross.knn_graph`: rows, and the rows that are nearest to them, as a graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.lineage import Trace
from mmetl.contracts.transform import Declaration, Job, Made, Scope
from mmetl.errors import ParamError, TaskError
from mmetl.transforms.graph.build import make_graph
from mmetl.transforms.graph.mapping import BuildParams, Edges, Nodes, Properties, Word
from mmetl.transforms.graph.traces import edge_trace, name_sql, node_trace

ROWS, PAIRS = "rows", "pairs"
SIMILAR = "__mmetl_similar"
NEAR = "near_"  # what `vector.knn` puts before the other row's key


class KnnGraphParams(BaseModel):
    """Params of `cross.knn_graph`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: Word = Field("Item", description="the label of the nodes")
    properties: Properties = Field(
        default_factory=dict, description="columns of `rows` that the nodes have as properties, or property: column"
    )
    type: Word = Field("SIMILAR", description="the type of the edges")
    mutual: bool = Field(default=False, description="only where each of the two is among the nearest of the other")


class KnnGraph:
    """See the module."""

    name = "cross.knn_graph"
    version = 1
    grain = "task: one query over the pairs, which `vector.knn` has computed row by row"
    params = KnnGraphParams
    packages: tuple[str, ...] = ("duckdb", "pyarrow")
    code: tuple[str, ...] = ()

    def declare(self, params: KnnGraphParams, scope: Scope) -> Declaration:  # noqa: ARG002  the inputs tell all
        """Raise ParamError unless the inputs are rows and pairs of them."""
        if set(scope.inputs) != {ROWS, PAIRS}:
            raise ParamError(
                "it needs the inputs 'rows' and 'pairs'",
                help="write `inputs: {rows: TASK, pairs: TASK}`; the second one is a task of `vector.knn` over the first",
            )
        return Declaration()

    def lineage(self, params: KnnGraphParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that rows are nodes, and pairs edges: see contracts.lineage."""
        columns = list(inputs[ROWS].key)
        a, b = _ends(columns)
        label = f"'{params.label}'"
        yield node_trace(ROWS, params.label, name_sql(columns))
        yield edge_trace(PAIRS, params.type, (label, f"least({a}, {b})", label, f"greatest({a}, {b})"))

    def run(self, job: Job) -> Made:
        """Make the graph. Raises TaskError for rows without key, and pairs of others."""
        params: KnnGraphParams = job.params
        key = list(job.inputs[ROWS].manifest.key)
        if not key:
            raise TaskError("'rows' has no key", help="name a task whose rows have a key, and no view")
        known = {c.name for c in job.inputs[PAIRS].manifest.columns}
        for column in (*key, *(NEAR + k for k in key), "distance"):
            if column not in known:
                raise TaskError(
                    f"'pairs' has no column '{column}'",
                    help="name a task of `vector.knn` whose only input is that of 'rows'",
                )
        nodes = Nodes.model_validate({"label": params.label, "from": ROWS, "key": key, "properties": params.properties})
        ends = [{"label": params.label, "key": [name]} for name in ("one", "other")]
        edges = Edges.model_validate(
            {"type": params.type, "from": SIMILAR, "source": ends[0], "target": ends[1], "properties": ["distance"]}
        )
        return make_graph(
            job, BuildParams(nodes=(nodes,), edges=(edges,)), {SIMILAR: _pairs(key, mutual=params.mutual)}
        )


def _pairs(key: list[str], *, mutual: bool) -> str:
    """Return the query of each pair once, whichever of the two has found the other."""
    a, b = _ends(key)
    both = " having count(*) = 2" if mutual else ""
    return (
        f"select least({a}, {b}) as one, greatest({a}, {b}) as other, min(distance) as distance"
        f" from {PAIRS} group by all{both}"
    )


def _ends(key: list[str]) -> tuple[str, str]:
    return name_sql(key), name_sql([NEAR + k for k in key])


KNN_GRAPH = KnnGraph()
