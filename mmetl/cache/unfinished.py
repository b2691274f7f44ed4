"""What an item-wise task has finished before it has finished itself, so that a killed run's work is not done again."""

from __future__ import annotations

import json
import sqlite3

from mmetl.cache.store import Store
from mmetl.contracts.artifact import Fingerprint
from mmetl.contracts.items import Unit
from mmetl.utils.time import now_ms


def unfinished(store: Store, basis: Fingerprint) -> dict[Fingerprint, Unit]:
    """Return the units that were finished on this basis, by the fingerprint of their input."""
    rows = store.rows("select input, body from unfinished where basis = ?", (basis,))
    return {input_: Unit.from_list(json.loads(body)) for input_, body in rows}


def note_unfinished(db: sqlite3.Connection, basis: Fingerprint, units: list[Unit]) -> None:
    """Write units whose parts are in their place and durable."""
    now = now_ms()
    rows = [(basis, u.input, json.dumps(u.to_list()), now) for u in units]
    db.executemany("insert or replace into unfinished values (?, ?, ?, ?)", rows)


def forget_unfinished(db: sqlite3.Connection, basis: Fingerprint) -> None:
    """Drop what was noted on a basis: its task is done."""
    db.execute("delete from unfinished where basis = ?", (basis,))


def expire_unfinished(db: sqlite3.Connection, before_ms: int) -> None:
    """Drop what was noted long ago, for a task that nobody finished."""
    db.execute("delete from unfinished where made_ms < ?", (before_ms,))
