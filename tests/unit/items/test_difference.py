"""The difference of two tables: exactly the rows that differ, whatever their types, wherever they stand."""

from __future__ import annotations

import math
import random
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from mmetl.cache.arrow_types import columns_of, normal_schema
from mmetl.cache.tables import repeating, write_table
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Table
from mmetl.items import difference as items_difference
from mmetl.items.difference import ID, difference
from mmetl.items.same import differing

SCHEMA = pa.schema(
    {
        "kind": pa.string(),
        "key": pa.string(),
        "text": pa.string(),
        "whole": pa.int64(),
        "float": pa.float64(),
        "small": pa.float32(),
        "flag": pa.bool_(),
        "list": pa.list_(pa.string()),
        "raw": pa.binary(),
    }
)
COLUMNS = SCHEMA.names[2:]
FLAT = [name for name in COLUMNS if name != "list"]
"""Those that Arrow can compare: rows with a list are hashed, all of them."""
Rows = dict[tuple[str, str], dict[str, Any]]


class Folder:
    """Parts in a folder, named by their content."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._made = folder, 0

    def temp(self, suffix: str = "") -> Path:
        self._made += 1
        return self._folder / f"{self._made}{suffix}"

    def adopt(self, temp: Path) -> tuple[str, int]:
        content = temp.read_bytes()
        name = f"{hash(content) & (1 << 64) - 1:032x}"
        temp.rename(self._folder / name)
        return name, len(content)


def table(folder: Path, rows: Rows, buckets: int = 3) -> Table:
    """Keep rows as an artifact would be: in buckets, each sorted by key."""
    parts = []
    for bucket in range(buckets):
        own = [r for k, r in sorted(rows.items()) if sum(map(ord, k[1])) % buckets == bucket]
        if own:
            batches = pa.Table.from_pylist(own, normal_schema(SCHEMA)).to_batches()
            written = write_table(batches, normal_schema(SCHEMA), Folder(folder))  # type: ignore[arg-type]
            parts += [p._replace(bucket=bucket) for p in written]
    manifest = Manifest("table", tuple(parts), ("kind", "key"), columns_of(normal_schema(SCHEMA)), buckets)
    return Table("t", manifest, tuple(folder / p.fingerprint for p in parts))


def row(rng: random.Random, kind: str, key: str) -> dict[str, Any]:
    floats = [0.0, math.nan, 1.5, None]
    return {
        "kind": kind,
        "key": key,
        "text": rng.choice(["", "a", "é", None]),
        "whole": rng.choice([0, 1, None]),
        "float": rng.choice(floats),
        "small": rng.choice(floats),
        "flag": rng.choice([True, False, None]),
        "list": rng.choice([[], ["x"], None]),
        "raw": rng.choice([b"", b"\0", None]),
    }


def some_rows(rng: random.Random, keys: int) -> Rows:
    """Keys are alike under two kinds: the last column of the key does not name a row."""
    named = [(kind, str(n)) for kind in "ab" for n in range(keys)]
    return {k: row(rng, *k) for k in named if rng.random() < 0.8}


def edited(rng: random.Random, rows: Rows, share: float) -> Rows:
    found = {k: row(rng, *k) if rng.random() < share else r for k, r in rows.items() if rng.random() > share}
    return found | {("c", str(n)): row(rng, "c", str(n)) for n in range(3) if rng.random() < share}


def told(value: Any) -> Any:
    """Floats by their bits."""
    return struct.pack("d", value) if isinstance(value, float) else repr(value)


def as_set(rows: Any, columns: Sequence[str] = COLUMNS) -> set[Any]:
    return {tuple(told(r[n]) for n in ("kind", "key", *columns)) for r in rows}


def listed(tables: Any) -> list[dict[str, Any]]:
    return [r for t in tables for r in t.to_pylist()]


@pytest.mark.parametrize("seed", range(12))
def test_it_has_the_rows_that_differ_and_no_others(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    before = some_rows(rng, 40)
    after = edited(rng, before, rng.choice([0.02, 0.2, 0.9]))
    tables = table(tmp_path, before), table(tmp_path, after, rng.choice([3, 5]))
    check(before, after, tables, rng.choice([COLUMNS, FLAT]))


def test_texts_that_repeat_are_compared_whatever_their_numbers(tmp_path: Path) -> None:
    """In parts of many rows they are dictionaries, and each part has its own."""
    rng = random.Random(0)
    before = some_rows(rng, 4_000)
    after = edited(rng, before, 0.02)
    first = sorted(before.keys() & after.keys())[:30]  # so that the numbers of all texts are others
    after |= {k: before[k] | {"text": f"new {n % 3}"} for n, k in enumerate(first)}
    after |= {k: before[k] | {"text": rng.choice(["", "a", "é"])} for k in rng.sample(sorted(before), 200)}
    tables = table(tmp_path, before), table(tmp_path, after)
    assert all(repeating(t, n) >= {"kind", "text"} for t in tables for n in range(3))
    check(before, after, tables, FLAT)


def check(before: Rows, after: Rows, tables: tuple[Table, Table], columns: Sequence[str]) -> None:
    found = difference(*tables, columns)
    changed = {k for k in before if k in after and as_set([before[k]], columns) != as_set([after[k]], columns)}
    added, removed = after.keys() - before.keys(), before.keys() - after.keys()
    counts = {"added": len(added), "changed": len(changed), "removed": len(removed)}
    counts["unchanged"] = len(after) - len(added) - len(changed)
    assert dict(found.counts) == {k: n for k, n in counts.items() if n}
    assert len(set(found.deleted)) == len(removed)
    rows, old = listed(found.rows), listed(found.old)
    assert as_set(rows, columns) == as_set((after[k] for k in added | changed), columns)
    assert as_set(old, columns) == as_set((before[k] for k in removed | changed), columns)
    assert len(rows) == len(added | changed)
    assert {r[ID] for r in old} >= set(found.deleted)


def test_a_table_against_nothing_and_against_itself(tmp_path: Path) -> None:
    rows = some_rows(random.Random(0), 20)
    made = table(tmp_path, rows)
    whole = difference(None, made, COLUMNS, named=False)
    assert whole.whole
    tables = list(whole.rows)
    assert as_set(listed(tables)) == as_set(rows.values())
    assert ID not in tables[0].column_names
    same = difference(made, made, COLUMNS)
    assert (dict(same.counts), listed(same.rows), listed(same.old)) == ({"unchanged": len(rows)}, [], [])
    empty = difference(made, table(tmp_path, {}), COLUMNS)
    assert dict(empty.counts) == {"removed": len(rows)}
    assert as_set(listed(empty.old)) == as_set(rows.values())


def test_few_buckets_are_compared_at_once_where_every_row_differs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However large the tables are: three copies of what is compared are held."""
    held: list[int] = []

    def watched(old: Sequence[pa.Table], new: Sequence[pa.Table], key: Sequence[str]) -> tuple[pa.Array, pa.Array]:
        held.append(sum(t.nbytes for t in (*old, *new)))
        return differing(old, new, key)

    monkeypatch.setattr(items_difference, "GATHERED_BYTES", 500_000)
    monkeypatch.setattr(items_difference, "differing", watched)
    rng = random.Random(0)

    def large() -> Rows:
        return {("a", str(n)): row(rng, "a", str(n)) | {"raw": rng.randbytes(20_000)} for n in range(100)}

    found = difference(table(tmp_path, large(), 32), table(tmp_path, large(), 32), COLUMNS)
    assert dict(found.counts) == {"changed": 100}
    assert sum(held) > 4_000_000
    assert max(held) < 600_000
    assert len(held) < 16


def test_floats_are_the_same_by_their_bits(tmp_path: Path) -> None:
    """Minus zero is not zero, and a NaN is itself; what cannot be compared is not the same."""
    before = pa.table({"k": ["a", "b", "c"], "f": [0.0, math.nan, 1.0]})
    after = pa.table({"k": ["a", "b", "d"], "f": [-0.0, math.nan, 1.0]})
    assert [m.to_pylist() for m in differing([before], [after], ["k"])] == [[True, False, True], [True, False, True]]
    lists = pa.table({"k": ["a"], "l": [[{"x": 1}]]})
    assert [m.to_pylist() for m in differing([lists], [lists], ["k"])] == [[True], [True]]


@pytest.mark.parametrize("kind", [pa.float16(), pa.float32(), pa.float64()])
def test_vectors_are_the_same_by_their_bits(kind: pa.DataType) -> None:
    """Wherever they begin; those that are null are left to whoever is exact."""
    vectors = pa.list_(pa.field("element", kind, nullable=False), 2)
    other = np.array([[9, 9], [0.0, math.nan], [1, 2], [3, 4]], kind.to_pandas_dtype())
    one = other * np.array([[1], [1], [1], [-1]], other.dtype)
    sides = [pa.FixedSizeListArray.from_arrays(pa.array(side.ravel()), type=vectors) for side in (one, other)]
    before, after = (pa.table({"k": [1, 2, 3, 4], "v": side}).slice(1) for side in sides)
    assert [m.to_pylist() for m in differing([before], [after], ["k"])] == [[False, False, True]] * 2
    holes = pa.table({"k": [1], "v": pa.array([None], vectors)})
    assert [m.to_pylist() for m in differing([holes], [holes], ["k"])] == [[True], [True]]


@pytest.mark.parametrize(
    "key", [{"path": ["a", "a", "b", "b"], "no": [0, 1, 0, 1]}, {"at": [1.5, 1.5, 2.5, 2.5], "no": [0, 1, 0, 1]}]
)
def test_rows_are_found_by_their_whole_key(key: dict[str, list[Any]]) -> None:
    """A number that counts within each document names no row by itself."""
    before = pa.table(key | {"text": ["one", "two", "three", "four"]})
    after = pa.table(key | {"text": ["one", "two", "three", "edited"]})
    assert [m.to_pylist() for m in differing([before], [after], list(key))] == [[False, False, False, True]] * 2
