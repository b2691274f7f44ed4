"""The stat cache in the store: what `FileCache` starts from, and what it has learnt."""

from __future__ import annotations

import sqlite3

from mmetl.cache.fingerprints import FileCache
from mmetl.cache.store import Store
from mmetl.cache.tree_cache import TreeCache, write_trees
from mmetl.contracts.artifact import Fingerprint


def known_files(store: Store) -> dict[str, tuple[bytes, Fingerprint]]:
    """Return path -> (signature, fingerprint)."""
    return {path: (sig, fp) for path, sig, fp in store.rows("select path, signature, fingerprint from files")}


def write_files(db: sqlite3.Connection, changes: dict[str, tuple[bytes, Fingerprint] | None]) -> None:
    """Write back what the file cache learnt."""
    db.executemany(
        "insert or replace into files values (?, ?, ?)", [(p, *v) for p, v in changes.items() if v is not None]
    )
    db.executemany("delete from files where path = ?", [(p,) for p, v in changes.items() if v is None])


def save_file_changes(store: Store, files: FileCache, trees: TreeCache) -> None:
    """Write back what was learnt while deciding, where there is anything."""
    changes, listed = files.take_changes(), trees.take_changes()
    if changes or listed.folders:
        with store.transaction() as db:
            write_files(db, changes)
            write_trees(db, listed)
