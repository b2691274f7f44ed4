"""Reading a SQLite table or query: read-only, in one snapshot, whole or on from a watermark."""

from __future__ import annotations

import contextlib
import sqlite3
import urllib.parse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

from mmetl.cache.buckets import bucket_count
from mmetl.contracts.transform import Base, Job, Made
from mmetl.engines.duckdb import session
from mmetl.errors import ParamError, TaskError
from mmetl.transforms.tabular.reading.read_params import ReadParams, Watermark
from mmetl.transforms.tabular.reading.watermark import last_of, start_of
from mmetl.transforms.tabular.results import check_names, no_column, store_query
from mmetl.utils.shrink import has_shrunk
from mmetl.utils.text import near, quote

BATCH_ROWS = 8192
EXACT = 2**53  # up to here a float holds every integer
WORDS = {"integer": "an integer", "real": "a float", "text": "text", "blob": "bytes"}


@dataclass(frozen=True)
class Source:
    """What is read: SQLite's query, its columns, and what SQLite declares for them."""

    sql: str
    names: Sequence[str]
    declared: Mapping[str, str]


def read_sqlite(job: Job, params: ReadParams, path: Path) -> Made:
    """Read the table or query; with a watermark and an earlier build, only what is new since."""
    uri = f"file:{urllib.parse.quote(str(path))}?mode=ro"
    with _errors(path.name), contextlib.closing(_connect(uri)) as con:
        job.on_cancel(con.interrupt)
        con.execute("begin")  # all queries below see one state of the file
        source = _source(con, params)
        mark = params.watermark
        for column in [*params.columns, *params.types, *([mark.column] if mark else [])]:
            if column not in source.names:
                raise no_column("read", column, source.names)
        last = last_of(con, source.sql, mark) if mark else None
        if mark and job.base and _goes_on(job.base, last):
            made = _read_on(con, job, params, source, mark, job.base, last)
            if made is not None:
                return made
        return _read_all(con, job, params, source, last)


def _goes_on(base: Base, last: Any) -> bool:
    """Tell whether the build can be continued: it has got somewhere, in a column of the same kind."""
    same = last is None or isinstance(last, str) == isinstance(base.watermark, str)
    return base.watermark is not None and same


def _read_all(con: sqlite3.Connection, job: Job, params: ReadParams, source: Source, last: Any) -> Made:
    kinds = _kinds(con, source, params)
    buckets = _buckets(con, job.previous.buckets if job.previous else None)
    with session(job.scratch, threads=job.threads, memory_limit=job.memory_limit, on_cancel=job.on_cancel) as db:
        db.register("__mmetl_rows", _stream(con, source, kinds, ()))
        made = store_query(
            job, db, _typed("__mmetl_rows", params, source), _kept(params, source), ordered=not job.key, buckets=buckets
        )
    _refuse_shrunk(job, made)
    return Made(made.parts, made.columns, made.buckets, last)


def _refuse_shrunk(job: Job, made: Made) -> None:
    """Keep the last artifact where a full read finds far fewer rows: an emptied source must not empty what it feeds."""
    now = sum(part.rows for part in made.parts)
    if job.previous and not job.allow_shrink and has_shrunk(job.previous.rows, now):
        task = job.name.partition(":")[2]
        raise TaskError(
            f"its source has {now:,} rows where there were {job.previous.rows:,}",
            help=f"if that is right: mmetl run --allow-shrink {task}",
        )


def _read_on(
    con: sqlite3.Connection, job: Job, params: ReadParams, source: Source, mark: Watermark, base: Base, last: Any
) -> Made | None:
    """Put the rows since the watermark over the rows of the base. None: the columns have changed, read all."""
    since, column = (start_of(base.watermark, mark),), quote(mark.column)
    # A row without a value in the column cannot be told from one that was read before: all of them are read again.
    new = Source(f"{source.sql} where {column} >= ? or {column} is null", source.names, source.declared)
    kinds = _kinds(con, new, params, since)
    with session(
        job.scratch,
        tables={"__mmetl_base": base.table},
        threads=job.threads,
        memory_limit=job.memory_limit,
        on_cancel=job.on_cancel,
    ) as db:
        db.register("__mmetl_rows", _stream(con, new, kinds, since))
        db.rows(f'create temp table "__mmetl_new" as {_typed("__mmetl_rows", params, new)}')
        if db.columns('from "__mmetl_new"') != db.columns('from "__mmetl_base"'):
            return None
        keys = ", ".join(quote(k) for k in job.key)
        old = f'select old.* from "__mmetl_base" old anti join "__mmetl_new" using ({keys})'
        made = store_query(
            job,
            db,
            f'from "__mmetl_new" union all {old}',
            _kept(params, source),
            ordered=False,
            buckets=_buckets(con, base.table.manifest.buckets),
        )
    ((again,),) = con.execute(f"select count(*) from ({source.sql}) where {column} is null")
    if again:
        job.log.write(f"rows without a value in '{mark.column}', read again by every run: {again:,}\n")
    ahead = last is None or last < base.watermark
    return Made(made.parts, made.columns, made.buckets, base.watermark if ahead else last)


def _connect(uri: str) -> sqlite3.Connection:
    # DuckDB pulls the rows from a thread of its own, one at a time.
    return sqlite3.connect(uri, uri=True, check_same_thread=False, isolation_level=None)


@contextlib.contextmanager
def _errors(name: str) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        raise TaskError(f"SQLite cannot read '{name}': {error}") from error


def _source(con: sqlite3.Connection, params: ReadParams) -> Source:
    if params.table is not None:
        found = [
            n for (n,) in con.execute("select name from sqlite_master where type in ('table', 'view') order by name")
        ]
        if params.table.lower() not in {n.lower() for n in found}:
            meant = near(params.table, found)
            raise TaskError(
                f"there is no table '{params.table}'",
                help=(f"did you mean '{meant}'? " if meant else "") + f"the tables are: {', '.join(found) or 'none'}",
            )
        columns = con.execute(f"pragma table_info({quote(params.table)})").fetchall()
        declared = {name: kind.upper() for _, name, kind, *_ in columns}
        rows = f"select * from {quote(params.table)}"
        # Rows of a table with a watermark have a key, and so need no order; it would keep SQLite from using an index.
        order = "" if params.watermark else _by_rowid(con, params.table)
        return Source(f"select * from ({rows}{order})", list(declared), declared)
    query = _without_end(params.query or "")
    con.execute(f"explain {query}")  # inside of parentheses SQLite would complain about another place
    names = [d[0] for d in con.execute(f"select * from (\n{query}\n) limit 0").description]
    check_names(names)
    return Source(f"select * from (\n{query}\n)", names, {})


def _without_end(query: str) -> str:
    """Return a query without semicolons and comments behind it; SQLite says what is wrong with one that cannot be read."""
    if ";" in query:
        from mmetl.engines.sql.query import statement

        with contextlib.suppress(ParamError):
            return statement(query, "sqlite")
    return query.strip()


def _by_rowid(con: sqlite3.Connection, table: str) -> str:
    """Return the order in which the rows were added, where the table knows it (views and WITHOUT ROWID do not)."""
    try:
        con.execute(f"select rowid from {quote(table)} limit 0")
    except sqlite3.OperationalError:
        return ""
    return " order by rowid"


def _kinds(
    con: sqlite3.Connection, source: Source, params: ReadParams, args: Sequence[Any] = ()
) -> dict[str, pa.DataType]:
    """Return column -> type, by what SQLite declares and by every value."""
    seen = ", ".join(f"group_concat(distinct typeof({quote(n)}))" for n in source.names)
    (row,) = con.execute(f"select {seen} from ({source.sql})", args)
    kinds: dict[str, pa.DataType] = {}
    for name, text in zip(source.names, row, strict=True):
        found = set((text or "").split(",")) - {"null", ""}
        kinds[name] = pa.string() if name in params.types else _kind(source.declared.get(name, ""), found)
        if kinds[name] is None:
            raise _mixed(con, source, name, args)
        if kinds[name] == pa.float64() and "integer" in found:
            _refuse_large(con, source, name, args)
    return kinds


def _refuse_large(con: sqlite3.Connection, source: Source, name: str, args: Sequence[Any]) -> None:
    """Raise TaskError for an integer that would lose its last digits among the floats of its column."""
    column = quote(name)
    large = f"typeof({column}) = 'integer' and {column} not between {-EXACT} and {EXACT}"
    row = con.execute(f"select {column} from (select {column} from ({source.sql})) where {large} limit 1", args)
    for (value,) in row:
        raise TaskError(
            f"column '{name}' has floats, and {value}, which no float holds",
            help=f"set `types: {{{name}: VARCHAR}}`, or one such as DECIMAL(38,6)",
        )


def _kind(declared: str, found: set[str]) -> pa.DataType | None:
    """Return the type of a column from its declaration and the storage classes of its values; None: they do not agree."""
    if not found:
        return _declared(declared)
    if found == {"integer"}:
        return pa.float64() if any(word in declared for word in ("REAL", "FLOA", "DOUB")) else pa.int64()
    if found <= {"integer", "real"}:
        return pa.float64()
    return {"text": pa.string(), "blob": pa.binary()}[found.pop()] if len(found) == 1 else None


def _declared(declared: str) -> pa.DataType:
    """Return the type of a column without values, by SQLite's rules of affinity."""
    if "INT" in declared or "BOOL" in declared:
        return pa.int64()
    if "BLOB" in declared:
        return pa.binary()
    if any(word in declared for word in ("REAL", "FLOA", "DOUB", "NUMERIC", "DECIMAL")):
        return pa.float64()
    return pa.string()


def _mixed(con: sqlite3.Connection, source: Source, name: str, args: Sequence[Any]) -> TaskError:
    first: str | None = None
    for number, (kind,) in enumerate(con.execute(f"select typeof({quote(name)}) from ({source.sql})", args), 1):
        known = "number" if kind in {"integer", "real"} else kind
        if kind == "null" or known == (first or known):
            first = first or (None if kind == "null" else known)
            continue
        had = "numbers" if first == "number" else WORDS[first or kind]
        return TaskError(
            f"column '{name}' has {WORDS[kind]} in row {number}, after {had}",
            help=f"set `types: {{{name}: VARCHAR}}`, or mend the row",
        )
    raise AssertionError(name)


def _stream(
    con: sqlite3.Connection, source: Source, kinds: Mapping[str, pa.DataType], args: Sequence[Any]
) -> pa.RecordBatchReader:
    schema = pa.schema(list(kinds.items()))
    cursor = con.execute(source.sql, args)

    def batches() -> Iterator[pa.RecordBatch]:
        while rows := cursor.fetchmany(BATCH_ROWS):
            columns = zip(schema, zip(*rows, strict=True), strict=True)
            yield pa.record_batch([_array(values, field.type) for field, values in columns], schema=schema)

    return pa.RecordBatchReader.from_batches(schema, batches())


def _array(values: Sequence[Any], kind: pa.DataType) -> pa.Array:
    if kind == pa.float64():
        return pa.array([None if v is None else float(v) for v in values], kind)
    if kind == pa.string():
        return pa.array([v if v is None or isinstance(v, str) else _text(v) for v in values], kind)
    return pa.array(values, kind)


def _text(value: Any) -> str:
    """Return a value of a column that `types` casts."""
    return value.decode() if isinstance(value, bytes) else repr(value)


def _typed(table: str, params: ReadParams, source: Source) -> str:
    types = params.types
    columns = (
        f"cast({quote(n)} as {types[n]}) as {quote(n)}" if n in types else quote(n) for n in _kept(params, source)
    )
    return f"select {', '.join(columns)} from {quote(table)}"


def _kept(params: ReadParams, source: Source) -> Sequence[str]:
    return params.columns or source.names


def _buckets(con: sqlite3.Connection, previous: int | None) -> int:
    (pages,), (size,) = con.execute("pragma page_count").fetchone(), con.execute("pragma page_size").fetchone()
    return bucket_count(pages * size, previous)
