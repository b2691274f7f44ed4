"""What differs between two builds of a task: rows by key, rows of a table without one, files."""

from __future__ import annotations

import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from mmetl.cache.layout import part_path
from mmetl.cache.lock import reading
from mmetl.cache.python_rows import python_rows
from mmetl.contracts.artifact import Column, Manifest, Part
from mmetl.contracts.plan import Plan
from mmetl.contracts.transform import Table
from mmetl.core.looking.builds import Build, current_build, earlier_build, manifest_of
from mmetl.core.project import Project
from mmetl.engines.packages import require
from mmetl.errors import UsageError
from mmetl.utils.text import quote

Kind = Literal["added", "changed", "removed"]
NUMBERS = ("int", "uint", "halffloat", "float", "double", "decimal")


class Change(NamedTuple):
    """One row (or one file, as `path`, `bytes`, `fingerprint`) that differs; `before` is None if it was added."""

    kind: Kind
    before: Mapping[str, Any] | None
    after: Mapping[str, Any] | None


class Difference(NamedTuple):
    """What differs between two builds.

    Attributes:
        task: `pipeline:task`.
        before: the earlier build.
        after: the current one.
        key: the columns by which rows were compared; empty where whole rows were.
        counts: how many rows were added, changed and removed, and how many are the same.
        changes: the first of them, by key.
        columns: column -> its type before and its type now, empty where it was not there; only those that differ.
        read: how many parts of both builds were read; those that both have were not.
    """

    task: str
    before: Build
    after: Build
    key: tuple[str, ...]
    counts: Mapping[str, int]
    changes: Sequence[Change]
    columns: Mapping[str, tuple[str, str]]
    read: int


def diff(project: Project, plan: Plan, task: str, against: str | None = None, limit: int = 20) -> Difference:
    """Compare the current build of a task with an earlier one.

    Args:
        project: the project.
        plan: the plan of the task.
        task: its short name.
        against: the start of a run's id or of a build's key; None for the last build with another content.
        limit: how many changes to return; all are counted.

    Raises:
        UsageError: if there is nothing to compare.
    """
    with reading(project.store.folder):
        new, old = current_build(project, plan, task), earlier_build(project, plan, task, against)
        after, before = manifest_of(project, new), manifest_of(project, old)
        name = f"{plan.pipeline}:{task}"
        if after.kind != before.kind or after.kind == "view":
            raise UsageError(
                f"'{task}' is a view, or was one: no rows of it are kept"
                if "view" in {after.kind, before.kind}
                else f"'{task}' made {before.kind} before, and makes {after.kind} now",
                help="compare the tasks that it reads",
            )
        if after.kind == "files":
            changes = _files(before.parts, after.parts)
            counts = _counts(Counter(c.kind for c in changes), len(after.parts))
            return Difference(name, old, new, ("path",), counts, changes[:limit], {}, 0)
        ours, theirs = _only_one_has(after, before), _only_one_has(before, after)
        key = after.key if after.key == before.key else ()
        found, changes = _rows(_table(project, task, before, theirs), _table(project, task, after, ours), key, limit)
        columns = _columns(before.columns, after.columns)
        return Difference(name, old, new, key, _counts(found, after.rows), changes, columns, len(ours) + len(theirs))


def _counts(found: Mapping[str, int], total: int) -> dict[str, int]:
    added, changed, removed = (found.get(k, 0) for k in ("added", "changed", "removed"))
    return {"added": added, "changed": changed, "removed": removed, "same": total - added - changed}


def _files(before: Iterable[Part], after: Iterable[Part]) -> list[Change]:
    def told(part: Part | None) -> dict[str, Any] | None:
        return part and {"path": part.path, "bytes": part.size_bytes, "fingerprint": part.fingerprint}

    old, new = {p.path: p for p in before}, {p.path: p for p in after}
    found = []
    for path in sorted(old | new):
        a, b = old.get(path), new.get(path)
        if a is None or b is None or a.fingerprint != b.fingerprint:
            found.append(Change("added" if a is None else "removed" if b is None else "changed", told(a), told(b)))
    return found


def _only_one_has(manifest: Manifest, other: Manifest) -> tuple[Part, ...]:
    """Return the parts that the other manifest does not have. Those in both hold the same rows, and are not read."""
    if manifest.columns != other.columns:
        return manifest.parts
    shared = Counter(p.fingerprint for p in other.parts)
    found = []
    for part in manifest.parts:
        if shared[part.fingerprint]:
            shared[part.fingerprint] -= 1
        else:
            found.append(part)
    return tuple(found)


def _table(project: Project, task: str, manifest: Manifest, parts: tuple[Part, ...]) -> Table:
    paths = tuple(project.root / part_path(p.fingerprint) for p in parts)
    if not all(p.exists() for p in paths):
        raise UsageError(f"parts of a build of '{task}' are no longer kept", help="mmetl.yml says how long they are")
    return Table(task, manifest._replace(parts=parts), paths)


def _columns(before: Iterable[Column], after: Iterable[Column]) -> dict[str, tuple[str, str]]:
    old, new = {c.name: c.type for c in before}, {c.name: c.type for c in after}
    both = {name: (old.get(name, ""), new.get(name, "")) for name in old | new}
    return {name: types for name, types in both.items() if types[0] != types[1]}


def _rows(before: Table, after: Table, key: tuple[str, ...], limit: int) -> tuple[Mapping[str, int], list[Change]]:
    if not before.paths and not after.paths:
        return {}, []
    require("tabular", "duckdb", "pyarrow")
    from mmetl.engines.duckdb import session

    old = {c.name: c.type for c in before.manifest.columns}
    new = {c.name: c.type for c in after.manifest.columns}
    sql = _keyed(old, new, key) if key else _whole(old, new)
    with (
        tempfile.TemporaryDirectory(prefix="mmetl-diff-") as scratch,
        session(Path(scratch), tables={"__before": before, "__after": after}, threads=2) as db,
    ):
        db.rows(f"create temp table __changes as {sql}")
        counts = dict(db.rows("select kind, count(*) from __changes group by kind"))
        rows = db.stream(f"select kind, before, after from __changes order by place, kind limit {limit}")
        return counts, [Change(**row) for batch in rows.batches for row in python_rows(batch)]


def _keyed(old: Mapping[str, str], new: Mapping[str, str], key: Sequence[str]) -> str:
    """Return the query of all rows that differ, found by their key."""
    same = " and ".join(f"{_value('b', k, old, new)} = {_value('a', k, old, new)}" for k in key)
    shared = [n for n in new if n in old and n not in key]
    differ = " or ".join(f"{_value('b', n, old, new)} is distinct from {_value('a', n, old, new)}" for n in shared)
    pairs = ((_value("a", k, old, new), _value("b", k, old, new)) for k in key)
    place = ", ".join(f"k{n} := coalesce({a}, {b})" for n, (a, b) in enumerate(pairs))
    return f"""
        select case when b.__in is null then 'added' when a.__in is null then 'removed' else 'changed' end as kind,
            case when b.__in then {_struct("b", old)} end as before, case when a.__in then {_struct("a", new)} end as after,
            struct_pack({place}) as place
        from (select *, true as __in from __before) b full join (select *, true as __in from __after) a on {same}
        where b.__in is null or a.__in is null or ({differ or "false"})"""


def _whole(old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return the query of all rows that only one of two bags of rows has, over the columns that both have."""
    shared = {n: t for n, t in new.items() if n in old}

    def bag(table: str) -> str:
        return f"select {', '.join(f'{_value(table, n, old, new)} as {quote(n)}' for n in shared)} from {table}"

    empty = f"{_struct('t', shared)}"
    return f"""
        select 'added' as kind, null as before, {empty} as after, {empty} as place
        from ({bag("__after")} except all {bag("__before")}) t
        union all
        select 'removed', {empty}, null, {empty}
        from ({bag("__before")} except all {bag("__after")}) t"""


def _value(table: str, column: str, old: Mapping[str, str], new: Mapping[str, str]) -> str:
    """Return a column such that both tables' can be compared: as text where a number has become something else."""
    name = f"{table}.{quote(column)}"
    types = old[column], new[column]
    alike = types[0] == types[1] or all(t.startswith(NUMBERS) for t in types)
    return name if alike else f"cast({name} as varchar)"


def _struct(table: str, columns: Iterable[str]) -> str:
    return f"struct_pack({', '.join(f'{quote(n)} := {table}.{quote(n)}' for n in columns)})"
