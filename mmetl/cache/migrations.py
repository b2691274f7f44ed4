"""The schema of the state file, as numbered migrations. Imported only when a file is new or older than this code."""

from __future__ import annotations

import sqlite3

import sqlite_utils
from sqlite_utils.migrations import Migrations

migrations = Migrations("mmetl")


def migrate(connection: sqlite3.Connection, version: int) -> None:
    """Bring the state file to `version`; each migration is one transaction with its own record."""
    db = sqlite_utils.Database(connection)
    migrations.apply(db)
    db.execute(f"pragma user_version = {version:d}")


@migrations(name="0001_core")
def _core(db: sqlite_utils.Database) -> None:
    db.create_table(
        "tasks",
        {
            "pipeline": str,
            "task": str,
            "state": str,  # done | started | failed | changed (an input changed while it ran)
            "recipe": str,
            "inputs": str,  # one fingerprint over all inputs, compared first
            "outputs": str,  # one fingerprint over all written files
            "manifest": str,
            "parts": str,  # fingerprints joined by spaces: what a no-op stats
            "input_list": str,  # JSON {input: fingerprint}, read only to give reasons
            "output_list": str,  # JSON {path: fingerprint}
            "built_ms": int,
            "run_id": str,
        },
        pk=("pipeline", "task"),
    )
    db.create_table("files", {"path": str, "signature": bytes, "fingerprint": str}, pk="path")
    db.create_table("manifests", {"fingerprint": str, "body": str}, pk="fingerprint")
    db.create_table(
        "builds",
        {
            "key": str,
            "recipe": str,
            "manifest": str,
            "watermark": str,
            "pipeline": str,
            "task": str,
            "made_ms": int,
            "used_ms": int,
        },
        pk="key",
    )
    db.table("builds").create_index(["recipe"])
    db.create_table(
        "watermarks",
        {"pipeline": str, "task": str, "manifest": str, "value": str},
        pk=("pipeline", "task"),
    )
    db.create_table("leftovers", {"path": str, "fingerprint": str, "pipeline": str, "task": str}, pk="path")
    db.create_table("recipes", {"fingerprint": str, "body": str}, pk="fingerprint")
    db.create_table("plans", {"key": str, "checks": str, "body": str, "used_ms": int}, pk="key")
    db.create_table("plan_tasks", {"plan": str, "task": str, "body": str}, pk=("plan", "task"))


@migrations(name="0002_runs")
def _runs(db: sqlite_utils.Database) -> None:
    db.create_table(
        "runs",
        {
            "id": str,
            "pipeline": str,
            "status": str,  # running | succeeded | failed | cancelled | crashed
            "pid": int,
            "started_ms": int,
            "heartbeat_ms": int,
            "ended_ms": int,
            "arguments": str,  # JSON of what was asked for
            "selected": str,  # key into task_lists
        },
        pk="id",
    )
    db.table("runs").create_index(["started_ms"])
    db.create_table("task_lists", {"key": str, "names": str}, pk="key")
    db.create_table(
        "task_runs",
        {
            "run_id": str,
            "pipeline": str,
            "task": str,
            "outcome": str,
            "reasons": str,  # JSON list of reasons, as data
            "rows": int,
            "bytes": int,
            "seconds": float,
            "error": str,
        },
        pk=("run_id", "pipeline", "task"),
    )
    db.create_table(
        "events",
        {"id": int, "run_id": str, "at_ms": int, "kind": str, "task": str, "data": str},
        pk="id",
    )
    db.table("events").create_index(["run_id"])
