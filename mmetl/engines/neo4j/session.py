"""A session with a Neo4j server, what the server refuses, and what it is asked about the graph of a task.

A connection is what `connections:` of the project file says, its secrets resolved: name, uri, user, password, database.
"""

from __future__ import annotations

import contextlib
import logging
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from mmetl.engines.neo4j.errors import told
from mmetl.engines.neo4j.text import STAMPS, count_edges, count_nodes
from mmetl.engines.packages import require
from mmetl.errors import TaskError

CONNECT_S = 5.0
"""Seconds after which a server that does not answer counts as one that is not there."""


class Stamp(NamedTuple):
    """What a database says that it holds for a task.

    Attributes:
        manifest, spec: as of `Applied`; empty while it is being changed.
        nodes, edges: how many it holds.
        types: of these edges.
        properties: names of all properties that were written.
    """

    manifest: str = ""
    spec: str = ""
    nodes: int = 0
    edges: int = 0
    types: tuple[str, ...] = ()
    properties: tuple[str, ...] = ()


@contextlib.contextmanager
def session(
    connection: Mapping[str, Any],
    *,
    on_cancel: Callable[[Callable[[], None]], None] = lambda _stop: None,
    reads: bool = False,
    notes: Literal["OFF", "WARNING"] = "OFF",
) -> Iterator[Any]:
    """Open a session of the driver with a server that has let us in.

    Args:
        connection: to the server.
        on_cancel: registers what ends it, whatever it waits for: the server then takes back what is under way.
        reads: whether the server is to refuse what changes anything.
        notes: from which severity on the server says what it thinks of a query.

    Raises:
        MissingError: if the driver is not installed.
        TaskError: for what the driver or the server refuse, also inside; no secret is in it.
    """
    require("neo4j", "neo4j")
    import neo4j

    logging.getLogger("neo4j").addHandler(logging.NullHandler())  # what matters is told by errors
    password, database = connection["password"], connection["database"] or None
    stopped = threading.Event()
    try:
        with (
            neo4j.GraphDatabase.driver(
                **_way(connection),
                auth=(connection["user"], password) if password else None,
                connection_timeout=CONNECT_S,
                connection_acquisition_timeout=CONNECT_S,
                telemetry_disabled=True,
                user_agent="mmetl",
            ) as driver,
            driver.session(
                database=database,
                default_access_mode=neo4j.READ_ACCESS if reads else neo4j.WRITE_ACCESS,
                notifications_min_severity=notes,
            ) as opened,
        ):

            def stop() -> None:
                stopped.set()
                driver.close()

            on_cancel(stop)
            opened.run("RETURN 1").consume()  # not tried again: a server that is not there is told at once
            try:
                yield opened
            except Exception:
                raise
            except BaseException:  # Ctrl-C: a server that is busy with us would not hear that it may stop
                stop()
                raise
    except (neo4j.exceptions.GqlError, ValueError, OverflowError, OSError) as error:
        raise TaskError("the run was interrupted") if stopped.is_set() else told(error, connection) from error


def _way(connection: Mapping[str, Any]) -> dict[str, Any]:
    """Return the driver's arguments about where a server is, and who has to have signed for it."""
    uri, ca = connection["uri"], connection.get("ca_file", "")
    if not ca:
        return {"uri": uri}
    try:
        ssl.create_default_context(cafile=ca)
    except OSError as error:
        raise TaskError(
            f"no certificate can be read of '{connection['ca']}': {error.strerror or error}",
            help=f"name a file with certificates (PEM) in `ca` of connection '{connection['name']}' in mmetl.yml",
        ) from error
    from neo4j import TrustCustomCAs

    # The driver takes certificates only where the URI itself says nothing of them.
    return {"uri": uri.replace("+s://", "://"), "encrypted": True, "trusted_certificates": TrustCustomCAs(ca)}


def read_stamp(opened: Any, owner: str) -> Stamp | None:
    """Return what a database says of a task."""
    found = opened.run(f"MATCH (_s:{STAMPS} {{owner: $owner}}) RETURN properties(_s) AS said", owner=owner).single()
    if found is None:
        return None
    said = found["said"]
    return Stamp(
        said.get("manifest", ""),
        said.get("spec", ""),
        said.get("nodes", 0),
        said.get("edges", 0),
        tuple(said.get("types", ())),
        tuple(said.get("properties", ())),
    )


def count(opened: Any, owner: str, types: tuple[str, ...], *, timeout_s: float | None = None) -> tuple[int, int]:
    """Return how many nodes and edges a database holds for a task."""
    found = []
    for statement in (count_nodes(owner), count_edges(owner, types)):
        asked: Any = statement
        if timeout_s is not None:
            import neo4j

            asked = neo4j.Query(statement, timeout=timeout_s)
        found.append(opened.run(asked).single()[0] if statement else 0)
    return found[0], found[1]
