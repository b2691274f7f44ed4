"""Watermarks: how far an incremental read has got. One belongs to the build that read it, and is void without it."""

from __future__ import annotations

import json
import sqlite3
from typing import Any

from mmetl.cache.store import Store
from mmetl.contracts.artifact import Fingerprint


def get_watermark(store: Store, pipeline: str, task: str) -> Any:
    """Return the watermark of the task's current build, a JSON value.

    None means that there is none: the task never read incrementally, or the manifest that the watermark belongs to is no
    longer the task's own, so that the next read is a full one.
    """
    found = store.rows(
        "select w.value from watermarks w join tasks t using (pipeline, task)"
        " where w.pipeline = ? and w.task = ? and w.manifest = t.manifest",
        (pipeline, task),
    )
    return json.loads(found[0][0]) if found else None


def set_watermark(transaction: sqlite3.Connection, pipeline: str, task: str, manifest: Fingerprint, value: Any) -> None:
    """Move the watermark, in the transaction that commits the build `manifest`. A value of None removes it."""
    if value is None:
        transaction.execute("delete from watermarks where pipeline = ? and task = ?", (pipeline, task))
    else:
        transaction.execute(
            "insert or replace into watermarks values (?, ?, ?, ?)",
            (pipeline, task, manifest, json.dumps(value)),
        )
