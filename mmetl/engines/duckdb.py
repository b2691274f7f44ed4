"""Closed DuckDB sessions: a connection that reads the parts of its inputs and nothing else."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from mmetl.cache.arrow_types import arrow_schema
from mmetl.contracts.transform import Input, Table
from mmetl.errors import TaskError, Where
from mmetl.utils.text import quote

BATCH_ROWS = 8192  # small, so that a batch of long documents stays far below Arrow's 2 GB for one column
DUCKDB_2 = duckdb.__version__ >= "2"
"""Since 2.0 `execute` copies every row once more on its way to Arrow; before, `sql` told errors in words of its own."""

PLACE = "__mmetl_place"
"""The column that says where a row lies: the number of its part, and below that of PLACE_BITS its number in there."""

PLACE_BITS = 40
PLACE_WORDS = ("file_index", "file_row_number")
"""What DuckDB calls the place of a row: a table with such a column has no places."""

_KIND = re.compile(r"^(?:TransactionContext Error: )?[A-Z][A-Za-z ]* Error: ")
_LINE = re.compile(r"^LINE (\d+): (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Rows:
    """The result of a query: its schema, and its rows as they are computed."""

    schema: pa.Schema
    batches: Iterator[pa.RecordBatch]


class Session:
    """An open connection. Errors of DuckDB are raised as TaskError.

    Args:
        connection: configured and locked; see `session`.
        names: absolute path -> what messages call that file.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, names: Mapping[str, str]) -> None:
        self._connection = connection
        self._names = names

    def columns(self, sql: str, text: str = "") -> list[tuple[str, str]]:
        """Return (name, DuckDB type) of the columns of a query, without running it; `text` as in `stream`."""
        with self._errors(text):
            return [(name, kind) for name, kind, *_ in self._connection.execute(f"describe\n{sql}").fetchall()]

    def type_of(self, kind: str) -> Any:
        """Return a type of DuckDB as data: its `id`, and the (name, type) of its `children`."""
        return duckdb.sqltype(kind, connection=self._connection)

    def rows(self, sql: str) -> list[tuple[Any, ...]]:
        """Run a statement and return what it gives. Not for many rows."""
        with self._errors(""):
            return self._connection.execute(sql).fetchall()

    def stream(self, sql: str, text: str = "") -> Rows:
        """Run a query and return its rows as a stream.

        Args:
            sql: what is run.
            text: the author's text inside `sql`, for the position in error messages.
        """
        with self._errors(text):
            run: Any = self._connection.sql if DUCKDB_2 else self._connection.execute
            reader = run(sql).to_arrow_reader(BATCH_ROWS)
        return Rows(reader.schema, self._batches(reader, text))

    def register(self, name: str, rows: Any) -> None:
        """Make an Arrow table or stream readable under a name."""
        self._connection.register(name, rows)

    def add_function(self, name: str, function: Callable[[Any], pa.Array], takes: Sequence[str], gives: str) -> None:
        """Let queries call a function over columns; it gets no nulls, of which it would give nulls.

        Args:
            name: in SQL.
            function: from Arrow arrays to one of the same length.
            takes: DuckDB types of its arguments.
            gives: the DuckDB type of its result.
        """
        connection: Any = self._connection  # its stubs know no functions over Arrow arrays
        with self._errors(""):
            connection.create_function(name, function, list(takes), gives, type="arrow")

    def add_places(self, name: str, table: Table) -> None:
        """Make a table readable with a further column, PLACE. Raises TaskError for columns that stand in its way."""
        for column in table.manifest.columns:
            if column.name.lower() in PLACE_WORDS:
                raise TaskError(f"column '{column.name}' is called as DuckDB calls a row's place", help="rename it")
        with self._errors(""):
            _add_table(self._connection, name, table, canonical=False, places=True)

    def stop(self) -> None:
        """Interrupt what runs; from any thread, at any time."""
        with contextlib.suppress(duckdb.ConnectionException):
            self._connection.interrupt()

    def _batches(self, reader: Any, text: str) -> Iterator[pa.RecordBatch]:
        while True:
            with self._errors(text):
                batch = next(reader, None)
            if batch is None:
                return
            yield batch

    @contextlib.contextmanager
    def _errors(self, text: str) -> Iterator[None]:
        # Arrow's stream raises what DuckDB met as OSError, with the same message.
        try:
            yield
        except (duckdb.Error, OSError, pa.ArrowException) as error:
            raise explain(str(error), text, self._names) from error


@contextlib.contextmanager
def session(
    scratch: Path,
    *,
    tables: Mapping[str, Input] | None = None,
    files: Mapping[Path, str] | None = None,
    writes: Sequence[Path] = (),
    threads: int = 1,
    memory_limit: str | None = None,
    canonical: bool = False,
    wide: bool = False,
    bare: bool = False,
    on_cancel: Callable[[Callable[[], None]], None] | None = None,
) -> Iterator[Session]:
    """Open a session in which the same query always gives the same answer: no files but these, no clock zone but UTC.

    Args:
        scratch: folder for what does not fit into memory.
        tables: alias -> table or view; each becomes a view.
        files: further files that may be read -> what messages call them.
        writes: files that may be written.
        threads: how many threads queries may use.
        memory_limit: such as `2GB`, above which queries spill; None: DuckDB's default, 80 % of the machine's memory.
        canonical: give the rows of a table in an order, and plan queries in a way, that its buckets have no part in.
        wide: plan queries of thousands of columns fast: do not look for what expressions have in common.
        bare: plan so that what a scan gives is what the query needs: filters stay above it, no rows are fetched later.
        on_cancel: registers a function that interrupts the session.
    """
    tables, files = tables or {}, files or {}
    scratch.parent.mkdir(parents=True, exist_ok=True)  # DuckDB makes the last folder only, and only when it spills
    connection = duckdb.connect(":memory:", config={"threads": threads, "allow_persistent_secrets": False})
    try:
        opened = Session(connection, {str(path): name for path, name in files.items()})
        if on_cancel is not None:
            on_cancel(opened.stop)
        allowed = [*(p for t in leaves(tables.values()) for p in t.paths), *files, *writes]
        with opened._errors(""):  # noqa: SLF001 - the session is being built here
            for setting in _settings(scratch, allowed, memory_limit):
                connection.execute(f"set {setting}")
            # Statistics are those of single files: with them, how groups are hashed would depend on the buckets.
            off = ["statistics_propagation"] * (canonical or bare) + ["common_subexpressions"] * wide
            off += ["filter_pushdown", "late_materialization"] * bare
            connection.execute(f"set disabled_optimizers={literal(','.join(off))}")
            _add(connection, tables, itertools.count(), canonical=canonical)
            connection.execute("set lock_configuration=true")
        yield opened
    finally:
        connection.interrupt()  # after Ctrl-C a query may be under way, and closing would wait until it has ended
        connection.close()


def leaves(inputs: Iterable[Input]) -> Iterator[Table]:
    """Yield the tables that inputs consist of: themselves, and those below views."""
    for found in inputs:
        if isinstance(found, Table):
            yield found
        else:
            yield from leaves(found.inputs.values())


def literal(text: object) -> str:
    """Return text as a SQL string.

    >>> literal("it's")
    "'it''s'"
    """
    return "'" + str(text).replace("'", "''") + "'"


def literals(texts: Sequence[object]) -> str:
    """Return a SQL list of strings."""
    return f"[{', '.join(literal(t) for t in texts)}]"


def file_list(paths: Iterable[Path]) -> str:
    """Return the SQL list of files that DuckDB's readers take: for them `[`, `*` and `?` in a name are wildcards."""
    return literals([_escaped(path) for path in paths])


def _escaped(path: Path) -> str:
    return re.sub(r"[\[*?]", r"[\g<0>]", str(path))


def explain(message: str, text: str = "", names: Mapping[str, str] | None = None) -> TaskError:
    """Turn a message of DuckDB into an error with the useful sentence and the line of SQL.

    Args:
        message: as DuckDB wrote it.
        text: the author's SQL; a position outside of it is not shown.
        names: absolute path -> what to call that file.
    """
    for path, name in (names or {}).items():
        message = message.replace(path, name)
    if "Interrupted!" in message:
        return TaskError("the query was interrupted")
    body, _, _ = _KIND.sub("", message).partition("\n\nLINE ")
    lines = [line.strip() for line in body.splitlines() if line.strip()]
    what = (lines or [message.strip()])[0].rstrip("!.")
    if "Out of Memory Error" in message:
        return TaskError(
            f"the query needs more memory: {what}", help="raise `memory_limit`, or run fewer tasks at once"
        )
    help_ = "; ".join(line.rstrip(".!") for line in lines[1:3])
    return TaskError(_small(what), _where(message, text), _small(help_))


def _where(message: str, text: str) -> Where | None:
    found = _LINE.search(message)
    if found is None:
        return None
    shown, below = found[2], message[found.end() + 1 :]
    caret = below.find("^") - len(f"LINE {found[1]}: ")
    core = shown.removeprefix("...").removesuffix("...")
    # The text is run inside of another query, which begins one line above it.
    lines = sorted(enumerate(text.splitlines(), 1), key=lambda line: abs(line[0] + 1 - int(found[1])))
    for number, line in lines:
        if core in line:
            column = line.index(core) + caret - (len(shown) - len(shown.removeprefix("..."))) + 1
            return Where("sql", number, max(column, 1), line)
    return None


def _settings(scratch: Path, allowed: Sequence[Path], memory_limit: str | None) -> Iterator[str]:
    yield "TimeZone='UTC'"
    yield "preserve_insertion_order=true"
    yield "autoinstall_known_extensions=false"
    yield "autoload_known_extensions=false"
    yield "python_enable_replacements=false"
    yield f"temp_directory={literal(scratch)}"
    yield f"allowed_directories={literals([scratch])}"
    yield f"allowed_paths={literals(list(dict.fromkeys([*map(str, allowed), *map(_escaped, allowed)])))}"
    if memory_limit is not None:
        yield f"memory_limit={literal(memory_limit)}"
    yield "enable_external_access=false"


def _add(
    connection: duckdb.DuckDBPyConnection, inputs: Mapping[str, Input], numbers: Iterator[int], *, canonical: bool
) -> None:
    """Make inputs readable by name. What a view reads gets names of its own, which only the view sees by its aliases."""
    for name, found in inputs.items():
        if isinstance(found, Table):
            _add_table(connection, name, found, canonical=canonical)
            continue
        below = {alias: f"__mmetl_{next(numbers)}" for alias in found.inputs}
        _add(connection, {below[alias]: t for alias, t in found.inputs.items()}, numbers, canonical=canonical)
        aliases = ", ".join(f"{quote(a)} as not materialized (from {quote(b)})" for a, b in below.items())
        query = f"{f'with {aliases} ' if aliases else ''}select * from (\n{found.manifest.sql}\n)"
        connection.execute(f"create view {quote(name)} as {query}")


def _add_table(
    connection: duckdb.DuckDBPyConnection, alias: str, table: Table, *, canonical: bool, places: bool = False
) -> None:
    # A view reads only the columns and row groups that a query needs.
    columns = table.manifest.columns
    if not table.paths:
        connection.register(alias, arrow_schema(columns).empty_table())
        return
    # Parquet has no lists of fixed size: DuckDB reads them as lists.
    fixed = [c for c in columns if "fixed_size_list" in c.type]
    replaced = ""
    if fixed:
        connection.register("__mmetl_types", arrow_schema(fixed).empty_table())
        types = connection.execute('describe from "__mmetl_types"').fetchall()
        replaced = f" replace ({', '.join(f'cast({quote(n)} as {t}) as {quote(n)}' for n, t, *_ in types)})"
    # Left to itself, DuckDB guesses the number of rows from the first file, and joins accordingly.
    options = f"hive_partitioning=false, explicit_cardinality={table.manifest.rows}"
    parts = f"read_parquet({file_list(table.paths)}, {options})"
    order = _order(table) if canonical else ""
    again = "or replace " if places else ""
    place = f", (file_index::bigint << {PLACE_BITS}) + file_row_number as {PLACE}" if places else ""
    connection.execute(f"create {again}view {quote(alias)} as select *{replaced}{place} from {parts}{order}")


def _order(table: Table) -> str:
    """Return the ORDER BY that makes the rows of a keyed table come as if it were one bucket."""
    if not table.manifest.key:
        return ""
    if table.manifest.buckets > 1:
        return " order by " + ", ".join(quote(k) for k in table.manifest.key)
    # They lie in their order; but a plan without a sort could be another plan.
    taken = any(c.name.lower() in PLACE_WORDS for c in table.manifest.columns)
    return "" if taken else f" order by {', '.join(PLACE_WORDS)}"


def _small(text: str) -> str:
    """Return a sentence with a small first letter, unless it starts with a word in capitals such as WHERE."""
    return text if text[1:2].isupper() else text[:1].lower() + text[1:]
