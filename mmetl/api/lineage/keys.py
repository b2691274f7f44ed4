"""The row that is meant: from what somebody wrote as its key to the row, or to what became of it."""

from __future__ import annotations

import contextlib
import json
import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from mmetl.api.lineage.model import Aside, Key, State
from mmetl.api.lineage.rows import Found, Reader, Wanted
from mmetl.api.lineage.tables import Readable, Tables
from mmetl.cache.buckets import key_text
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Table
from mmetl.core.looking.builds import Build, builds_of, manifest_of
from mmetl.core.running.quarantine import ERROR
from mmetl.engines.duckdb import literal
from mmetl.errors import UsageError
from mmetl.utils.text import near, quote

NEAREST = 3  # keys that are named where there is no such one
EARLIER = 10  # builds that are searched for a row that is gone

_QUOTED = re.compile(r'"((?:[^"]|"")+)"')
_NAMED = re.compile(r"([^\W\d][\w ]*)=(.*)", re.DOTALL)


class Located(NamedTuple):
    """What was found of the key that somebody wrote.

    Attributes:
        state: what became of the row.
        found: the row; of a removed one as it was, of one that is set aside what is kept of it.
        aside: of one that is set aside: why.
        of: of a removed one, the build that has it.
    """

    state: State
    found: Found
    aside: tuple[Aside, ...] = ()
    of: Build | None = None


def parsed_key(texts: Sequence[str]) -> Key:
    """Return what `--key` was given, once or several times: JSON, `column=value`, or a value alone.

    Raises:
        UsageError: if it was given several times, and one of them names no column.
    """
    if len(texts) == 1 and texts[0][:1] in {"{", "["}:
        with contextlib.suppress(ValueError):
            parsed: Key = json.loads(texts[0])
            return parsed
    named = [_NAMED.fullmatch(t) for t in texts]
    if len(texts) == 1 and not named[0]:
        return texts[0]
    for text, found in zip(texts, named, strict=True):
        if not found:
            raise UsageError(f"--key '{text}' names no column", help="write --key column=value for each column")
    return {found[1]: found[2] for found in named if found}


class _Asked(NamedTuple):
    """Columns with the texts of their values; or the text of a value that any column of the key may have."""

    columns: Mapping[str, str]
    alone: str = ""

    def __str__(self) -> str:
        return ", ".join(f"{c}={v}" for c, v in self.columns.items()) or self.alone


def locate(tables: Tables, reader: Reader, table: Readable, key: Key, asked: Sequence[str]) -> Located:
    """Find the row that is meant.

    Args:
        tables: the tables of the plan.
        reader: reads them.
        table: that of the row.
        key: what somebody wrote. The start of a text is enough where no other row's has it.
        asked: expressions that are evaluated for the row.

    Raises:
        UsageError: if there is no such row, and was none, with the nearest keys; or if there are several.
    """
    meant = _meant(key, table)
    found = reader.find(table, [_exactly(meant, table)], asked)
    if not found.total:
        aside, told = _set_aside(tables, reader, table, meant, asked)
        if told:
            return Located("quarantined", aside, told)
    if not found.total:
        found = reader.find(table, [Wanted((), where=_begins(meant, table))], asked)
    if found.total == 1 or (found.total and not table.key):
        return Located("current", found)
    if found.total:
        raise UsageError(
            f"{found.total:,} rows of '{table.task}' have '{meant}'", help=f"name one: {_listed(found.shown, table)}"
        )
    return _removed(tables, reader, table, meant)


def _meant(key: Key, table: Readable) -> _Asked:
    """Return the columns that are meant. Raises UsageError for one that is not there."""
    columns = _columns(table)
    if isinstance(key, Mapping):
        lower = {c.lower(): c for c in columns}
        unknown = [c for c in key if c.lower() not in lower]
        if len(key) == 1 and unknown and isinstance(next(iter(key.values())), str):
            (only,) = key.items()
            return _Asked({}, "=".join(only)) if len(table.key) != 1 else _Asked({table.key[0]: "=".join(only)})
        if unknown:
            close = near(unknown[0], columns)
            raise UsageError(
                f"'{table.task}' has no column '{unknown[0]}'",
                help=f"did you mean '{close}'?" if close else f"its key is: {', '.join(table.key) or 'none'}",
            )
        named = {lower[c.lower()]: v for c, v in key.items()}
    elif isinstance(key, Sequence) and not isinstance(key, str):
        if len(key) != len(table.key):
            raise UsageError(
                f"'{table.task}' has {len(table.key)} key columns, and {len(key)} values were given",
                help=f"its key is: {', '.join(table.key) or 'none'}",
            )
        named = dict(zip(table.key, key, strict=True))
    elif len(table.key) == 1:
        named = {table.key[0]: key}
    elif not table.key:
        raise UsageError(
            f"'{table.task}' has no key", help=f"name a column: --key {next(iter(columns), 'column')}=value"
        )
    else:
        return _Asked({}, str(key))
    return _Asked({c: _text(v, columns[c]) for c, v in named.items()})


def _columns(table: Readable) -> dict[str, str]:
    """Return column -> type."""
    if table.input is None:
        return {"path": "string"}
    return {c.name: c.type for c in table.input.manifest.columns}


def _text(value: Any, kind: str) -> str:
    """Return the text of a value as the engine writes it."""
    if isinstance(value, str):
        with contextlib.suppress(ValueError):
            return str(int(value)) if kind.startswith(("int", "uint")) else value
        return value
    try:
        return key_text(value)
    except TypeError:
        return str(value)


def _exactly(meant: _Asked, table: Readable) -> Wanted:
    import pyarrow as pa

    if meant.columns:
        sides = tuple(f"{quote(c)}::varchar" for c in meant.columns)
        return Wanted(sides, pa.table({c: pa.array([v], pa.string()) for c, v in meant.columns.items()}))
    same = (f"{quote(k)}::varchar = {literal(meant.alone)}" for k in table.key)
    return Wanted((), where=f"({' or '.join(same)})")


def _begins(meant: _Asked, table: Readable) -> str:
    """Return the condition that texts begin as was written; other types are compared as they are."""
    types = _columns(table)

    def one(column: str, text: str) -> str:
        if types[column] != "string" or not text:
            return f"{quote(column)}::varchar = {literal(text)}"
        return f"starts_with({quote(column)}, {literal(text)})"

    if meant.columns:
        return " and ".join(one(c, v) for c, v in meant.columns.items())
    return f"({' or '.join(one(k, meant.alone) for k in table.key)})"


# --- what is not there


def readable_aside(tables: Tables, task: str) -> Readable | None:
    """Return the rows that a task has set aside, if there are some."""
    manifest = tables.aside.get(task)
    if manifest is None or not manifest.parts:
        return None
    return Readable(task, "table", tables.table(task, manifest))


def as_aside(rows: Sequence[Mapping[str, Any]], key: Sequence[str]) -> tuple[Aside, ...]:
    """Return rows that are set aside as they are told."""
    hidden = {ERROR, "_item"}
    return tuple(
        Aside({c: v for c, v in row.items() if (c in key if key else c not in hidden)}, str(row.get(ERROR, "")))
        for row in rows
    )


def _set_aside(
    tables: Tables, reader: Reader, table: Readable, meant: _Asked, asked: Sequence[str]
) -> tuple[Found, tuple[Aside, ...]]:
    """Look among the rows that are set aside; of a row evaluate what can be, with the columns that are kept of it."""
    nothing: tuple[Found, tuple[Aside, ...]] = (Found(), ())
    aside = readable_aside(tables, table.task)
    if aside is None:
        return nothing
    there = set(_columns(aside))
    key = tuple(k for k in table.key if k in there)
    if meant.columns and not set(meant.columns) <= there:
        return nothing
    searched = replace(aside, key=key or tuple(meant.columns))
    if not searched.key:
        return nothing
    lower = {c.lower() for c in there}
    known = [e for e in asked if {n.lower() for n in _QUOTED.findall(e)} <= lower]
    found = reader.find(searched, [_exactly(meant, searched)], known)
    return found, as_aside(found.shown, searched.key)


def _removed(tables: Tables, reader: Reader, table: Readable, meant: _Asked) -> Located:
    """Look into earlier builds. Raises UsageError if none of them has the row."""
    builds = builds_of(tables.project, tables.plan, table.task) if isinstance(table.input, Table) else []
    now = tables.manifests[table.task]
    for build in builds[:EARLIER]:
        manifest = _kept(tables, build)
        if manifest is None or manifest == now or manifest.kind != "table":
            continue
        if not {*meant.columns, *manifest.key} <= {c.name for c in manifest.columns} or manifest.key != now.key:
            continue
        before = replace(table, input=tables.table(table.task, manifest))
        with contextlib.suppress(UsageError):  # its parts are gone, too
            found = reader.find(before, [_exactly(meant, before)])
            if found.total:
                return Located("removed", found, of=build)
    close = reader.nearest(table, list(meant.columns) or list(table.key), str(_said(meant)), NEAREST)
    raise UsageError(
        f"no row of '{table.task}' has the key '{meant}'",
        help=f"the nearest: {_listed(close, table)}" if close else "it has no rows",
    )


def _said(meant: _Asked) -> str:
    return " ".join(meant.columns.values()) or meant.alone


def _kept(tables: Tables, build: Build) -> Manifest | None:
    try:
        return manifest_of(tables.project, build)
    except UsageError:
        return None


def _listed(rows: Sequence[Mapping[str, Any]], table: Readable) -> str:
    """Return the keys of the first of some rows as a command line has them."""
    names = table.key or (tuple(rows[0]) if rows else ())
    named = ([f"{k}={row[k]}" for k in names if k in row] for row in rows[:NEAREST])
    return "; ".join(" ".join(f"--key {shlex.quote(key)}" for key in keys) for keys in named)
