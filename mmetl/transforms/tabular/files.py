"""Tables as files for others to read. Every function reads the session's table `input`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmetl.cache.arrow_types import normal_schema
from mmetl.cache.tables import ParquetRows, cast
from mmetl.contracts.artifact import Manifest
from mmetl.engines.duckdb import Session, literal
from mmetl.transforms.tabular.results import no_column
from mmetl.utils.text import quote


def write_csv(
    db: Session, manifest: Manifest, path: Path, order_by: Sequence[str], delimiter: str, *, header: bool
) -> None:
    """Write CSV: quotes where needed, nulls empty, an empty text as two quotes, floats as short as they read back."""
    columns = ", ".join(_in_csv(c.name, c.type) for c in manifest.columns)
    options = f"format csv, delimiter {literal(delimiter)}, header {str(header).lower()}"
    options += """, quote '"', escape '"', nullstr '', use_tmp_file false"""
    db.rows(f'copy (select {columns} from "input" {_order(manifest, order_by)}) to {literal(path)} ({options})')


def write_ndjson(db: Session, manifest: Manifest, path: Path, order_by: Sequence[str]) -> None:
    """Write one JSON object a row; nulls are written, and so are floats that are no numbers: as null."""
    columns = ", ".join(_in_ndjson(c.name, c.type) for c in manifest.columns)
    options = "format json, use_tmp_file false"
    db.rows(f'copy (select {columns} from "input" {_order(manifest, order_by)}) to {literal(path)} ({options})')


def write_parquet(db: Session, manifest: Manifest, path: Path, order_by: Sequence[str]) -> None:
    """Write one Parquet file, with the settings of parts."""
    rows = db.stream(f'from "input" {_order(manifest, order_by)}')
    schema = normal_schema(rows.schema)
    file = ParquetRows(schema, part_row_groups=None)
    try:
        file.open(lambda: path)
        for batch in rows.batches:
            for _ in file.add(cast(batch, schema), lambda: path):
                pass  # without a limit no file becomes full
        file.finish(lambda: path)
    finally:
        file.close()


def _order(manifest: Manifest, order_by: Sequence[str]) -> str:
    """Return the ORDER BY clause. Rows of several buckets have no order yet but the key's, those of a view have none."""
    if order_by:
        return "order by " + ", ".join([*_wanted(manifest, order_by), *(quote(c.name) for c in manifest.columns)])
    if manifest.kind == "view":
        return "order by all"
    if manifest.buckets > 1:
        return "order by " + ", ".join(quote(k) for k in manifest.key)
    return ""


def _wanted(manifest: Manifest, order_by: Sequence[str]) -> Iterator[str]:
    names = [c.name for c in manifest.columns]
    for text in order_by:
        column = text if text in names else text.removeprefix("-")
        if column not in names:
            raise no_column("order", column, names)
        yield quote(column) + (" desc" if column != text else "")


def _in_csv(name: str, kind: str) -> str:
    return f"cast(to_json({quote(name)}) as varchar) as {quote(name)}" if "<" in kind else _as_text(name, kind)


def _in_ndjson(name: str, kind: str) -> str:
    if kind in {"double", "float"}:  # JSON has no NaN and no infinity
        return f"case when isfinite({quote(name)}) then {quote(name)} end as {quote(name)}"
    return _as_text(name, kind)


def _as_text(name: str, kind: str) -> str:
    """Return the SQL of a column as text files show it: times in ISO 8601, bytes in base64."""
    column = quote(name)
    if kind.startswith("timestamp"):
        text = f"replace(cast({column} as varchar), ' ', 'T')"
        return f"regexp_replace({text}, '\\+00$', 'Z') as {column}" if "tz=" in kind else f"{text} as {column}"
    if kind.startswith(("binary", "fixed_size_binary")):
        return f"to_base64({column}) as {column}"
    return column
