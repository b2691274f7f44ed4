"""Statements for a Neo4j that tasks, and others, keep something in. Pure text: no I/O, no driver.

Who keeps a node is a label on it, who keeps an edge is a property of it: `_mmetl_`, then the owner, `pipeline:task`. So what a task
keeps is counted and found without looking at anything else, and what several keep is one node with several such labels. What was there
before mmETL came is marked as kept by others. Only what nobody else keeps is ever deleted.

Nodes are said to be found by the index: Neo4j plans by counts that lag behind, and where a label had a few nodes a moment ago it goes
through all of them for each row. That took minutes for 11,000 edges.
"""

from __future__ import annotations

from collections.abc import Sequence

from mmetl.contracts.graph import NAME
from mmetl.engines.cypher import Ends, Rows, between, node, quoted

PREFIX = "_mmetl_"
OTHERS = f"{PREFIX}others"
"""The mark of what was there before, and is nobody's of mmETL."""

STAMPS = f"{PREFIX}target"
"""The label of the nodes that say what the database holds for each task."""

ROWS = Rows("UNWIND $rows AS _row", "_row.", seeks=True)

UNMARKED_NODE = f"none(_l IN labels(_n) WHERE _l STARTS WITH '{PREFIX}')"
UNMARKED_EDGE = f"none(_k IN keys(_e) WHERE _k STARTS WITH '{PREFIX}')"


def mark(owner: str) -> str:
    """Return the label of the nodes, and the property of the edges, that a task keeps.

    >>> mark("p:graph")
    '`_mmetl_p:graph`'
    """
    return quoted(PREFIX + owner)


def unique_keys(label: str) -> str:
    """Return the statement that lets a label have each key once, and makes nodes be found by it."""
    return f"CREATE CONSTRAINT IF NOT EXISTS FOR (_n:{quoted(label)}) REQUIRE _n.{quoted(NAME)} IS UNIQUE"


UNIQUE_STAMPS = f"CREATE CONSTRAINT IF NOT EXISTS FOR (_s:{STAMPS}) REQUIRE _s.owner IS UNIQUE"


# --- nodes


def any_nodes(label: str) -> str:
    """Return the question for the number of nodes of a label, whoever keeps them; the database knows it without counting."""
    return f"MATCH (_n:{quoted(label)}) RETURN count(_n)"


def spare_nodes(label: str) -> str:
    """Return the statement that marks nodes as others' that are there and nobody's of mmETL."""
    return f"{ROWS.clause} {node(ROWS, '_n', label, NAME)} WHERE {UNMARKED_NODE} SET _n:{OTHERS}"


def merge_nodes(label: str, owner: str, properties: Sequence[str] = (), absent: Sequence[str] = ()) -> str:
    """Return the statement that lets nodes be there, with the properties of some rows and without others, kept by a task."""
    found = f"(_n:{quoted(label)} {{{quoted(NAME)}: {ROWS.column(NAME)}}})"
    changes = [*_changes("_n", properties, absent), f"_n:{mark(owner)}"]
    return f"{ROWS.clause} MERGE {found} SET {', '.join(changes)} RETURN count(*)"


def leave_nodes(owner: str, label: str = "") -> str:
    """Return the statement that lets a task keep nodes no longer; those that nobody keeps, and that have no edges, go.

    Args:
        owner: the task.
        label: of nodes that are named by their keys; empty: they are named by the database's `id`.
    """
    found = node(ROWS, "_n", label, NAME) if label else "MATCH (_n) WHERE elementId(_n) = _row.id"
    left = f"REMOVE _n:{mark(owner)} WITH _n WHERE {UNMARKED_NODE} AND NOT EXISTS {{ (_n)--() }} DELETE _n"
    return f"{ROWS.clause} {found} {'WHERE' if label else 'AND'} _n:{mark(owner)} {left}"


def kept_nodes(owner: str) -> str:
    """Return the question for all nodes that a task keeps."""
    return f"MATCH (_n:{mark(owner)}) RETURN elementId(_n), labels(_n), _n.{quoted(NAME)}"


def count_nodes(owner: str) -> str:
    """Return the question for their number; the database knows it without counting."""
    return f"MATCH (_n:{mark(owner)}) RETURN count(_n)"


# --- edges


def any_edges(type_: str) -> str:
    """Return the question for the number of edges of a type, whoever keeps them; the database knows it without counting."""
    return f"MATCH ()-[_e:{quoted(type_)}]->() RETURN count(_e)"


def spare_edges(ends: Ends) -> str:
    """Return the statement that marks edges as others' that are there and nobody's of mmETL."""
    return f"{_found(ends)} AND {UNMARKED_EDGE} SET _e.{OTHERS} = true"


def merge_edges(
    ends: Ends, owner: str, properties: Sequence[str] = (), absent: Sequence[str] = (), *, create: bool = False
) -> str:
    """Return the statement that lets edges be there between nodes that are, kept by a task; it says how many rows had both.

    Args:
        ends: what they are under.
        owner: the task.
        properties: those that the rows have.
        absent: those that are removed.
        create: whether none of the edges is there for certain: nothing is looked for then.
    """
    edge = f"(_a)-[_e:{quoted(ends.type)} {{{quoted(NAME)}: {ROWS.column(NAME)}}}]->(_b)"
    changes = [*_changes("_e", properties, absent), f"_e.{mark(owner)} = true"]
    made = f"{'CREATE' if create else 'MERGE'} {edge} SET {', '.join(changes)}"
    return f"{between(ROWS, ends)} {made} RETURN count(*)"


def leave_edges(owner: str, ends: Ends | None = None) -> str:
    """Return the statement that lets a task keep edges no longer; those that nobody keeps go.

    Args:
        owner: the task.
        ends: of edges that are named by their keys; None: they are named by the database's `id`.
    """
    by_id = f"{ROWS.clause} MATCH ()-[_e]->() WHERE elementId(_e) = _row.id"
    left = f"REMOVE _e.{mark(owner)} WITH _e WHERE {UNMARKED_EDGE} DELETE _e"
    return f"{_found(ends) if ends else by_id} AND _e.{mark(owner)} IS NOT NULL {left}"


def kept_edges(owner: str) -> str:
    """Return the question for all edges that a task keeps."""
    key = quoted(NAME)
    ends = f"labels(_a), _a.{key}, labels(_b), _b.{key}"
    return f"MATCH (_a)-[_e]->(_b) WHERE _e.{mark(owner)} IS NOT NULL RETURN elementId(_e), type(_e), {ends}, _e.{key}"


def count_edges(owner: str, types: Sequence[str]) -> str:
    """Return the question for the number of those of some types; empty if there are none."""
    of = "|".join(map(quoted, types))
    return f"MATCH ()-[_e:{of}]->() WHERE _e.{mark(owner)} IS NOT NULL RETURN count(_e)" if types else ""


def _changes(name: str, properties: Sequence[str], absent: Sequence[str]) -> list[str]:
    changed = [f"{name}.{quoted(p)} = {ROWS.column(p)}" for p in properties]
    return [*changed, *(f"{name}.{quoted(p)} = null" for p in absent)]


def _found(ends: Ends) -> str:
    edge = f"MATCH (_a)-[_e:{quoted(ends.type)}]->(_b) WHERE _e.{quoted(NAME)} = {ROWS.column(NAME)}"
    return f"{between(ROWS, ends)} {edge}"


# --- what the database says of itself

BEGIN = f"MERGE (_s:{STAMPS} {{owner: $owner}}) SET _s.manifest = ''"
"""The statement that lets the stamp of a task say that what it holds is being changed."""

STAMP = f"MERGE (_s:{STAMPS} {{owner: $owner}}) SET _s = $said, _s.owner = $owner"
UNSTAMP = f"MATCH (_s:{STAMPS} {{owner: $owner}}) DELETE _s"
