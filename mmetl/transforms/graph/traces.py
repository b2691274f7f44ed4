"""Which rows of tables the nodes and edges of a graph came from. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from mmetl.contracts.graph import KIND, LABEL, NAME, SOURCE, TARGET
from mmetl.contracts.lineage import Trace, whole
from mmetl.transforms.graph.mapping import BuildParams, Edges, End, Nodes
from mmetl.utils.text import quote


def name_sql(key: Sequence[str]) -> str:
    """Return the text that names a node: the column's, or a JSON list of several. Null if one of them is null."""
    if len(key) == 1:
        return text_sql(key[0])
    known = " and ".join(f"{quote(k)} is not null" for k in key)
    return f"case when {known} then to_json([{', '.join(map(text_sql, key))}])::varchar end"


def text_sql(column: str) -> str:
    """Return the text of a column."""
    return f"{quote(column)}::varchar"


def edge_name_sql(ends: Sequence[str], key: Sequence[str]) -> str:
    """Return the text that names an edge, given label and name of each end and what tells parallel ones apart."""
    return f"to_json([{', '.join([*ends, *map(text_sql, key)])}])::varchar"


def no_null_sql(columns: Sequence[str]) -> str:
    """Return the condition that columns have values."""
    return " and ".join(f"{quote(c)} is not null" for c in columns)


def build_traces(params: BuildParams) -> Iterator[Trace]:
    """Yield where the nodes and edges that tables are mapped to came from."""
    yield from (_of_nodes(spec) for spec in params.nodes)
    yield from (_of_edges(spec) for spec in params.edges)
    if params.dangling == "create":
        declared = {spec.label for spec in params.nodes}
        for spec in params.edges:
            yield from (_created(spec, end, declared) for end in (spec.source, spec.target))


def node_trace(alias: str, label: str, name: str, *, exact: bool = True, where: str = "") -> Trace:
    """Say that rows are nodes, given the text that names them."""
    return Trace(alias, _named("node", label, name), where, exact=exact)


def edge_trace(alias: str, kind: str, ends: Sequence[str], key: Sequence[str] = (), where: str = "") -> Trace:
    """Say that rows are edges, given label and name of each end."""
    _, source, _, target = ends
    named = ((quote(SOURCE), source), (quote(TARGET), target))
    return Trace(alias, (*_named("edge", kind, edge_name_sql(ends, key)), *named), where)


def ends_sql(source: End, target: End) -> tuple[str, str, str, str]:
    """Return label and name of each end of an edge."""
    return (f"'{source.label}'", name_sql(source.key), f"'{target.label}'", name_sql(target.key))


def own_nodes(inputs: Iterable[str]) -> Iterator[Trace]:
    """Yield that rows are about nodes, by label and name, and made of the whole graph."""
    pairs = (("'node'", quote(KIND)), (quote(LABEL), quote(LABEL)), (quote(NAME), quote(NAME)))
    for alias in inputs:
        yield Trace(alias, pairs)
        yield whole(alias, "its numbers are computed over the whole graph")


def _named(kind: str, label: str, name: str) -> tuple[tuple[str, str], ...]:
    return ((quote(KIND), f"'{kind}'"), (quote(LABEL), f"'{label}'"), (quote(NAME), name))


def _of_nodes(spec: Nodes) -> Trace:
    return node_trace(spec.from_, spec.label, name_sql(spec.key))


def _of_edges(spec: Edges) -> Trace:
    there = no_null_sql([*spec.source.key, *spec.target.key])
    return edge_trace(spec.from_, spec.type, ends_sql(spec.source, spec.target), spec.key, there)


def _created(spec: Edges, end: End, declared: set[str]) -> Trace:
    """Say that a node may have been made of what an edge leads to; surely so if nothing else makes nodes of its label."""
    where = no_null_sql([*spec.source.key, *spec.target.key])
    return node_trace(spec.from_, end.label, name_sql(end.key), exact=end.label not in declared, where=where)
