"""CSV and TSV: one header for all files, types decided by every value, bad rows told by file and line."""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO

from mmetl.engines.duckdb import Session, file_list, literal, literals, quote
from mmetl.errors import TaskError, Where
from mmetl.transforms.tabular.read import ReadParams
from mmetl.transforms.tabular.results import check_names

_DOUBLE = r"-?(0|[1-9]\d*)(\.\d+([eE][+-]?\d+)?|[eE][+-]?\d+)"
_TIME = r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)?"
_ZONE = r"(Z|[+-]\d\d(:?\d\d)?)"

# What a value may be, as one bit each; a column's bits together decide its type. No guess leaves the values behind:
# `007` is text, since 7 would not be written so.
_KINDS = (
    ("try_cast({c} as bigint)::varchar = {c}", 1),
    ("regexp_full_match({c}, '" + _DOUBLE + "')", 2),
    ("lower({c}) in ('true', 'false')", 4),
    ("try_cast({c} as date)::varchar = {c}", 8),
    ("regexp_full_match({c}, '" + _TIME + "') and try_cast({c} as timestamp) is not null", 16),
    ("regexp_full_match({c}, '" + _TIME + _ZONE + "') and try_cast({c} as timestamptz) is not null", 32),
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
}

_BAD_ROW = re.compile(r"CSV Error on Line: (\d+)\s+Original Line: ?(.*?)\n\s*Possible ", re.DOTALL)
_FILE = re.compile(r"^\s*file = (.*)$", re.MULTILINE)
_BAD_VALUE = re.compile(r"(?:could not convert string|invalid .*?|.*?) ['\"](.*?)['\"]", re.IGNORECASE)
SHOWN_LINE = 200


class CsvSource:
    """The CSV files of one read.

    Args:
        params: of the task.
        delimiter: used when the params name none.
        files: the files -> what messages call them.
    """

    def __init__(self, params: ReadParams, delimiter: str, files: Mapping[Path, str]) -> None:
        self.params = params
        self.delimiter = params.delimiter or delimiter
        self.files = files
        self.names = self._names()
        check_names(self.names)

    def query(self, db: Session) -> tuple[str, list[str]]:
        """Return the query over all files with every column in its type, and the names of the columns."""
        columns = ", ".join(f"{literal(n)}: 'VARCHAR'" for n in self.names)
        nulls = literals(["", *self.params.null_values])
        options = (
            f"auto_detect=false, columns={{{columns}}}, header={str(self.params.header).lower()},"
            f" delim={literal(self.delimiter)}, quote='\"', escape='\"', nullstr={nulls}, allow_quoted_nulls=false,"
            f" encoding={literal(self.params.encoding)}, hive_partitioning=false"
        )
        # File by file: given more files than twice the cores, DuckDB drops what follows an unclosed quote without a word.
        each = (f"from read_csv({file_list([path])}, {options})" for path in self.files)
        raw = f"({' union all '.join(each)})"
        types = self._types(db, raw)
        typed = (
            f"cast(nullif({quote(n)}, '') as {t}) as {quote(n)}" if t != "VARCHAR" else quote(n)
            for n, t in types.items()
        )
        return f"select {', '.join(typed)} from {raw}", self.names

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

    def _types(self, db: Session, raw: str) -> dict[str, str]:
        """Return column -> type. Every value of every file is looked at: no sample can hide the one that differs."""
        open_ = [n for n in self.names if n not in self.params.types]
        found: dict[str, str] = {}
        if open_:
            (bits,) = db.rows(f"select {', '.join(_bits(n) for n in open_)} from {raw}")
            found = {n: _TYPES.get(b or 0, "VARCHAR") for n, b in zip(open_, bits, strict=True)}
        return {n: self.params.types.get(n) or found[n] for n in self.names}

    def _names(self) -> list[str]:
        """Return the columns that all files have. Raises TaskError where one differs."""
        first: list[str] | None = None
        for path, name in self.files.items():
            columns = self._names_of(path, name)
            if first is None:
                first = columns
            elif columns != first:
                raise TaskError(
                    f"'{name}' has other columns than '{next(iter(self.files.values()))}': {_difference(first, columns)}",
                    help="read files of one header by one task",
                )
        assert first is not None
        return first

    def _names_of(self, path: Path, name: str) -> list[str]:
        try:
            with self._open(path) as file:
                row = next(csv.reader(file, delimiter=self.delimiter), None)
        except (csv.Error, OSError, UnicodeError) as error:
            raise TaskError(f"the header of '{name}' cannot be read: {error}") from error
        if row is None:
            raise TaskError(f"'{name}' is empty: it has not even a header", help="remove the file, or write its header")
        if not self.params.header:
            names = self.params.names or [f"column_{n}" for n in range(1, len(row) + 1)]
            if len(names) != len(row):
                raise TaskError(
                    f"'{name}' has {len(row)} columns, and `names` has {len(names)}", help="name every column"
                )
            return names
        if any("\ufffd" in text for text in row):
            raise TaskError(f"the header of '{name}' is not {self.params.encoding}", help="set `encoding`")
        return [text.strip() or f"column_{n}" for n, text in enumerate(row, 1)]

    def _open(self, path: Path) -> IO[str]:
        encoding = "utf-8-sig" if self.params.encoding == "utf-8" else self.params.encoding
        if path.suffix == ".gz":
            return gzip.open(path, "rt", encoding=encoding, errors="replace", newline="")
        return path.open(encoding=encoding, errors="replace", newline="")


def csv_error(error: TaskError, source: CsvSource) -> TaskError:
    """Return an error of DuckDB's reader with the file and the line of the bad row."""
    message = str(error.__cause__ or "")
    row = _BAD_ROW.search(message)
    if row:
        file = _FILE.search(message)
        path = Path(file[1].strip()) if file else Path()
        text, *_, said = [line for line in row[2].splitlines() if line.strip()]
        what = said.strip().rstrip(".")
        columns = re.fullmatch(r"Expected Number of Columns: (\d+) Found: (\d+)", what)
        what = f"this row has {columns[2]} columns, not {columns[1]}" if columns else what[:1].lower() + what[1:]
        help_ = "mend the row, or set `delimiter` or `encoding`"
        return TaskError(what, Where(source.files.get(path, str(path)), int(row[1]), 1, text[:SHOWN_LINE]), help_)
    if "Conversion Error" in message:
        value = _BAD_VALUE.search(error.what)
        where = source.find(value[1]) if value else None
        return TaskError(error.what, where, "mend the value, or change the column's type in `types`")
    if "invalid state" in message:
        return TaskError("the rows cannot be told apart", help="let all lines end alike, with \\n or with \\r\\n")
    return error


def _bits(name: str) -> str:
    """Return the SQL that says which kinds of values a column has."""
    column = quote(name)
    cases = " ".join(f"when {test.replace('{c}', column)} then {bit}" for test, bit in _KINDS)
    return f"bit_or(case when {column} is null or {column} = '' then 0 {cases} else 64 end)"


def _difference(first: list[str], other: list[str]) -> str:
    def told() -> Iterator[str]:
        yield from (f"without '{n}'" for n in first if n not in other)
        yield from (f"with '{n}'" for n in other if n not in first)

    return ", ".join(told()) or "in another order"
