"""Bring an older state file up to date, through sqlite-utils. Imported only when there is one."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

import sqlite_utils
from sqlite_utils.migrations import Migrations

from mmetl.cache.schema import MIGRATION_SET, MIGRATIONS

migrations = Migrations(MIGRATION_SET)


def _register(name: str, statements: Sequence[str]) -> None:
    @migrations(name=name)
    def _(db: sqlite_utils.Database) -> None:
        for sql in statements:
            db.execute(sql)


for _name, _statements in MIGRATIONS.items():
    _register(_name, _statements)


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the state file to `version`; each migration is one transaction with its own record."""
    db = sqlite_utils.Database(connection)
    migrations.apply(db)
    db.execute(f"pragma user_version = {version:d}")
