"""Which labels, types and properties a graph is said to have, whether or not it has a node or an edge of them now."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import pyarrow as pa

from mmetl.cache.arrow_types import arrow_schema
from mmetl.contracts.artifact import Column
from mmetl.contracts.transform import Job
from mmetl.engines.graph_groups import Declared, Group

BUILD = "graph.build"


def declared_by(job: Job, columns: Iterable[Column]) -> Declared:
    """Return what the task that made the graph says of it: only graph.build does. A query may then name a label without nodes.

    Args:
        job: of a task whose only input is a graph.
        columns: of the graph.
    """
    alias = next(iter(job.inputs))
    transform, params = job.made_by(alias) if job.made_by else ("", {})
    if transform != BUILD:
        return {}
    schema = arrow_schema(list(columns))
    kinds: dict[str, pa.DataType] = {name: schema.field(name).type for name in schema.names}
    found: dict[Group, dict[str, pa.DataType]] = {}
    for group, properties in _said(params):
        found.setdefault(group, {}).update({p: kinds[p] for p in properties if p in kinds})
    return found


def _said(params: Mapping[str, Any]) -> Iterator[tuple[Group, Iterable[str]]]:
    for nodes in params["nodes"]:
        yield Group(nodes["label"]), nodes["properties"]
    for edges in params["edges"]:
        source, target = edges["source"]["label"], edges["target"]["label"]
        yield from ((Group(label), ()) for label in (source, target))
        yield Group(edges["type"], source, target), edges["properties"]
