"""Conditions for rows whose vectors fail a check, as SQL."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa

from mmetl.cache.arrow_types import parse_type
from mmetl.config.checks import TOLERANCE
from mmetl.contracts.artifact import Manifest
from mmetl.errors import TaskError
from mmetl.utils.text import quote


class _Vectors(NamedTuple):
    """A column of vectors in SQL.

    Attributes:
        name: quoted.
        size: of each, where the type says it; else None.
        number: the type of its numbers.
        holes: SQL that holds for a vector in which a number is null; empty where none can be.
    """

    name: str
    size: int | None
    number: pa.DataType
    holes: str

    @property
    def whole(self) -> bool:
        """Whether a product of vectors may be taken. DuckDB refuses it for nulls, even in rows that are not asked for."""
        return self.size is not None and not self.holes

    @property
    def squares(self) -> str:
        """SQL of the sum of squares, in double precision."""
        if not self.whole:
            return f"coalesce(list_sum(list_transform({self.name}, lambda x: x::double * x::double)), 0)"
        wide = f"{self.name}::double[{self.size}]"
        return f"array_inner_product({wide}, {wide})"

    @property
    def finite(self) -> str:
        """SQL that holds where all numbers that are there are finite. NaN counts as the largest one."""
        # A product is a quarter of the work; but squares of double numbers could be infinite where they are not.
        if self.whole and not pa.types.is_float64(self.number):
            return f"isfinite({self.squares})"
        return f"coalesce(isfinite(list_max({self.name})) and isfinite(list_min({self.name})), true)"


def other_dimension(said: Mapping[str, Any], manifest: Manifest) -> str:
    """Return what holds for vectors of another size; empty where the type of the column says that there are none."""
    vectors = _vectors("dimension", said["column"], manifest)
    if vectors.size is None:
        return f"len({vectors.name}) <> {said['size']}"
    return "" if vectors.size == said["size"] else f"{vectors.name} is not null"


def not_finite(said: Sequence[str], manifest: Manifest) -> str:
    """Return what holds for rows with a number that is null, NaN or infinite in one of the columns, or with no vector."""
    return " or ".join(_unfinished(name, manifest) for name in said)


def not_normalized(said: Mapping[str, Any], manifest: Manifest) -> str:
    """Return what holds for vectors whose length is not 1."""
    vectors = _vectors("normalized", said["column"], manifest)
    near = f"abs(sqrt({vectors.squares}) - 1) <= {said.get('tolerance', TOLERANCE)!r}"
    return f"{vectors.name} is not null and ({vectors.holes or 'false'} or not ({near}))"


def _unfinished(column: str, manifest: Manifest) -> str:
    kind = _type(column, manifest)
    name = quote(column)
    if not pa.types.is_nested(kind) and (pa.types.is_integer(kind) or pa.types.is_decimal(kind)):
        return f"{name} is null"
    if pa.types.is_floating(kind):
        return f"({name} is null or not isfinite({name}))"
    vectors = _vectors("finite", column, manifest)
    finite = vectors.finite if pa.types.is_floating(vectors.number) else "true"
    return f"({name} is null or {vectors.holes or 'false'} or not {finite})"


def _vectors(check: str, column: str, manifest: Manifest) -> _Vectors:
    """Return a column of vectors. Raises TaskError if it is none."""
    kind, name = _type(column, manifest), quote(column)
    fixed = pa.types.is_fixed_size_list(kind)
    number = kind.value_type if fixed or pa.types.is_list(kind) else pa.null()
    if not (pa.types.is_floating(number) or pa.types.is_integer(number)):
        raise TaskError(
            f"check {check}({column}): the column is '{kind}', not a list of numbers",
            help="name a column of vectors" + (" or numbers" if check == "finite" else ""),
        )
    holes = f"list_count({name}) <> len({name})" if kind.value_field.nullable else ""
    return _Vectors(name, kind.list_size if fixed else None, number, holes)


def _type(column: str, manifest: Manifest) -> pa.DataType:
    return parse_type(next(c.type for c in manifest.columns if c.name.lower() == column.lower()))
