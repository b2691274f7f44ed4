"""Conditions for nodes and edges that fail a check, as SQL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mmetl.contracts.artifact import Manifest
from mmetl.contracts.graph import KIND, LABEL, NAME, SOURCE, SOURCE_LABEL, TARGET, TARGET_LABEL, is_graph
from mmetl.engines.duckdb import literal
from mmetl.errors import TaskError

_ENDS = {"source": (SOURCE_LABEL, SOURCE), "target": (TARGET_LABEL, TARGET)}


def dangling(said: Any, manifest: Manifest) -> str:  # noqa: ARG001  all conditions are called alike
    """Return what holds for edges of which one end is no node."""
    _refuse_other("no_dangling_edges", manifest)
    nodes = f"(select {LABEL}, {NAME} from this where {KIND} = 'node')"
    missing = " or ".join(f"({label}, {name}) not in {nodes}" for label, name in _ENDS.values())
    return f"{KIND} = 'edge' and ({missing})"


def other_cardinality(said: Mapping[str, Any], manifest: Manifest) -> str:
    """Return what holds for nodes at which fewer or more edges begin, or end, than there may."""
    _refuse_other("cardinality", manifest)
    label, name = _ENDS[said["end"]]
    ends = (
        f"select {name} from this where {KIND} = 'edge' and {LABEL} = {literal(said['type'])}"
        f" and {label} = {literal(said['label'])} group by {name} having count(*)"
    )
    wrong = []
    if said.get("max") is not None:
        wrong.append(f"{NAME} in ({ends} > {said['max']})")
    if said.get("min"):
        wrong.append(f"{NAME} not in ({ends} >= {said['min']})")
    nodes = f"{KIND} = 'node' and {LABEL} = {literal(said['label'])}"
    return f"{nodes} and ({' or '.join(wrong)})" if wrong else ""


def _refuse_other(kind: str, manifest: Manifest) -> None:
    if not is_graph(manifest.key, manifest.columns):
        raise TaskError(f"check {kind}: the table is no graph", help="put it to a task of `graph.build`")
