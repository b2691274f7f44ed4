"""CSV and TSV: one header for all files, types decided by every value, bad rows told by file and line."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import IO

from mmetl.engines.duckdb import Session, file_list, literal, literals
from mmetl.errors import TaskError, Where
from mmetl.transforms.tabular.csv_quotes import PIECE_BYTES, quotes_of
from mmetl.transforms.tabular.read import ReadParams
from mmetl.transforms.tabular.schemas import check_case, check_same
from mmetl.utils.text import quote

_DOUBLE = r"-?(0|[1-9]\d*)(\.\d+([eE][+-]?\d+)?|[eE][+-]?\d+)"
_DATE = r"\d{4}-\d\d-\d\d"
_TIME = _DATE + r"[ T]([01]\d|2[0-3]):\d\d(:\d\d(\.\d{1,6})?)?"
_ZONE = r"(Z|[+-](0\d|1[0-5])(:?[0-5]\d)?)"

# The digits that a number stands for, without zeros around them: as the file has them, and as a float gives them back.
_DIGITS = "trim(replace(regexp_replace({c}, '[eE].*|-', '', 'g'), '.', ''), '0')"
_BACK = (
    "trim(replace(split_part(format(case when length({d}) <= 15 then '{:.14e}' when length({d}) = 16 then '{:.15e}'"
    " else '{:.16e}' end, abs({c}::double)), 'e', 1), '.', ''), '0')"
)
# Up to 15 digits always come back, unless the number is too large or too small; up to 17 may. The cheap tests come first.
_KEEPS = (
    "when length({c}) <= 15 and not contains({c}, 'e') and not contains({c}, 'E') then {bit}"
    f" when {{c}}::double::varchar = {{c}} then {{bit}} when {_BACK.replace('{d}', _DIGITS)} = {_DIGITS} then {{bit}}"
)

# What a value may be, as one bit each; a column's bits together decide its type. No guess leaves the values behind:
# `007` is text, since 7 would not be written so.
_KINDS = (
    ("try_cast({c} as bigint)::varchar = {c}", f"case {_KEEPS.replace('{bit}', '1')} else 64 end"),
    ("regexp_full_match({c}, '" + _DOUBLE + "')", f"case {_KEEPS.replace('{bit}', '2')} else 128 end"),
    ("lower({c}) in ('true', 'false')", "4"),
    ("regexp_full_match({c}, '" + _DATE + "') and try_cast({c} as date)::varchar = {c}", "8"),
    ("regexp_full_match({c}, '" + _TIME + "') and try_cast({c} as timestamp) is not null", "16"),
    ("regexp_full_match({c}, '" + _TIME + _ZONE + "') and try_cast({c} as timestamptz) is not null", "32"),
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

_BAD_ROW = re.compile(r"CSV Error on Line: (\d+)\s+Original Line: ?(.*?)\n\s*Possible ", re.DOTALL)
_FILE = re.compile(r"^\s*file = (.*)$", re.MULTILINE)
_BAD_VALUE = re.compile(r"(?:could not convert string|invalid .*?|.*?) ['\"](.*?)['\"]", re.IGNORECASE)
SHOWN_LINE = 200
OTHER_DELIMITERS = ";\t|,"
MEND_ROW = "mend the row, or set `delimiter` or `encoding`"
TYPED_COLUMNS = 200  # looked at by one query: the time that DuckDB takes to plan it grows with the square
LINE_BYTES = 16 << 20  # longest row: a document in a field may be of some megabytes; DuckDB's own limit is 2 MB


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

    def query(self, db: Session) -> tuple[str, list[str]]:
        """Return the query over all files with every column in its type, and the names of the columns."""
        nulls = literals(["", *self.params.null_values])
        options = (
            f"auto_detect=false, header={str(self.params.header).lower()},"
            f" delim={literal(self.delimiter)}, quote='\"', escape='\"', nullstr={nulls}, allow_quoted_nulls=false,"
            f" encoding={literal(self.params.encoding)}, hive_partitioning=false,"
            f" max_line_size={LINE_BYTES}, buffer_size={2 * LINE_BYTES}"
        )
        # File by file: given more files than twice the cores, DuckDB drops what follows an unclosed quote without a word.
        raw = f"({' union all '.join(self._file_query(path, options) for path in self.files)})"
        types = self._types(db, raw)
        typed = (
            f"cast(nullif({quote(n)}, '') as {t}) as {quote(n)}" if t != "VARCHAR" else quote(n)
            for n, t in types.items()
        )
        return f"select {', '.join(typed)} from {raw}", self.names

    def _file_query(self, path: Path, options: str) -> str:
        """Return the query of one file: the columns of all, as text."""
        own = self.columns[path]
        columns = ", ".join(f"{literal(n)}: 'VARCHAR'" for n in own)
        parallel = str(not self._spans_lines(path)).lower()
        rows = f"from read_csv({file_list([path])}, columns={{{columns}}}, {options}, parallel={parallel})"
        if own == self.names:
            return rows
        return (
            f"select {', '.join(quote(n) if n in own else f'null::varchar as {quote(n)}' for n in self.names)} {rows}"
        )

    def find(self, value: str) -> Where | None:
        """Return where a value first stands, in a column that the params give a type."""
        at = [n for n, name in enumerate(self.names) if name in self.params.types]
        for path, name in self.files.items():
            with self._open(path) as file:
                rows = csv.reader(file, delimiter=self.delimiter)
                for row in rows:
                    for n in at:
                        if n < len(row) and row[n] == value:
                            return Where(name, rows.line_num, 1, self.delimiter.join(row)[:SHOWN_LINE])
        return None

    def _spans_lines(self, path: Path) -> bool:
        """Tell whether rows of a large file span lines: cut anywhere, DuckDB would mistake lines inside of quotes for rows.

        Raises:
            TaskError: for an open quote. Reading such a file in one piece, DuckDB drops what follows without a word.
        """
        if path.stat().st_size < PIECE_BYTES or not _has_quotes(path):
            return False
        with self._open(path) as file:
            quotes = quotes_of(file, self.delimiter)
        if quotes.open_at:
            line, text = quotes.open_at
            where = Where(self.files[path], line, 1, text[:SHOWN_LINE])
            raise TaskError("value with unterminated quote found", where, MEND_ROW)
        return quotes.span

    def _types(self, db: Session, raw: str) -> dict[str, str]:
        """Return column -> type. Every value of every file is looked at: no sample can hide the one that differs."""
        open_ = [n for n in self.names if n not in self.params.types]
        found: dict[str, str] = {}
        for at in range(0, len(open_), TYPED_COLUMNS):
            some = open_[at : at + TYPED_COLUMNS]
            (bits,) = db.rows(f"select {', '.join(_bits(n) for n in some)} from {raw}")
            found |= {n: _TYPES.get(b or 0, "VARCHAR") for n, b in zip(some, bits, strict=True)}
        return {n: self.params.types.get(n) or found[n] for n in self.names}

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
            with self._open(path) as file:
                row = self._first_row(csv.reader(_closed(file, name, self.delimiter), delimiter=self.delimiter))
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

    def _open(self, path: Path) -> IO[str]:
        encoding = "utf-8-sig" if self.params.encoding == "utf-8" else self.params.encoding
        return path.open(encoding=encoding, errors="replace", newline="")


def csv_error(error: TaskError, source: CsvSource) -> TaskError:
    """Return an error of DuckDB's reader with the file and the line of the bad row."""
    message = str(error.__cause__ or "")
    row = _BAD_ROW.search(message)
    if row:
        file = _FILE.search(message)
        path = Path(file[1].strip()) if file else Path()
        *lines, said = [line for line in row[2].splitlines() if line.strip()]
        text = lines[0] if lines else ""
        what = said.strip().rstrip(".")
        columns = re.fullmatch(r"Expected Number of Columns: (\d+) Found: (\d+)", what)
        what = f"this row has {columns[2]} columns, not {columns[1]}" if columns else what[:1].lower() + what[1:]
        return TaskError(what, Where(source.files.get(path, str(path)), int(row[1]), 1, text[:SHOWN_LINE]), MEND_ROW)
    if "Conversion Error" in message:
        value = _BAD_VALUE.search(error.what)
        where = source.find(value[1]) if value else None
        return TaskError(error.what, where, "mend the value, or change the column's type in `types`")
    if "does not support a full read" in message:
        return TaskError(f"a row is longer than {LINE_BYTES >> 20} MB", help="look for an end of line that is missing")
    if "invalid state" in message:
        return TaskError("the rows cannot be told apart", help="let all lines end alike, with \\n or with \\r\\n")
    return error


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
