"""Statements in Cypher that change a graph. Pure text: no I/O, no driver; every engine of graphs writes with these.

A statement works on a batch of rows. How the rows come in differs from engine to engine (`Rows`); what is done with each does not.
Nodes are found by `_key` under their label, edges by `_key` between their two nodes. Two MATCH clauses, never one with a comma, which
some engines take for a cross product. Variables begin with an underscore: no property does, and columns share their names in some engines.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from mmetl.contracts.graph import NAME, SOURCE, TARGET


class Rows(NamedTuple):
    """How a statement reads its rows.

    Attributes:
        clause: what comes first, such as `UNWIND $rows AS row`.
        prefix: what stands before the name of a column, such as `row.`.
        seeks: whether a node has to be said to be found by the index over its keys.
    """

    clause: str
    prefix: str = ""
    seeks: bool = False

    def column(self, name: str) -> str:
        """Return the value of a column."""
        return f"{self.prefix}{quoted(name)}"


class Ends(NamedTuple):
    """What an edge is under: its type, and the labels of its two nodes."""

    type: str
    source: str
    target: str


def quoted(name: str) -> str:
    """Return a name as Cypher takes it, whatever it is.

    >>> quoted("Order")
    '`Order`'
    """
    return "`" + name.replace("`", "``") + "`"


def create_nodes(rows: Rows, label: str, properties: Sequence[str], casts: Mapping[str, str] | None = None) -> str:
    """Return the statement that makes the nodes of some rows."""
    return f"{rows.clause} CREATE (:{quoted(label)} {_map(rows, [NAME, *properties], casts)}) RETURN count(*)"


def change_nodes(rows: Rows, label: str, properties: Sequence[str], casts: Mapping[str, str] | None = None) -> str:
    """Return the statement that gives nodes, which are there, the properties of some rows."""
    changes = ", ".join(f"_n.{quoted(p)} = {_value(rows, p, casts)}" for p in properties)
    return f"{rows.clause} {node(rows, '_n', label, NAME)} SET {changes} RETURN count(*)"


def delete_nodes(rows: Rows, label: str) -> str:
    """Return the statement that removes nodes; it fails for one that has edges."""
    return f"{rows.clause} {node(rows, '_n', label, NAME)} DELETE _n RETURN count(*)"


def create_edges(rows: Rows, ends: Ends, properties: Sequence[str], casts: Mapping[str, str] | None = None) -> str:
    """Return the statement that makes the edges of some rows between nodes that are there."""
    made = f"(_a)-[:{quoted(ends.type)} {_map(rows, [NAME, *properties], casts)}]->(_b)"
    return f"{between(rows, ends)} CREATE {made} RETURN count(*)"


def delete_edges(rows: Rows, ends: Ends) -> str:
    """Return the statement that removes the edges of some rows."""
    found = f"MATCH (_a)-[_e:{quoted(ends.type)}]->(_b) WHERE _e.{quoted(NAME)} = {rows.column(NAME)}"
    return f"{between(rows, ends)} {found} DELETE _e RETURN count(*)"


def between(rows: Rows, ends: Ends) -> str:
    """Return the clauses that find the two nodes of each row, `_a` and `_b`."""
    return f"{rows.clause} {node(rows, '_a', ends.source, SOURCE)} {node(rows, '_b', ends.target, TARGET)}"


def node(rows: Rows, name: str, label: str, column: str) -> str:
    """Return the clause that finds a node of each row, by the key in one of its columns."""
    found = f"MATCH ({name}:{quoted(label)} {{{quoted(NAME)}: {rows.column(column)}}})"
    return f"{found} USING INDEX SEEK {name}:{quoted(label)}({quoted(NAME)})" if rows.seeks else found


def _map(rows: Rows, names: Sequence[str], casts: Mapping[str, str] | None) -> str:
    return "{" + ", ".join(f"{quoted(n)}: {_value(rows, n, casts)}" for n in names) + "}"


def _value(rows: Rows, name: str, casts: Mapping[str, str] | None) -> str:
    kind = (casts or {}).get(name)
    return f"CAST({rows.column(name)}, '{kind}')" if kind else rows.column(name)
