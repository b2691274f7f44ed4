"""Arrow and Parquet files as groups of one schema: those that follow each other and have the same columns are read at once."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmetl.cache.arrow_types import MOST_DIGITS, normal_schema
from mmetl.cache.tables import cast
from mmetl.engines.duckdb import Session, file_list, literal
from mmetl.errors import TaskError
from mmetl.transforms.tabular.reading.schemas import Group
from mmetl.utils.text import quote

_DECIMAL256 = re.compile(r"decimal256\((\d+)")
_FILE_MAGIC = b"ARROW1"


Apart = Callable[[str], object]
"""Tells files apart by what messages call them: those of a group have the same of it."""


def parquet_groups(db: Session, shown: Mapping[Path, str], apart: Apart, filename: str = "") -> list[Group]:
    """Return Parquet files as groups; `filename` names a further column, of the path of each row's file."""
    schemas = {path: _parquet_schema(path, name) for path, name in shown.items()}
    more = f", filename={literal(filename)}" if filename else ""
    return [
        _group(
            db, schema, [shown[p] for p in paths], f"read_parquet({file_list(paths)}, hive_partitioning=false{more})"
        )
        for schema, paths in _runs(schemas, shown, apart)
    ]


def arrow_groups(db: Session, shown: Mapping[Path, str], apart: Apart) -> list[Group]:
    """Return Arrow files, also those of Feather, as groups. Their rows are read once, while the query runs."""
    schemas = {path: _arrow_schema(path, name) for path, name in shown.items()}
    groups = []
    for number, (schema, paths) in enumerate(_runs(schemas, shown, apart)):
        table = f"__mmetl_arrow_{number}"
        normal = normal_schema(schema)
        db.register(table, pa.RecordBatchReader.from_batches(normal, _batches(paths, normal)))
        groups.append(_group(db, schema, [shown[p] for p in paths], quote(table)))
    return groups


def _group(db: Session, schema: pa.Schema, files: Sequence[str], source: str) -> Group:
    types = dict(db.columns(f"select * from {source}"))
    return Group(tuple(files), source, types, {f.name: str(f.type) for f in schema})


def _runs(
    schemas: Mapping[Path, pa.Schema], shown: Mapping[Path, str], apart: Apart
) -> Iterator[tuple[pa.Schema, list[Path]]]:
    """Yield files that follow each other and have one schema."""

    def key(path: Path) -> object:
        return [(f.name, str(f.type)) for f in schemas[path]], apart(shown[path])

    for _, run in itertools.groupby(schemas, key):
        paths = list(run)
        yield schemas[paths[0]], paths


def _parquet_schema(path: Path, name: str) -> pa.Schema:
    try:
        return _readable(pq.read_schema(path), name)
    except (pa.ArrowException, OSError) as error:
        raise TaskError(f"'{name}' is not a Parquet file", help="set `format` if it is one of another kind") from error


def _readable(schema: pa.Schema, name: str) -> pa.Schema:
    """Return the schema. Raises TaskError for decimals that DuckDB reads as other numbers, without a word."""
    for field in schema:
        if any(int(digits) > MOST_DIGITS for digits in _DECIMAL256.findall(str(field.type))):
            raise TaskError(
                f"column '{field.name}' of '{name}' has decimals of more than {MOST_DIGITS} digits: {field.type}",
                help=f"write it as text, or as a decimal of up to {MOST_DIGITS} digits",
            )
    return schema


def _arrow_schema(path: Path, name: str) -> pa.Schema:
    try:
        with _open(path) as reader:
            return _readable(reader.schema, name)
    except (pa.ArrowException, OSError) as error:
        raise TaskError(
            f"'{name}' is not an Arrow file, or its end is missing",
            help="Feather files of version 1 are no Arrow files; set `format` if it is one of another kind",
        ) from error


def _open(path: Path) -> pa.RecordBatchFileReader | pa.RecordBatchStreamReader:
    with path.open("rb") as file:
        is_file = file.read(len(_FILE_MAGIC)) == _FILE_MAGIC
    source = pa.memory_map(str(path))
    return pa.ipc.open_file(source) if is_file else pa.ipc.open_stream(source)


def _batches(paths: Sequence[Path], schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    for path in paths:
        with _open(path) as reader:
            many = hasattr(reader, "num_record_batches")
            found = (reader.get_batch(n) for n in range(reader.num_record_batches)) if many else reader
            for batch in found:
                yield from cast(batch, schema).to_batches()
