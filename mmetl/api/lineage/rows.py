"""Finding rows: only parts that can hold them are read."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeGuard

import pyarrow as pa

from mmetl.api.lineage.tables import Readable
from mmetl.cache.buckets import bucket_of
from mmetl.cache.python_rows import BEYOND
from mmetl.contracts.artifact import Column, Fingerprint, Part
from mmetl.contracts.transform import Table, View
from mmetl.engines.duckdb import PLACE, PLACE_BITS, PLACE_WORDS, Session, leaves, literal, session
from mmetl.errors import TaskError, UsageError
from mmetl.utils.text import quote

HIT, ALL, OWN = "__mmetl_hit", "__mmetl_all", "__mmetl_own"
MOST_VALUES = 10_000  # keys whose buckets are looked up one by one; more are in most of them anyhow
FEW = 100_000  # rows
SHOWN_TEXT = 200  # characters of a text

_COLUMN = re.compile(r'"((?:[^"]|"")+)"')
_TEXT_OF = re.compile(r'(?:"((?:[^"]|"")+)"::varchar|cast\("((?:[^"]|"")+)" as (?:text|varchar)\))', re.IGNORECASE)


class Wanted(NamedTuple):
    """Which rows are looked for: those for which `where` is true, and `sides` are the values of one row of `values`.

    Attributes:
        sides: expressions over the table that is searched.
        values: one column for each of them; None: all rows.
        where: a condition; empty: none.
    """

    sides: tuple[str, ...]
    values: pa.Table | None = None
    where: str = ""


class Found(NamedTuple):
    """Rows that were found.

    Attributes:
        total: how many there are.
        values: of all of them the expressions that were asked for, by their text.
        shown: the first ones, by key.
        parts: of these the parts that they are in; empty for what has none.
    """

    total: int = 0
    values: pa.Table | None = None
    shown: Sequence[Mapping[str, Any]] = ()
    parts: Sequence[Fingerprint] = ()


class Reader:
    """Finds rows in the tables of a plan, and counts the parts that it reads.

    Args:
        scratch: a folder for what does not fit into memory.
        limit: how many rows to show of each table.
    """

    def __init__(self, scratch: Path, limit: int) -> None:
        self._scratch, self._limit = scratch, limit
        self.read: set[Fingerprint] = set()
        self.known: set[Fingerprint] = set()

    def find(self, table: Readable, wanted: Sequence[Wanted], asked: Sequence[str] = ()) -> Found:
        """Find rows.

        Args:
            table: where.
            wanted: they are of any of these.
            asked: expressions that are evaluated for each row that is found.

        Raises:
            UsageError: if a part that may hold them is no longer there.
            TaskError: if it is damaged.
        """
        source = self._source(table, wanted)
        if isinstance(source, Table) and not source.paths:
            return Found()
        try:
            with self._opened(table, source) as db:
                self._search(db, table, wanted, asked)
                return self._found(db, table, source, asked)
        except TaskError as error:
            raise TaskError(
                f"'{table.task}' cannot be read: {error.what}",
                help="mmetl doctor --deep tells whether a part is damaged",
            ) from error

    def nearest(self, table: Readable, columns: Sequence[str], text: str, limit: int) -> list[Mapping[str, Any]]:
        """Return the keys that are the most like a text. All parts are read, of them the key."""
        source = self._source(table, ())
        if isinstance(source, Table) and not source.paths:
            return []
        key = ", ".join(quote(k) for k in table.key or columns)
        said = f"concat_ws(' ', {', '.join(quote(c) for c in columns)})"
        with self._opened(table, source) as db:
            found = db.rows(
                f"select {key} from {ALL} order by jaro_winkler_similarity(lower({said}), lower({literal(text)})) desc,"
                f" {key} limit {limit}"
            )
        return [dict(zip(table.key or columns, row, strict=True)) for row in found]

    @contextlib.contextmanager
    def _opened(self, table: Readable, source: Table | View | None) -> Iterator[Session]:
        """Open a session in which the rows are readable as ALL, with their place."""
        tables = {} if source is None else {OWN: source}
        rows = sum(t.manifest.rows for t in leaves(tables.values()))
        threads = 1 if rows < FEW else os.cpu_count() or 1  # starting them takes longer than a few parts
        with session(self._scratch, tables=tables, threads=threads) as db:
            self._prepare(db, table, source)
            yield db

    def _source(self, table: Readable, wanted: Sequence[Wanted]) -> Table | View | None:
        """Return what is read, without the parts that cannot hold what is wanted; nothing wanted: all."""
        if isinstance(table.input, Table):
            return self._pruned(table, table.input, wanted)
        for below in leaves([table.input]) if table.input else ():
            self._pruned(table, below, ())
        return table.input

    def _pruned(self, table: Readable, source: Table, wanted: Sequence[Wanted]) -> Table:
        manifest = source.manifest
        self.known.update(p.fingerprint for p in manifest.parts)
        buckets = _buckets(table, wanted) if wanted else None
        listed = [
            (part, path)
            for part, path in zip(manifest.parts, source.paths, strict=True)
            if buckets is None or part.bucket in buckets
        ]
        for _, path in listed:
            if not path.exists():
                raise UsageError(
                    f"parts of '{table.task}' are no longer kept", help=f"mmetl run --select +{table.task}"
                )
        self.read.update(part.fingerprint for part, _ in listed)
        parts: tuple[Part, ...] = tuple(part for part, _ in listed)
        return Table(source.task, manifest._replace(parts=parts), tuple(path for _, path in listed))

    def _prepare(self, db: Session, table: Readable, source: Table | View | None) -> None:
        if source is None:
            numbers = pa.array(range(len(table.paths)), pa.int64())
            db.register(OWN, pa.table({"path": pa.array(table.paths, pa.string()), PLACE: numbers}))
        elif _has_places(source):
            db.add_places(OWN, source)
        variables = [f"{_value(v)} as {quote(n)}, " for n, v in table.variables.items()]
        lacking = [f"null as {quote(n)}, " for n in table.lacking]
        number = "" if source is None or _has_places(source) else f", row_number() over () as {PLACE}"
        what = "temp table" if number else "temp view"
        db.rows(f"create {what} {ALL} as select {''.join((*variables, *lacking))}*{number} from {OWN}")

    def _search(self, db: Session, table: Readable, wanted: Sequence[Wanted], asked: Sequence[str]) -> None:
        columns = [f"t.{PLACE}", *(f"{quote(k)} as __k{n}" for n, k in enumerate(table.key))]
        columns += [f"{_tried(expression)} as __e{n}" for n, expression in enumerate(asked)]
        queries = []
        for number, found in enumerate(wanted):
            rows = f"(select * from {ALL}{f' where {_tried(found.where)}' if found.where else ''}) t"
            query = f"select {', '.join(columns)} from {rows}"
            if found.values is not None:
                db.register(f"__w{number}", found.values.rename_columns([f"__v{n}" for n in range(len(found.sides))]))
                query += f" semi join __w{number} w on {_same(db, found.sides, f'__w{number}')}"
            queries.append(query)
        every = " union all ".join(queries)
        once = f"distinct on ({PLACE}) " if len(queries) > 1 else ""
        db.rows(f"create temp table {HIT} as select {once}* from ({every})")

    def _found(self, db: Session, table: Readable, source: Table | View | None, asked: Sequence[str]) -> Found:
        ((count,),) = db.rows(f"select count(*) from {HIT}")
        if not count:
            return Found()
        rows = db.stream(f"select {', '.join([PLACE, *(f'__e{n}' for n in range(len(asked)))])} from {HIT}")
        values = pa.Table.from_batches(list(rows.batches), rows.schema).rename_columns([PLACE, *asked])
        order = ", ".join([*(f"__k{n}" for n in range(len(table.key))), PLACE])
        places = [p for (p,) in db.rows(f"select {PLACE} from {HIT} order by {order} limit {self._limit}")]
        shown = self._shown(db, table, source, places)
        parts = []
        if isinstance(source, Table) and _has_places(source):
            parts = [source.manifest.parts[p >> PLACE_BITS].fingerprint for p in places]
        return Found(int(count), values, shown, parts)

    def _shown(
        self, db: Session, table: Readable, source: Table | View | None, places: Sequence[int]
    ) -> list[Mapping[str, Any]]:
        if not places:
            return []
        listed = [Column("path", "string")] if source is None else [*_simple(table, source.manifest.columns)]
        names = [*table.variables, *(c.name for c in listed)]
        cut = {c.name for c in listed if c.type == "string" and c.name not in table.key}
        columns = [f"substr({quote(n)}, 1, {SHOWN_TEXT + 1})" if n in cut else quote(n) for n in names]
        found = db.rows(
            f"select {', '.join([PLACE, *columns])} from {ALL} where {PLACE} in ({', '.join(map(str, places))})"
        )
        by_place = {row[0]: dict(zip(names, row[1:], strict=True)) for row in found}
        return [by_place[p] for p in places]


def _has_places(source: Table | View) -> TypeGuard[Table]:
    """Tell whether the engine knows where the rows lie."""
    return isinstance(source, Table) and not any(c.name.lower() in PLACE_WORDS for c in source.manifest.columns)


def _same(db: Session, sides: Sequence[str], values: str) -> str:
    """Return the condition that a row has the values of one of a table's; a text and another type are compared as texts."""
    tried = [_tried(side) for side in sides]
    here = db.columns(f"select {', '.join(f'{side} as s{n}' for n, side in enumerate(tried))} from {ALL}")
    conditions = []
    for side, (_, kind), (name, other) in zip(tried, here, db.columns(f"from {values}"), strict=True):
        both = (side, f"w.{name}")
        if kind != other and "VARCHAR" in {kind, other}:
            both = (f"cast({side} as varchar)", f"cast(w.{name} as varchar)")
        conditions.append(" is not distinct from ".join(both))
    return " and ".join(conditions)


def _tried(expression: str) -> str:
    """Return an expression that is null where it cannot be evaluated: a query may ask it of fewer rows than are looked at here."""
    return expression if _COLUMN.fullmatch(expression) else f"try({expression})"


def _value(value: Any) -> str:
    return literal(value) if isinstance(value, str) else str(value).lower()


def _simple(table: Readable, columns: Sequence[Column]) -> Iterator[Column]:
    """Yield the columns whose values are worth a look: no vectors, no bytes."""
    for column in columns:
        if column.name in table.key or not ("binary" in column.type or "<" in column.type):
            yield column


def _buckets(table: Readable, wanted: Sequence[Wanted]) -> set[int] | None:
    """Return the buckets that the rows can be in; None if that is not known."""
    assert isinstance(table.input, Table)
    manifest = table.input.manifest
    types = {c.name.lower(): c.type for c in manifest.columns}
    found: set[int] = set()
    for want in wanted:
        keys = _key_values(want, [c.lower() for c in table.cut], types)
        if keys is None:
            return None
        found.update(bucket_of(key, manifest.buckets) for key in keys)
    return found


def _key_values(want: Wanted, cut: Sequence[str], types: Mapping[str, str]) -> list[tuple[Any, ...]] | None:
    """Return the values of the columns by which a table is cut, or their texts; None if they are not all given."""
    if want.values is None or not cut or want.values.num_rows > MOST_VALUES:
        return None
    given: dict[str, pa.ChunkedArray] = {}
    for side, values in zip(want.sides, want.values.columns, strict=True):
        plain, text = _COLUMN.fullmatch(side), _TEXT_OF.fullmatch(side)
        if plain and _alike(str(values.type), types.get(_unquoted(plain[1]), "")):
            given[_unquoted(plain[1])] = values
        elif text and str(values.type) in {"string", "large_string"}:
            given.setdefault(_unquoted(text[1] or text[2]), values)
    if not set(cut) <= set(given):
        return None
    try:
        return list(zip(*(given[c].to_pylist() for c in cut), strict=True))
    except BEYOND:
        return None


def _unquoted(name: str) -> str:
    return name.replace('""', '"').lower()


def _alike(one: str, other: str) -> bool:
    """Tell whether values of two types have the same texts."""
    whole = ("int", "uint")
    return one == other or (one.startswith(whole) and other.startswith(whole))
