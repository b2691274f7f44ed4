"""Which labels, types and properties a graph is said to have, whether or not it has a node or an edge of them now."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from mmetl.cache.arrow_types import arrow_schema
from mmetl.contracts.artifact import Column
from mmetl.contracts.transform import Job
from mmetl.engines.graph_groups import Declared, Group

BUILD, LEXICAL, KNN = "graph.build", "cross.lexical_graph", "cross.knn_graph"


def declared_by(job: Job, columns: Iterable[Column]) -> Declared:
    """Return what the task that made the graph says of it. A query, or a metric, may then name a label without nodes.

    Args:
        job: of a task whose first input is a graph.
        columns: of the graph.
    """
    alias = next(iter(job.inputs))
    transform, params = job.made_by(alias) if job.made_by else ("", {})
    if transform not in _SAID:
        return {}
    schema = arrow_schema(list(columns))
    kinds: dict[str, pa.DataType] = {name: schema.field(name).type for name in schema.names}
    found: dict[Group, dict[str, pa.DataType]] = {}
    for group, properties in _SAID[transform](params, kinds):
        found.setdefault(group, {}).update({p: kinds[p] for p in properties if p in kinds})
    return found


_Said = Iterator[tuple[Group, Iterable[str]]]


def _built(params: Mapping[str, Any], _columns: Collection[str]) -> _Said:
    for nodes in params["nodes"]:
        yield Group(nodes["label"]), nodes["properties"]
    for edges in params["edges"]:
        source, target = edges["source"]["label"], edges["target"]["label"]
        yield from ((Group(label), ()) for label in (source, target))
        yield Group(edges["type"], source, target), edges["properties"]


def _lexical(params: Mapping[str, Any], columns: Collection[str]) -> _Said:
    document, chunk, entity = (params[f"{what}_label"] for what in ("document", "chunk", "entity"))
    yield Group(document), params["documents"]
    yield Group(chunk), params["chunks"]
    yield Group("HAS_CHUNK", document, chunk), ()
    yield Group("NEXT", chunk, chunk), ()
    if "mentions" in columns:  # else it was given none
        yield Group(entity), ("kind", "name")
        yield Group("MENTIONS", chunk, entity), ("mentions",)


def _near(params: Mapping[str, Any], _columns: Collection[str]) -> _Said:
    label = params["label"]
    yield Group(label), params["properties"]
    yield Group(params["type"], label, label), ("distance",)


_SAID: Mapping[str, Callable[[Mapping[str, Any], Collection[str]], _Said]] = {
    BUILD: _built,
    LEXICAL: _lexical,
    KNN: _near,
}
