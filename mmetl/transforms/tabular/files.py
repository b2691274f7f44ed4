"""Tables as files for others to read. Every function reads the session's table `input`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from mmetl.cache.arrow_types import normal_schema
from mmetl.cache.tables import ParquetRows, cast
from mmetl.contracts.artifact import Column, Manifest
from mmetl.engines.duckdb import Session, literal
from mmetl.transforms.tabular.results import no_column
from mmetl.utils.text import quote


def write_csv(
    db: Session, manifest: Manifest, path: Path, order_by: Sequence[str], delimiter: str, *, header: bool
) -> None:
    """Write CSV: quotes where needed, nulls empty, an empty text as two quotes, floats as short as they read back."""
    db.rows(csv_text(manifest.columns, f'from "input" {_order(manifest, order_by)}', path, delimiter, header=header))


def csv_text(columns: Sequence[Column], rest: str, path: Path, delimiter: str, *, header: bool) -> str:
    """Return the statement that writes these columns as CSV; `rest` is what follows them in the query."""
    options = f"format csv, delimiter {literal(delimiter)}, header {str(header).lower()}"
    options += """, quote '"', escape '"', nullstr '', use_tmp_file false"""
    shown = ", ".join(_in_csv(c.name, c.type) for c in columns)
    return f"copy (select {shown} {rest}) to {literal(path)} ({options})"


def write_ndjson(db: Session, manifest: Manifest, path: Path, order_by: Sequence[str]) -> None:
    """Write one JSON object a row; nulls are written, and so are floats that are no numbers: as null."""
    db.rows(ndjson_text(manifest.columns, f'from "input" {_order(manifest, order_by)}', path))


def ndjson_text(columns: Sequence[Column], rest: str, path: Path) -> str:
    """Return the statement that writes these columns as NDJSON; `rest` is what follows them in the query."""
    shown = ", ".join(_in_ndjson(c.name, c.type) for c in columns)
    return f"copy (select {shown} {rest}) to {literal(path)} (format json, use_tmp_file false)"


def write_parquet(db: Session, manifest: Manifest, path: Path, order_by: Sequence[str]) -> None:
    """Write one Parquet file, with the settings of parts."""
    rows = db.stream(f'from "input" {_order(manifest, order_by)}')
    schema = normal_schema(rows.schema)
    file = ParquetRows(schema, part_row_groups=None)
    try:
        for batch in rows.batches:
            for _ in file.add(cast(batch, schema), lambda: path):
                pass  # without a limit no file becomes full
        if not file.finish(lambda: path):
            file.open(lambda: path)
    finally:
        file.close()


def _order(manifest: Manifest, order_by: Sequence[str]) -> str:
    columns = order_columns(manifest, order_by)
    return f"order by {', '.join(columns)}" if columns else ""


def order_columns(manifest: Manifest, order_by: Sequence[str]) -> list[str]:
    """Return what rows are sorted by as SQL; nothing: they come as they were made.

    Rows of several buckets have no order yet but the key's, those of a view have none.
    """
    every = [quote(c.name) for c in manifest.columns]
    if order_by:
        return [*_wanted(manifest, order_by), *every]
    if manifest.kind == "view":
        return every
    return [quote(k) for k in manifest.key] if manifest.buckets > 1 else []


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
