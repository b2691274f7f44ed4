"""What DuckDB says of a CSV file that it cannot read, with the file and the line of the bad row."""

from __future__ import annotations

import csv
import re
from pathlib import Path

from mmetl.errors import TaskError, Where
from mmetl.transforms.tabular.reading.csv_rows import OPEN_QUOTE, TOO_LONG, judged
from mmetl.transforms.tabular.reading.csv_source import MEND_ROW, CsvSource
from mmetl.transforms.tabular.reading.lines import MEND_LONG, SHOWN_LINE, whole_lines

_BAD_ROW = re.compile(r"CSV Error on Line: (\d+)\s+Original Line: ?(.*?)\n\s*Possible ", re.DOTALL)
_FILE = re.compile(r"^\s*file = (.*)$", re.MULTILINE)
_BAD_VALUE = re.compile(r"(?:could not convert string|invalid .*?|.*?) ['\"](.*?)['\"]", re.IGNORECASE)


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
        long = said.startswith("Maximum line size")
        where = Where(source.files.get(path, str(path)), int(row[1]), 1, text[:SHOWN_LINE])
        return TaskError(TOO_LONG if long else what, where, MEND_LONG if long else MEND_ROW)
    if "Conversion Error" in message:
        value = _BAD_VALUE.search(error.what)
        found = _find(source, value[1]) if value else None
        return TaskError(error.what, found, "mend the value, or change the column's type in `types`")
    if "does not support a full read" in message:
        return TaskError(TOO_LONG, _long_row(source), MEND_LONG)
    if "invalid state" in message:
        return TaskError("the rows cannot be told apart", help="let all lines end alike, with \\n or with \\r\\n")
    return error


def _find(source: CsvSource, value: str) -> Where | None:
    """Return where a value first stands, in a column that the params give a type."""
    at = [n for n, name in enumerate(source.names) if name in source.params.types]
    for path, name in source.files.items():
        with source.open(path) as file:
            rows = csv.reader(whole_lines(file, name), delimiter=source.delimiter)
            for row in rows:
                for n in at:
                    if n < len(row) and row[n] == value:
                        return Where(name, rows.line_num, 1, source.delimiter.join(row)[:SHOWN_LINE])
    return None


def _long_row(source: CsvSource) -> Where | None:
    """Return where the first row begins that is too long, be it over many lines."""
    for path, name in source.files.items():
        for row in judged(source, path):
            if row.error in {TOO_LONG, OPEN_QUOTE}:
                return Where(name, row.line, 1, row.text[:SHOWN_LINE])
    return None
