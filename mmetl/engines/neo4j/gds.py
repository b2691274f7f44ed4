"""Algorithms of Graph Data Science, a plugin of Neo4j, over what one task keeps in a database.

The server copies that part into its memory (a projection), under a name of the task's own, computes there, and forgets it at the end.
It is told to use one thread, so that the same database gives the same numbers.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, NamedTuple

from mmetl.contracts.graph import NAME
from mmetl.engines.cypher import quoted
from mmetl.engines.neo4j.session import session
from mmetl.engines.neo4j.text import mark
from mmetl.errors import TaskError

WEIGHT = "weight"

PAGERANK = "gds.pageRank.stream", "score"
BETWEENNESS = "gds.betweenness.stream", "score"
COMPONENT = "gds.wcc.stream", "componentId"
LOUVAIN = "gds.louvain.stream", "communityId"
"""Procedures, and the column that holds what they come to for a node."""


class Wanted(NamedTuple):
    """The part of a graph that an algorithm runs on.

    Attributes:
        labels: of the nodes.
        types: of the edges; empty: all.
        weight: a property of the edges; None: each counts 1.
        directed: whether edges lead one way only.
    """

    labels: Sequence[str]
    types: Sequence[str]
    weight: str | None
    directed: bool


class Projected:
    """A part of a database in the server's memory."""

    def __init__(self, opened: Any, name: str, wanted: Wanted) -> None:
        self._opened, self._name, self._wanted = opened, name, wanted

    def values(
        self, procedure: tuple[str, str], weighted: bool = False, **config: Any
    ) -> Iterator[tuple[str, str, Any]]:
        """Yield label, key and value of each node. A node to which others gave labels of the graph, too, comes once for each.

        Args:
            procedure: one of the above.
            weighted: whether the weights of edges count.
            config: of the procedure.
        """
        named, value = procedure
        said = {"concurrency": 1, **config, **({"relationshipWeightProperty": WEIGHT} if weighted else {})}
        yield from self._opened.run(
            f"CALL {named}($name, $said) YIELD nodeId, {value} WITH gds.util.asNode(nodeId) AS n, {value}"
            f" UNWIND labels(n) AS label WITH * WHERE label IN $labels RETURN label, n.{quoted(NAME)}, {value}",
            name=self._name,
            said=said,
            labels=list(self._wanted.labels),
        )


@contextmanager
def projected(
    connection: Mapping[str, Any], owner: str, name: str, wanted: Wanted, **session_with: Any
) -> Iterator[Projected]:
    """Copy what a task keeps into the server's memory, and forget it afterwards.

    Args:
        connection: to the server.
        owner: the task that keeps it.
        name: of the copy; one that an interrupted run left under it is replaced.
        wanted: the part of the graph.
        session_with: on_cancel, as of `session`.

    Raises:
        TaskError: for a server without the plugin, and as `session`.
    """
    from neo4j.exceptions import ClientError, DriverError, Neo4jError

    with session(connection, **session_with) as opened:
        try:
            _drop(opened, name)
            opened.run(
                project(owner, wanted),
                name=name,
                labels=list(wanted.labels),
                types=list(wanted.types),
                said={} if wanted.directed else {"undirectedRelationshipTypes": ["*"]},
            ).consume()
            try:
                yield Projected(opened, name, wanted)
            except Exception:  # Ctrl-C waits for nothing: the next run replaces what is left
                with suppress(DriverError, Neo4jError):
                    _drop(opened, name)
                raise
            _drop(opened, name)
        except ClientError as error:
            if is_lacking(error):
                raise TaskError(
                    f"Neo4j '{connection['name']}' has no Graph Data Science plugin, or not this part of it: {error.message}",
                    help="install the plugin in the server, or leave `engine: gds` out",
                ) from error
            raise


def project(owner: str, wanted: Wanted) -> str:
    """Return the statement that makes the copy."""
    kept, weight = mark(owner), quoted(wanted.weight) if wanted.weight else ""
    fits = "any(l IN labels({0}) WHERE l IN $labels)"
    types = " AND type(e) IN $types" if wanted.types else ""
    edge = f"OPTIONAL MATCH (n)-[e]->(m:{kept}) WHERE e.{kept} IS NOT NULL AND {fits.format('m')}{types}"
    data = f"{{relationshipProperties: {{{WEIGHT}: coalesce(toFloat(e.{weight}), 1.0)}}}}" if weight else "{}"
    made = f"WITH gds.graph.project($name, n, m, {data}, $said) AS g RETURN g.nodeCount"
    return f"MATCH (n:{kept}) WHERE {fits.format('n')} {edge} {made}"


def rounds(damping: float, least: int) -> int:
    """Return how many rounds PageRank may take: by then it has settled, whatever the graph.

    >>> rounds(0.85, 100)
    213
    """
    return max(least, math.ceil(math.log(1e-15) / math.log(damping)))


def is_lacking(error: Any) -> bool:
    """Tell whether an error of the server says that it does not know a procedure or a function."""
    return error.code == "Neo.ClientError.Procedure.ProcedureNotFound" or "Unknown function 'gds." in str(error.message)


def _drop(opened: Any, name: str) -> None:
    opened.run("CALL gds.graph.drop($name, false) YIELD graphName RETURN count(*)", name=name).consume()
