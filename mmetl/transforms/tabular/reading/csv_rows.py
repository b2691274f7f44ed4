"""The rows of CSV files one by one, the bad ones told: for files that DuckDB's reader has refused as a whole."""

from __future__ import annotations

import itertools
import re
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO

from mmetl.engines.duckdb import Session
from mmetl.errors import TaskError
from mmetl.transforms.tabular.reading.bad_rows import PLACE, ROWS, Row
from mmetl.transforms.tabular.reading.csv_source import CsvSource
from mmetl.transforms.tabular.reading.lines import LINE_BYTES, is_cut, lines_of
from mmetl.utils.text import quote

OPEN_QUOTE = "value with unterminated quote found"
_MARK = "@"
TOO_LONG = f"this row is longer than {LINE_BYTES >> 20} MB"


class CsvRows:
    """The rows of CSV files, one by one (see `RowSource`).

    Args:
        db: the session.
        source: the files.
    """

    def __init__(self, db: Session, source: CsvSource) -> None:
        self._db = db
        self._source = source
        self._spans: dict[Path, bool] = {}

    def rows(self, path: Path) -> Iterator[Row]:
        """Yield the rows of a file, the bad ones with their error."""
        self._spans[path] = False
        for row in judged(self._source, path):
            if "\n" in row.text or "\r" in row.text:
                self._spans[path] = True
            yield row

    def write(self, file: IO[bytes], row: Row, place: int) -> None:
        """Write a good row behind its place; the mark keeps the place from being one of `null_values`."""
        file.write(f"{_MARK}{place}{self._source.delimiter}{row.text}\n".encode())

    def load(self, good: Mapping[Path, Path]) -> Sequence[str]:
        """Make the table ROWS of the files of good rows, every column as text."""
        source = self._source
        files = (source.copy_query(path, copy, PLACE, spans=self._spans[path]) for path, copy in good.items())
        place = f"substr({PLACE}, {len(_MARK) + 1})::bigint as {PLACE}"
        self._db.rows(f"create temp table {ROWS} as select * replace ({place}) from ({' union all '.join(files)})")
        return source.names

    def value(self, column: str) -> str:
        """Return the SQL of a value: an empty one is none."""
        return f"nullif({quote(column)}, '')"

    def typed(self) -> str:
        """Return the query over ROWS with every column in its type."""
        return self._source.typed(self._db, f"(select * exclude ({PLACE}) from {ROWS})")


def judged(source: CsvSource, path: Path) -> Iterator[Row]:
    """Yield the rows of a file below its header, the bad ones with their error."""
    encoding = source.params.encoding
    try:
        with source.open(path, "surrogateescape") as file:
            rows = rows_of(lines_of(file), source.delimiter, len(source.columns[path]))
            for row in itertools.islice(rows, int(source.params.header), None):
                error = row.error or _unreadable(row.text, encoding)
                yield row._replace(error=error) if error else row
    except UnicodeError as error:
        raise TaskError(f"'{source.files[path]}' is not {encoding}", help="set `encoding`") from error


def rows_of(lines: Iterable[str], delimiter: str, width: int) -> Iterator[Row]:
    r"""Yield the rows that have as many columns as they should, as DuckDB counts them, and those that are bad.

    A quote that nothing closes, or that something follows, spoils the line in which it opens; the next line is a row
    again. Blank lines are no rows, except where there is one column.

    >>> [(row.line, row.error) for row in rows_of(['1,"x\\n', '2,y\\n', '"a\\n', 'b",c\\n', '5\\n'], ",", 2)]
    [(1, 'value with unterminated quote found'), (2, ''), (3, ''), (5, 'this row has 1 columns, not 2')]
    """
    cut = _Cut(delimiter, width)
    again: deque[str] = deque()
    source = iter(lines)
    number = 0
    while (line := again.popleft() if again else next(source, None)) is not None:
        number += 1
        text = line.rstrip("\r\n")
        if is_cut(line):
            yield Row(number, text, TOO_LONG)
        elif '"' not in line:
            if text or width == 1:
                yield Row(number, text, _miscounted(text, text.count(delimiter) + 1, delimiter, width))
        elif cut.is_plain(text):
            yield Row(number, text)
        else:
            taken = [line]
            columns = cut.columns(taken, again, source)
            if columns is None:
                again.extendleft(reversed(taken[1:]))
                yield Row(number, text, OPEN_QUOTE)
            else:
                text = "".join(taken).rstrip("\r\n")
                yield Row(number, text, _miscounted(text, columns, delimiter, width))
                number += len(taken) - 1


def _unreadable(text: str, encoding: str) -> str:
    """Say why DuckDB could not read a row whose columns are right; empty where it can."""
    if text.isascii():
        return ""
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return f"this row is not {encoding}"
    return TOO_LONG if size > LINE_BYTES else ""


def _miscounted(text: str, columns: int, delimiter: str, width: int) -> str:
    """Say that a row has too many or too few columns; empty ones at its end do no harm."""
    if columns == width or (columns > width and text.endswith(delimiter * (columns - width))):
        return ""
    return f"this row has {columns} columns, not {width}"


class _Cut:
    """Counts the columns of rows with quotes, which may go on over several lines."""

    def __init__(self, delimiter: str, width: int) -> None:
        d = re.escape(delimiter)
        field = rf'(?:"[^"]*+"|[^" {d}][^{d}]*+|)'
        self.is_plain = re.compile(f"{field}(?:{d}{field}){{{width - 1}}}").fullmatch
        spaces = "" if delimiter == " " else " *"
        self._delimiter = delimiter
        # As DuckDB has it: one space may stand before a quote, and a quote goes on where only spaces follow its end.
        self._open = re.compile('"' if delimiter == " " else ' ?"')
        self._close = re.compile(rf'(?:[^"]++|"{spaces}")*+"')
        self._after = re.compile(rf"{spaces}(?:({d})|[\r\n]*\Z)")

    def columns(self, taken: list[str], again: deque[str], source: Iterator[str]) -> int | None:
        """Count the columns of the row that begins with the one line taken; take the lines that belong to it.

        Returns:
            None where a quote is not closed, or is followed by something.
        """
        columns, size = 0, 0
        while True:
            done, inside = self._scan(taken[-1], inside=len(taken) > 1)
            size += len(taken[-1])
            if done is None:
                return None
            columns += done
            if not inside:
                return columns
            line = again.popleft() if again else next(source, None)
            if line is None:
                return None
            taken.append(line)
            if size + len(line) > LINE_BYTES:
                return None

    def _scan(self, line: str, *, inside: bool) -> tuple[int | None, bool]:
        """Return how many columns end in a line, None where something follows a quote; and whether one goes on."""
        at, columns = 0, 0
        while True:
            if not inside:
                opened = self._open.match(line, at)
                if opened is None:
                    columns += 1
                    end = line.find(self._delimiter, at)
                    if end < 0:
                        return columns, False
                    at = end + 1
                    continue
                at = opened.end()
            closed = self._close.match(line, at)
            if closed is None:
                return columns, True
            after = self._after.match(line, closed.end())
            if after is None:
                return None, False
            columns, inside, at = columns + 1, False, after.end()
            if after[1] is None:
                return columns, False
