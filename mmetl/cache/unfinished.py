"""What an item-wise task has finished before it has finished itself, so that a killed run's work is not done again."""

from __future__ import annotations

import json
import sqlite3

from mmetl.cache.store import Store
from mmetl.contracts.items import Basis, Unit
from mmetl.utils.time import now_ms


def unfinished(store: Store, basis: Basis) -> list[tuple[Basis, Unit]]:
    """Return the units whose items were finished on this basis."""
    rows = store.rows(
        "select basis, body from unfinished where basis >= ? and basis < ?", (basis.items, f"{basis.items}~")
    )
    return [(Basis(*found.split()), Unit.from_list(json.loads(body))) for found, body in rows]


def note_unfinished(db: sqlite3.Connection, basis: Basis, units: list[Unit]) -> None:
    """Write units whose parts are in their place and durable."""
    now = now_ms()
    rows = [(" ".join(basis), u.input, json.dumps(u.to_list()), now) for u in units]
    db.executemany("insert or replace into unfinished values (?, ?, ?, ?)", rows)


def forget_unfinished(db: sqlite3.Connection, basis: Basis) -> None:
    """Drop what was noted on a basis: its task is done."""
    db.execute("delete from unfinished where basis >= ? and basis < ?", (basis.items, f"{basis.items}~"))


def expire_unfinished(db: sqlite3.Connection, before_ms: int) -> None:
    """Drop what was noted long ago, for a task that nobody finished."""
    db.execute("delete from unfinished where made_ms < ?", (before_ms,))
