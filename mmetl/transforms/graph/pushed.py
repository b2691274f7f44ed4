"""What the transforms that look at a whole graph let Neo4j compute, where their input is kept there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pyarrow as pa

from mmetl.contracts.transform import Job, Table
from mmetl.engines.neo4j.gds import Projected, Wanted, projected
from mmetl.errors import TaskError
from mmetl.transforms.graph.cypher import refuse_stale
from mmetl.transforms.graph.load import LOAD, LoadParams, find_graph
from mmetl.transforms.graph.network import Network
from mmetl.transforms.graph.whole import NetworkParams

GDS = "gds"


def is_pushed(job: Job) -> bool:
    """Tell whether Neo4j computes; a test has rows and no server."""
    return bool(job.params.engine == GDS and job.made_by is not None)


@contextmanager
def pushed(job: Job, network: Network, *, directed: bool) -> Iterator[Projected]:
    """Give the graph that is a task's input as the server has it. Raises TaskError for one that is not in Neo4j, or not up to date."""
    table = next(iter(job.inputs.values()))
    if not isinstance(table, Table) or job.made_by is None or job.connect is None:
        raise TaskError("its input is no graph", help="name a task with graph.load")
    transform, said = job.made_by(next(iter(job.inputs)))
    params = LoadParams.model_validate(said) if transform == LOAD.name else None
    if params is None or params.target != "neo4j":
        raise TaskError(
            f"'{table.task}' is not in Neo4j, where `engine: gds` runs",
            help="name a task with graph.load and `target: neo4j`, or leave `engine` out",
        )
    owner = f"{job.name.partition(':')[0]}:{table.task}"
    refuse_stale(find_graph(params, job.root, owner, job.connect), table)
    asked: NetworkParams = job.params
    wanted = Wanted(sorted(set(network.labels.to_pylist())), asked.types, asked.weight, directed)
    connection = job.connect(params.connection)
    with projected(connection, owner, f"_mmetl_{job.name}", wanted, on_cancel=job.on_cancel) as found:
        yield found


def in_order(network: Network, values: Iterator[tuple[str, str, Any]]) -> list[Any]:
    """Return what a server says of nodes, in the order of a network's. Raises TaskError for a node that it says nothing of."""
    numbers = {pair: n for n, pair in enumerate(zip(network.labels.to_pylist(), network.keys.to_pylist(), strict=True))}
    found: list[Any] = [None] * network.size
    for label, key, value in values:
        if (label, key) in numbers:
            found[numbers[label, key]] = value
    if None in found:
        raise TaskError(f"Neo4j does not have the node {network.name(found.index(None))}", help="mmetl run")
    return found


def groups_of(values: list[Any]) -> list[list[int]]:
    """Return the numbers of the nodes that have the same value."""
    groups: dict[Any, list[int]] = {}
    for number, value in enumerate(values):
        groups.setdefault(value, []).append(number)
    return list(groups.values())


def floats(values: list[float]) -> pa.Array:
    """Return numbers as a column."""
    return pa.array(values, pa.float64())
