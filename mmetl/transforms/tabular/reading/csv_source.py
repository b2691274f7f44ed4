"""CSV and TSV: one header for all files, types decided by every value."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from mmetl.engines.duckdb import Session, file_list, literal, literals
from mmetl.errors import TaskError, Where
from mmetl.transforms.tabular.reading.csv_quotes import PIECE_BYTES, quotes_of
from mmetl.transforms.tabular.reading.digits import keeps
from mmetl.transforms.tabular.reading.lines import LINE_BYTES, SHOWN_LINE, whole_lines
from mmetl.transforms.tabular.reading.read_params import ReadParams
from mmetl.transforms.tabular.reading.schemas import check_case, check_same
from mmetl.transforms.tabular.times import is_day, is_time, is_zoned
from mmetl.utils.text import quote

_DOUBLE = r"-?(0|[1-9]\d*)(\.\d+([eE][+-]?\d+)?|[eE][+-]?\d+)"

# What a value may be, as one bit each; a column's bits together decide its type. No guess leaves the values behind:
# `007` is text, since 7 would not be written so.
_KINDS = (
    ("try_cast({c} as bigint)::varchar = {c}", f"if({keeps('{c}')}, 1, 64)"),
    ("regexp_full_match({c}, '" + _DOUBLE + "')", f"if({keeps('{c}')}, 2, 128)"),
    ("lower({c}) in ('true', 'false')", "4"),
    (is_day("{c}"), "8"),
    (is_time("{c}"), "16"),
    (is_zoned("{c}"), "32"),
)
_TYPES = {
    1: "BIGINT",
    2: "DOUBLE",
    3: "DOUBLE",
    4: "BOOLEAN",
    8: "DATE",
    16: "TIMESTAMP",
    24: "TIMESTAMP",
    32: "TIMESTAMPTZ",
    64: "BIGINT",
    65: "BIGINT",
}

OTHER_DELIMITERS = ";\t|,"
MEND_ROW = "mend the row, or set `delimiter` or `encoding`"
WIDE = 200  # columns
_RAW = "__mmetl_raw"


class CsvSource:
    """The CSV files of one read.

    Args:
        params: of the task.
        delimiter: used when the params name none.
        files: the files -> what messages call them.
    """

    def __init__(self, params: ReadParams, delimiter: str, files: Mapping[Path, str]) -> None:
        csv.field_size_limit(LINE_BYTES)
        self.params = params
        self.delimiter = params.delimiter or delimiter
        self.files = files
        self.columns = {path: self._names_of(path, name) for path, name in files.items()}
        self.names = self._names()

    def query(
        self, db: Session, added: Callable[[str, str, Sequence[str]], str] | None = None, more: Sequence[str] = ()
    ) -> tuple[str, list[str]]:
        """Return the query over all files with every column in its type, and the names of the columns.

        Args:
            db: the session.
            added: puts further columns behind those of a file (see FolderValues.added), typed already.
            more: their names.
        """

        def one(path: Path) -> str:
            rows = self._file_query(path)
            return f"from {added(self.files[path], f'({rows})', self.names)}" if added else rows

        # File by file: given more files than twice the cores, DuckDB drops what follows an unclosed quote without a word.
        raw = f"({' union all '.join(map(one, self.files))})"
        if self.is_wide:
            db.rows(f"create temp table {_RAW} as from {raw}")
            raw = _RAW
        return self.typed(db, raw, more), [*self.names, *more]

    @property
    def is_wide(self) -> bool:
        """Whether one query cannot look at all columns beside each other: the time to plan it would grow with the square."""
        return len(self.names) > WIDE

    def typed(self, db: Session, raw: str, more: Sequence[str] = ()) -> str:
        """Return the query over rows of text with every column in its type, and `more`; `raw` is what follows `from`."""
        types = self._types(db, raw)
        typed = (
            f"cast(nullif({quote(n)}, '') as {t}) as {quote(n)}" if t != "VARCHAR" else quote(n)
            for n, t in types.items()
        )
        return f"select {', '.join([*typed, *map(quote, more)])} from {raw}"

    def copy_query(self, path: Path, copy: Path, first: str, *, spans: bool) -> str:
        """Return the query over a copy of rows of a file, in UTF-8 and without a header: the columns of all, as text.

        Args:
            path: the file.
            copy: the copy, whose rows have one column more, as their first.
            first: the name of that column.
            spans: whether a row goes on over several lines.
        """
        own = [first, *self.columns[path]]
        return self._columns_of_all(own, _rows(copy, own, self._options(header=False), parallel=not spans), [first])

    def _file_query(self, path: Path) -> str:
        """Return the query of one file: the columns of all, as text."""
        own = self.columns[path]
        options = self._options(header=self.params.header, encoding=self.params.encoding)
        return self._columns_of_all(own, _rows(path, own, options, parallel=not self._spans_lines(path)))

    def _columns_of_all(self, own: Sequence[str], rows: str, more: Sequence[str] = ()) -> str:
        names, there = [*more, *self.names], set(own)
        if list(own) == names:
            return rows
        return f"select {', '.join(quote(n) if n in there else f'null::varchar as {quote(n)}' for n in names)} {rows}"

    def _options(self, *, header: bool, encoding: str = "utf-8") -> str:
        nulls = literals(["", *self.params.null_values])
        return (
            f"auto_detect=false, header={str(header).lower()},"
            f" delim={literal(self.delimiter)}, quote='\"', escape='\"', nullstr={nulls}, allow_quoted_nulls=false,"
            f" encoding={literal(encoding)}, hive_partitioning=false,"
            f" max_line_size={LINE_BYTES}, buffer_size={2 * LINE_BYTES}"
        )

    def _spans_lines(self, path: Path) -> bool:
        """Tell whether rows of a large file span lines: cut anywhere, DuckDB would mistake lines inside of quotes for rows.

        Raises:
            TaskError: for an open quote. Reading such a file in one piece, DuckDB drops what follows without a word.
        """
        if path.stat().st_size < PIECE_BYTES or not _has_quotes(path):
            return False
        with self.open(path) as file:
            quotes = quotes_of(whole_lines(file, self.files[path]), self.delimiter)
        if quotes.open_at:
            line, text = quotes.open_at
            where = Where(self.files[path], line, 1, text[:SHOWN_LINE])
            raise TaskError("value with unterminated quote found", where, MEND_ROW)
        return quotes.span

    def _types(self, db: Session, raw: str) -> dict[str, str]:
        """Return column -> type. Every value of every file is looked at: no sample can hide the one that differs."""
        open_ = [n for n in self.names if n not in self.params.types]
        bits = (_wide_bits if self.is_wide else _narrow_bits)(db, raw, open_) if open_ else {}
        return {n: self.params.types.get(n) or _TYPES.get(bits.get(n) or 0, "VARCHAR") for n in self.names}

    def _names(self) -> list[str]:
        """Return the columns of all files. Raises TaskError where they differ, and nobody asks for their union."""
        first, *_ = self.files
        self._check_names(first)
        if self.params.schema_ == "same":
            check_same([(name, dict.fromkeys(self.columns[path], "")) for path, name in self.files.items()])
            return self.columns[first]
        for path in self.files:
            self._check_names(path)
        check_case([(name, self.columns[path]) for path, name in self.files.items()])
        return list(dict.fromkeys(name for columns in self.columns.values() for name in columns))

    def _check_names(self, path: Path) -> None:
        """Raise TaskError for a column that stands twice, and for a header that was not cut into columns."""
        file, names = self.files[path], self.columns[path]
        seen: dict[str, int] = {}
        for number, name in enumerate(names, 1):
            first = seen.setdefault(name.lower(), number)
            if first != number:
                both = f"columns {first} and {number} of '{file}' are both named '{name}'"
                cases = f"columns {first} and {number} of '{file}' are named '{names[first - 1]}' and '{name}'"
                raise TaskError(
                    both if name == names[first - 1] else f"{cases}: they differ in case only",
                    help=f"rename one in {'the header of the file' if self.params.header else '`names`'}",
                )
        found = [d for d in OTHER_DELIMITERS if d in names[0]]
        if len(names) == 1 and found and self.params.header and self.params.delimiter is None:
            raise TaskError(
                f"the header of '{file}' is one column: '{names[0]}'",
                help=f"set `delimiter: {json.dumps(found[0])}`, or `delimiter: {json.dumps(self.delimiter)}` if it is right",
            )

    def _names_of(self, path: Path, name: str) -> list[str]:
        try:
            with self.open(path) as file:
                lines = _closed(whole_lines(file, name), name, self.delimiter)
                row = self._first_row(csv.reader(lines, delimiter=self.delimiter))
        except (csv.Error, OSError, UnicodeError) as error:
            raise TaskError(
                f"the header of '{name}' cannot be read: {error}", help="mend it, or set `encoding`"
            ) from error
        if row is None:
            raise TaskError(f"'{name}' is empty: it has not even a header", help="remove the file, or write its header")
        if not row:
            raise TaskError(f"'{name}' begins with a blank line, not with a header", help="remove the line")
        if not self.params.header:
            names = self.params.names or [f"column_{n}" for n in range(1, len(row) + 1)]
            if len(names) != len(row):
                raise TaskError(
                    f"'{name}' has {len(row)} columns, and `names` has {len(names)}", help="name every column"
                )
            return names
        if any("\ufffd" in text for text in row):
            raise TaskError(f"the header of '{name}' is not {self.params.encoding}", help="set `encoding`")
        if any("\0" in text for text in row):
            raise TaskError(f"the header of '{name}' has a NUL byte", help="mend the file, or set `encoding`")
        return [text.strip() or f"column_{n}" for n, text in enumerate(row, 1)]

    def _first_row(self, rows: Iterator[list[str]]) -> list[str] | None:
        """Return the header; where there is none, the first row with a value; None where all rows are blank."""
        first = next(rows, None)
        if first == []:
            full = next((row for row in rows if row), None)
            return None if full is None else first if self.params.header else full
        return first

    def open(self, path: Path, errors: str = "replace") -> IO[str]:
        """Open a file as text; `errors` is what becomes of bytes that are none, as Python has it."""
        encoding = "utf-8-sig" if self.params.encoding == "utf-8" else self.params.encoding
        return path.open(encoding=encoding, errors=errors, newline="")


def guessed_types(db: Session, raw: str, names: Sequence[str]) -> dict[str, str]:
    """Return column -> the type that all its texts fit; `raw` is what follows `from`."""
    bits = _narrow_bits(db, raw, names)
    return {name: _TYPES.get(bits[name] or 0, "VARCHAR") for name in names}


def _rows(path: Path, columns: Iterable[str], options: str, *, parallel: bool) -> str:
    types = ", ".join(f"{literal(n)}: 'VARCHAR'" for n in columns)
    return f"from read_csv({file_list([path])}, columns={{{types}}}, {options}, parallel={str(parallel).lower()})"


def _narrow_bits(db: Session, raw: str, names: Sequence[str]) -> dict[str, int | None]:
    (bits,) = db.rows(f"select {', '.join(_bits(n) for n in names)} from {raw}")
    return dict(zip(names, bits, strict=True))


def _wide_bits(db: Session, raw: str, names: Sequence[str]) -> dict[str, int | None]:
    columns = f"select {', '.join(map(quote, names))} from {raw}"
    values = f"unpivot ({columns}) on columns(*) into name __mmetl_name value __mmetl_value"
    return dict(db.rows(f"select __mmetl_name, {_bits('__mmetl_value')} from ({values}) group by 1"))


def _bits(name: str) -> str:
    """Return the SQL that says which kinds of values a column has."""
    column = quote(name)
    cases = " ".join(f"when {test.replace('{c}', column)} then {bit.replace('{c}', column)}" for test, bit in _KINDS)
    return f"bit_or(case when {column} is null or {column} = '' then 0 {cases} else 256 end)"


def _has_quotes(path: Path) -> bool:
    with path.open("rb") as file:
        return any(b'"' in chunk for chunk in iter(lambda: file.read(PIECE_BYTES), b""))


def _closed(lines: Iterable[str], name: str, delimiter: str) -> Iterator[str]:
    """Yield the lines. Raises TaskError when a header needs all of them since its quote is open: it would hold the rows."""
    first = ""
    for line in lines:
        first = first or line
        yield line
    if quotes_of([first], delimiter).open_at:
        where = Where(name, 1, 1, first.rstrip("\r\n")[:SHOWN_LINE])
        raise TaskError("value with unterminated quote found", where, MEND_ROW)
