"""`bad_rows: quarantine`: rows that cannot be read are set aside with file, line and reason; the others go on.

Only files that DuckDB's reader has refused come here: those without bad rows pay nothing.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, NamedTuple, Protocol

import pyarrow as pa

from mmetl.cache.arrow_types import columns_of
from mmetl.cache.tables import write_table
from mmetl.contracts.artifact import Manifest
from mmetl.contracts.transform import Job
from mmetl.engines.duckdb import Session, literal
from mmetl.errors import TaskError, Where
from mmetl.transforms.tabular.reading.lines import SHOWN_LINE
from mmetl.transforms.tabular.reading.read_params import ReadParams
from mmetl.utils.text import quote

PLACE = "__mmetl_place"
"""The column that says which file and line a row comes from, while rows are read."""

ROWS = "__mmetl_rows"
"""The table of the rows that could be read, with PLACE."""

SHOWN_TEXT = 1000  # characters of a bad line that are kept
SHOWN_VALUE = 100
_ASIDE = "__mmetl_aside"
_WRONG = "__mmetl_wrong"
_LINE_BITS = 40  # of a place; the file's number is above them
_WAITING = 10_000
_SCHEMA = pa.schema([("_error", pa.string()), ("_file", pa.string()), ("_line", pa.int64()), ("_text", pa.string())])
_NAMES = ", ".join(quote(name) for name in _SCHEMA.names)


class Row(NamedTuple):
    """One row of a file: the line that it begins in, its text without the last end of line, and what is wrong with it."""

    line: int
    text: str
    error: str = ""


class RowSource(Protocol):
    """Files whose rows can be looked at one by one."""

    def rows(self, path: Path) -> Iterator[Row]:
        """Yield the rows of a file, the bad ones with their error."""
        ...

    def write(self, file: IO[bytes], row: Row, place: int) -> None:
        """Write a good row, with its place, into the file that will be read."""
        ...

    def load(self, good: Mapping[Path, Path]) -> Sequence[str]:
        """Make the table ROWS of the files of good rows; return its columns without PLACE.

        Args:
            good: a file -> that of its good rows.
        """
        ...

    def value(self, column: str) -> str:
        """Return the SQL of a column of ROWS as it is cast to a declared type; null where there is no value."""
        ...

    def typed(self) -> str:
        """Return the query over ROWS with every column in its type."""
        ...


def is_final(error: TaskError) -> bool:
    """Tell whether it was not the rows that a read failed with."""
    if error.__cause__ is None:
        return error.where is None  # params and keys, not a place in a file
    return any(word in str(error.__cause__) for word in ("Interrupted!", "Out of Memory Error"))


def set_aside(
    job: Job, params: ReadParams, db: Session, shown: Mapping[Path, str], source: RowSource
) -> tuple[str, Sequence[str], Manifest | None]:
    """Read the good rows of files that cannot be read as a whole.

    Args:
        job: the running task.
        params: of the task.
        db: the session.
        shown: the files -> what messages call them.
        source: the same files, row by row.

    Returns:
        The query over the good rows, its columns, and the table of the others; None where it was only how lines end.
    """
    aside = _Aside(db, list(shown.values()))
    good, total = _split(job, shown, source, aside)
    allowed = total * params.max_bad_fraction
    if aside.rows > allowed:
        raise aside.too_many(aside.rows, total, params.max_bad_fraction)
    names = source.load(good)
    wrong = _wrong_values(db, source, {n: params.types[n] for n in names if n in params.types})
    bad = aside.rows + wrong
    for number, path in enumerate(shown if wrong else ()):
        errors = _errors(db, number, first=bad > allowed)
        found = (row._replace(error=errors[row.line]) for row in source.rows(path) if row.line in errors)
        for row in itertools.islice(found, len(errors)):
            aside.add(number, row)
        if errors and bad > allowed:
            raise aside.too_many(bad, total, params.max_bad_fraction)
    if wrong:
        db.rows(f"delete from {ROWS} where {PLACE} in (select {PLACE} from {_WRONG})")
    return source.typed(), names, aside.manifest(job) if bad else None


def _split(job: Job, shown: Mapping[Path, str], source: RowSource, aside: _Aside) -> tuple[dict[Path, Path], int]:
    """Copy the good rows of each file and set the others aside; return the copies, and how many rows there are."""
    job.scratch.mkdir(parents=True, exist_ok=True)
    stopped = threading.Event()
    job.on_cancel(stopped.set)
    good: dict[Path, Path] = {}
    total = 0
    for number, path in enumerate(shown):
        good[path] = job.scratch / f"good-{number}"
        with good[path].open("wb") as file:
            for row in source.rows(path):
                total += 1
                if stopped.is_set():
                    raise TaskError("the read was interrupted")
                if row.error:
                    aside.add(number, row)
                else:
                    source.write(file, row, number << _LINE_BITS | row.line)
    return good, total


def _wrong_values(db: Session, source: RowSource, types: Mapping[str, str]) -> int:
    """Make the table of the rows with a value that is not of the declared type; return how many there are."""
    cases = []
    for name, kind in types.items():
        value, said = source.value(name), literal(f"' in column '{name}' is no {kind}")
        text = f"'''' || left({value}::varchar, {SHOWN_VALUE}) || {said}"
        cases.append(f"when {value} is not null and try_cast({value} as {kind}) is null then {text}")
    if not cases:
        return 0
    error = f"case {' '.join(cases)} end"
    db.rows(
        f"create temp table {_WRONG} as from (select {PLACE}, {error} as error from {ROWS}) where error is not null"
    )
    ((found,),) = db.rows(f"select count(*) from {_WRONG}")
    return int(found)


def _errors(db: Session, number: int, *, first: bool) -> dict[int, str]:
    """Return line -> error of the rows of a file with a wrong value, or of the first of them only."""
    rows = db.rows(
        f"select {PLACE} & {(1 << _LINE_BITS) - 1}, error from {_WRONG} where {PLACE} >> {_LINE_BITS} = {number}"
        f" order by {PLACE} {'limit 1' if first else ''}"
    )
    return dict(rows)


class _Aside:
    """The rows that are set aside, in a table of the session.

    Args:
        db: the session.
        files: what messages call the files.
    """

    def __init__(self, db: Session, files: Sequence[str]) -> None:
        self.rows = 0
        self._db = db
        self._files = files
        self._waiting: list[tuple[str, str, int, str, int]] = []
        self._schema = _SCHEMA.append(pa.field("number", pa.int64()))
        db.register("__mmetl_none", self._schema.empty_table())
        db.rows(f"create temp table {_ASIDE} as from __mmetl_none")

    def add(self, number: int, row: Row) -> None:
        """Set a row of a file aside."""
        self.rows += 1
        self._waiting.append((row.error, self._files[number], row.line, _printable(row.text), number))
        if len(self._waiting) == _WAITING:
            self._flush()

    def too_many(self, bad: int, total: int, allowed: float) -> TaskError:
        """Return the error for more bad rows than are allowed, at the first of them."""
        self._flush()
        ((error, file, line, text),) = self._db.rows(f"select {_NAMES} from {_ASIDE} order by number, _line limit 1")
        return TaskError(
            f"{bad:,} of {total:,} rows are bad, more than a share of {allowed:g}; the first: {error}",
            Where(file, line, 1, text[:SHOWN_LINE]),
            "mend them, or raise `max_bad_fraction`",
        )

    def manifest(self, job: Job) -> Manifest:
        """Keep the rows as a table."""
        self._flush()
        rows = self._db.stream(f"select {_NAMES} from {_ASIDE} order by number, _line")
        return Manifest("table", write_table(rows.batches, _SCHEMA, job.parts), (), columns_of(_SCHEMA))

    def _flush(self) -> None:
        if not self._waiting:
            return
        arrays = [
            pa.array(values, f.type) for values, f in zip(zip(*self._waiting, strict=True), self._schema, strict=True)
        ]
        self._db.register("__mmetl_some", pa.table(arrays, schema=self._schema))
        self._db.rows(f"insert into {_ASIDE} from __mmetl_some")
        self._waiting = []


def _printable(text: str) -> str:
    """Return the beginning of a line; bytes that are no text are written as such."""
    cut = text[:SHOWN_TEXT] + ("…" if len(text) > SHOWN_TEXT else "")
    return cut.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
