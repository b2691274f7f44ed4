"""`graph.communities`: groups of nodes that have more edges among themselves than to others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.lineage import Trace
from mmetl.contracts.transform import Declaration, Job, Made, Scope
from mmetl.engines.packages import require
from mmetl.errors import ParamError
from mmetl.transforms.graph.metrics import named_groups
from mmetl.transforms.graph.traces import own_nodes
from mmetl.transforms.graph.whole import NetworkParams, check_input, notes_of

if TYPE_CHECKING:
    from mmetl.transforms.graph.network import Network


class CommunitiesParams(NetworkParams):
    """Params of `graph.communities`."""

    resolution: float = Field(
        1.0, gt=0, description="above 1: more and smaller communities; below: fewer and larger ones"
    )
    seed: int = Field(0, ge=0, description="another one may give another division that is about as good")


class Communities:
    """See the module. Edges count in both directions, parallel ones together."""

    name = "graph.communities"
    version = 1
    grain = "task: computed anew when the graph changes; rows of nodes that come out the same stay the same parts"
    params = CommunitiesParams
    packages: tuple[str, ...] = ("networkx", "duckdb", "pyarrow")
    code: tuple[str, ...] = ()

    def declare(self, params: CommunitiesParams, scope: Scope) -> Declaration:
        """Raise ParamError unless there is one input, and for what the engine does not have."""
        check_input(self.name, scope)
        for name in ("resolution", "seed"):
            if params.engine == "gds" and getattr(params, name) != type(params).model_fields[name].default:
                raise ParamError(f"`engine: gds` has no `{name}`", help="leave one of them out", param=(name,))
        return Declaration(named_inputs=False, notes=notes_of(params))

    def lineage(self, _params: CommunitiesParams, inputs: Mapping[str, Manifest], _key: object) -> Iterator[Trace]:
        """Yield that a row is about a node, and made of the whole graph: see contracts.lineage."""
        return own_nodes(inputs)

    def run(self, job: Job) -> Made:
        """Find the communities. Raises TaskError for an input that is no graph.

        Source: V. D. Blondel, J.-L. Guillaume, R. Lambiotte, E. Lefebvre, Fast unfolding of communities in large networks (2008).
        """
        require("tabular", "duckdb", "pyarrow")
        require("graph", "networkx")
        import pyarrow as pa

        from mmetl.transforms.graph.network import read_network, store_nodes

        network = read_network(job, job.params)
        community = named_groups(network, _groups(job, network))
        sizes = Counter(community.to_pylist())
        size = pa.array([sizes[name] for name in community.to_pylist()], pa.int64())
        return store_nodes(job, network, {"community": community, "community_size": size})


def _groups(job: Job, network: Network) -> Any:
    if job.params.engine == "local":
        return _louvain(network, job.params)
    from mmetl.engines.neo4j.gds import LOUVAIN
    from mmetl.transforms.graph.pushed import groups_of, in_order, is_pushed, pushed

    if not is_pushed(job) or not network.size:
        return _louvain(network, job.params)
    with pushed(job, network, directed=False) as graph:
        return groups_of(in_order(network, graph.values(LOUVAIN, job.params.weight is not None)))


def _louvain(network: Network, params: CommunitiesParams) -> Any:
    import networkx as nx

    graph = nx.Graph()
    graph.add_nodes_from(range(network.size))
    for (a, b), weight in zip(network.pairs(), network.weights.to_pylist(), strict=True):
        known = graph.get_edge_data(a, b, {"weight": 0.0})["weight"]
        graph.add_edge(a, b, weight=known + weight)
    return nx.community.louvain_communities(graph, resolution=params.resolution, seed=params.seed)


COMMUNITIES = Communities()
