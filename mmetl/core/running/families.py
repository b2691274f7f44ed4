"""The members of a matrix as one table: the union of their rows by column name, after a column for each variable."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from mmetl.contracts.artifact import Column, Fingerprint, Manifest
from mmetl.contracts.plan import TaskDetail
from mmetl.contracts.transform import Input, Made, View
from mmetl.errors import TaskError
from mmetl.utils.text import quote

UNKNOWN = "unknown"
"""The type of a column that members have in different types: the engine finds a common one."""

_TYPES = {bool: ("boolean", "bool"), int: ("bigint", "int64"), float: ("double", "double"), str: ("varchar", "string")}


def family(alias: str, members: Sequence[tuple[Input, Mapping[str, Any]]]) -> View:
    """Return the table that a family is for those who read it.

    Raises:
        TaskError: if a member has a column that is called like a variable.
    """
    columns: dict[str, Column] = {}
    for name in members[0][1]:
        kinds = {type(values[name]) for _, values in members}
        columns[name] = Column(name, _TYPES[kinds.pop()][1] if len(kinds) == 1 else "string")
    for table, values in members:
        for column in table.manifest.columns:
            if column.name.lower() in {v.lower() for v in values}:
                raise TaskError(
                    f"'{table.task}' has a column '{column.name}', and so is a variable of its matrix called",
                    help="rename one of them",
                )
            known = columns.setdefault(column.name, column)
            if known.type != column.type:
                columns[column.name] = Column(column.name, UNKNOWN)
    below = {_name(alias, n): table for n, (table, _) in enumerate(members)}
    sql = union([(name, values) for name, (_, values) in zip(below, members, strict=True)])
    return View(alias, Manifest("view", columns=tuple(columns.values()), sql=sql), below)


def view_manifest(detail: TaskDetail, made: Made, manifest_of: Callable[[str], Fingerprint]) -> Manifest:
    """Return the manifest of a task that is a view; families that it reads become part of its query."""
    inputs = {alias: manifest_of(task) for alias, task in detail.inputs.items()}
    unions = []
    for alias, members in detail.families.items():
        named = [(_name(alias, n), task, values) for n, (task, values) in enumerate(members)]
        inputs |= {name: manifest_of(task) for name, task, _ in named}
        rows = union([(name, values) for name, _, values in named])
        unions.append(f"{quote(alias)} as not materialized ({rows})")
    sql = f"with {', '.join(unions)} select * from (\n{made.view}\n)" if unions else made.view
    return Manifest("view", columns=made.columns, sql=sql, inputs=tuple(sorted(inputs.items())))


def _name(alias: str, n: int) -> str:
    return f"{alias}@{n}"


def variable_types(members: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Return the type of DuckDB that each variable of a family has; text where its values are of several types.

    Args:
        members: of each member the values that it stands for.
    """
    kinds = {name: {type(values[name]) for values in members} for name in members[0]}
    return {name: _TYPES[next(iter(found))][0] if len(found) == 1 else "varchar" for name, found in kinds.items()}


def union(members: Sequence[tuple[str, Mapping[str, Any]]], between: str = " ") -> str:
    """Return the query that makes one table of the members of a matrix, given by name and values; `between`: white space."""
    types = variable_types([values for _, values in members])
    return f"{between}union all by name ".join(
        f"select {', '.join(_literal(v, types[name], name) for name, v in values.items())}, * from {quote(table)}"
        for table, values in members
    )


def _literal(value: Any, kind: str, name: str) -> str:
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return f"cast('{text.replace(chr(39), chr(39) * 2)}' as {kind}) as {quote(name)}"
