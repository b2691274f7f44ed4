"""`graph.metrics`: numbers that say how a node stands in its graph."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.lineage import Trace
from mmetl.contracts.transform import Declaration, Job, Made, Scope
from mmetl.engines.packages import require
from mmetl.errors import ParamError, TaskError
from mmetl.transforms.graph.mapping import Word
from mmetl.transforms.graph.traces import own_nodes
from mmetl.transforms.graph.whole import NetworkParams, check_input, notes_of

if TYPE_CHECKING:
    from mmetl.transforms.graph.network import Network

Metric = Literal["pagerank", "degree", "in_degree", "out_degree", "component", "betweenness", "distance"]

TOLERANCE = 1e-12
"""When PageRank stops: the sum of all changes of a round, for each node. So two libraries agree to nine digits."""

MOST_ROUNDS = 1000
ALONE = 2**62
"""So many nodes before more than one thread adds numbers up, in an order of its own."""


class Start(BaseModel):
    """A node."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    label: Word = Field(description="of the node")
    key: str | int = Field(description="of the node")


class MetricsParams(NetworkParams):
    """Params of `graph.metrics`."""

    metrics: tuple[Metric, ...] = Field(
        ("pagerank", "degree"),
        min_length=1,
        description="columns to make: pagerank; degree, in_degree, out_degree (edges of a node); component (the first node of those that hang together, whichever way edges lead); betweenness (share of shortest ways that go through it; slow on large graphs); distance (fewest edges from `start`)",
    )
    directed: bool = Field(
        default=True, description="whether pagerank, betweenness and distance follow edges in their direction only"
    )
    damping: float = Field(0.85, gt=0, lt=1, description="pagerank: how likely the next edge is followed")
    start: tuple[Start, ...] = Field((), description="distance: the nodes that are at distance 0")


class Metrics:
    """See the module."""

    name = "graph.metrics"
    version = 1
    grain = "task: computed anew when the graph changes; rows of nodes that come out the same stay the same parts"
    params = MetricsParams
    packages: tuple[str, ...] = ("rustworkx", "duckdb", "pyarrow")
    code: tuple[str, ...] = ()

    def declare(self, params: MetricsParams, scope: Scope) -> Declaration:
        """Raise ParamError unless there is one input, and a start where one is needed."""
        check_input(self.name, scope)
        if ("distance" in params.metrics) != bool(params.start):
            raise ParamError(
                "`distance` needs `start`" if not params.start else "`start` is for `distance`",
                help="write `metrics: [distance]` and `start: [{label: L, key: K}]`",
                param=("metrics",) if not params.start else ("start",),
            )
        return Declaration(named_inputs=False, notes=notes_of(params))

    def lineage(self, _params: MetricsParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that a row is about a node, and made of the whole graph: see contracts.lineage."""
        return own_nodes(inputs)

    def run(self, job: Job) -> Made:
        """Compute the metrics. Raises TaskError for an input that is no graph, and a start that is no node of it."""
        require("tabular", "duckdb", "pyarrow")
        require("graph", "rustworkx")
        from mmetl.transforms.graph.network import read_network, store_nodes

        asked = _Asked(read_network(job, job.params), job.params)
        pushed = _pushed(job, asked) if job.params.engine == "gds" else {}
        columns = {m: pushed[m] if m in pushed else _METRICS[m](asked) for m in job.params.metrics}
        return store_nodes(job, asked.network, columns)


class _Asked:
    """A network, and what is asked of it. Graphs are made when a metric first needs one."""

    def __init__(self, network: Network, params: MetricsParams) -> None:
        self.network, self.params = network, params

    def graph(self, *, directed: bool) -> Any:
        import rustworkx

        made = rustworkx.PyDiGraph() if directed else rustworkx.PyGraph()
        made.add_nodes_from(range(self.network.size))
        pairs, weights = self.network.pairs(), self.network.weights.to_pylist()
        made.add_edges_from([(a, b, w) for (a, b), w in zip(pairs, weights, strict=True)])
        return made


def _pagerank(asked: _Asked) -> Any:
    import pyarrow as pa
    import rustworkx

    if not asked.network.size:
        return pa.array([], pa.float64())
    graph = asked.graph(directed=asked.params.directed)
    graph = graph if asked.params.directed else graph.to_directed()
    try:
        found = rustworkx.pagerank(
            graph, alpha=asked.params.damping, weight_fn=float, tol=TOLERANCE, max_iter=MOST_ROUNDS
        )
    except rustworkx.FailedToConverge as error:
        raise TaskError(f"pagerank does not settle in {MOST_ROUNDS} rounds", help="lower `damping`") from error
    return pa.array([found[n] for n in range(asked.network.size)], pa.float64())


def _degree(*ends: str) -> Callable[[_Asked], Any]:
    def count(asked: _Asked) -> Any:
        import numpy as np
        import pyarrow as pa

        size = asked.network.size
        counts = np.zeros(size, np.int64)
        for end in ends:
            counts += np.bincount(getattr(asked.network, end).to_numpy(), minlength=size)
        return pa.array(counts)

    return count


def _component(asked: _Asked) -> Any:
    import rustworkx

    return named_groups(asked.network, rustworkx.connected_components(asked.graph(directed=False)))


def named_groups(network: Network, groups: Any) -> Any:
    """Return for each node the name of the first node of its group: it stays when other groups change."""
    import pyarrow as pa

    names: list[str | None] = [None] * network.size
    for group in groups:
        first = network.name(min(group))
        for number in group:
            names[number] = first
    return pa.array(names, pa.string())


def _betweenness(asked: _Asked) -> Any:
    import pyarrow as pa
    import rustworkx

    graph = asked.graph(directed=asked.params.directed)
    found = rustworkx.betweenness_centrality(graph, parallel_threshold=ALONE)
    return pa.array([found[n] for n in range(asked.network.size)], pa.float64())


def _distance(asked: _Asked) -> Any:
    """Return the fewest edges from the start; null for nodes that cannot be reached."""
    import pyarrow as pa
    import rustworkx

    begin = []
    for start in asked.params.start:
        number = asked.network.number(start.label, str(start.key))
        if number is None:
            raise TaskError(f"the graph has no node {start.label} {start.key}", help="name one of its nodes in `start`")
        begin.append(number)
    graph = asked.graph(directed=asked.params.directed)
    steps: list[int | None] = [None] * asked.network.size
    for distance, layer in enumerate(rustworkx.bfs_layers(graph, begin)):
        for number in layer:
            steps[number] = distance
    return pa.array(steps, pa.int64())


def _pushed(job: Job, asked: _Asked) -> dict[Metric, Any]:
    """Return the metrics that Neo4j computes, on the scale of our own; nothing in a test, and for a graph without nodes."""
    from mmetl.engines.neo4j.gds import BETWEENNESS, COMPONENT, PAGERANK, rounds
    from mmetl.transforms.graph.pushed import floats, groups_of, in_order, is_pushed, pushed

    network, params = asked.network, asked.params
    made: dict[Metric, Any] = {}
    wanted = {"pagerank", "betweenness", "component"}.intersection(params.metrics)
    if not is_pushed(job) or not wanted or not network.size:
        return {}
    with pushed(job, network, directed=params.directed) as graph:
        if "pagerank" in wanted:
            limits = {"maxIterations": rounds(params.damping, MOST_ROUNDS), "tolerance": TOLERANCE}
            weighted = params.weight is not None
            scores = in_order(network, graph.values(PAGERANK, weighted, dampingFactor=params.damping, **limits))
            whole = math.fsum(scores)  # it starts each node with 1 - damping, and lets what nodes without edges have go
            made["pagerank"] = floats([score / whole for score in scores])
        if "betweenness" in wanted:
            ways = (network.size - 1) * (network.size - 2) / (1 if params.directed else 2)
            made["betweenness"] = floats(
                [n / ways if ways else 0.0 for n in in_order(network, graph.values(BETWEENNESS))]
            )
        if "component" in wanted:
            made["component"] = named_groups(network, groups_of(in_order(network, graph.values(COMPONENT))))
    return made


_METRICS: Mapping[Metric, Callable[[_Asked], Any]] = {
    "pagerank": _pagerank,
    "degree": _degree("sources", "targets"),
    "in_degree": _degree("targets"),
    "out_degree": _degree("sources"),
    "component": _component,
    "betweenness": _betweenness,
    "distance": _distance,
}

METRICS = Metrics()
