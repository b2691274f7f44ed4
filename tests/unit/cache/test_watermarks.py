"""A watermark belongs to the build that read it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mmetl.cache.store import Store
from mmetl.cache.watermarks import get_watermark, set_watermark


def build(store: Store, manifest: str) -> None:
    """Record a build of the task, as a commit does."""
    with store.transaction() as db:
        db.execute("insert or replace into tasks (pipeline, task, manifest) values ('p', 't', ?)", (manifest,))


@pytest.mark.parametrize("value", [5, 1.5, "2026-01-01T00:00:00", ["2026-01-01", 7], {"at": 1}, False])
def test_round_trip(tmp_path: Path, value: Any) -> None:
    """Any JSON value comes back as it was."""
    store = Store(tmp_path)
    assert get_watermark(store, "p", "t") is None
    build(store, "m1")
    with store.transaction() as db:
        set_watermark(db, "p", "t", "m1", value)
    assert get_watermark(store, "p", "t") == value
    assert get_watermark(store, "p", "other") is None
    assert get_watermark(store, "q", "t") is None


def test_void_without_its_manifest(tmp_path: Path) -> None:
    """When the task's manifest is another one, the next read is a full one."""
    store = Store(tmp_path)
    build(store, "m1")
    with store.transaction() as db:
        set_watermark(db, "p", "t", "m1", 5)
    build(store, "m2")
    assert get_watermark(store, "p", "t") is None
    build(store, "m1")
    assert get_watermark(store, "p", "t") == 5
    with store.transaction() as db:
        set_watermark(db, "p", "t", "m1", None)
    assert get_watermark(store, "p", "t") is None


def test_moves_with_its_transaction_only(tmp_path: Path) -> None:
    """A success that is rolled back leaves the watermark where it was."""
    store = Store(tmp_path)
    build(store, "m1")
    with store.transaction() as db:
        set_watermark(db, "p", "t", "m1", 5)

    def fail() -> None:
        with store.transaction() as db:
            set_watermark(db, "p", "t", "m1", 9)
            raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        fail()
    assert get_watermark(store, "p", "t") == 5
