"""Neo4j servers, as core knows an engine of a server: who answers, what it holds for a task, and how that goes."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from mmetl.cache.fingerprints import MISSING
from mmetl.contracts.artifact import Fingerprint
from mmetl.engines.neo4j.session import count, read_stamp, session
from mmetl.utils.hashing import fingerprint_json

PROBE_S = 5.0
"""Seconds that a question of a probe may take."""


def check(connection: Mapping[str, Any]) -> str:
    """Connect; return who answered. Raises as `session`."""
    with session(connection) as opened:
        info = opened.run("RETURN 1").consume()
        return f"{info.server.agent}, database {info.database}"


def probe(connection: Mapping[str, Any], owner: str) -> Fingerprint:
    """Return one fingerprint over what a database holds for a task, by its own word; MISSING if it holds nothing.

    A database that holds another number of nodes or edges than it says gives one that no other look gives: what was changed by
    something else must never be taken for what a task has left. Raises as `session`.
    """
    with session(connection) as opened:
        stamp = read_stamp(opened, owner)
        if stamp is None:
            return MISSING
        counts = count(opened, owner, stamp.types, timeout_s=PROBE_S)
    found = fingerprint_json("neo4j/1", [stamp.manifest, stamp.spec])
    is_whole = stamp.manifest and counts == (stamp.nodes, stamp.edges)
    return found if is_whole else f"{found} at {time.time_ns()}"


def drop(connection: Mapping[str, Any], owner: str) -> None:
    """Remove what a database holds for a task, and for nobody else. Raises as `session`."""
    from mmetl.engines.neo4j.graph import Neo4jGraph

    Neo4jGraph(connection, owner).drop()
