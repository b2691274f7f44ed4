"""Checks of tables that are large enough for shorter ways: the same counts as those of plain SQL over the same rows."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from mmetl.cache.arrow_types import columns_of
from mmetl.cache.tables import write_table
from mmetl.checks.evaluate import examine
from mmetl.checks.footers import read_footers
from mmetl.checks.functions import Own
from mmetl.checks.rules import HASHED_ROWS
from mmetl.contracts.artifact import Manifest, Part
from mmetl.contracts.transform import Table

ROWS = HASHED_ROWS + 50_000
COLUMNS = f"""
select n as id, 'order ' || n as text, md5((n % ({ROWS} - 3))::varchar) as thrice, (n * 36893488147)::bigint as far,
  case when n % 3 > 0 then 'x' || (n // 6) end as often, n // 2 as half, n % 2 as odd, 'a' || n // 2 as texts,
  ['open', 'sent', 'paid', null][1 + (n % 4)] as state, case when n = 70000 then 'GB2' else 'FR' end as country,
  case when n = 9 then 'nan' else n / 2 end::double as weight,
  timestamp '2024-01-01' + to_seconds(n) as at
from (select range::bigint as n from range({ROWS}))
"""
CHECKS: dict[str, tuple[Mapping[str, Any], int]] = {
    # a check, how many rows fail
    "texts that differ": ({"unique": ["text"]}, 0),
    "texts of which three occur twice": ({"unique": ["thrice"]}, 6),
    "numbers far apart": ({"unique": ["far"]}, 0),
    "nulls and texts that repeat": ({"unique": ["often"]}, 166_666),
    "two columns that differ together": ({"unique": ["texts", "odd"]}, 0),
    "two columns that do not": ({"unique": ["texts", "country"]}, 249_998),
    "numbers close together, twice": ({"unique": ["half"]}, ROWS),
    "a few texts": ({"accepted_values": {"column": "state", "values": ["open", "sent", "paid"]}}, 0),
    "a text that is not accepted": ({"accepted_values": {"column": "state", "values": ["open", "sent"]}}, 62_500),
    "one text of another form": ({"regex": {"column": "country", "pattern": "^[A-Z]{2}$"}}, 1),
    "all of one form": ({"regex": {"column": "state", "pattern": "^[a-z]+$"}}, 0),
    "related to others": ({"relationship": {"column": "country", "to": "others.code"}}, 1),
    "a range that the ends of files prove": ({"range": {"column": "id", "min": 0, "max": ROWS}}, 0),
    "a NaN, which is above all numbers": ({"range": {"column": "weight", "max": ROWS}}, 1),
    "a range that cuts": ({"range": {"column": "id", "min": 10, "max": ROWS - 2}}, 11),
}


class Folder:
    """A folder for parts."""

    def __init__(self, path: Path) -> None:
        self.path, self.made = path, 0

    def temp(self, suffix: str) -> Path:
        self.made += 1
        return self.path / f"{self.made}{suffix}"

    def adopt(self, temp: Path) -> tuple[str, int]:
        return temp.name, temp.stat().st_size


def written(folder: Path, task: str, rows: pa.Table) -> Table:
    folder.mkdir()
    parts = write_table(rows.to_batches(), rows.schema, Folder(folder))
    return Table(
        task, Manifest("table", parts, (), columns_of(rows.schema)), tuple(folder / p.fingerprint for p in parts)
    )


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> tuple[Table, Table]:
    folder = tmp_path_factory.mktemp("large")
    this = written(folder / "this", "this", duckdb.sql(COLUMNS).to_arrow_table())
    return this, written(folder / "others", "others", pa.table({"code": ["FR", "DE"]}))


@pytest.mark.parametrize("title", CHECKS)
def test_counts_the_rows_that_fail(tmp_path: Path, tables: tuple[Table, Table], title: str) -> None:
    check, rows = CHECKS[title]
    related = {"others.code": tables[1]} if "relationship" in check else {}
    with examine(tables[0], [check], related, Own({}, tmp_path, io.StringIO()), tmp_path, threads=2) as seen:
        (result,) = seen.results(3)
    assert result.rows == rows
    assert len(result.sample) == min(rows, 3)


def test_files_tell_which_texts_are_few(tables: tuple[Table, Table]) -> None:
    names = {"id", "text", "state", "country", "often"}
    assert read_footers(tables[0], names).few == {"state", "country"}


KINDS = [
    "timestamp[s]",
    "timestamp[ms]",
    "timestamp[us]",
    "timestamp[ns]",
    "timestamp[us, tz=UTC]",
    "date32[day]",
    "int64",
]


@pytest.mark.parametrize("kind", KINDS)
def test_files_tell_the_newest_time(tmp_path: Path, kind: str) -> None:
    day = 19_000
    scale = {"s": 86_400, "ms": 86_400_000, "us": 86_400_000_000, "ns": 86_400_000_000_000}
    unit = kind.removeprefix("timestamp[").rstrip("]").split(",")[0]
    number = day if kind == "date32[day]" else scale.get(unit, 1) * day
    types = {"date32[day]": pa.date32(), "int64": pa.int64()}
    as_type = types.get(kind) or pa.timestamp(unit, "UTC" if "UTC" in kind else None)
    values = pa.array([number, None, number - 1], pa.int32() if kind == "date32[day]" else pa.int64()).cast(as_type)
    pq.write_table(pa.table({"At": values}), tmp_path / "x.parquet")
    table = Table(
        "t",
        Manifest("table", (Part("x", 3, 1),), (), columns_of(pa.schema([("At", as_type)]))),
        (tmp_path / "x.parquet",),
    )
    expected = {} if kind in {"int64", "timestamp[s]"} else {"at": day * 86_400_000_000}
    assert read_footers(table, {"at"}).newest == expected


@pytest.mark.parametrize("end", ["infinity", "-infinity"])
def test_a_time_without_end_is_left_to_sql(tmp_path: Path, end: str) -> None:
    duckdb.sql(f"select '{end}'::timestamp as at").write_parquet(str(tmp_path / "x.parquet"))
    columns = columns_of(pa.schema([("at", pa.timestamp("us"))]))
    table = Table("t", Manifest("table", (Part("x", 1, 1),), (), columns), (tmp_path / "x.parquet",))
    assert read_footers(table, {"at"}).newest == {}


def test_files_without_statistics_tell_nothing(tmp_path: Path) -> None:
    rows = pa.table({"a": [1, 2], "at": pa.array([1, 2], pa.timestamp("us"))})
    pq.write_table(rows, tmp_path / "x.parquet", write_statistics=False)
    table = Table("t", Manifest("table", (Part("x", 2, 1),), (), columns_of(rows.schema)), (tmp_path / "x.parquet",))
    found = read_footers(table, {"a", "at"})
    assert (found.filled, found.bounds, found.newest) == (frozenset(), {}, {})
