"""Columns of vectors: their type as text, and what a table says of them."""

from __future__ import annotations

from mmetl.contracts.artifact import Manifest
from mmetl.errors import TaskError


def vector_type(dimensions: int) -> str:
    """Return the type of a column of vectors, as text."""
    return f"fixed_size_list<element: float not null>[{dimensions}]"


def dimensions_of(manifest: Manifest, column: str, task: str) -> int:
    """Return the dimensions of a column of vectors of one size. Raises TaskError if it is none."""
    size = size_of(manifest, column, task)
    if size is None:
        raise TaskError(
            f"the vectors in '{column}' of '{task}' are lists of any length",
            help="make them vectors of one size with vector.normalize, and its `dimensions`",
        )
    return size


def size_of(manifest: Manifest, column: str, task: str) -> int | None:
    """Return how many numbers the lists of a column have; None where they may differ. Raises TaskError for others."""
    import pyarrow as pa

    from mmetl.cache.arrow_types import arrow_schema

    schema = arrow_schema(manifest.columns)
    if column not in schema.names:
        raise TaskError(f"'{task}' has no column '{column}'", help=f"it has: {', '.join(schema.names)}")
    kind = schema.field(column).type
    fixed = pa.types.is_fixed_size_list(kind)
    number = kind.value_type if fixed or pa.types.is_list(kind) else None
    if number is None or not (pa.types.is_floating(number) or pa.types.is_integer(number)):
        raise TaskError(f"the column '{column}' of '{task}' is no column of vectors", help="name one in `vector`")
    return int(kind.list_size) if fixed else None
