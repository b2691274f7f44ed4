"""Which columns an item-wise task reads, hands on and makes, and how its rows are named."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import pyarrow as pa

from mmetl.cache.arrow_types import arrow_schema, columns_of, normal_schema, parse_type
from mmetl.contracts.artifact import Column, Manifest
from mmetl.contracts.items import Items
from mmetl.errors import TaskError
from mmetl.utils.text import near


class Beside(NamedTuple):
    """Which columns of the input stand beside the made ones.

    Attributes:
        keep: of a transform that makes many rows: those that each of them repeats, besides the key.
        drop: of one that makes one row: those that are left out of all.
    """

    keep: Sequence[str] = ()
    drop: Sequence[str] = ()


@dataclass(frozen=True)
class Shape:
    """The columns of one item-wise task.

    Attributes:
        key: of the input.
        reads: input columns that decide what an item comes to.
        sees: further input columns that the function is given.
        carried: input columns that go into the output as they are, the key among them.
        made: schema of what the function makes.
        output: schema of the output.
        output_key: the columns that name a row of the output.
    """

    key: tuple[str, ...]
    reads: tuple[str, ...]
    sees: tuple[str, ...]
    carried: tuple[str, ...]
    made: pa.Schema
    output: pa.Schema
    output_key: tuple[str, ...]

    @property
    def given(self) -> list[str]:
        """The input columns that the function is given."""
        return list(dict.fromkeys((*self.reads, *self.sees)))

    @property
    def rest(self) -> list[str]:
        """The columns that go into the output and decide nothing."""
        return [c for c in self.carried if c not in self.reads and c not in self.key]

    @property
    def needed(self) -> list[str]:
        """All columns of the input that are read."""
        return list(dict.fromkeys((*self.key, *self.given, *self.carried)))

    @property
    def stays(self) -> list[str]:
        """The columns of the input that go into the output as they are, or name an item that failed."""
        return list(dict.fromkeys((*(self.key or self.reads), *self.carried)))

    @property
    def columns(self) -> tuple[Column, ...]:
        """The output's schema as a manifest has it."""
        return columns_of(self.output)


def shape_of(items: Items, params: Any, beside: Beside, task: str, table: Manifest) -> Shape:
    """Return the columns of a task over this input.

    Args:
        items: what the transform declares.
        params: of the task.
        beside: which columns of the input the output has.
        task: the task that made the input.
        table: the input.

    Raises:
        TaskError: if the input has no such column, or a made one would take the place of a key.
    """
    schema = arrow_schema(table.columns)
    reads, sees = tuple(_names(items.reads, params)), tuple(_names(items.sees, params))
    for name in (*reads, *sees, *beside.keep, *beside.drop):
        if name not in schema.names:
            close = near(name, schema.names)
            raise TaskError(
                f"'{task}' has no column '{name}'",
                help=(f"did you mean '{close}'? " if close else "") + f"it has: {', '.join(schema.names)}",
            )
    made = made_schema(items, params)
    for name in beside.drop:
        if name in table.key:
            raise TaskError(f"'{name}' is a part of the key of '{task}', which cannot be dropped", help="leave it in")
    for name in made.names:
        if name in table.key:
            raise TaskError(f"it makes '{name}', which is a part of the key of '{task}'", help="name it otherwise")
    if not items.many:
        stays = [f for f in schema if f.name not in beside.drop]
        fields = [made.field(f.name) if f.name in made.names else f for f in stays]
        fields += [f for f in made if f not in fields]
        carried = tuple(f.name for f in stays if f.name not in made.names)
        return Shape(table.key, reads, sees, carried, made, pa.schema(fields), table.key)
    carried = tuple(dict.fromkeys((*table.key, *beside.keep)))
    for name in beside.keep:
        if name in made.names:
            raise TaskError(f"it makes '{name}', which is also kept from '{task}'", help="leave one of them out")
    output = pa.schema([*(schema.field(n) for n in carried), *made])
    return Shape(table.key, reads, sees, carried, made, output, (*table.key, *items.key) if table.key else ())


def _names(names: Any, params: Any) -> Sequence[str]:
    found = names(params) if callable(names) else names
    return (found,) if isinstance(found, str) else tuple(found)


def made_schema(items: Items, params: Any) -> pa.Schema:
    """Return the schema of what a transform makes. Raises TaskError for a type that is none."""
    types: Mapping[str, Any] = items.makes(params) if callable(items.makes) else items.makes
    fields = []
    for name, kind in types.items():
        try:
            fields.append((name, kind if isinstance(kind, pa.DataType) else parse_type(kind)))
        except ValueError as error:
            raise TaskError(
                f"the transform declares '{name}' as '{kind}', which is no type: {error}",
                help="write a pyarrow type, or its text",
            ) from error
    return normal_schema(pa.schema(fields))
