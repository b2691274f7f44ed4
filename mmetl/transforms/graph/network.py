"""A graph table as a network that algorithms run on: numbered nodes, and pairs of numbers."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mmetl.cache.tables import read_table
from mmetl.contracts.graph import KIND, LABEL, NAME, SOURCE, SOURCE_LABEL, TARGET, TARGET_LABEL, is_graph
from mmetl.contracts.transform import Job, Made, Table
from mmetl.errors import TaskError
from mmetl.transforms.graph.declared import declared_by
from mmetl.transforms.graph.whole import NetworkParams
from mmetl.transforms.tabular.results import buckets_of, store_rows
from mmetl.utils.text import near

NODE_KEY = (LABEL, NAME)
"""The key of tables with a row for each node."""

_BETWEEN = "\x1f"  # label and key of a node, as one text


class Network(NamedTuple):
    """Nodes in the order of label and key, and edges in the order of type and key.

    Attributes:
        labels: of the nodes (strings).
        keys: of the nodes (strings).
        sources: number of the node where each edge begins (int64).
        targets: number of the node where it ends (int64).
        weights: of the edges (float64), above 0.
    """

    labels: pa.Array
    keys: pa.Array
    sources: pa.Array
    targets: pa.Array
    weights: pa.Array

    @property
    def size(self) -> int:
        """How many nodes there are."""
        return len(self.keys)

    def pairs(self) -> list[tuple[int, int]]:
        """Return the two ends of each edge."""
        return list(zip(self.sources.to_pylist(), self.targets.to_pylist(), strict=True))

    def name(self, number: int) -> str:
        """Return a node as people write it.

        >>> Network(pa.array(["Pep"]), pa.array(["8"]), *[pa.array([])] * 3).name(0)
        'Pep:8'
        """
        return f"{self.labels[number]}:{self.keys[number]}"

    def number(self, label: str, key: str) -> int | None:
        """Return the number of a node; None if there is none."""
        found = pc.index(_joined(self.labels, self.keys), pa.scalar(f"{label}{_BETWEEN}{key}")).as_py()
        return None if found < 0 else int(found)


def read_network(job: Job, params: NetworkParams) -> Network:
    """Read the graph that is a task's input.

    Raises:
        TaskError: if it is none, or has no such label, type or weight; and for a weight that is not above 0.
    """
    table = next(iter(job.inputs.values()), None)
    if not isinstance(table, Table) or not is_graph(table.manifest.key, table.manifest.columns):
        raise TaskError("its input is no graph", help="name a task of `graph.build` in `inputs:`, and no view")
    if params.weight:
        _check_weight(params.weight, table)
    more = [params.weight] if params.weight else []
    columns = [KIND, *NODE_KEY, SOURCE_LABEL, SOURCE, TARGET_LABEL, TARGET, *more]
    rows = read_table(table, columns).read_all()
    rows = rows.sort_by([(name, "ascending") for name in (KIND, *NODE_KEY)])
    is_node = pc.equal(rows[KIND], "node")
    nodes, edges = rows.filter(is_node), rows.filter(pc.invert(is_node))
    declared = declared_by(job, table.manifest.columns) if params.labels or params.types else {}
    nodes = _kept(nodes, params.labels, "label", {group.label for group in declared if not group.is_edge})
    edges = _kept(edges, params.types, "type", {group.label for group in declared if group.is_edge})
    named = _joined(nodes[LABEL], nodes[NAME])
    ends = [
        pc.index_in(_joined(edges[label], edges[key]), value_set=named).combine_chunks()
        for label, key in ((SOURCE_LABEL, SOURCE), (TARGET_LABEL, TARGET))
    ]
    there = pc.and_(*map(pc.is_valid, ends))
    weights = _weights(edges, params.weight).filter(there)
    sources, targets = (end.filter(there).cast(pa.int64()) for end in ends)
    return Network(_whole(nodes[LABEL]), _whole(nodes[NAME]), sources, targets, weights)


def store_nodes(job: Job, network: Network, columns: Mapping[str, pa.Array]) -> Made:
    """Keep a table with a row for each node."""
    rows = pa.table({LABEL: network.labels, NAME: network.keys, **columns})
    named = replace(job, key=NODE_KEY)
    return replace(store_rows(named, rows.schema, rows.to_batches(), buckets=buckets_of(named)), key=NODE_KEY)


def _whole(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks else pa.array([], column.type)


def _joined(labels: Any, keys: Any) -> Any:
    return pc.binary_join_element_wise(labels, keys, _BETWEEN)


def _kept(rows: pa.Table, wanted: Sequence[str], what: str, declared: Collection[str]) -> pa.Table:
    """Return the rows of some labels or types, in the order in which they come; of those declared there may be none."""
    if not wanted:
        return rows
    known = sorted({*pc.unique(rows[LABEL]).to_pylist(), *declared})
    for word in wanted:
        if word not in known:
            close = near(word, known)
            raise TaskError(
                f"the graph has no {what} '{word}'",
                help=f"did you mean '{close}'?" if close else f"it has: {', '.join(known) or 'none'}",
            )
    return rows.filter(pc.is_in(rows[LABEL], value_set=pa.array(wanted)))


def _check_weight(weight: str, table: Table) -> None:
    known = {c.name: c.type for c in table.manifest.columns}
    if weight not in known:
        close = near(weight, known)
        raise TaskError(f"the graph has no property '{weight}'", help=f"did you mean '{close}'?" if close else "")
    if not known[weight].startswith(("int", "uint", "float", "double", "decimal")):
        raise TaskError(f"the property '{weight}' is {known[weight]}, and no number", help="name a number in `weight`")


def _weights(edges: pa.Table, weight: str | None) -> pa.Array:
    if weight is None:
        return pa.array([1.0] * edges.num_rows, pa.float64())
    weights = _whole(edges[weight]).cast(pa.float64(), safe=False)
    bad = pc.invert(pc.fill_null(pc.and_(pc.greater(weights, 0.0), pc.is_finite(weights)), fill_value=False))
    if pc.any(bad).as_py():
        edge = edges.filter(bad)[NAME][0]
        raise TaskError(
            f"the edge {edge} has no '{weight}' above 0",
            help="leave such edges out by `types`, or give each a weight",
        )
    return weights
