"""Stores of others, as the connections of a project name them: asked, looked at and cleared by their engines.

Core names those by string only; nothing of them is imported before a task needs it.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from mmetl.cache.fingerprints import unusable
from mmetl.cache.store import Store
from mmetl.config.secrets import resolve_secrets, secret_values
from mmetl.contracts.artifact import Fingerprint
from mmetl.errors import MmetlError, UsageError
from mmetl.observability.logs import HIDDEN
from mmetl.utils.text import near
from mmetl.utils.time import now_ms

ENGINES = {"neo4j": "mmetl.engines.neo4j.server"}
"""Kind of a connection -> the module that has `check`, `probe` and `drop`."""


class Place(NamedTuple):
    """What a task keeps in a store of others: `kind://connection/pipeline:task`."""

    kind: str
    connection: str
    owner: str

    @classmethod
    def of(cls, name: str) -> Place:
        """Return what a name says."""
        kind, _, rest = name.partition("://")
        connection, _, owner = rest.partition("/")
        return cls(kind, connection, owner)

    def __str__(self) -> str:
        return f"{self.kind}://{self.connection}/{self.owner}"


def is_outside(path: str) -> bool:
    """Tell whether the name of an output is a place in a store of others; no path of a file has two slashes."""
    return "://" in path


class Stores:
    """The connections of a project.

    Args:
        connections: as `mmetl.yml` says them, secrets not resolved.
        env: where secrets are.
        store: where is kept when a place was looked at.
        root: the project's folder, for files that connections name.
    """

    def __init__(
        self, connections: Mapping[str, Mapping[str, Any]], env: Mapping[str, str], store: Store, root: Path
    ) -> None:
        self.connections, self._root = connections, root
        self._env, self._store = env, store

    def resolved(self, name: str) -> tuple[Mapping[str, Any], tuple[str, ...]]:
        """Return a connection with its secrets, and the texts by which these would show.

        Raises:
            UsageError: if there is none of that name.
            TaskError: if a secret is not set.
        """
        if name not in self.connections:
            raise UsageError(*no_connection(name, self.connections))
        said = self.connections[name]
        found = {**resolve_secrets(said, self._env), "name": name}
        if found.get("ca"):
            found["ca_file"] = str(self._root / found["ca"])
        return found, secret_values(said, self._env)

    def probe(self, place: str) -> Fingerprint:
        """Ask a store what it holds for a task; where it cannot be asked, return why, as of an unusable file."""
        kind, connection, owner = Place.of(place)
        try:
            found: Fingerprint = self._call(kind, "probe", connection, owner)
        except MmetlError as error:
            return unusable(error.what)
        with self._store.transaction() as db:
            db.execute("insert or replace into probes values (?, ?)", (place, now_ms()))
        return found

    def probed_ms(self, place: str) -> int:
        """Return when a store was last asked; 0 if it never was."""
        found = self._store.rows("select at_ms from probes where place = ?", (place,))
        return int(found[0][0]) if found else 0

    def drop(self, place: str) -> None:
        """Remove what a store holds for a task, and for nobody else. Raises MmetlError if it cannot be reached."""
        kind, connection, owner = Place.of(place)
        self._call(kind, "drop", connection, owner)

    def check(self, name: str) -> str:
        """Connect; return a sentence about who answered. Raises MmetlError if nobody did, or would not let us in."""
        answer: str = self._call(self.connections[name]["kind"], "check", name)
        return answer

    def _call(self, kind: str, function: str, connection: str, *arguments: str) -> Any:
        from mmetl.core.registry import load  # not paid for by who has no such task

        said, secrets = self.resolved(connection)
        try:
            return load(f"{ENGINES[kind]}:{function}")(said, *arguments)
        except MmetlError as error:
            for secret in secrets:
                error.what, error.help = (t.replace(secret, HIDDEN) for t in (error.what, error.help))
            raise


def no_connection(name: str, known: Mapping[str, Any]) -> tuple[str, None, str]:
    """Return what is wrong with a name that no connection has, and how to mend it."""
    close = near(name, known)
    names = f"connections: {', '.join(known)}" if known else f"add it to mmetl.yml: connections: {{{name}: ...}}"
    return f"there is no connection '{name}'", None, f"did you mean '{close}'? {names}" if close else names
